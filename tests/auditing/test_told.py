"""What outputs tell: no file of a run, a cache, a card or a training names a person, and pseudonyms have a key."""

import csv
import os
import random
import re
import stat
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from privaudit.auditing.folders import spec_of
from privaudit.auditing.opening import Settings, open_context
from privaudit.auditing.pseudonyms import KEY_FILE, Pseudonyms, check_key, ready_key
from privaudit.auditing.run import run_audit
from privaudit.auditing.scene import Scene
from privaudit.auditing.spec import AuditSpec, parse_spec
from privaudit.auditing.store import JobFile
from privaudit.auditing.telling import without_names
from privaudit.cards.writing import write_cards
from privaudit.contracts.cohort import Cohort, split_subjects
from privaudit.errors import OptionError
from privaudit.results.record import Record
from privaudit.seeds import digest_from
from privaudit.segmentation.opening import open_training
from privaudit.segmentation.options import parse_train_spec
from tests.cohorts.conftest import little_brain

PEOPLE = 12
MARKS = re.compile(rb"Mark(?:Home|Site|Person\d|Visit|Acq|Descrip|Aux|Db|Intent|Extension|Clinic|Prior)", re.IGNORECASE)


def write_scan(path: Path, array: np.ndarray[Any, Any]) -> None:
    """A NIfTI file with marks wherever its header has room for text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image: Any = nib.Nifti1Image(array, np.eye(4))  # type: ignore[no-untyped-call]
    image.header["descrip"], image.header["aux_file"] = b"MarkDescrip", b"MarkAux"
    image.header["db_name"], image.header["intent_name"] = b"MarkDb", b"MarkIntent"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"MarkExtension"))
    nib.save(image, path)


@dataclass
class Audited:
    """An audit of marked people, of which one attack failed and spoke of them, and a training."""

    base: Path
    spec: AuditSpec
    record: Record

    @property
    def run(self) -> Path:
        return self.base / "run"


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    from privaudit_attacks.average import AverageAttack

    base = tmp_path_factory.mktemp("told")
    root = base / "MarkHome" / "MarkSite of Dr X" / "study"
    for number in range(PEOPLE):
        for visit in (1, 2):
            image, labels = little_brain((32, 32, 32), seed=10 * number + visit)
            who = f"sub-MarkPerson{number:02d}"
            stem = root / who / f"ses-MarkVisit{visit}" / "anat" / f"{who}_ses-MarkVisit{visit}"
            write_scan(stem.with_name(f"{stem.name}_acq-MarkAcq_T1w.nii.gz"), image)
            write_scan(stem.with_name(f"{stem.name}_acq-MarkAcq_dseg.nii.gz"), labels)
    options: dict[str, Any] = {"name": "bids", "root": str(root), "label_map": {0: 0, 1: 1, 2: 2, 3: 3}}
    data = {
        "dataset": options, "defense": "mixup", "attacks": ["reid", "average"], "scoring": {"resamples": 200},
        "utility": {"weights": "none"}, "controls": "single",
    }  # fmt: skip
    spec = parse_spec(data, "test")

    def broken(*_: Any) -> Any:
        raise RuntimeError(f"P001 and r0001 are sub-MarkPerson03 in {root}/MarkClinic/x y.nii and 'MarkVisit1'")

    settings = Settings(out=base / "run", cache=base / "cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AverageAttack, "run", broken)
        patch.setattr("sys.argv", ["privaudit", "audit", "--root", str(root), f"--prior={root}/MarkPrior/p"])
        record = run_audit(spec, settings).record
        write_cards(base / "run", ("html", "markdown", "json", "junit", "sarif"), False, base / "cache")
    options = {"steps": 1, "batch": 1, "validate_every": 1, "validation_batches": 1, "patch_size": 32}
    train = parse_train_spec({"dataset": spec.dataset.model_dump(), "defense": "none", "train": options}, "test")
    (training,) = open_training(train, base / "weights", base / "cache", "cpu", command="privaudit train")
    training.run()
    return Audited(base, spec, record)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file, and what is packed in archives, by name."""
    found = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        found[file.name] = str(file.relative_to(folder)).encode() + b"\n" + file.read_bytes()
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                found |= {f"{file.name}/{name}": archive.read(name) for name in archive.namelist()}
    return found


@pytest.mark.parametrize("place", ["run", "cache", "weights"])
def test_no_file_names_a_person(marked: Audited, place: str) -> None:
    found = contents(marked.base / place)
    assert found
    named = {name: MARKS.findall(text) for name, text in found.items() if MARKS.search(text)}
    assert named == {}


def test_the_marks_are_there_to_be_found(marked: Audited) -> None:
    """The search above finds them where they are: in the scans, unpacked."""
    scan = next((marked.base / "MarkHome").rglob("*_T1w.nii.gz"))
    import gzip

    assert len(set(MARKS.findall(gzip.decompress(scan.read_bytes())))) == 5
    assert len(set(MARKS.findall(str(scan).encode()))) == 5


