"""The ways to bring an encoder: a file, a function, a command, a folder of what it has made."""

import io
import json
import sys
import types
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

import privaudit
from privaudit.auditing.first_request import check_contract
from privaudit.auditing.planning import cannot_run
from privaudit.auditing.scene import Scene
from privaudit.contracts import plugin
from privaudit.contracts.arrays import function_defense
from privaudit.contracts.attack import Attack
from privaudit.contracts.cohort import Cohort, Dataset, split_subjects
from privaudit.contracts.defense import Defense
from privaudit.errors import PluginError, PrivauditError
from privaudit.imaging.patches import as_tensor
from privaudit.results.overall import Verdict
from tests.ways.encoders import noisy, projected

HERE = Path(__file__).parent
FILE = HERE / "encoders.py"
TINY: dict[str, Any] = {
    "dataset": {"name": "blobs", "subjects": 10}, "attacks": ["as-is", {"name": "reid", "protocols": ["encoded"]}],
    "scoring": {"resamples": 200}, "pictures": {"people": 3}, "controls": "single", "utility": {"weights": "none"},
}  # fmt: skip


@pytest.fixture(scope="module")
def audited(thirdparty: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, privaudit.Audited]:
    """One seeded encoder, brought in three ways; and what the third has made, as a fourth."""
    out = tmp_path_factory.mktemp("ways")
    words = f"{sys.executable} {HERE / 'encode_noisy.py'} {{input}} {{output}} {{seed}}"
    command = {"name": "command", "command": words, "format": "npy", "keep": str(out / "kept")}
    found = {
        "file": privaudit.audit(f"{FILE}:NoisyEncoder", out=out / "file", **TINY),
        "function": privaudit.audit(noisy, out=out / "function", **TINY),
        "command": by_spec(command, out / "command"),
    }
    record_what_is_sent(out / "recorded")
    found["folder"] = by_spec({"name": "recorded", "root": str(out / "recorded")}, out / "folder")
    return found


def by_spec(defense: dict[str, Any], out: Path) -> privaudit.Audited:
    spec = privaudit.parse_spec({**TINY, "defense": defense}, "test")
    result = privaudit.run_audit(spec, privaudit.Settings(out=out))
    return privaudit.Audited(result.run, result.record)


def scene_of(defense: Defense, subjects: int = 10) -> Scene:
    cohort = plugin.create("datasets", "blobs", Dataset, {"subjects": subjects}).open()
    split = split_subjects(cohort.subjects, 0)
    return Scene(cohort, split, defense.fitted(cohort, split.victims), 0)


def record_what_is_sent(root: Path) -> None:
    """Write what the noisy encoder sends of each scan, with the audit's keys, as BIDS derivatives."""
    scene = scene_of(function_defense(noisy)())
    request_of = {scan: request for request, scan in scene._scan_of.items()}
    for scan in scene.cohort.scans:
        if scan in request_of:
            sent = scene.transcript(request_of[scan]).views[0, 0].numpy()
        else:
            sent = noisy(scene.cohort.load(scan).image, np.random.default_rng([7])).astype(np.float32)
        folder = root / f"sub-{scan.subject}" / f"ses-{scan.session}" / "anat"
        folder.mkdir(parents=True)
        name = f"sub-{scan.subject}_ses-{scan.session}_desc-encoded_T1w.nii.gz"
        nib.save(nib.Nifti1Image(sent, np.eye(4)), folder / name)  # type: ignore[no-untyped-call]


def figures(audited: privaudit.Audited) -> list[dict[str, Any]]:
    rows = [finding.model_dump(mode="json") for finding in audited.record.findings]
    return [{key: value for key, value in row.items() if key not in ("seconds", "reason")} for row in rows]


@pytest.mark.parametrize("way", ["function", "command", "folder"])
def test_every_way_gives_the_same_figures(way: str, audited: dict[str, privaudit.Audited]) -> None:
    assert figures(audited[way]) == figures(audited["file"])
    assert audited[way].verdict is audited["file"].verdict


