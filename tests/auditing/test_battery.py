"""The standard battery, whose pictures are attacked, detection limits where nothing leaks, time limits, and plans."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from numpy.random import default_rng

from privaudit.auditing.battery import BATTERY, BUDGETS
from privaudit.auditing.opening import Settings
from privaudit.auditing.planning import foresee
from privaudit.auditing.run import run_audit
from privaudit.auditing.spec import AuditSpec, parse_spec, read_spec
from privaudit.contracts import plugin
from privaudit.contracts.attack import Attack
from privaudit.contracts.defense import Defense
from privaudit.errors import OptionError
from privaudit.results.overall import Verdict
from privaudit.scoring.settings import ScoringSpec
from privaudit.scoring.similarity import power
from privaudit.scoring.similarity.power import Design, least_noticed, passing

Blobs = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("budget", BUDGETS)
def test_every_budget_names_itself_and_its_options_exist(budget: str) -> None:
    spec = parse_spec({"attacks": "standard", "budget": budget}, "test")
    assert spec.battery == f"standard-4, budget {budget}"
    for attack in spec.attacks:
        plugin.create("attacks", attack.name, Attack, attack.values)
    assert [attack.name for attack in BATTERY["quick"]] == [
        "reid", "average", "joint", "invert", "unwrap", "chosen", "decode-maps", "unwrapped-reid",
    ]  # fmt: skip


def test_the_battery_may_have_company_but_no_other_options(tmp_path: Path) -> None:
    assert AuditSpec().battery == "standard-4, budget quick"
    more = parse_spec({"attacks": ["standard", "bss"]}, "test")
    assert more.battery == "standard-4, budget quick"
    assert [attack.name for attack in more.attacks][-1] == "bss"
    assert parse_spec({"attacks": ["standard", {"name": "reid", "views": [2]}]}, "test").battery is None
    assert parse_spec({"pictures": {"people": 12}}, "test").battery is None
    assert parse_spec({"scoring": {"margin_identity": 0.2}}, "test").battery is None
    assert parse_spec({"attacks": ["reid"]}, "test").battery is None
    path = tmp_path / "spec.yaml"
    path.write_text("attacks: standard\nbudget: full\n")
    assert read_spec(path).attacks == BATTERY["full"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"attacks": "standard", "budget": "huge"}, "no such budget"),
        ({"attacks": ["reid"], "budget": "full"}, "a budget is one of the battery 'standard'"),
        ({"pictures": {"people": 1}}, "pictures.people"),
        ({"pictures": {"peeple": 3}}, "did you mean 'people'"),
    ],
)
def test_bad_batteries_are_one_line(data: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_spec(data, "test")


def test_pictures_are_attacked_on_few_people_and_identity_on_all(blobs: Blobs, tmp_path: Path) -> None:
    data = blobs({"name": "pure-noise", "views": 1}, ["reid", "average"], pictures={"people": 10})
    record = run_audit(parse_spec(data, "test"), Settings(out=tmp_path)).record
    counts = {(f.attack, f.protocol): (f.n_subjects, f.n_scans) for f in record.primary()}
    assert counts == {
        ("reid", "encoded"): (12, 24), ("reid", "raw-gallery"): (12, 12), ("average", "K=1"): (10, 10),
    }  # fmt: skip
    every = blobs({"name": "pure-noise", "views": 1}, ["average"], pictures={"people": None, "scans": "all"})
    record = run_audit(parse_spec(every, "test"), Settings(out=tmp_path)).record
    assert {(f.n_subjects, f.n_scans) for f in record.primary()} == {(12, 24)}


def test_smaller_leaks_are_planted_only_where_a_cheap_attack_finds_nothing(blobs: Blobs, tmp_path: Path) -> None:
    noise = run_audit(
        parse_spec(blobs("pure-noise", ["reid"], controls="auto"), "t"), Settings(out=tmp_path / "noise")
    ).record
    assert all(f.control is not None and f.control.found for f in noise.primary())
    plain = run_audit(
        parse_spec(blobs("none", ["reid"], controls="auto"), "t"), Settings(out=tmp_path / "plain")
    ).record
    assert plain.verdict is Verdict.LEAK
    assert not any(f.control is not None and f.control.found for f in plain.primary())


def test_an_attack_out_of_time_is_missing_and_goes_on_later(blobs: Blobs, tmp_path: Path) -> None:
    data = blobs("pure-noise", ["reid", "average"])
    record = run_audit(parse_spec({**data, "seconds_per_job": 1e-6}, "test"), Settings(out=tmp_path)).record
    assert record.verdict is Verdict.INCONCLUSIVE
    assert record.missing
    assert "left out: it took more than the 1e-06 s" in record.missing[0].error
    assert "to encode one scan" not in record.missing[0].error
    assert not run_audit(parse_spec(data, "test"), Settings(out=tmp_path)).record.missing


def test_a_slow_encoder_is_said_to_be_slow_where_time_runs_out(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = plugin.load("defenses", "pure-noise", Defense)
    encode = cls.encode

    def slowly(*arguments: Any) -> Any:
        time.sleep(0.15)
        return encode(*arguments)

    monkeypatch.setattr(cls, "encode", slowly)
    data = blobs("pure-noise", ["average"], pictures={"people": 3})
    record = run_audit(parse_spec({**data, "seconds_per_job": 0.2}, "test"), Settings(out=tmp_path)).record
    assert "; to encode one scan takes 0.2 s; " in record.missing[0].error
    assert record.verdict is Verdict.INCONCLUSIVE


def test_only_the_quick_budget_limits_the_time_by_itself() -> None:
    assert AuditSpec().time_limit == 1800
    assert parse_spec({"seconds_per_job": 5}, "test").time_limit == 5
    assert parse_spec({"attacks": "standard", "budget": "full"}, "test").time_limit is None


def test_a_plan_counts_people_and_runs_nothing(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, fewer in (("NULLS", 1000), ("AUDITS", 50), ("PASSES", 10)):
        monkeypatch.setattr(power, name, fewer)
    text = "\n".join(foresee(parse_spec(blobs("mixup", ["reid", "average"]), "test")))
    assert "24 people (12 victims, 6 pool, 6 population), 48 scans" in text
    assert "among encoded scans (12 people, 2 scans each" in text
    assert "passes in 0% of audits" in text
    assert "up to 22% of the people can stay unseen with 12 people" in text


def test_power_grows_with_people() -> None:
    scoring = ScoringSpec()
    few, many = (least_noticed(Design(n, 2, encoded=True), scoring, default_rng(0)) for n in (12, 100))
    assert few is not None
    assert many is not None
    assert many < few
    assert few == least_noticed(Design(12, 2, encoded=True), scoring, default_rng(0))
    assert passing(Design(24, 2, encoded=True), scoring, default_rng(0)) == 0
    assert passing(Design(200, 3, encoded=True), scoring, default_rng(0)) == 1
