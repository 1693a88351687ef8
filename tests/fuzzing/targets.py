"""The inputs that people and machines give: scans, specifications, options, records, job files, weights …"""

from __future__ import annotations

import gzip
import json
import math
import random
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
import yaml
from nibabel.freesurfer.mghformat import header_dtype as mgh_header
from nibabel.nifti1 import header_dtype as nifti_header
from torch import nn

from privaudit.auditing.panel import read_specs
from privaudit.auditing.spec import AuditSpec, dump_spec, parse_spec
from privaudit.auditing.store import JobFile
from privaudit.cli.audit import build_spec
from privaudit.cli.options import Chosen
from privaudit.cli.setup import TEMPLATE
from privaudit.cohorts.bids import BidsDataset
from privaudit.cohorts.volumes import Reading, read_grid, read_pair
from privaudit.contracts import plugin
from privaudit.contracts.attack import Attack
from privaudit.contracts.cohort import Dataset, Volume
from privaudit.contracts.defense import Defense
from privaudit.contracts.report import Report, ReportInput
from privaudit.learning.checkpoint import Progress, load_checkpoint, save_checkpoint
from privaudit.results.baseline import dump_baseline, make_baseline, read_baseline
from privaudit.results.gate import check
from privaudit.results.record_files import dumps, loads
from privaudit.segmentation.networks import NetworkConfig, build
from privaudit.segmentation.options import parse_train_spec
from privaudit.segmentation.weights import CONFIG, SEGMENTATION, WeightsConfig, load_weights, save_weights
from privaudit.yaml_reading import load_yaml
from tests.cohorts.conftest import little_brain
from tests.fuzzing.judging import Case, Silent
from tests.fuzzing.mutations import NASTY, SCALARS, spoil_bytes, spoil_data, spoil_lines
from tests.records import full

SUFFIXES = (".nii", ".nii.gz", ".mgz")
FLOATS = (0.0, -1.0, 1e-300, 1e-40, 1e30, 3e38, -3e38, math.inf, math.nan, 1e300, 0.5)


