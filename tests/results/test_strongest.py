"""The table of the strongest attacks takes the greatest figure of a column, and says whose it is."""

from benchmarks.strongest import table, utility
from privaudit.results.overall import Verdict
from privaudit.results.record import Utility
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


def test_utility_is_the_schemes_own_and_of_another_audit_where_there_is_none() -> None:
    def measured(method: str, estimate: float, structure: str = "mean") -> Utility:
        return Utility(
            method=method, structure=structure, metric="dice", estimate=estimate, ci=(estimate, estimate), n_subjects=6
        )

    bare = record(finding()).model_copy(update={"utility": []})
    rich = bare.model_copy(
        update={"utility": [measured("no encoding", 0.99), measured("naive", 0.7), measured("learned", 0.8),
                            measured("learned", 0.9, "WM")]}
    )  # fmt: skip
    assert utility(rich) == utility(bare, [rich]) == "0.800 [0.800, 0.800] (learned)"
    assert utility(bare) == "–"
    stranger = rich.model_copy(update={"defense": rich.defense.model_copy(update={"name": "etc"})})
    assert utility(bare, [stranger]) == "–"
    assert "| mixup | NO LEAK DETECTED | 0.800 [0.800, 0.800] (learned) |" in table([bare], [rich])
