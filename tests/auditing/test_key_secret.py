"""Keys that depend on a secret file: the same file repeats a run, and a plugin that knows the seed gets nothing."""

import json
import os
import random
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from privaudit.auditing.opening import Settings, _open_scene, open_context
from privaudit.auditing.run import run_audit
from privaudit.auditing.spec import AuditSpec, parse_spec
from privaudit.cards.writing import report_input
from privaudit.contracts import plugin
from privaudit.contracts.attack import Attack, Protocol, Task
from privaudit.contracts.claims import Reconstruction
from privaudit.contracts.cohort import Dataset
from privaudit.contracts.defense import Defense
from privaudit.contracts.transcript import Transcript
from privaudit.errors import OptionError, RecordError
from privaudit.imaging.patches import as_tensor
from privaudit.results.overall import Verdict
from privaudit.results.record import Record
from privaudit.seeds import seed_from

Blobs = Callable[..., dict[str, Any]]
DATA = {"subjects": 24}
PAD = {"name": "noise", "deviation": 5.0}


def knows_the_seed(
    self: Attack, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Any, task: Task
) -> Iterator[Reconstruction]:
    """Works victims' keys out from the audit's seed, 0 as nearly always, and takes the noise off."""
    cohort = plugin.create("datasets", "blobs", Dataset, DATA).open()
    scheme = plugin.create("defenses", "noise", Defense, {"deviation": 5.0})
    for transcript in transcripts:
        keys = random.Random(seed_from(0, "key", cohort.fingerprint, transcript.request))
        pad = scheme.encode(torch.zeros(transcript.shape), scheme.draw_key(transcript.shape, [], keys), 1).views[0, 0]
        yield Reconstruction(transcript.request, transcript.stitched() - pad)


@pytest.fixture
def spec(blobs: Blobs) -> AuditSpec:
    data = blobs(PAD, ["smooth"], dataset=DATA, pictures={"people": 10})
    return parse_spec(data, "test")


def audited(spec: AuditSpec, out: Path, secret: Path | None) -> Record:
    return run_audit(spec, Settings(out=out, key_secret=secret)).record


def figures(record: Record) -> str:
    return json.dumps([f.model_dump(mode="json") | {"seconds": 0} for f in record.findings])


def test_a_plugin_that_works_keys_out_gets_nothing_with_a_secret(
    spec: AuditSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin.load("attacks", "smooth", Attack), "run", knows_the_seed)
    found = {}
    for name, secret in (("without", None), ("with", tmp_path / "secret")):
        record = audited(spec, tmp_path / name, secret)
        found[name] = next(f for f in record.primary() if f.attack == "smooth")
        assert record.provenance["key_secret"] is (secret is not None)
    assert found["without"].verdict is Verdict.LEAK
    assert (found["without"].estimate or 0) > 0.99
    assert found["with"].verdict is Verdict.INCONCLUSIVE
    assert (found["with"].estimate or 1) < 0.2


def test_a_scheme_that_keeps_what_it_was_given_does_not_tell_attacks(
    spec: AuditSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme, encode = plugin.load("defenses", "noise", Defense), plugin.load("defenses", "noise", Defense).encode

    def keeps(self: Any, image: torch.Tensor, key: Any, views: int) -> Any:
        self.__dict__.setdefault("seen", []).append(image)
        return encode(self, image, key, views)

    def looks(self: Attack, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Any, task: Task) -> Any:
        found.append(getattr(task.defense, "seen", []))
        return (Reconstruction(transcript.request, torch.zeros(transcript.shape)) for transcript in transcripts)

    found: list[list[torch.Tensor]] = []
    monkeypatch.setattr(scheme, "encode", keeps)
    monkeypatch.setattr(plugin.load("attacks", "smooth", Attack), "run", looks)
    _open_scene.cache_clear()
    audited(spec, tmp_path / "run", None)
    scene = open_context(spec, Settings(out=tmp_path / "run"))[0].scene
    assert getattr(scene.defense, "seen"), "the scheme has kept victims' images"  # noqa: B009
    assert found
    assert not any(found)
    _open_scene.cache_clear()


def test_one_secret_repeats_a_run_and_another_shares_nothing_with_it(spec: AuditSpec, tmp_path: Path) -> None:
    secrets = [tmp_path / "a" / "secret", tmp_path / "b" / "secret"]
    one, again = (audited(spec, tmp_path / name, secrets[0]) for name in ("one", "again"))
    assert figures(one) == figures(again)
    text = secrets[0].read_text().strip()
    assert stat.S_IMODE(secrets[0].stat().st_mode) == 0o600
    assert len(bytes.fromhex(text)) == 32
    run = tmp_path / "one"
    assert set(run_audit(spec, Settings(out=run, key_secret=secrets[0])).notes.values()) == {"reused"}
    for secret in (secrets[1], None):
        notes = run_audit(spec, Settings(out=run, key_secret=secret)).notes
        assert all("key secret changed" in note and note.startswith("computed again") for note in notes.values())
        told = (run / "record.json").read_text()
        assert figures(Record.model_validate_json(told)) != figures(one)
    for file in (path for path in tmp_path.rglob("*") if path.is_file() and path not in secrets):
        content = file.read_bytes()
        assert text.encode() not in content, file
        assert bytes.fromhex(text) not in content, file
        assert str(secrets[0]).encode() not in content, file


def test_without_the_option_keys_are_those_of_always(blobs: Blobs) -> None:
    scene = open_context(parse_spec(blobs("noise", ["reid"]), "test"), Settings(quiet=True))[0].scene
    request = scene.requests[0]
    rng = random.Random(seed_from(0, "key", scene.cohort.fingerprint, request))
    key = scene.defense.draw_key(scene.cohort.shape, scene.pool, rng)
    image = as_tensor(scene.truth(request).image)
    assert torch.equal(scene.defense.encode(image, key, 1).views, scene.transcript(request).views)


def test_shares_of_the_pool_depend_on_it_too(blobs: Blobs, tmp_path: Path) -> None:
    defense = {"name": "mixup", "views": 1, "reference_reuse": "never"}
    split = {"victims": 0.25, "pool": 0.5, "population": 0.25}
    data = parse_spec(blobs(defense, ["reid"], dataset={"subjects": 48}, split=split), "test")

    def shares(secret: Path | None) -> list[list[int]]:
        scene = open_context(data, Settings(quiet=True, key_secret=secret))[0].scene
        return [scene._references.share(request) for request in scene.requests]

    assert shares(tmp_path / "a") == shares(tmp_path / "a")
    assert shares(tmp_path / "a") != shares(tmp_path / "b")
    assert shares(None) != shares(tmp_path / "a")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.touch(0o600), "is no secret of keys; got 0 characters"),
        (lambda path: (path.write_text("ab" * 16), path.chmod(0o600)), "is no secret of keys; got 32 characters"),
        (lambda path: (path.write_text("ab" * 32), path.chmod(0o644)), "others may read or change"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (lambda path: (path.write_bytes(os.urandom(32)), path.chmod(0o600)), "secret"),
    ],
)
def test_bad_files_are_one_line(make: Callable[[Path], object], message: str, spec: AuditSpec, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    make(path)
    with pytest.raises(OptionError) as error:
        audited(spec, tmp_path / "run", path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_pictures_need_it(spec: AuditSpec, tmp_path: Path) -> None:
    record = audited(spec, tmp_path / "run", tmp_path / "secret")
    assert not report_input(tmp_path / "run", record, False, None).pictures
    with pytest.raises(RecordError, match="--key-secret"):
        report_input(tmp_path / "run", record, True, None)