@cache
def files() -> Mapping[str, tuple[bytes, bytes]]:
    """Image and label map of a little brain, in every format."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for suffix in SUFFIXES:
            kind = nib.MGHImage if suffix == ".mgz" else nib.Nifti1Image
            pair = []
            for array in little_brain():
                nib.save(kind(array, np.eye(4)), Path(folder) / f"a{suffix}")
                pair.append((Path(folder) / f"a{suffix}").read_bytes())
            found[suffix] = (pair[0], pair[1])
    return found


def unspoiled(suffix: str, reading: Reading) -> Volume:
    """What these files hold."""
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder) / f"i{suffix}", Path(folder) / f"l{suffix}"
        for path, content in zip(paths, files()[suffix], strict=True):
            path.write_bytes(content)
        return read_pair(*paths, reading)


def spoil_header(rng: random.Random, content: bytes, suffix: str) -> bytes:
    """Give fields of a header values that no file has."""
    raw = bytearray(gzip.decompress(content) if suffix != ".nii" else content)
    kind = mgh_header.newbyteorder(">") if suffix == ".mgz" else nifti_header.newbyteorder("<")
    header = np.frombuffer(raw, kind, count=1).copy()
    for _ in range(rng.choice((1, 1, 2, 4))):
        name = rng.choice([n for n in kind.names or () if header[n].dtype.kind in "iuf"])
        field = header[name].reshape(-1)
        at = rng.randrange(field.size)
        with np.errstate(all="ignore"):
            if field.dtype.kind == "f":
                field[at] = np.float64(rng.choice(FLOATS)).astype(field.dtype)
            else:
                info = np.iinfo(field.dtype)
                field[at] = rng.choice(
                    (0, 1, info.max, info.min, rng.randint(int(info.min), int(info.max)), 7, 4, 16, 64)
                )
        header[name] = field.reshape(header[name].shape)
    raw[: kind.itemsize] = header.tobytes()
    return gzip.compress(bytes(raw), 1) if suffix != ".nii" else bytes(raw)


def check_volume(volume: Volume) -> None:
    """What every volume of a cohort is."""
    image, labels = volume.image, volume.labels
    if image.dtype != np.float32 or labels.dtype != np.uint8 or image.shape != labels.shape or image.ndim != 3:
        raise Silent(f"{image.dtype} {image.shape}, {labels.dtype} {labels.shape}")
    if not np.isfinite(image).all() or image.min() < 0 or image.max() > 1 or not image.any():
        raise Silent(f"intensities {image.min()} to {image.max()}")
    if labels.max() > 3 or not np.isfinite(volume.affine).all():
        raise Silent(f"labels to {labels.max()}, affine {volume.affine.tolist()}")


def scans(rng: random.Random, folder: Path) -> None:
    """An image or a label map with a spoiled header, spoiled bytes or impossible values."""
    suffix = rng.choice(SUFFIXES)
    reading = Reading(
        intensity=rng.choice(("p99.9", "p100", 500.0, 1e-30, 1e30)),
        voxel_mm=rng.choice((None, None, 1.5, 4.0)),
        shape=rng.choice((None, None, (24, 24, 24))),
        brain_only=rng.random() < 0.2,
    )
    contents, which, how = list(files()[suffix]), rng.randrange(2), rng.randrange(3)
    paths = folder / f"i{suffix}", folder / f"l{suffix}"
    if how == 0:
        contents[which] = spoil_header(rng, contents[which], suffix)
    elif how == 1:
        contents[which] = spoil_bytes(rng, contents[which])
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    if how == 2:
        kind = nib.MGHImage if suffix == ".mgz" else nib.Nifti1Image
        array: Any = little_brain()[which].astype(np.float32 if suffix == ".mgz" else np.float64)
        with np.errstate(all="ignore"):
            some = slice(rng.randrange(3), None, rng.choice((1, 2, 7, 19)))
            array[some] = array[some] * rng.choice(FLOATS)
        nib.save(kind(array, np.eye(4)), paths[which])
    shape, _ = read_grid(paths[0], reading)
    if math.prod(shape) > 2**24:
        return  # is refused by the cohort, see 'cohorts'
    volume = read_pair(*paths, reading)
    check_volume(volume)
    if how == 1 and suffix != ".nii":
        before = unspoiled(suffix, reading)
        same = np.array_equal(before.image, volume.image) and np.array_equal(before.labels, volume.labels)
        if not same:
            raise Silent("a compressed file has other voxels than it was written with")


def cohorts(rng: random.Random, folder: Path) -> None:
    """A BIDS folder with odd names and tables, and options that ask for odd grids."""
    image, labels = files()[".nii.gz"]
    root = folder / "study"
    for number in range(3):
        session = rng.choice(("ses-é", "ses-", "ses-1_x", "ses-\udcff")) if rng.random() < 0.04 else ""
        odd = ("sub-", "sub-\udcff\udcfe", "sub-a b", "sub-é", f"sub-{'9' * 100}")
        person = rng.choice(odd) if rng.random() < 0.04 else f"sub-{number}"
        place = root / person / session / "anat" if session else root / person / "anat"
        stem = f"{person}_{session}" if session else person
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{stem}_T1w.nii.gz").write_bytes(image if rng.random() < 0.95 else spoil_bytes(rng, image))
        (place / f"{stem}_dseg.nii.gz").write_bytes(labels)
    for name in ("participants.tsv", "dseg.tsv"):
        if rng.random() < 0.5:
            table = (
                b"participant_id\tage\tsex\nsub-0\t30\tF\n"
                if name[0] == "p"
                else b"index\tname\n1\tCSF\n2\tGM\n3\tWM\n"
            )
            (root / name).write_bytes(spoil_bytes(rng, table))
    options: dict[str, Any] = {"root": str(root), "same_images": "note"}
    for name, some in {
        "voxel_mm": (None, 0.01, 1e-9, 2.0, 10, math.nan, "1e-5"),
        "shape": (None, [1024] * 3, [8, 8, 8], [24] * 3, "x"),
        "intensity": ("p99.9", 1e-300, 1e300, "p0", "p100", math.inf, "1e-25"), "rescans": (0, 1, 2, 99, 10**9),
        "max_cut": (0.005, 1, 0.999), "subjects": (None, 1, 3, 10**30),
        "label_map": (None, {0: 0}, {1: 9}, {10**30: 1}, "a"),
        "run": (None, "none", "1", 1), "shareable": (False, True, "perhaps"),
    }.items():  # fmt: skip
        if rng.random() < 0.12:
            options[name] = rng.choice(some)
    cohort = BidsDataset.from_values(**options).open(cache=folder / "cache")
    cohort.prepare(cohort.scans[:2])
    volume = cohort.load(cohort.scans[-1])
    check_volume(volume)
    if volume.image.shape != cohort.shape or len(cohort.fingerprint) != 64:
        raise Silent(f"{volume.image.shape} in a cohort of {cohort.shape}")


def check_spec(spec: AuditSpec) -> None:
    """An accepted specification survives its text, and its plugins can be built."""
    data = spec.model_dump(mode="json")
    json.dumps(data, allow_nan=False)
    if parse_spec(load_yaml(dump_spec(spec), "again"), "again") != spec or len(spec.digest) != 8:
        raise Silent("the specification is another one after it was written and read")
    plugin.create("datasets", spec.dataset.name, Dataset, spec.dataset.values)
    plugin.create("defenses", spec.defense.name, Defense, spec.defense.values)
    for attack in spec.attacks:
        plugin.create("attacks", attack.name, Attack, attack.values)


PANEL = Path(__file__).parents[2] / "docs" / "examples" / "rivals.yaml"


def specs(rng: random.Random, folder: Path) -> None:
    """A specification with spoiled lines, parts or bytes."""
    texts = [TEMPLATE.format(name="a"), PANEL.read_text(encoding="utf-8"), dump_spec(AuditSpec())]
    text = rng.choice(texts)
    how, path = rng.randrange(4), folder / "audit.yaml"
    if how == 0:
        path.write_bytes(spoil_bytes(rng, text.encode()))
    elif how == 1:
        data = spoil_data(rng, yaml.safe_load(text))
        path.write_text(yaml.safe_dump(data), encoding="utf-8", errors="surrogatepass")
    else:
        path.write_text(spoil_lines(rng, text), encoding="utf-8", errors="surrogatepass")
    if rng.random() < 0.2:
        parse_train_spec(load_yaml(path.read_text(encoding="utf-8", errors="replace"), "train"), "train")
        return
    for spec in read_specs(path):
        check_spec(spec)


@cache
def known_options() -> list[str]:
    """Names of options that an audit takes."""
    kinds: dict[plugin.Kind, type[plugin.Plugin]] = {"datasets": Dataset, "defenses": Defense, "attacks": Attack}
    names = {f"--{field.replace('_', '-')}" for kind, base in kinds.items() for name in plugin.points(kind)
             for field in plugin.load(kind, name, base).Options.model_fields}  # fmt: skip
    sections = ("split.victims", "scoring.resamples", "scoring.margin-image", "utility.weights", "utility.people",
                "pictures.people", "scoring.profile", "scoring.msssim", "x.y", "split.", ".a",
                "mixup.views")  # fmt: skip
    return sorted(names) + [f"--{name}" for name in sections]


PLAIN = [
    "0",
    "1",
    "2",
    "3",
    "8",
    "32",
    "0.1",
    "0.5",
    "1.5",
    "true",
    "false",
    "none",
    "auto",
    "[0, 1]",
    "[1]",
    "[2, 4]",
    "null",
]
"""Values that some option takes."""


def options(rng: random.Random, folder: Path) -> None:
    """Options as they are typed."""
    words = []
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        name, value = (
            rng.choice(known_options()),
            rng.choice(rng.choice((SCALARS, PLAIN, PLAIN, list(map(str, NASTY))))),
        )
        words += rng.choice(([name, value], [f"{name}={value}"], [name], [value]))
    chosen = Chosen(
        dataset=rng.choice((None, None, None, "bids", "ppmi", "brats2021", "phantom", "phantom", "x")),
        defense=rng.choice((None, None, None, "none", "mixup", "mixup", "deformation", "x" * 3000)),
        seed=rng.choice((None, None, 0, 1, 7, -1, 2**63, 10**300)),
    )
    attacks = rng.choice((None, None, ["reid"], ["bss"], ["standard", "average"], ["reid", "reid"], ["\ud800"]))
    check_spec(build_spec(words, None, chosen, attacks, rng.choice((None, "fast")), budget=rng.choice((None, "full"))))


@cache
def record_text() -> str:
    """A record with every kind of content."""
    return dumps(full())


def records(rng: random.Random, folder: Path) -> None:
    """A record or a baseline with spoiled parts or bytes: it is read, compared with the true one, and shown."""
    accepted = make_baseline(full().model_copy(update={"missing": []}))
    text = record_text() if (as_record := rng.random() < 0.7) else dump_baseline(accepted)
    how = rng.randrange(3)
    if how == 0:
        content = spoil_bytes(rng, text.encode())
    else:
        content = json.dumps(spoil_data(rng, json.loads(text)), ensure_ascii=how == 1).encode("utf-8", "surrogatepass")
    path = folder / "file.json"
    path.write_bytes(content)
    if not as_record:
        result = check(full(), read_baseline(path))
        result.text(), result.junit(), result.sarif()
        return
    record = loads(path.read_text(encoding="utf-8", errors="replace"), "file.json")
    if loads(dumps(record), "again") != record:
        raise Silent("the record is another one after it was written and read")
    check(record, accepted).text()
    for name in ("markdown", "junit", "sarif", "json", *(("html",) if rng.random() < 0.03 else ())):
        plugin.create("reports", name, Report).render(ReportInput(record)).encode()


KEY = {"code": "abc", "seed": 0}
ROWS = [{"request": f"r{i}", "person": f"P{i:03d}", "ms_ssim": i / 7} for i in range(5)]


def job_files(rng: random.Random, folder: Path) -> None:
    """A job file with spoiled lines or bytes: only rows before the damage are taken, and the job can be finished."""
    path, requests = folder / "jobs" / "a.jsonl", [str(row["request"]) for row in ROWS]
    job = JobFile.open(path, KEY, requests)
    for row in ROWS:
        job.append(row, 1.0)
    if rng.random() < 0.7:
        job.finish(2.0)
    job.close()
    if rng.random() < 0.5:
        path.write_bytes(spoil_bytes(rng, path.read_bytes()))
    else:
        lines = path.read_text().splitlines()
        at = rng.randrange(len(lines))
        lines[at] = json.dumps(spoil_data(rng, json.loads(lines[at])))
        path.write_bytes("\n".join([*lines, ""]).encode("utf-8", "surrogatepass"))
    again = JobFile.open(path, KEY, requests)
    if again.rows != ROWS[: len(again.rows)]:
        raise Silent("a row was taken that nobody has computed")
    for row in ROWS[len(again.rows) :]:
        again.append(row, 1.0)
    again.finish(2.0)
    if JobFile.open(path, KEY, requests).rows != ROWS:
        raise Silent("a finished job is not what was computed")


@cache
def weights_folder() -> Path:
    """Weights of the smallest networks."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-weights-"))
    network = NetworkConfig(size="tiny", classes=4, unmixing=False)
    data = {"name": "blobs", "kind": "virtual", "simulated": None, "people": 0, "scans": 0, "validation_people": 0,
            "fingerprint": "0" * 64}  # fmt: skip
    training = {"version": "0", "steps": 0, "seconds": 0.0, "device": "cpu", "threads": 1, "command": "none",
                "options": {"batch": 1}}  # fmt: skip
    config = WeightsConfig(
        network=network, labels={0: "background", 1: "CSF", 2: "GM", 3: "WM"}, voxel_mm=1.0, patch_size=32,
        defense={"name": "none"}, people=[], scores={}, dataset=data, training=training,
    )  # fmt: skip
    save_weights(folder, config, build(network, seed=0))
    return folder


