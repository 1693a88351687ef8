"""The loop: accelerate places it, checkpoints carry it over a kill, a moving average is what is kept."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from privaudit.errors import PrivauditError
from privaudit.files import write_text
from privaudit.learning.checkpoint import Progress, load_checkpoint, save_checkpoint
from privaudit.learning.interrupts import Interrupts
from privaudit.learning.options import LoopOptions
from privaudit.provenance import core_code

CHECKPOINT, HISTORY = "checkpoint.safetensors", "history.csv"

Report = Callable[[int, dict[str, float | None]], None]
"""Called after every step with the steps done and the latest figures."""


@dataclass(frozen=True)
class Trained:
    """A finished training: its folder and its last validation."""

    folder: Path
    scores: dict[str, float | None]
    history: list[dict[str, float | None]] = field(default_factory=list)
    flaws: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


def reaching(advance: Callable[[float], None], total: float = 1.0) -> Callable[..., None]:
    """A callback that is told the step that was reached (and figures), and advances by what is new, of ``total``."""
    seen = 0

    def reach(step: int, figures: object = None) -> None:
        nonlocal seen
        advance((step - seen) / total)
        seen = step

    return reach


class Loop:
    """A training that a subclass fills with networks, a loss, a validation and a way to keep the weights.

    Args:
        options: how to optimise.
        networks: what is trained.
        folder: where weights and checkpoint go.
        identity: everything that determines the training: a checkpoint of another one is not taken.
        device: 'auto', 'cpu', 'cuda' or 'mps'; accelerate chooses for 'auto' and places several processes.
    """

    scored: ClassVar[str]
    """What the figures of :meth:`measure` are taken on."""

    def __init__(self, options: LoopOptions, networks: nn.Module, folder: Path, identity: Any, device: str) -> None:
        from accelerate import Accelerator  # seconds to import, and most commands train nothing
        from diffusers.training_utils import EMAModel

        self.options, self.networks, self.folder = options, networks, folder
        tracker = "tensorboard" if find_spec("tensorboard") is not None else None
        self.accelerator = Accelerator(
            mixed_precision=options.precision, cpu=device == "cpu", log_with=tracker, project_dir=folder
        )
        self.optimizer = torch.optim.Adam(networks.parameters(), lr=options.learning_rate)
        self.ema = EMAModel(networks.parameters(), decay=options.ema) if options.ema else None
        self.progress = Progress()
        self._key = hashlib.sha256(json.dumps([identity, core_code()]).encode()).hexdigest()

    def compute_loss(self, model: nn.Module, step: int) -> Tensor:
        """Draw the step's examples, a function of seed and step alone, and return the scalar loss."""
        raise NotImplementedError

    def measure(self) -> dict[str, float | None]:
        """Figures on held-out people, the same examples every time; called under :meth:`averaged`."""
        raise NotImplementedError

    def keep(self, scores: dict[str, float | None]) -> None:
        """Write the weights, which are the averaged ones by now, into the folder."""
        raise NotImplementedError

    def flaws(self, scores: dict[str, float | None]) -> list[str]:
        """What makes the result useless, in words, if anything does."""
        return []

    def doubts(self, scores: dict[str, float | None]) -> list[str]:
        """What the result leaves open, in words."""
        return []

    def run(self, report: Report = lambda step, figures: None) -> Trained:
        """Train, or finish what a kill left, and write the weights.

        Raises:
            PrivauditError: the loss is not finite; the last good checkpoint is kept.
            KeyboardInterrupt: after writing a checkpoint of the last finished step.
        """
        accelerator, options = self.accelerator, self.options
        self.folder.mkdir(parents=True, exist_ok=True)
        checkpoint = self.folder / CHECKPOINT
        shadow = self.ema.shadow_params if self.ema is not None else []
        done = load_checkpoint(checkpoint, self._key, self.networks, self.optimizer, shadow)
        self.progress = done or Progress()
        if self.ema is not None:
            self.ema.optimization_step = self.progress.step
            self.ema.to(accelerator.device)
            shadow = self.ema.shadow_params  # on a GPU they are others now
        model, optimizer = accelerator.prepare(self.networks, self.optimizer)
        if accelerator.log_with:
            accelerator.init_trackers("privaudit")
        started = time.perf_counter() - self.progress.seconds

        def save() -> None:
            self.progress.seconds = time.perf_counter() - started
            if accelerator.is_main_process:
                save_checkpoint(checkpoint, self._key, self.networks, self.optimizer, shadow, self.progress)

        interrupts = Interrupts()
        try:
            while self.progress.step < options.steps:
                with interrupts:
                    loss = self._step(model, optimizer)
                    if not math.isfinite(loss):
                        raise PrivauditError(
                            f"the loss is not finite at step {self.progress.step + 1}",
                            got=loss,
                            todo=f"lower learning_rate; the checkpoint of an earlier step is kept in {checkpoint}",
                        )
                    self.progress.losses.append(loss)
                    self.progress.step += 1
                step, last = self.progress.step, self.progress.step == options.steps
                if step % options.validate_every == 0 or last:
                    self._validate()
                if step % options.checkpoint_every == 0 or last:
                    save()
                report(step, {**(self.progress.history[-1] if self.progress.history else {}), "loss": loss})
        except KeyboardInterrupt:
            if not interrupts.within:
                save()
            raise
        finally:
            accelerator.end_training()
        scores = {k: v for k, v in self.progress.history[-1].items() if k not in ("step", "loss")}
        if self.ema is not None:
            self.ema.copy_to(self.networks.parameters())
        if accelerator.is_main_process:
            self.keep(scores)
        return Trained(self.folder, scores, self.progress.history, self.flaws(scores), self.doubts(scores))

    def _step(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> float:
        """One step of optimisation; returns its loss, and changes nothing if that is not finite."""
        options, accelerator = self.options, self.accelerator
        step = self.progress.step
        rate = options.learning_rate
        if options.schedule == "cosine":
            rate *= 0.5 * (1 + math.cos(math.pi * step / options.steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        model.train()
        loss = self.compute_loss(model, step)
        value = float(loss.detach())
        if math.isfinite(value):
            optimizer.zero_grad()
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), options.clip)
            optimizer.step()
            if self.ema is not None:
                self.ema.step(self.networks.parameters())
        return value

    def _validate(self) -> None:
        """Append a row to the history: mean training loss since the last one, figures on held-out people."""
        accelerator = self.accelerator
        row: dict[str, float | None] = {
            "step": float(self.progress.step), "loss": float(np.mean(self.progress.losses)), **self.score(),
        }  # fmt: skip
        self.progress.losses = []
        self.progress.history.append(row)
        accelerator.log({k: v for k, v in row.items() if v is not None}, step=self.progress.step)
        if accelerator.is_main_process:
            text = io.StringIO()
            writer = csv.DictWriter(text, fieldnames=list(row), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.progress.history)
            write_text(self.folder / HISTORY, text.getvalue())

    def score(self) -> dict[str, float | None]:
        """Figures on held-out people, of the averaged weights."""
        with torch.no_grad(), self.averaged():
            return self.measure()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the moving average in place, in evaluation mode."""
        if self.ema is not None:
            self.ema.store(self.networks.parameters())
            self.ema.copy_to(self.networks.parameters())
        self.networks.eval()
        try:
            yield
        finally:
            self.networks.train()
            if self.ema is not None:
                self.ema.restore(self.networks.parameters())

    def describe(self) -> dict[str, Any]:
        """What the model card says of how the weights were made."""
        return {
            "options": self.options.model_dump(mode="json", exclude={"pretrained"}),
            "seconds": round(self.progress.seconds, 1),
            "steps": self.progress.step,
            "device": self.accelerator.device.type,
            "processes": self.accelerator.num_processes,
            "threads": torch.get_num_threads(),
        }