def test_a_record_names_no_folder_and_hashes_the_file(audited: dict[str, privaudit.Audited]) -> None:
    from privaudit.provenance import plugin_code

    record = audited["file"].record
    assert record.defense.name == "noisy-encoder"
    assert record.provenance["code"]["defense"] == plugin_code(plugin.load("defenses", f"{FILE}:NoisyEncoder", Defense))
    for way in ("command", "folder"):
        text = json.dumps(audited[way].record.defense.model_dump(mode="json"))
        assert str(HERE) not in text
        assert "kept" not in text.replace('"keep"', "")
    assert "the same the second time" in " ".join(audited["command"].record.defense.notes)


def test_a_folder_says_what_it_cannot_do(audited: dict[str, privaudit.Audited]) -> None:
    assert any("encodings were recorded" in note for note in audited["folder"].record.defense.notes)
    assert any("nothing is known of what a server sends back" in n for n in audited["folder"].record.defense.notes)


def test_a_result_shows_itself(audited: dict[str, privaudit.Audited]) -> None:
    result = audited["function"]
    rows = result.table if isinstance(result.table, list) else result.table.to_dict("records")
    assert [row["verdict"] for row in rows if row["attack"] == "reid encoded"] == ["INCONCLUSIVE"]
    assert "<table>" in result._repr_html_()
    assert "INCONCLUSIVE" in repr(result)
    header, *lines, verdict = str(result).splitlines()
    assert [line.split("  ")[0] for line in lines] == [row["attack"] for row in rows]
    assert header.split()[0] == "attack"
    assert verdict.startswith("INCONCLUSIVE: ")


def test_projections_are_audited_as_vectors(thirdparty: Path, tmp_path: Path) -> None:
    """A map that is the same for everybody: who has it encodes a raw gallery, and names everybody."""
    data = TINY | {"dataset": {"name": "blobs", "subjects": 20}, "pictures": {"people": 2}}
    data |= {"attacks": ["values-reid", {"name": "values", "encodings": 1}, "joint", "decode-maps"]}
    result = privaudit.audit(projected, out=tmp_path / "run", **data)
    named = next(f for f in result.record.primary() if f.key.startswith("values-reid/raw-gallery"))
    assert named.verdict is Verdict.LEAK
    assert any("600 numbers" in note for note in result.record.defense.notes)
    assert {item.attack: item.error for item in result.record.skipped}.keys() == {"joint", "decode-maps"}
    assert "not run" in str(result.table)
    raw = next(f for f in result.record.primary() if f.key.startswith("values-reid/encoded"))
    assert raw.control is not None
    assert raw.control.passed


def cohort_of(count: int) -> Cohort:
    return plugin.create("datasets", "blobs", Dataset, {"subjects": count}).open()


# bad input ------------------------------------------------------------------------------------------------------


def sent_by(encode: Any, **options: Any) -> torch.Tensor:
    scene = scene_of(function_defense(encode, **options)(), subjects=4)
    check_contract(scene)
    sent = scene.transcript(scene.requests[0])
    return sent.views if sent.sent is None else sent.sent


