"""A black box: what a program sees of an audit, and a whole audit of encodings and maps that were recorded."""

import json
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

import privaudit
from privaudit.auditing.scene import Scene
from privaudit.contracts import plugin
from privaudit.contracts.arrays import function_defense
from privaudit.contracts.cohort import Dataset, split_subjects
from privaudit.contracts.defense import Defense
from privaudit.imaging.patches import as_tensor, one_hot
from privaudit.programs import end_programs, run_program
from privaudit.scoring.arms import SHARES, Arm
from privaudit.scoring.overlap import dice
from tests.ways.encoders import noisy

PEOPLE = 10
SPEC: dict[str, Any] = {
    "dataset": {"name": "blobs", "subjects": PEOPLE},
    "attacks": ["decode-maps", {"name": "reid", "protocols": ["encoded"]}],
    "scoring": {"resamples": 200}, "pictures": {"people": 3}, "controls": "single",
}  # fmt: skip


def scene_of(defense: Defense, people: int = PEOPLE) -> Scene:
    cohort = plugin.create("datasets", "blobs", Dataset, {"subjects": people}).open()
    split = split_subjects(cohort.subjects, 0)
    return Scene(cohort, split, defense.fitted(cohort, split.victims), 0)


# programs --------------------------------------------------------------------------------------------------------

TELLS = """
import json, os, shutil, sys
given, wanted, seed, log = sys.argv[1:]
here = os.path.dirname(given)
seen = {"folder": os.getcwd(), "files": sorted(os.listdir("."))}
seen |= {"there": os.path.realpath(here) == os.path.realpath(os.getcwd())}
seen |= {"arguments": sys.argv, "environment": dict(os.environ), "seed": seed}
with open(log, "a") as stream:
    stream.write(json.dumps(seen) + "\\n")
shutil.copy(given, wanted)
"""


