"""Training: it learns, resumes to the same curve, and what goes wrong leaves the last good state."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from privaudit.contracts.cohort import all_marks
from privaudit.errors import OptionError, PrivauditError
from privaudit.learning import checkpoint as checkpoint_module
from privaudit.learning.loop import CHECKPOINT, HISTORY
from privaudit.segmentation.folds import choose_fold
from privaudit.segmentation.opening import open_training
from privaudit.segmentation.options import PRESETS, TrainSpec, parse_train_spec, read_training
from privaudit.segmentation.training import Training
from privaudit.segmentation.weights import load_weights

pytestmark = pytest.mark.usefixtures("thirdparty")


def spec(defense: str = "mixup", **train: Any) -> TrainSpec:
    options = {"steps": 6, "batch": 1, "validate_every": 3, "checkpoint_every": 2, "validation_batches": 1, **train}
    data = {"dataset": {"name": "blobs", "subjects": 12}, "defense": defense, "train": options}
    return parse_train_spec(data, "test")


def opened(folder: Path, **train: Any) -> Training:
    (training,) = open_training(spec(**train), folder, device="cpu", command="privaudit train")
    return training


class Stop(Exception):
    """Stands for a kill: nothing is saved on the way out."""


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    weights = load_weights(folder)
    return dict(weights.networks.state_dict())


@pytest.mark.slow
@pytest.mark.parametrize("how", [Stop, KeyboardInterrupt])
def test_a_killed_training_ends_like_an_unbroken_one(tmp_path: Path, how: type[BaseException]) -> None:
    whole = opened(tmp_path / "whole").run()

    def kill(step: int, figures: dict[str, float | None]) -> None:
        if step == 5:
            raise how

    with pytest.raises(how):
        opened(tmp_path / "killed").run(kill)
    started: list[int] = []
    resumed = opened(tmp_path / "killed").run(lambda step, figures: started.append(step))
    assert started[0] == (6 if how is KeyboardInterrupt else 5), "it goes on from the last checkpoint"
    assert resumed.history == whole.history
    assert resumed.scores == whole.scores
    expected, found = tensors(tmp_path / "whole"), tensors(tmp_path / "killed")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert (tmp_path / "whole" / HISTORY).read_text() == (tmp_path / "killed" / HISTORY).read_text()


@pytest.mark.slow
def test_it_learns_to_segment_blobs_by_their_intensity(tmp_path: Path) -> None:
    training = opened(tmp_path, defense="none", steps=60, batch=2, validate_every=60, ema=0.9, learning_rate=5e-3)
    before = training.score()["dice plain"]
    after = training.run().scores["dice plain"]
    assert before is not None
    assert after is not None
    assert after > before + 0.2


@pytest.mark.slow
def test_the_weights_say_what_made_them(tmp_path: Path) -> None:
    training = opened(tmp_path, steps=2)
    training.run()
    weights = load_weights(tmp_path)
    config = weights.config
    assert config.defense["name"] == "mixup"
    assert config.network.unmixing
    assert config.labels == {0: "background", 1: "CSF", 2: "GM", 3: "WM"}
    assert config.training["steps"] == 2
    assert config.dataset["fingerprint"] == training.cohort.fingerprint
    assert set(config.people) == all_marks(training.cohort, [*training.fold.train, *training.fold.validation])
    card = (tmp_path / "README.md").read_text()
    assert "privaudit train" in card
    assert config.dataset["fingerprint"][:12] in card
    assert "b00" not in card + (tmp_path / "config.json").read_text(), "nobody is named"


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = opened(tmp_path, steps=4, checkpoint_every=1, validate_every=4)
    real, calls = training.loss, []

    def loss(*arguments: Any) -> torch.Tensor:
        calls.append(1)
        return real(*arguments) * (math.nan if len(calls) == 3 else 1.0)

    monkeypatch.setattr(training, "loss", loss)
    with pytest.raises(PrivauditError, match="not finite at step 3"):
        training.run()
    assert not (tmp_path / "config.json").exists()
    again = opened(tmp_path, steps=4, checkpoint_every=1, validate_every=4)
    steps: list[int] = []
    again.run(lambda step, figures: steps.append(step))
    assert steps == [3, 4]


def test_a_full_disk_leaves_the_previous_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = opened(tmp_path, steps=4)
    real, calls = safetensors.torch.save_file, []

    def save(values: Any, path: Path, **more: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        real(values, path, **more)

    monkeypatch.setattr(checkpoint_module, "save_file", save)
    with pytest.raises(PrivauditError, match="No space left"):
        training.run()
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".tmp")] == []
    steps: list[int] = []
    opened(tmp_path, steps=4).run(lambda step, figures: steps.append(step))
    assert steps == [3, 4]


def test_the_checkpoint_of_another_training_is_neither_taken_nor_lost(tmp_path: Path) -> None:
    opened(tmp_path, steps=2).run()
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(OptionError, match="of another training.*--out"):
        opened(tmp_path, steps=2, learning_rate=1e-4).run()
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_a_damaged_checkpoint_is_an_error(tmp_path: Path) -> None:
    opened(tmp_path, steps=1).run()
    (tmp_path / CHECKPOINT).write_bytes(b"\x00" * 100)
    with pytest.raises(PrivauditError, match="damaged"):
        opened(tmp_path, steps=1).run()


def test_folds_hold_everyone_out_once_and_never_a_victim(tmp_path: Path) -> None:
    trainings = open_training(spec(), tmp_path, device="cpu", folds=3)
    held = [person for training in trainings for person in training.fold.validation]
    assert len(held) == len(set(held)) == 6
    for training in trainings:
        assert set(training.fold.train) | set(training.fold.validation) == set(held)
        assert not set(training.fold.train) & set(training.fold.validation)
    from privaudit.contracts.cohort import split_subjects

    split = split_subjects(trainings[0].cohort.subjects, 0)
    assert not set(held) & set(split.victims)
    with pytest.raises(PrivauditError, match="too few people"):
        choose_fold(split_subjects(["a", "b", "c"], 0), 0, 0.5)


def test_specifications(tmp_path: Path) -> None:
    for preset in PRESETS.values():
        parse_train_spec({"train": preset}, "preset")
    with pytest.raises(OptionError, match="did you mean 'steps'"):
        parse_train_spec({"train": {"stepps": 3}}, "x")
    with pytest.raises(OptionError, match="multiple of 16"):
        parse_train_spec({"train": {"patch_size": 40}}, "x")
    with pytest.raises(OptionError, match="no training specification"):
        read_training(tmp_path / "none.yaml")
    (tmp_path / "a.yaml").write_text("train: [1")
    with pytest.raises(OptionError, match="not YAML"):
        parse_train_spec(read_training(tmp_path / "a.yaml"), "a.yaml")
    (tmp_path / "b.yaml").write_text(json.dumps({"defense": "none", "seed": 4}))
    assert parse_train_spec(read_training(tmp_path / "b.yaml"), "b.yaml").defense.name == "none"


def test_a_patch_larger_than_the_volume_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="does not fit"):
        opened(tmp_path, patch_size=64)


def test_a_training_starts_from_weights_and_says_so(tmp_path: Path) -> None:
    opened(tmp_path / "first", steps=2).run()
    first = load_weights(tmp_path / "first")
    second = opened(tmp_path / "second", steps=1, pretrained=str(tmp_path / "first"))
    state = second.networks.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in first.networks.state_dict().items())
    second.run()
    config = load_weights(tmp_path / "second").config
    assert config.training["pretrained"]["sha256"] == first.digest
    assert set(config.people) >= set(first.config.people), "whom the first weights have seen, the second have too"
    assert "starting from `first` (2 steps on `blobs`" in (tmp_path / "second" / "README.md").read_text()
    assert str(tmp_path) not in (tmp_path / "second" / "config.json").read_text()


@pytest.mark.parametrize(("pretrained", "message"), [("first", "other networks"), ("nowhere", "no trained weights")])
def test_weights_that_cannot_be_started_from_are_refused(tmp_path: Path, pretrained: str, message: str) -> None:
    opened(tmp_path / "first", defense="none", steps=1).run()
    with pytest.raises(OptionError, match=message):
        opened(tmp_path / "second", pretrained=str(tmp_path / pretrained))