def test_whatever_numpy_holds_is_taken(thirdparty: Path) -> None:
    assert sent_by(lambda image, rng: image.astype(np.float64)).shape == (1, 1, 32, 32, 32)
    assert float(sent_by(lambda image, rng: np.full((32, 32, 32), 255, np.uint8)).max()) == 1
    assert sent_by(lambda image, rng: np.fft.fftn(image)).shape == (1, 2, 32, 32, 32)
    assert sent_by(lambda image, rng: image.ravel()[:100] > 0.5).shape == (1, 100)
    assert sent_by(lambda image, rng: image.mean()).shape == (1, 1)

    def inplace(image: Any, rng: Any) -> Any:
        image *= 0.5
        return image

    assert float(sent_by(inplace).max()) <= 0.5
    two = scene_of(function_defense(lambda image, rng: [image, 1 - image])(), subjects=4)
    assert two.defense.encode(torch.rand(32, 32, 32), two.draw_key(two.requests[0]), 2).views.shape[0] == 2
    assert two.defense.views == 2


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (lambda image, rng: image * np.nan, "not finite"),
        (lambda image, rng: np.array([None, image], dtype=object), "no array of numbers"),
        (lambda image, rng: "text", "no array of numbers"),
        (lambda image, rng: None, "no array of numbers"),
        (lambda image, rng: [image, image[1:]], "different shapes"),
        (lambda image, rng: np.broadcast_to(np.float32(1), (10_000, 1_000, 1_000)), "too much"),
        (
            lambda image, rng: image.mean(dim=0),
            r"the function 'encode' failed on the first scan \(.*line \d+\): TypeError: .*'dim'; it is given NumPy",
        ),
        (lambda image, rng: sys.exit(0), "SystemExit"),
        (lambda image, rng: rng.random(100) * np.random.default_rng().random(), None),
    ],
)
def test_bad_functions_are_one_line(encode: Any, message: str | None, thirdparty: Path, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=message or "two different results"):
        privaudit.audit(encode, out=tmp_path / "run", **(TINY | {"dataset": {"name": "blobs", "subjects": 4}}))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("import no_such_module", "A", r"bad.py, line 1 cannot be imported: ModuleNotFoundError"),
        ("x = 1\ny = (", "A", r"bad.py, line 2 cannot be imported: SyntaxError"),
        ("import sys\nsys.exit(0)", "A", r"bad.py, line 2 cannot be imported: SystemExit"),
        ("class B: pass", "A", "has no 'A'"),
        ("class A: pass", "A", "is no defense"),
        ("", "A.b", "says nowhere"),
    ],
)
def test_bad_files_are_one_line(text: str, name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(PluginError, match=message):
        plugin.load("defenses", f"{tmp_path / 'bad.py'}:{name}", Defense)
    with pytest.raises(PluginError, match="no file"):
        plugin.load("defenses", f"{tmp_path / 'none.py'}:A", Defense)


def test_an_edited_file_and_what_it_imports_change_the_key(tmp_path: Path) -> None:
    from privaudit.provenance import plugin_code

    (tmp_path / "helping.py").write_text("X = 1")
    (tmp_path / "mine.py").write_text("import helping\nfrom privaudit import ArrayDefense\nclass E(ArrayDefense): pass")

    def code() -> str:
        return plugin_code(plugin.load("defenses", f"{tmp_path / 'mine.py'}:E", Defense))

    first = code()
    assert first == code()
    (tmp_path / "helping.py").write_text("X = 2")
    second = code()
    assert second != first
    (tmp_path / "mine.py").write_text((tmp_path / "mine.py").read_text() + "\n# edited")
    assert code() not in (first, second)


def test_who_waits_is_told_how_many_jobs_and_when_each_is_done(
    thirdparty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where standard error is a file, too; and quiet is quiet."""
    few = TINY | {"dataset": {"name": "blobs", "subjects": 6}, "attacks": ["as-is"], "pictures": {"people": 2}}
    privaudit.audit(noisy, out=tmp_path / "told", **few)
    first, *rest = capsys.readouterr().err.splitlines()
    named = {line.split(": ")[0] for line in rest}  # a job that takes more than a minute has several lines
    jobs = f"{len(named)} jobs (each is an attack in one setting), roughly a minute or less"
    assert first.startswith(jobs), [first, *rest]
    assert any(line.startswith("as-is default, the scheme as it is: 2 of 2, ") for line in rest), rest
    assert any(line.startswith("as-is default, with 90% of the raw image planted: 2 of 2, ") for line in rest), rest
    privaudit.audit(noisy, out=tmp_path / "quiet", quiet=True, **few)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("slow", "truth"), [(0.003, 3.0), (0.124, 7.6), (1.059, 48.7)])
def test_the_time_that_is_foretold_is_right_within_a_factor_of_two(slow: float, truth: float) -> None:
    """Seconds measured of 'reid' on 12 people at 4 mm, four jobs of 60 requests: of one core, and of the encoder."""
    from privaudit.auditing.foretelling import expected_seconds
    from privaudit.auditing.jobs import Job

    guess = expected_seconds({Job("reid", "encoded", "audit"): 60}, (40, 48, 40), 1, 1, slow)
    assert truth / 2 < guess < 2 * truth


def test_a_function_of_a_notebook_has_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """There, __main__ is a module without a file."""
    from privaudit.provenance import plugin_code

    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    assert plugin_code(type("Mine", (), {"__module__": "__main__"})) == "unknown"


# commands --------------------------------------------------------------------------------------------------------


def npy(shape: tuple[int, ...], data: bytes) -> str:
    """A file of float32, in hex."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return (stream.getvalue() + data).hex()


NANS = npy((2, 2, 2), np.full(8, np.nan, np.float32).tobytes())
HUGE = npy((10_000, 1_000, 1_000), b"")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import time; time.sleep(30)", "took more than"),
        ("", "wrote nothing where it was told to; allowed: one file, {output}, here output.npy"),
        ("open(sys.argv[2], 'w'); open('other.txt', 'w')", "wrote other files.*other.txt"),
        ("open('elsewhere.npy', 'w')", "wrote other files.*elsewhere.npy"),
        ("open(sys.argv[2], 'w').write('x')", "cannot be read"),
        (f"open(sys.argv[2], 'wb').write(bytes.fromhex('{NANS}'))", "not finite in float32; got 8 of 8 are NaN"),
        (
            f"open(sys.argv[2], 'wb').write(bytes.fromhex('{HUGE}')); os.truncate(sys.argv[2], 4 * 10**10 + 128)",
            r"too much for one scan; got 37.3 GiB as float32, shape \(10000, 1000, 1000\); allowed: 2 GiB",
        ),
        ("raise ValueError('no licence')", "ended with code 1; it said: .*no licence"),
    ],
)
def test_bad_commands_are_one_line(script: str, message: str, thirdparty: Path, tmp_path: Path) -> None:
    (tmp_path / "encode.py").write_text(f"import os, sys\n{script}")
    options = {
        "command": f"{sys.executable} -S -E {tmp_path / 'encode.py'} {{input}} {{output}}", "format": "npy",
        "timeout": 3, "keep": str(tmp_path / "kept"),
    }  # fmt: skip
    scene = scene_of(plugin.create("defenses", "command", Defense, options), subjects=4)
    with pytest.raises(PluginError, match=message):
        scene.transcript(scene.requests[0])
    assert not list((tmp_path / "kept").rglob("*.npz"))