def weights(rng: random.Random, folder: Path) -> None:
    """Weights with a spoiled config or spoiled numbers."""
    place = folder / "w"
    shutil.copytree(weights_folder(), place)
    how = rng.randrange(4)
    file = place / (SEGMENTATION if how == 0 else CONFIG)
    if how <= 1:
        file.write_bytes(spoil_bytes(rng, file.read_bytes()))
    else:
        file.write_text(json.dumps(spoil_data(rng, json.loads(file.read_text()))))
    loaded, true = load_weights(place), load_weights(weights_folder())
    if loaded.digest != true.digest or loaded.config.network != true.config.network:
        raise Silent("other numbers than were trained")
    told = loaded.config
    if not (math.isfinite(told.voxel_mm) and told.patch_size >= 32 and isinstance(told.defense["name"], str)):
        raise Silent("a config that makes no sense")


def checkpoints(rng: random.Random, folder: Path) -> None:
    """The checkpoint of a training with spoiled bytes."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    path, shadow = folder / "checkpoint.safetensors", [torch.zeros(2)]
    save_checkpoint(path, "key", model, optimizer, shadow, Progress(3, 1.0, [{"loss": 0.5}], [0.1]))
    path.write_bytes(spoil_bytes(rng, path.read_bytes()))
    progress = load_checkpoint(path, "key", nn.Linear(3, 2), torch.optim.Adam(model.parameters()), [torch.zeros(2)])
    if progress is None or not isinstance(progress.step, int):
        raise Silent("a checkpoint that is none")


TARGETS: dict[str, tuple[Case, int]] = {
    "scans": (scans, 30), "cohorts": (cohorts, 10), "specs": (specs, 18), "options": (options, 15),
    "records": (records, 12), "job files": (job_files, 9), "weights": (weights, 3), "checkpoints": (checkpoints, 3),
}  # fmt: skip
"""Every kind of input, and how many of a hundred cases are of it."""