def test_the_failure_is_told_without_names(marked: Audited) -> None:
    assert {item.attack for item in marked.record.missing} == {"average"}
    text = next((marked.run / "jobs").glob("average*.error.txt")).read_text()
    assert "RuntimeError" in text
    assert 'File "jobs.py", line' in text, "the base names of code are no secret"
    assert "[...]" in text
    names = open_context(marked.spec, Settings(out=marked.run, cache=marked.base / "cache"))[0].names
    assert names is not None
    assert names.in_text("P001 and r0001 are") in text


def scene_of(spec: AuditSpec, cache: Path) -> Scene:
    return open_context(spec, Settings(out=cache.parent / "run", cache=cache))[0].scene


def recovered(cohort: Cohort, scene: Scene, seed: int) -> dict[str, str]:
    """What somebody computes who has the list of ids, the record and the source code."""
    victims = split_subjects(cohort.subjects, seed).victims
    people = sorted(victims, key=lambda s: digest_from(seed, "person", s))
    return {subject: f"P{number:03d}" for number, subject in enumerate(people, start=1)}


def table_of(run: Path) -> list[dict[str, str]]:
    with (run / "tables" / "reid.encoded.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_a_list_of_ids_does_not_give_the_people_away(marked: Audited) -> None:
    """Rows are told from each other by their scores: those of the tables are compared with the true ones."""
    scene = scene_of(marked.spec, marked.base / "cache")
    context = open_context(marked.spec, Settings(out=marked.run, cache=marked.base / "cache"))[0]
    key = next((marked.run / "jobs").glob("reid.encoded.audit.jsonl"))
    names = context.names
    assert names is not None
    guessed = recovered(scene.cohort, scene, marked.spec.seed)
    true = {subject: names.hide({"person": alias})["person"] for subject, alias in guessed.items()}
    written = {row["person"] for row in table_of(marked.run)}
    assert set(true.values()) == written == set(guessed.values())
    right = sum(true[subject] == guessed[subject] for subject in true)
    assert right < len(true), "the pseudonyms of the seed are in the table"
    order = [row["request"] for row in table_of(marked.run)]
    assert order == sorted(order)
    assert [line.split('"request": "')[1][:5] for line in key.read_text().splitlines()[1:-1]] == order
    mode = stat.S_IMODE((marked.run / KEY_FILE).stat().st_mode)
    assert mode == 0o600
    secret = (marked.run / KEY_FILE).read_text().strip()
    told = {name: text for name, text in contents(marked.run).items() if name != KEY_FILE}
    assert not [name for name, text in told.items() if secret.encode() in text]


def test_figures_do_not_depend_on_the_key_and_pseudonyms_do(marked: Audited, tmp_path: Path) -> None:
    """Within a folder all repeats; in another one with the same key, too; with another, only the figures do."""
    spec = parse_spec({**marked.spec.model_dump(mode="json"), "attacks": ["reid"]}, "test")

    def audited(name: str, key: Path | None) -> tuple[dict[str, Any], list[dict[str, str]]]:
        run = tmp_path / name
        settings = Settings(out=run, cache=marked.base / "cache", pseudonym_key=key)
        return run_audit(spec, settings).record.stable(), table_of(run)

    key = tmp_path / "keys" / "mine"
    first, second = audited("a", None), audited("b", key)
    assert audited("a", None) == first
    assert not (tmp_path / "b" / KEY_FILE).exists()
    assert audited("c", key) == second
    assert second[0] == first[0]
    assert second[1] != first[1]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    notes = run_audit(spec, Settings(out=tmp_path / "a", cache=marked.base / "cache", pseudonym_key=key)).notes
    assert all("pseudonyms changed" in note for note in notes.values())
    assert table_of(tmp_path / "a") == second[1]


def test_work_files_are_the_owners_alone(marked: Audited) -> None:
    jobs = marked.run / "jobs"
    assert stat.S_IMODE(jobs.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in jobs.iterdir() if file.is_file()} == {0o600}
    assert {stat.S_IMODE(file.stat().st_mode) for file in jobs.iterdir() if file.is_dir()} == {0o700}


def test_what_an_attack_keeps_while_it_works_is_the_owners_alone(
    marked: Audited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes it, and however: a kill leaves it there."""
    from privaudit_attacks.as_is import AsIsAttack

    seen = {}

    def spy(self: Any, protocol: Any, transcripts: Any, knowledge: Any, task: Any) -> Any:
        (task.workdir / "patches.bin").write_bytes(b"x")
        (task.workdir / "more").mkdir()
        for path in (task.workdir, *task.workdir.iterdir()):
            seen[path.name] = stat.S_IMODE(path.stat().st_mode)
        raise KeyboardInterrupt

    monkeypatch.setattr(AsIsAttack, "run", spy)
    spec = parse_spec({**marked.spec.model_dump(mode="json"), "attacks": ["as-is"]}, "test")
    before = os.umask(0o022)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_audit(spec, Settings(out=tmp_path / "run", cache=marked.base / "cache"))
        assert os.umask(0o022) == 0o022, "and the user's own setting is back"
    finally:
        os.umask(before)
    (folder,) = [name for name in seen if name.endswith(".work")]
    assert seen == {folder: 0o700, "patches.bin": 0o600, "more": 0o700}


def test_paths_are_told_by_their_last_parts(marked: Audited) -> None:
    text = (marked.run / "spec.yaml").read_text()
    assert "root: study" in text
    assert marked.record.dataset.params["root"] == "study"
    assert marked.record.provenance["command"] == "privaudit audit --root study p"
    with pytest.raises(OptionError, match="does not say where it lies.*repeat the command of the audit with --with"):
        spec_of(marked.run)


def test_messages_lose_folders_and_ids() -> None:
    cohort = Cohort.__new__(BidsLike)
    text = (
        "[Errno 2] No such file: '/data/Dr Who/sub-anna/x.nii', see C:\\a\\b.txt and /home/me/sub-anna_T1w.nii; 0.017"
    )
    told = without_names(text, cohort, ["/home/me"])
    assert told == "[Errno 2] No such file: 'x.nii', see b.txt and sub-[...]_T1w.nii; 0.017"
    cohort.shareable = True
    assert without_names(text, cohort) == text


class BidsLike(Cohort):
    """Names alone."""

    @property
    def scans(self) -> Any:
        from privaudit.contracts.cohort import ScanId

        return [ScanId("anna", "1"), ScanId("017", "02")]

    def load(self, scan: Any) -> Any:
        raise NotImplementedError

    @property
    def fingerprint(self) -> str:
        return ""


NAMES = [f"r{n:04d}" for n in range(6)] + [f"P{n:03d}" for n in range(1, 7)] + ["R001", "R002"]


def test_pseudonyms_are_a_permutation_of_each_kind() -> None:
    names = Pseudonyms(NAMES, b"k" * 32)
    row = {"request": "r0003", "person": "P002", "owner": "R001", "x": ["P001", 1.5, {"P001": "r0000"}], "y": None}
    assert names.show(names.hide(row)) == row
    assert sorted(names.hide({name: name for name in NAMES}).values()) == sorted(NAMES)
    other = Pseudonyms(NAMES, b"l" * 32)
    assert names.digest != other.digest
    assert any(names.hide({"a": name}) != other.hide({"a": name}) for name in NAMES)


def test_a_job_with_pseudonyms_goes_on_and_ends_alike(tmp_path: Path) -> None:
    """Rows come back as they were; the file of a finished job is in an order that tells nothing."""
    names, source = Pseudonyms(NAMES, b"k" * 32), random.Random(0)
    rows = [{"request": f"r{n:04d}", "person": f"P{n + 1:03d}", "v": source.random()} for n in range(6)]
    requests = [str(row["request"]) for row in rows]
    path = tmp_path / "jobs" / "a.jsonl"
    job = JobFile.open(path, {"code": "x"}, requests, names=names)
    for row in rows[:3]:
        job.append(row, 1.0)
    job.close()
    job = JobFile.open(path, {"code": "x"}, requests, names=names)
    assert (job.rows, job.done) == (rows[:3], False)
    for row in rows[3:]:
        job.append(row, 2.0)
    job.finish(3.0)
    again = JobFile.open(path, {"code": "x"}, requests, names=names)
    assert (again.rows, again.done, again.seconds) == (rows, True, 3.0)
    order = re.findall(r'"request": "(r\d+)"', path.read_text())
    assert order == sorted(requests)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    other = JobFile.open(path, {"code": "x"}, requests, names=Pseudonyms(NAMES, b"l" * 32))
    assert (other.rows, "pseudonyms changed" in other.note) == ([], True)


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 64, b"0" * 63, b"g" * 64])
def test_a_file_that_is_no_key_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(OptionError, match="--pseudonym-key"):
        check_key(path)
    ready_key(path)
    assert path.read_bytes() == content


Make = Callable[..., dict[str, Any]]


def test_a_bad_key_is_refused_before_work_starts(blobs: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("mine")
    monkeypatch.setattr("privaudit.contracts.plugin.create", lambda *_: pytest.fail("data was opened"))
    with pytest.raises(OptionError, match="is no key of pseudonyms"):
        run_audit(parse_spec(blobs(), "test"), Settings(out=tmp_path / "run", pseudonym_key=tmp_path / "key"))
    assert (tmp_path / "key").read_text() == "mine"
    assert not (tmp_path / "run").exists()
