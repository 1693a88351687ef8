"""Better, worse, or neither; and when not to say."""

from privaudit.results.compare import comparable, compare, compare_text
from tests.records import finding, record


def test_changes_beyond_both_intervals_are_named() -> None:
    a = record(finding("a", 0.5), finding("b", 0.5), finding("c", 0.5), finding("gone"), finding("d", None))
    b = record(finding("a", 0.6), finding("b", 0.4), finding("c", 0.51), finding("new"), finding("d", None))
    assert {row.key.split("/")[0]: row.change for row in compare(a, b)} == {
        "a": "worse",
        "b": "better",
        "c": "no significant change",
        "d": "no figure",
        "gone": "only in A",
        "new": "only in B",
    }


def test_lower_may_be_leakier() -> None:
    (row,) = compare(
        record(finding(estimate=0.5, higher_is_leakier=False)), record(finding(estimate=0.6, higher_is_leakier=False))
    )
    assert row.change == "better"


def test_another_number_of_views_is_matched() -> None:
    (row,) = compare(record(finding()), record(finding(protocol="K=5")))
    assert row.key == "average/target/ms_ssim"


def test_protocols_are_told_apart_where_an_attack_has_several() -> None:
    both = record(finding(protocol="encoded"), finding(protocol="raw-gallery"))
    assert [row.key for row in compare(both, both)] == [
        "average/encoded/target/ms_ssim",
        "average/raw-gallery/target/ms_ssim",
    ]


def test_reasons_not_to_compare() -> None:
    a = record(finding())
    assert comparable(a, a) == []
    assert comparable(a, record(finding(), seed=1)) == ["seed differs (0 and 1)"]
    other = record(finding(), dataset=a.dataset.model_copy(update={"fingerprint": "0" * 64}))
    assert "data fingerprint differs" in comparable(a, other)[0]


def test_text_has_one_line_per_figure() -> None:
    text = compare_text(compare(record(finding("a", 0.5)), record(finding("a", 0.6))))
    assert text == "a/target/ms_ssim  0.500 → 0.600  leakier by +0.100 ±0.014  worse\n"
