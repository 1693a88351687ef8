"""Several defenses under the same attacks: one command, one card."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from privaudit.auditing.opening import Settings
from privaudit.auditing.panel import panel_folder, read_specs, run_panel, write_panel
from privaudit.auditing.run import run_audit
from privaudit.auditing.spec import parse_spec
from privaudit.cards.writing import write_cards
from privaudit.contracts import plugin
from privaudit.contracts.cohort import Dataset, all_marks, split_subjects
from privaudit.contracts.report import Report
from privaudit.errors import OptionError, PluginError
from privaudit.files import claim
from privaudit.results.overall import overall
from privaudit.results.record import Comparison, Finding, Health, Missing, Record, Utility
from privaudit.scoring.reconstruction.kind import ReconstructionKind
from privaudit.scoring.similarity.kind import SimilarityKind
from privaudit_reports import panel
from tests import records as made_up

Blobs = Callable[..., dict[str, Any]]


def written(path: Path, **data: Any) -> Path:
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def records(thirdparty: Path, rivals: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    base = tmp_path_factory.mktemp("panel")
    data = {
        "dataset": {"name": "blobs", "subjects": 24}, "scoring": {"resamples": 200}, "utility": {"people": 2},
        "attacks": [{"name": "reid", "protocols": ["encoded", "returned"]},],
    }  # fmt: skip
    schemes = [{"name": "none"}, *({"name": name, "weights": folder} for name, folder in rivals.items())]
    specs = [parse_spec({**data, "defense": scheme}, "test") for scheme in schemes]
    return [run_audit(spec, Settings(out=base / str(n), device="cpu")).record for n, spec in enumerate(specs)]


def test_the_joint_card_sets_figures_beside_the_papers(records: list[Record], tmp_path: Path) -> None:
    paths = write_panel(tmp_path, records, ("html", "markdown"))
    page, text = (path.read_text(encoding="utf-8") for path in paths)
    for name in ("none", "privacy-net", "deformation"):
        assert name in page
        assert name in text
    assert "0.202" in page, "the paper's mAP of Privacy-Net"
    assert "made-up blobs" in page
    assert "made-up blobs" in text
    assert "<svg" in page
    # Every figure is a record's, to the digit.
    for record in records:
        found = next(f for f in record.findings if (f.attack, f.protocol, f.metric) == ("reid", "encoded", "map"))
        assert f"{found.estimate:.3f}" in text
    again = write_panel(tmp_path, records, ("html",))[0].read_text(encoding="utf-8")
    assert again == page


def test_a_collapsed_training_is_said_wherever_its_figures_are(
    rivals: dict[str, str], tmp_path: Path, thirdparty: Path
) -> None:
    folder = tmp_path / "own"
    shutil.copytree(rivals["privacy-net"], folder)
    cohort = plugin.create("datasets", "blobs", Dataset, {"subjects": 12}).open()
    config = json.loads((folder / "config.json").read_text())
    config["people"] = sorted(all_marks(cohort, split_subjects(cohort.subjects, 0).population))
    config["training"] |= {"collapsed": ["the proxy is the same for everybody"], "doubts": ["never learned"]}
    (folder / "config.json").write_text(json.dumps(config))
    data = {
        "dataset": {"name": "blobs", "subjects": 12}, "scoring": {"resamples": 200}, "utility": {"weights": "none"},
        "attacks": ["reid"], "defense": {"name": "privacy-net", "weights": str(folder)},
    }  # fmt: skip
    run = run_audit(parse_spec(data, "test"), Settings(out=tmp_path / "run", device="cpu"))
    assert run.record.defense.flaws == ["the proxy is the same for everybody"]
    assert run.record.defense.notes[0] == "never learned"
    assert "3 of the 3 people whom the attacker learns from" in run.record.defense.notes[1]
    cards = [
        *write_cards(run.run, ("html", "markdown"), with_images=False),
        *write_panel(tmp_path, [run.record] * 2, ("html", "markdown")),
    ]
    for path in cards:
        text = path.read_text(encoding="utf-8")
        assert "COLLAPSED" in text, path
        assert "same for everybody" in text, path
        assert "an attacker with others may do better" in text, path


def test_an_attack_that_fails_its_check_of_itself_is_named(records: list[Record]) -> None:
    checks = [
        Health(attack="a", protocol="p", name="residual", figure=figure, allowed="at most 1.5", passed=figure < 1.5)
        for figure in (1.0, 2.74)
    ]
    rows = panel.doubts([records[0].model_copy(update={"health": checks})]).rows
    assert [row[1] for row in rows] == [
        "a, p, is not sound here, and its silence says nothing: residual 2.740 (must be at most 1.5)"
    ]


def test_schemes_of_one_name_are_told_apart_by_their_options(records: list[Record]) -> None:
    one = records[2]
    fields = [
        one.model_copy(update={"defense": one.defense.model_copy(update={"params": params})})
        for params in ({"weights": "none", "strength": 2.0}, {"weights": "none", "strength": 8.0})
    ]
    assert panel.titles([records[0], one, *fields]) == [
        "none", "deformation", "deformation (untrained), strength=2.0", "deformation (untrained), strength=8.0"
    ]  # fmt: skip
    twice = panel.titles([*fields, fields[0]])
    assert twice[0] == "deformation (untrained), strength=2.0, no. 1"
    assert len(set(twice)) == 3
    assert panel.titles([one, one]) == ["deformation, no. 1", "deformation, no. 2"]


def test_an_attack_that_did_not_finish_is_a_row_and_no_point(records: list[Record]) -> None:
    whole = records[1]
    lost = [f for f in whole.findings if f.protocol != "encoded"]
    gone = Missing(attack="reid", protocol="encoded", error="RuntimeError")
    verdict, reason = overall(lost, [gone])
    broken = whole.model_copy(update={"findings": lost, "missing": [gone], "verdict": verdict, "reason": reason})
    assert [point.label for point in panel.points(whole, "x", SimilarityKind())] == ["x"]
    assert panel.points(broken, "x", SimilarityKind()) == []
    rows = panel.attacked([records[0], broken], SimilarityKind()).rows
    assert ["privacy-net", "reid, encoded", "NOT FINISHED"] in [row[:3] for row in rows]
    assert "NOT FINISHED: reid encoded" in panel.verdicts([broken]).rows[0][2]
    assert not panel.attacked([records[0], broken], ReconstructionKind()).rows, "it is no attack on images"


def test_accuracy_of_many_views_is_set_against_attackers_of_many_views() -> None:
    def identity(protocol: str, lead: float, *knowledge: str) -> Finding:
        chance = Comparison(name="chance", estimate=0.1, difference=lead, ci=(lead, lead), reads_transcript=False)
        return made_up.finding(
            "reid", 0.1 + lead, protocol=protocol, victim="identity", metric="map", baseline=chance,
            knowledge=["transcript", *knowledge],
        )  # fmt: skip

    def dice(method: str, views: int) -> Utility:
        return Utility(
            method=method, structure="mean", metric="dice", estimate=0.8, ci=None, n_subjects=9, params={"views": views}
        )  # fmt: skip

    mixed = made_up.record(
        identity("encoded", 0.3), identity("encoded K=10", 0.6, "views"),
        utility=[dice("no encoding", 1), dice("naive", 1), dice("learned", 1), dice("learned + TTA", 10)],
    )  # fmt: skip
    found = [(p.label, p.dice.method, p.attack.protocol) for p in panel.points(mixed, "mixup", SimilarityKind())]
    assert found == [("mixup K=1", "learned", "encoded"), ("mixup K=10", "learned + TTA", "encoded K=10")]


def test_the_papers_figures_stand_beside_the_papers_schemes_alone(records: list[Record]) -> None:
    rival = next(r for r in records if r.defense.name == "deformation")
    params = {**rival.defense.params, "weights": "none"}
    random = rival.model_copy(update={"defense": rival.defense.model_copy(update={"params": params})})
    for found in (lambda of: panel.attacked(of, SimilarityKind()), panel.dice):
        assert any(row[0].startswith("— paper") for row in found([rival]).rows)
        assert not any(row[0].startswith("— paper") for row in found([random]).rows)


def test_a_panel_begun_again_leaves_no_earlier_verdicts(rivals: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "panel"
    folder.mkdir()
    claim(folder, "panel")
    (folder / "panel.html").write_text("an earlier one")
    good = parse_spec({"dataset": "blobs", "defense": "none"}, "test")
    bad = parse_spec({"dataset": "blobs", "defense": {"name": "privacy-net", "weights": str(tmp_path)}}, "test")
    with pytest.raises(OptionError, match="no trained weights"):
        run_panel([good, bad], Settings(), folder, lambda name, total: lambda amount: None)
    assert [file.name for file in folder.iterdir()] == [".privaudit-panel"], (
        "and nothing is begun that the last of them will stop"
    )


def test_what_comes_back_in_the_clear_tells_who_it_is(records: list[Record]) -> None:
    by_name = {record.defense.name: record for record in records}
    for name in ("none", "privacy-net"):
        found = next(f for f in by_name[name].primary() if f.protocol == "returned")
        assert found.estimate is not None
        assert found.estimate > 0.9, name
        assert found.control is not None
        assert found.control.passed


def test_utility_is_of_the_schemes_own_server(records: list[Record], rivals: dict[str, str]) -> None:
    for record in records[1:]:
        (own,) = [w for w in record.provenance["weights"] if w["name"] == record.defense.name]
        assert len(own["sha256"]) == 12
        assert {u.method for u in record.utility} >= {"naive"}


def test_a_format_without_a_panel_says_so(records: list[Record], tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="side by side"):
        plugin.create("reports", "junit", Report).render_panel(records)


def test_specifications_of_one_and_of_several(tmp_path: Path) -> None:
    several = read_specs(written(tmp_path / "a.yaml", defenses=["none", {"name": "mixup", "views": 3}], seed=4))
    assert [spec.defense.name for spec in several] == ["none", "mixup"]
    assert {spec.seed for spec in several} == {4}
    assert several[1].defense.values == {"views": 3}
    (one,) = read_specs(written(tmp_path / "b.yaml", defense="none"))
    assert one.defense.name == "none"
    assert panel_folder(several, None) != panel_folder([several[1], several[0]], None)
    for data, message in (
        ({"defenses": ["none"], "defense": "mixup"}, "in place of"),
        ({"defenses": "none"}, "a list"),
        ({"defenses": []}, "a list"),
        ({"defenses": ["none", "none"]}, "listed twice"),
        ({"defenses": ["none"], "atacks": []}, "did you mean"),
    ):
        with pytest.raises(OptionError, match=message):
            read_specs(written(tmp_path / "c.yaml", **data))


@pytest.mark.parametrize(
    ("name", "defenses"),
    [("rivals", ["none", "mixup", "privacy-net", "deformation", "deformation"]), ("warps", ["deformation"] * 5)],
)
def test_the_shipped_examples_are_panels(name: str, defenses: list[str]) -> None:
    specs = read_specs(Path(__file__).parents[2] / "docs" / "examples" / f"{name}.yaml")
    assert [spec.defense.name for spec in specs] == defenses


@pytest.mark.slow
def test_from_the_command_line(cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    path = written(
        tmp_path / "p.yaml", dataset={"name": "blobs", "subjects": 22}, defenses=["none", "pure-noise"],
        attacks=["reid"], scoring={"resamples": 200}, utility={"weights": "none"},
    )  # fmt: skip
    done = cli("audit", path, "--out", "panel", "--quiet")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "panel" / "panel.html").is_file()
    assert (tmp_path / "panel" / "panel.md").is_file()
    assert len(list((tmp_path / "panel").glob("*/record.json"))) == 2
    refused = cli("audit", path, "--defense", "none")
    assert refused.returncode == 2
    assert "list of defenses" in refused.stderr