def test_a_command_of_chance_is_run_once_for_each_key(thirdparty: Path, tmp_path: Path) -> None:
    script = "import os, sys\nd = open(sys.argv[1], 'rb').read()\n"
    script += "open(sys.argv[2], 'wb').write(d[:-4] + bytes([os.urandom(1)[0], 0, 0, 60]))"
    (tmp_path / "encode.py").write_text(script)
    options = {
        "command": f"{sys.executable} -S -E {tmp_path / 'encode.py'} {{input}} {{output}}", "format": "npy",
        "keep": str(tmp_path / "kept"),
    }  # fmt: skip
    scene = scene_of(plugin.create("defenses", "command", Defense, options), subjects=4)
    one, two = (scene.transcript(scene.requests[0]).views for _ in range(2))
    assert torch.equal(one, two)
    assert "something else" in scene.defense.notes[0]
    (folder,) = [place for place in (tmp_path / "kept").iterdir() if place.is_dir()]
    assert folder.stat().st_mode & 0o077 == 0


def test_commands_that_cannot_be_are_refused(thirdparty: Path) -> None:
    for options, message in (
        ({}, "which command"), ({"command": "no-such-vendor {input} {output}"}, "no executable 'no-such-vendor'"),
    ):  # fmt: skip
        with pytest.raises(PrivauditError, match=message):
            scene_of(plugin.create("defenses", "command", Defense, options), subjects=4)
    with pytest.raises(PrivauditError, match="must name"):
        plugin.create("defenses", "command", Defense, {"command": "vendor-encode {input}"})


# folders ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(thirdparty: Path, tmp_path: Path) -> Path:
    """Recorded encodings of six people, half bright."""
    cohort = cohort_of(6)
    for scan in cohort.scans:
        place = tmp_path / f"sub-{scan.subject}" / f"ses-{scan.session}"
        place.mkdir(parents=True)
        np.save(place / f"sub-{scan.subject}_ses-{scan.session}_desc-encoded_T1w.npy", 0.5 * cohort.load(scan).image)
    return tmp_path