def test_a_program_cannot_see_what_its_encodings_are_for(
    thirdparty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On every arm the same: one scan, in a folder whose name tells nothing, in the same environment."""
    monkeypatch.setenv("OLDPWD", "/data/study-of-names")
    (tmp_path / "tells.py").write_text(TELLS)
    words = f"{{python}} -S -E {tmp_path / 'tells.py'} {{input}} {{output}} {{seed}} {tmp_path / 'log.jsonl'}"
    options = {"command": words, "format": "npy", "keep": str(tmp_path / "kept")}
    scene = scene_of(plugin.create("defenses", "command", Defense, options), people=4)
    image, log = as_tensor(scene.truth(scene.requests[0]).image), tmp_path / "log.jsonl"
    arms: tuple[Arm, ...] = ("audit", *SHARES)
    for number, arm in enumerate(arm for arm in arms if arm != "planted-reference"):
        scene.scheme_of(arm).encode(image * (1 - number / 100), scene.draw_key(scene.requests[0]), 1)
    seen = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(seen) == len(arms) - 1 + 2  # the first scan is sent twice more, to see whether it is the same
    assert len({item.pop("folder") for item in seen}) == len(seen)
    assert all(item["files"] == ["input.npy"] for item in seen)
    told = {re.sub(r"/\w+/(input|output)\.npy", r"/\1.npy", json.dumps(item["arguments"])) for item in seen}
    assert len(told) == 1, told
    places = [item["environment"].pop("PWD") for item in seen]
    assert len(set(places)) == len(seen)
    assert all(item == seen[0] | {"arguments": item["arguments"]} for item in seen)
    assert "OLDPWD" not in seen[0]["environment"]
    for item, place in zip(seen, places, strict=True):
        for text in (Path(place).name, *(Path(word).parent.name for word in item["arguments"][1:3])):
            assert not re.search("|".join([*get_args(Arm), "privaudit", "control", "reid"]), text)


def test_what_a_program_leaves_behind_is_ended_with_it(tmp_path: Path) -> None:
    """Whether it takes too long, or ends well and leaves a process."""
    for number, (then, ends) in enumerate((("wait", False), ("true", True))):
        words = ["sh", "-c", f"(sleep 1.5; touch late-{number}) & {then}; echo said >&2"]
        if ends:
            assert run_program(words, tmp_path, 30, 100) == (0, "said")
        else:
            with pytest.raises(subprocess.TimeoutExpired):
                run_program(words, tmp_path, 0.2, 100)
    time.sleep(3)
    assert not list(tmp_path.iterdir())


def test_who_is_interrupted_waits_for_no_program(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as workers:
        running = workers.submit(run_program, ["sleep", "60"], tmp_path, 60, 100)
        deadline = time.monotonic() + 30
        while not running.done() and time.monotonic() < deadline:
            end_programs()
            time.sleep(0.05)
        assert running.result(timeout=1)[0] < 0


# recorded maps ---------------------------------------------------------------------------------------------------


def exchanged(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a server that exchanges labels 1 and 2, and is not sure of any, sends back."""
    return np.asarray(0.8 * labels[[0, 2, 1, *range(3, len(labels))]] + 0.2 / len(labels), dtype=np.float32)


def restored(returned: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Their client, which forgets a corner: its maps are not the truth."""
    found = returned[[0, 2, 1, *range(3, len(returned))]].copy()
    found[:, :16, :16, :16] = np.eye(len(found), dtype=np.float32)[0][:, None, None, None]
    return found


def record_all(root: Path, of: dict[str, str] | None = None) -> None:
    """Write what the box sends and returns of each scan, with the audit's keys where the audit has one.

    Args:
        root: a folder.
        of: whose maps come back, by person, where they are another's.
    """
    scene = scene_of(function_defense(noisy, respond=exchanged, decode=restored)())
    request_of, rng = {scan: request for request, scan in scene._scan_of.items()}, np.random.default_rng(7)
    for scan in scene.cohort.scans:
        volume = scene.cohort.load(scan)
        request = request_of.get(scan)
        sent = noisy(volume.image, rng) if request is None else scene.transcript(request).views[0, 0].numpy()
        other = next(s for s in scene.cohort.sessions_of((of or {}).get(scan.subject, scan.subject)))
        labels = scene.cohort.load(scan if of is None or scan.subject not in of else other).labels
        returned = exchanged(one_hot(labels, scene.classes).numpy(), rng)
        stem = root / f"sub-{scan.subject}" / f"ses-{scan.session}" / f"sub-{scan.subject}_ses-{scan.session}"
        stem.parent.mkdir(parents=True)
        for kind, array in (("encoded", sent), ("returned", returned), ("decoded", restored(returned, rng))):
            np.save(f"{stem}_desc-{kind}_T1w.npy", np.asarray(array, dtype=np.float32))


def by_folder(root: Path, out: Path) -> privaudit.Audited:
    spec = privaudit.parse_spec({**SPEC, "defense": {"name": "recorded", "root": str(root)}}, "test")
    result = privaudit.run_audit(spec, privaudit.Settings(out=out))
    return privaudit.Audited(result.run, result.record)


def figures(audited: privaudit.Audited) -> dict[str, dict[str, Any]]:
    hidden = {"seconds", "reason"}
    return {finding.key: finding.model_dump(mode="json", exclude=hidden) for finding in audited.record.findings}


def test_recorded_maps_are_audited_as_those_of_the_scheme_itself(thirdparty: Path, tmp_path: Path) -> None:
    """Encodings, returned and decoded maps in a folder: the same figures, and the utility of the box itself."""
    live = privaudit.audit(noisy, respond=exchanged, decode=restored, out=tmp_path / "live", **SPEC)
    record_all(tmp_path / "recorded")
    folder = by_folder(tmp_path / "recorded", tmp_path / "folder")
    assert figures(folder) == figures(live)
    decoded = [f for f in folder.record.primary() if f.attack == "decode-maps"]
    assert [(f.metric, f.protocol) for f in decoded] == [("map_dice", "returned K=1")]
    assert not folder.record.missing
    # Utility: Dice of what the box's client ended with, computed here from the label maps themselves.
    scene = scene_of(function_defense(noisy)())
    wanted = []
    for request in scene.some_requests("first", 12):
        labels = scene.truth(request).labels
        guess = restored(
            exchanged(one_hot(labels, scene.classes).numpy(), np.random.default_rng(0)), np.random.default_rng(0)
        )
        values = [dice(guess.argmax(axis=0), labels, label) for label in range(1, scene.classes)]
        wanted.append(float(np.mean([value for value in values if value is not None])))
    (mean,) = [u for u in folder.record.utility if u.structure == "mean" and u.metric == "dice"]
    assert mean.method == "recorded maps"
    assert 0.3 < np.mean(wanted) < 1
    assert mean.estimate == pytest.approx(float(np.mean(wanted)), abs=2e-4)
    assert not live.record.utility


def test_maps_of_other_people_are_noticed_and_change_the_figures(thirdparty: Path, tmp_path: Path) -> None:
    """The maps of two victims are exchanged, and encodings are as they were."""
    scene = scene_of(function_defense(noisy)())
    segmented = [scene._scan_of[request].subject for request in scene.some_requests("first", 3)]
    record_all(tmp_path / "right")
    record_all(tmp_path / "wrong", {segmented[0]: segmented[1], segmented[1]: segmented[0]})
    right, wrong = (by_folder(tmp_path / name, tmp_path / f"{name}-run").record for name in ("right", "wrong"))
    exchanged_ones = "the maps of 4 scans are most like the label maps of others"
    assert not any("most like" in note for note in right.defense.notes)
    assert any(note.startswith(exchanged_ones) for note in wrong.defense.notes), wrong.defense.notes
    useful, useless = ([u for u in r.utility if u.metric == "dice"][-1].estimate for r in (right, wrong))
    assert useful is not None
    assert useless is not None
    assert useless < useful - 0.05
    assert [f.estimate for f in wrong.primary() if f.attack == "reid"] == [
        f.estimate for f in right.primary() if f.attack == "reid"
    ]
    assert [f.estimate for f in wrong.primary() if f.attack == "decode-maps"] != [
        f.estimate for f in right.primary() if f.attack == "decode-maps"
    ]
