"""The table of the strongest attacks takes the greatest figure of a column, and says whose it is."""

from benchmarks.strongest import table
from privaudit.results.overall import Verdict
from tests.records import finding, record


def test_the_greatest_figure_stands_with_its_attack_and_verdict() -> None:
    found = record(
        finding("average", 0.75), finding("joint", 0.9, verdict=Verdict.LEAK),
        finding("atlas", 0.95, verdict=None, role="baseline"),
    )  # fmt: skip
    head, _, row = table([found]).splitlines()
    cells = dict(zip(head.split(" | "), row.split(" | "), strict=True))
    assert cells["strongest"] == "0.900 [0.890, 0.910] (joint) LEAK"
    assert cells["image, MS-SSIM: not looking"] == "0.950 [0.940, 0.960]"
    assert cells["`decode-maps`"] == "–"