def opened(root: Path) -> Scene:
    return scene_of(plugin.create("defenses", "recorded", Defense, {"root": str(root)}), subjects=6)


def test_what_was_recorded_is_found_by_scan(folder: Path) -> None:
    scene = opened(folder)
    truth = as_tensor(scene.truth(scene.requests[0]).image)
    assert torch.equal(scene.transcript(scene.requests[0]).views[0, 0], 0.5 * truth)
    with pytest.raises(PluginError, match="no encoding of this image was recorded"):
        scene.defense.encode(truth * 0.9, scene.draw_key(scene.requests[0]), 1)
    assert len(scene.defense.notes) == 1


def test_a_folder_that_does_not_fit_is_named(folder: Path) -> None:
    (folder / "sub-b003").rename(folder / "sub-b099")
    with pytest.raises(
        PrivauditError, match=r"encodings of no scan: sub-b099/ses-1/.*; scans without encodings: sub-b003 ses-1"
    ):
        opened(folder)
    (folder / "sub-b099").rename(folder / "sub-b003")
    (one,) = (folder / "sub-b003" / "ses-1").iterdir()
    one.unlink()
    with pytest.raises(PrivauditError, match="scans without encodings: sub-b003 ses-1"):
        opened(folder)


@pytest.mark.parametrize(
    ("mended", "message"),
    [
        (
            lambda array: array[:20],
            r"several shapes; got \(20, 32, 32\): sub-b002/ses-1/sub-b002_ses-1_.*allowed: \(32,",
        ),
        (
            lambda array: array * np.nan,
            r"sub-b002/ses-1/sub-b002_ses-1_\S* holds values that are not finite; got 32768",
        ),
        (lambda array: array.astype(str), r"sub-b002/ses-1/sub-b002_ses-1_\S* holds no numbers"),
    ],
)
def test_one_encoding_that_is_wrong_is_named_before_anything_is_attacked(
    mended: Any, message: str, folder: Path
) -> None:
    file = folder / "sub-b002" / "ses-1" / "sub-b002_ses-1_desc-encoded_T1w.npy"
    good = np.load(file)
    np.save(file, mended(good))
    with pytest.raises(PrivauditError, match=message):
        opened(folder)
    np.save(file, good)
    np.save(file.with_name(file.name.replace("encoded", "encoded_view-2")), good)
    with pytest.raises(PrivauditError, match=r"got 2 of sub-b002/ses-1/.*view-2_T1w.npy; allowed: 1 of each scan"):
        opened(folder)


def test_exchanged_people_are_noticed(folder: Path) -> None:
    """Two people's encodings under each other's names: the others tell how encodings and originals belong together."""
    one, two = (folder / f"sub-b00{n}" / "ses-1" / f"sub-b00{n}_ses-1_desc-encoded_T1w.npy" for n in (1, 2))
    first, second = np.load(one), np.load(two)
    np.save(one, second)
    np.save(two, first)
    assert "2 scans" in opened(folder).defense.notes[1]


def test_a_table_is_read_too(folder: Path) -> None:
    lines = ["encoded\tsubject\tsession"]
    for file in sorted(folder.rglob("*.npy")):
        lines.append(f"{file.relative_to(folder)}\t{file.parts[-3]}\t{file.parts[-2]}")
    (folder / "encodings.tsv").write_text("\n".join(lines))
    assert opened(folder).defense.views == 1
    (folder / "encodings.tsv").write_text("\n".join([*lines, "no/such.npy\tb001\t1"]))
    with pytest.raises(PrivauditError, match="line 14: no file"):
        opened(folder)


def test_swapped_sessions_are_noticed(folder: Path) -> None:
    """One person's two encodings under each other's names."""
    one, two = (folder / "sub-b002" / f"ses-{n}" / f"sub-b002_ses-{n}_desc-encoded_T1w.npy" for n in (1, 2))
    assert len(opened(folder).defense.notes) == 1
    first, second = np.load(one), np.load(two)
    np.save(one, second)
    np.save(two, first)
    assert "the encodings of 2 scans are most like the originals of others" in opened(folder).defense.notes[1]


