"""Server and client: a perfect server gives the truth back, whatever the way."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from privaudit.auditing.opening import Settings
from privaudit.auditing.run import run_audit
from privaudit.auditing.spec import parse_spec
from privaudit.contracts import plugin
from privaudit.contracts.cohort import Dataset, all_marks
from privaudit.contracts.defense import Defense
from privaudit.errors import OptionError, PrivauditError
from privaudit.imaging.patches import as_tensor, one_hot
from privaudit.segmentation.networks import NetworkConfig, build
from privaudit.segmentation.server import Server
from privaudit.segmentation.system import Average, Client, views_of
from privaudit.segmentation.weights import (
    Weights,
    WeightsConfig,
    load_weights,
    require_fit,
    save_weights,
)

pytestmark = pytest.mark.usefixtures("thirdparty")
CPU = torch.device("cpu")


class Tissues(nn.Module):
    """Reads labels off intensities that are 0, 1/3, 2/3 and 1: a perfect server for such images."""

    def forward(self, image: Tensor) -> Tensor:
        centres = torch.linspace(0, 1, 4)[None, :, None, None, None]
        logits: Tensor = -200 * (image - centres).abs()
        return logits


def scene(views: int = 3, **options: Any) -> tuple[Defense, Any, Tensor, Tensor]:
    cohort = plugin.create("datasets", "blobs", Dataset, {"subjects": 8, "side": 40}).open()
    volumes = [cohort.load(cohort.sessions_of(s)[0]) for s in cohort.subjects]
    defense = plugin.create("defenses", "mixup", Defense, {"views": views, **options})
    key = defense.draw_key(cohort.shape, volumes[1:], random.Random(0))
    labels = one_hot(volumes[0].labels, 4)
    return defense, key, as_tensor(volumes[0].image), labels


def test_a_server_slides_over_what_is_larger_than_its_patches() -> None:
    labels = torch.randint(0, 4, (2, 40, 44, 36))
    maps = Server(Tissues(), 32, CPU).respond(labels / 3)
    assert maps.shape == (2, 4, 40, 44, 36)
    assert torch.equal(maps.argmax(1), labels)
    small = torch.randint(0, 4, (3, 32, 32, 32))
    assert torch.equal(Server(Tissues(), 32, CPU).respond(small / 3).argmax(1), small)


def test_a_server_refuses_images_smaller_than_its_patches() -> None:
    with pytest.raises(OptionError, match="smaller than the patches"):
        Server(Tissues(), 32, CPU).respond(torch.rand(1, 32, 20, 40))


@pytest.mark.parametrize("references", [1, 3])
def test_naive_unmixing_of_a_perfect_servers_maps_is_the_truth(references: int) -> None:
    defense, key, image, labels = scene(alpha=(0.2, 1.0), references=references)

    encoded = defense.encode(image, key, 3).views
    patches_sent: list[int] = []

    class Perfect(Server):
        def __init__(self) -> None:
            self.size, self.batch = 32, 2 * encoded.shape[1]
            self.views = iter(defense.respond(labels, key, 3))

        def respond(self, patches: Tensor) -> Tensor:
            patches_sent.append(len(patches))
            return torch.cat([next(self.views) for _ in range(len(patches) // encoded.shape[1])])

    average = Average(variance=True)
    client = Client(None, CPU)
    for view in views_of(Perfect(), client, defense, encoded, key, 4):
        average.add(view.maps["naive"])
    found = defense.assemble(average.mean(), key)
    torch.testing.assert_close(found, labels, atol=1e-4, rtol=0)
    assert float(average.variance().max()) < 1e-6
    assert patches_sent == [2 * encoded.shape[1], encoded.shape[1]]  # as many views together as a batch holds


def test_the_average_and_its_variance() -> None:
    maps = torch.rand(5, 2, 3)
    average = Average(variance=True)
    for one in maps:
        average.add(one)
    torch.testing.assert_close(average.mean(), maps.mean(0))
    torch.testing.assert_close(average.variance(), maps.var(0, unbiased=False), atol=1e-6, rtol=0)


def made_up(folder: Path, defense: str = "mixup", **more: Any) -> Weights:
    """Untrained weights in a folder."""
    network = NetworkConfig(size="tiny", classes=4, unmixing=defense == "mixup")
    values: dict[str, Any] = {
        "network": network,
        "labels": {0: "background", 1: "CSF", 2: "GM", 3: "WM"},
        "voxel_mm": 1.0,
        "patch_size": 32,
        "defense": {"name": defense},
        "dataset": {
            "name": "blobs", "kind": "real", "fingerprint": "0" * 64, "simulated": None, "people": 2, "scans": 4,
            "validation_people": 1, "params": {},
        },
        "people": [],
        "training": {
            "version": "0", "options": {"batch": 1}, "steps": 1, "seconds": 1.0, "device": "cpu", "threads": 1,
            "command": "privaudit train",
        },
        "scores": {"dice learned": 0.5, "dice naive": None},
        **more,
    }  # fmt: skip
    save_weights(folder, WeightsConfig(**values), build(network, 0))
    return load_weights(folder)


def test_weights_come_back_as_they_were_saved(tmp_path: Path) -> None:
    one, other = made_up(tmp_path / "a"), load_weights(tmp_path / "a")
    assert one.digest == other.digest
    expected = build(one.config.network, 0).state_dict()
    assert all(torch.equal(expected[name], tensor) for name, tensor in other.networks.state_dict().items())
    assert not list(tmp_path.rglob("*.bin")) + list(tmp_path.rglob("*.pt"))


def test_weights_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no trained weights there"):
        load_weights(tmp_path / "nothing")
    made_up(tmp_path / "a")
    file = tmp_path / "a" / "segmentation.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(PrivauditError, match="cannot be read"):
        load_weights(tmp_path / "a")


def test_weights_for_another_task_are_refused(tmp_path: Path) -> None:
    cohort = plugin.create("datasets", "blobs", Dataset, {"subjects": 6}).open()
    victims = cohort.subjects[:2]
    require_fit(made_up(tmp_path / "ok"), cohort, "mixup", 32, victims)
    with pytest.raises(OptionError, match="for the defense 'pure-noise'"):
        require_fit(made_up(tmp_path / "other", defense="pure-noise"), cohort, "mixup", 32, victims)
    for changed, reason in (
        ({"labels": {0: "background", 1: "NCR", 2: "ED", 3: "ET"}}, "trained for the labels"),
        ({"voxel_mm": 2.0}, "trained at 2 mm"),
        ({"patch_size": 64}, "patches of 64"),
    ):
        weights = made_up(tmp_path / "other", **changed)
        with pytest.raises(OptionError, match=reason):
            require_fit(weights, cohort, "mixup", 32, victims)


def test_weights_that_have_seen_the_people_under_test_are_refused(tmp_path: Path) -> None:
    cohort = plugin.create("datasets", "blobs", Dataset, {"subjects": 6}).open()
    people = all_marks(cohort, list(cohort.subjects[:3]))
    weights = made_up(tmp_path, people=people)
    scans = cohort.subjects
    with pytest.raises(OptionError, match="trained on 1 of the 2 people under test"):
        require_fit(weights, cohort, "mixup", 32, scans[2:4])
    require_fit(weights, cohort, "mixup", 32, scans[3:])


Blobs = Callable[..., dict[str, Any]]


def small_audit(weights: Path, plain: Path, **more: Any) -> dict[str, Any]:
    return {
        "dataset": {"name": "blobs", "subjects": 24, "sessions": 2},
        "defense": {"name": "mixup", "views": 2},
        "attacks": ["reid"],
        "scoring": {"resamples": 200},
        "utility": {"weights": str(weights), "plain_weights": str(plain), "people": 3, **more},
    }


@pytest.mark.slow
def test_utility_is_measured_resumed_and_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(tmp_path / "mixup")
    made_up(tmp_path / "none", defense="none")
    spec = parse_spec(small_audit(tmp_path / "mixup", tmp_path / "none"), "test")
    record = run_audit(spec, Settings(out=tmp_path / "run", quiet=True)).record
    methods = ["no encoding", "naive", "naive + TTA", "learned", "learned + TTA"]
    means = [u for u in record.utility if u.metric == "dice" and u.structure == "mean"]
    assert [u.method for u in means] == methods
    assert all(u.n_subjects == 3 and u.ci is not None and u.estimate is not None for u in means)
    assert {w["name"] for w in record.provenance["weights"]} == {"mixup", "none"}
    assert {u.metric for u in record.utility} == {"dice", "dice difference", "icc"}
    assert not record.utility_note
    # An independent reading of the stored rows.
    lines = [json.loads(line) for line in (tmp_path / "run" / "jobs" / "utility.jsonl").read_text().splitlines()]
    rows = [line["row"] for line in lines if "row" in line]
    assert len(rows) == 3
    expected = np.mean([np.mean(list(row["scores"]["learned @ 2"].values())) for row in rows])
    assert means[-1].estimate == pytest.approx(float(expected), abs=1e-6)
    # What a kill left is taken up.
    path = tmp_path / "run" / "jobs" / "utility.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    result = run_audit(spec, Settings(out=tmp_path / "run", quiet=True))
    assert result.notes["utility"] == "resumed after 1 rows"
    assert result.record.utility == record.utility


@pytest.mark.slow
def test_what_no_encoding_costs_does_not_depend_on_the_defense(tmp_path: Path, rivals: dict[str, str]) -> None:
    """Deformation-Proxy's client unwarps whatever returns; a map of the raw scan must not pass through its hands."""
    made_up(tmp_path / "none", defense="none")
    plain = {"weights": str(tmp_path / "none"), "plain_weights": str(tmp_path / "none"), "people": 2}
    rival = {**plain, "weights": rivals["deformation"]}
    figures = []
    for defense, utility in (({"name": "none"}, plain), ({"name": "deformation", "weights": "none"}, rival)):
        data = {**small_audit(tmp_path, tmp_path), "defense": defense, "attacks": ["as-is"], "utility": utility}
        record = run_audit(
            parse_spec(data, "test"), Settings(out=tmp_path / "runs" / defense["name"], quiet=True)
        ).record
        assert not record.missing
        (mean,) = [u for u in record.utility if (u.method, u.structure) == ("no encoding", "mean")]
        figures.append(mean.estimate)
    assert figures[0] == pytest.approx(figures[1], abs=1e-6)


def test_without_fitting_weights_the_record_says_why(tmp_path: Path) -> None:
    data = {**small_audit(tmp_path, tmp_path), "utility": {}}
    record = run_audit(parse_spec(data, "test"), Settings(out=tmp_path / "run", quiet=True)).record
    assert record.utility == []
    assert "no shipped weights fit" in record.utility_note


def test_a_utility_job_that_breaks_is_missing_not_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(tmp_path / "mixup")
    monkeypatch.setattr("privaudit.auditing.executing.run_utility", lambda *a: 1 / 0)
    spec = parse_spec(small_audit(tmp_path / "mixup", tmp_path / "mixup", plain_weights="auto"), "test")
    record = run_audit(spec, Settings(out=tmp_path / "run", quiet=True)).record
    assert [item.attack for item in record.missing] == ["utility"]