def test_a_folder_of_encodings_off_the_grid_is_read(folder: Path) -> None:
    """Three channels of half the size are sent as they are, and seen as images; people are still told apart."""
    for file in folder.rglob("*.npy"):
        small = np.load(file)[::2, ::2, ::2]
        np.save(file, np.stack([small, 1 - small, small**2]))
    scene = opened(folder)
    check_contract(scene)
    image = scene.truth(scene.requests[0]).image
    sent = scene.transcript(scene.requests[0])
    assert sent.sent is not None
    assert sent.sent[0].shape == (3, *(-(-side // 2) for side in image.shape))
    assert sent.views.shape[2:] == image.shape
    assert scene.off_grid is not None
    assert len(scene.defense.notes) == 1


def test_recorded_maps_come_back_and_are_decoded(folder: Path) -> None:
    """Maps of the box's server, with labels 1 and 2 exchanged, and what its client makes of them."""
    cohort = cohort_of(6)
    classes = max(cohort.label_names) + 1
    for scan in cohort.scans:
        stem = folder / f"sub-{scan.subject}" / f"ses-{scan.session}" / f"sub-{scan.subject}_ses-{scan.session}"
        labels = cohort.load(scan).labels
        np.save(f"{stem}_desc-returned_T1w.npy", np.array([0, 2, 1, *range(3, classes)], np.uint8)[labels])
        shares = np.moveaxis(np.eye(classes)[labels], -1, 0)
        np.save(f"{stem}_desc-decoded_T1w.npy", shares)
    scene = opened(folder)
    check_contract(scene)
    assert scene.defense.answers
    request = scene.requests[0]
    labels = scene.truth(request).labels
    returned = scene.transcript(request, returned=True).returned
    assert returned is not None
    assert (returned[0, 0].argmax(dim=0).numpy() == np.array([0, 2, 1, *range(3, classes)])[labels]).all()
    assert (scene.client_labels(request, 1, False) == labels).all()
    attack = plugin.create("attacks", "decode-maps", Attack, {})
    assert cannot_run(scene, attack, attack.protocols(1)[0]) == ""
    for file in folder.rglob("*_desc-decoded*"):
        file.unlink()
    assert (opened(folder).client_labels(request, 1, False) != labels).any()
    (folder / "sub-b001" / "ses-1" / "sub-b001_ses-1_desc-returned_T1w.npy").unlink()
    with pytest.raises(PrivauditError, match="scans without returned maps: sub-b001 ses-1"):
        opened(folder)


def test_a_recorded_map_of_another_size_is_named(folder: Path) -> None:
    for file in list(folder.rglob("*_desc-encoded*")):
        np.save(file.with_name(file.name.replace("encoded", "returned")), np.zeros((3, 4, 5), np.uint8))
    with pytest.raises(PrivauditError, match=r"desc-returned_T1w.npy is no label map of its scan; got uint8, shape"):
        check_contract(opened(folder))


# checks of anybody's plugin --------------------------------------------------------------------------------------

BROKEN = """
import random
import torch
from privaudit import ArrayDefense, Defense, Encoded, Key
from privaudit.contracts.arrays import ArrayKey
import numpy as np

class Chance(ArrayDefense):
    def encode_array(self, image, rng, scan):
        return image + np.random.default_rng().random(image.shape)

class Told(ArrayKey):
    def __repr__(self):
        return "42"

class Talks(ArrayDefense):
    def draw_key(self, shape, pool, rng):
        return Told(rng.getrandbits(63))
    def encode_array(self, image, rng, scan):
        return image

class Short(Defense):
    def draw_key(self, shape, pool, rng):
        return Key()
    def encode(self, image, key, views):
        return Encoded(image.numpy()[None, None], np.zeros((1, 3), dtype=np.int64))

class Dust(Defense):
    def draw_key(self, shape, pool, rng):
        return Key()
    def encode(self, image, key, views):
        corners = np.stack(np.indices(image.shape), -1).reshape(-1, 3).astype(np.int64)
        return Encoded(image.reshape(1, -1, 1, 1, 1), corners)

class NoKey(Defense):
    def encode(self, image, key, views):
        return Encoded(image[None, None], None)
"""


@pytest.mark.parametrize(
    ("name", "failed", "told"),
    [
        ("Chance", "equal keys", "chance comes from somewhere else"),
        ("Talks", "does not print", "derive it from privaudit.Key"),
        ("Talks", "fresh keys", "keyed = False"),
        ("Short", "types and shapes", "views: ndarray of float32"),
        ("Dust", "types and shapes", "32768 patches a view; allowed: at most 20000"),
        ("NoKey", "types and shapes", "NoKey.draw_key failed on the first scan"),
    ],
)
def test_what_breaks_the_contract_is_told(name: str, failed: str, told: str, tmp_path: Path) -> None:
    from privaudit.auditing.conformance import check_defense

    (tmp_path / "broken.py").write_text(BROKEN)
    found = list(check_defense(f"{tmp_path / 'broken.py'}:{name}"))
    (item,) = [item for item in found if failed in item.what]
    assert item.passed is False
    assert told in item.told


def test_an_attack_is_checked_on_noise_and_on_no_encoding(tmp_path: Path) -> None:
    from privaudit.auditing.conformance import check_attack

    text = (Path(privaudit.__file__).parents[1] / "attacks/privaudit_attacks/as_is.py").read_text()
    text = text.replace('name = "as-is"', 'name = "mine"').replace("trivial = True", "")
    (tmp_path / "mine.py").write_text(text.replace("transcript.stitched()", "0 * transcript.stitched()"))
    found = list(check_attack(f"{tmp_path / 'mine.py'}:AsIsAttack", None, tmp_path / "run"))
    assert [item.what for item in found if not item.passed] == [
        "on noise with 90 % of the image: the leak is found", "on no encoding: a leak is found",
    ]  # fmt: skip
    assert len(found) == 5


def test_the_encoder_that_init_writes_runs_as_it_is(tmp_path: Path) -> None:
    from privaudit.auditing.conformance import check_defense
    from privaudit.cli.setup import init

    file = tmp_path / "my_encoder.py"
    init(file, force=False, encoder=True)
    for name in ("MyEncoder", "encode"):
        assert all(item.passed is not False for item in check_defense(f"{file}:{name}"))


def test_a_cohort_without_label_maps_will_do(thirdparty: Path, tmp_path: Path) -> None:
    """Identity and pictures are attacked; what needs maps says that there are none."""
    from privaudit.auditing.planning import cannot_run
    from privaudit.contracts.attack import Attack

    cohort = cohort_of(6)
    for scan in cohort.scans:
        place = tmp_path / f"sub-{scan.subject}" / f"ses-{scan.session}" / "anat"
        place.mkdir(parents=True)
        image = nib.Nifti1Image(cohort.load(scan).image, np.eye(4))  # type: ignore[no-untyped-call]
        nib.save(image, place / f"sub-{scan.subject}_ses-{scan.session}_T1w.nii.gz")
    with pytest.raises(PrivauditError, match="--label-maps none"):
        plugin.create("datasets", "bids", Dataset, {"root": str(tmp_path)}).open()
    bare = plugin.create("datasets", "bids", Dataset, {"root": str(tmp_path), "label_maps": "none"}).open(
        cache=tmp_path
    )
    assert not bare.labelled
    scene = Scene(bare, split_subjects(bare.subjects, 0), plugin.create("defenses", "mixup", Defense), 0)
    inside = scene.truth(scene.requests[0])
    assert set(np.unique(inside.labels)) == {0, 1}
    for name, why in (("reid", ""), ("average", ""), ("decode-maps", "no label maps"), ("random-map", "no label maps")):
        attack = plugin.create("attacks", name, Attack)
        assert why in cannot_run(scene, attack, attack.protocols(10)[0]), name
        assert bool(cannot_run(scene, attack, attack.protocols(10)[0])) == bool(why), name
