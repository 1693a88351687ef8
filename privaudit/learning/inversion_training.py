"""Training the network that corrects the linear de-encoder, on endless pairs of the attacker's own people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from privaudit.contracts.transcript import Transcript
from privaudit.errors import OptionError
from privaudit.imaging.patches import as_tensor, cut
from privaudit.learning.inversion_network import FLOOR, CorrectionNet, NetworkInverter, Reading, corrected
from privaudit.learning.inversion_pairs import Lesson, OwnPairs
from privaudit.learning.kept import Kept
from privaudit.learning.loop import Loop, reaching
from privaudit.learning.options import LoopOptions
from privaudit.learning.own_people import fingerprint, hold_out
from privaudit.learning.ridge import CLEAR

LEAST: Final = 6
"""People that a network is learned on."""
TRIED: Final = 6
"""Encodings of each held-out person, where a key makes them differ: a drawn mixing weight may matter more than who it
is, and three people would not outweigh it."""
SMALLEST: Final = 0.01
"""Share of the squared error that the network must take away from it to be used."""
BATCH: Final = 4
"""Pairs in a step."""
LEARNING_RATE: Final = 4e-3
"""Of Adam, at first."""
AVERAGED: Final = 0.98
"""Decay of the weights' moving average."""
AT_HAND: Final = 8
"""Pairs that steps draw from: of fewer, each would be learned by heart before the next one comes."""
RENEWED: Final = 8
"""Steps after which the oldest of them is replaced."""
EASY: Final = 0.05
"""Share of the usual squared error that is added to each window's own, so that one without any weighs no more."""


class InversionTraining(Loop):
    """One training of a network that corrects.

    Args:
        options: how to optimise; ``batch`` pairs a step, a window of each.
        pairs: what is learned from.
        seed: of everything drawn.
        folder: where the checkpoint goes.
        device: 'auto', 'cpu', 'cuda' or 'mps'.
        identity: what the pairs are made of.

    Raises:
        OptionError: too few people.
    """

    scored = "held-out people"
    networks: CorrectionNet

    def __init__(
        self, options: LoopOptions, pairs: OwnPairs, seed: int, folder: Path, device: str, identity: Any = None
    ) -> None:
        count = len(pairs.people)
        if count < LEAST:
            raise OptionError(
                "too few people to learn a network on", got=f"{count} in the attacker's sample",
                allowed=f"at least {LEAST}", todo="raise --split.population, or use --invert.effort linear",
            )  # fmt: skip
        self.pairs, self._seed = pairs, seed
        self.held_out, self.learners = hold_out(count, 3, seed)
        self._made: dict[int, Lesson] = {}
        first = [self._lesson(number) for number in range(AT_HAND)]
        told = torch.cat([lesson.told.movedim(1, 0)[:, lesson.counts] for lesson in first], dim=1)
        lacking = torch.cat([lesson.lacking[lesson.counts] for lesson in first])
        scale = max(float(lacking.square().mean().sqrt()), FLOOR)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed % 2**63)
            networks = CorrectionNet(told.mean(dim=1), told.std(dim=1), scale)
        whole = ["inversion", options.model_dump(mode="json"), seed, identity]
        super().__init__(options, networks, folder, whole, device)

    def _lesson(self, number: int) -> Lesson:
        """One of the endless pairs, which depends on its number alone; learners take turns."""
        if number not in self._made:
            turn, place = divmod(number, len(self.learners))
            person = int(np.random.default_rng([self._seed, 1, turn]).permutation(self.learners)[place])
            rng = np.random.default_rng([self._seed, 2, number])
            image, transcript = self.pairs.draw(person, rng, warped=True)
            reading = Reading.of(transcript, self.pairs.linear)
            size = (*reading.told.shape[-3:],)
            lacking = cut(image - reading.base, reading.positions, size)
            counts = cut(self.pairs.linear.reader.atlas.variance > 0, reading.positions, size)
            self._made[number] = Lesson(reading.told, lacking, counts)
        return self._made[number]

    def compute_loss(self, model: nn.Module, step: int) -> Tensor:
        """What is left of each window's squared error where people differ, as a share; the mean of them.

        Shares, as schemes send some images nearly as they are and others hardly: those would drown what these tell.
        """
        start = step // RENEWED
        for old in [number for number in self._made if number < start]:
            del self._made[old]
        rng = np.random.default_rng([self._seed, 3, step])
        chosen = start + rng.choice(AT_HAND, size=self.options.batch, replace=self.options.batch > AT_HAND)
        drawn = [self._lesson(int(number)).window(rng) for number in chosen]
        device = self.accelerator.device
        told, lacking, counts = (torch.stack(part).to(device) for part in zip(*drawn, strict=True))
        with self.accelerator.autocast():
            left = ((model(told) - lacking).square() * counts).flatten(1).sum(dim=1)
        before = ((lacking.square() + EASY * self.networks.scale**2) * counts).flatten(1).sum(dim=1)
        share: Tensor = (left / before).mean()
        return share

    def measure(self) -> dict[str, float | None]:
        """What is left of held-out people's squared error, and by how much the network lessens it, as a share.

        A network that is told nothing may still mend the atlas, whose noise it knows. What counts is what it makes of
        this encoding: the error must be less than without it, and less than with another held-out person's encoding.
        Everybody is in the atlas, which is the same beside every pair. (From an atlas without the person in question,
        that person can be read by a network that has learned the mean of all: it is what the others lack.) What is not
        told from an encoding then moves the atlas from held-out people to those learned from, which does not pay.
        """
        people = [int(person) for person in self.held_out]
        errors, atlas = np.zeros((len(people), 4)), self.pairs.linear.reader.atlas.mean
        for attempt in range(TRIED if self.pairs.scheme.keyed else 1):
            readings = [Reading.of(self._sent(person, attempt), self.pairs.linear) for person in people]
            guesses = [corrected(self.networks, reading, self.pairs.linear) for reading in readings]
            for number, person in enumerate(people):
                truth = as_tensor(self.pairs.people[person].image)
                pictures = guesses[number], readings[number].base, guesses[number - 1], atlas
                errors[number] += [float((picture - truth).double().square().sum()) for picture in pictures]
        mine, base, _, whole = errors.mean(axis=0)
        gains = (errors[:, 1:3].min(axis=1) - errors[:, 0]) / max(base, FLOOR)
        error = float(gains.std(ddof=1)) / len(people) ** 0.5
        return {"gain": float(gains.mean()), "standard error": error, "left": float(mine / whole)}

    def _sent(self, person: int, attempt: int) -> Transcript:
        """What is sent of a held-out person, the same at every validation."""
        rng = np.random.default_rng([self._seed, 4, person, attempt])
        return self.pairs.draw(person, rng, warped=False)[1]

    def keep(self, scores: dict[str, float | None]) -> None:
        """Nothing: the network lives as long as the attack."""


_KEPT: Kept[NetworkInverter] = Kept()


def learn_network(training: InversionTraining, advance: Callable[[float], None]) -> NetworkInverter:
    """Train, and keep the network only if it clearly helps people who were held out.

    Args:
        training: what is run, or goes on where a kill left it.
        advance: called with shares of the work; they add up to 1.
    """
    linear = training.pairs.linear
    scores = training.run(reaching(advance, training.options.steps)).scores
    gain, error, left = scores["gain"], scores["standard error"], scores["left"]
    assert gain is not None
    assert error is not None
    assert left is not None
    if gain >= max(SMALLEST, CLEAR * error):
        return NetworkInverter(linear, training.networks.eval(), left)
    return NetworkInverter(linear, None, linear.left)


def shared_network(
    pairs: OwnPairs, encodings: int, steps: int, seed: int, folder: Path, device: str,
    advance: Callable[[float], None],
) -> NetworkInverter:  # fmt: skip
    """:func:`learn_network`, or what it gave for the same arguments before: an attack's check of itself asks again.

    Args:
        pairs: what is learned from.
        encodings: of each person, from which the linear de-encoder was learned.
        steps: of the optimiser.
        seed: of everything drawn.
        folder: where the checkpoint goes.
        device: 'auto', 'cpu', 'cuda' or 'mps'.
        advance: called with shares of the work; they add up to 1.
    """
    key = fingerprint(pairs.scheme, pairs.people, pairs.views, pairs.returned, encodings, steps, seed)
    options = LoopOptions(
        steps=steps, batch=BATCH, learning_rate=LEARNING_RATE, ema=AVERAGED, validate_every=steps, checkpoint_every=50
    )

    def learn() -> NetworkInverter:
        return learn_network(InversionTraining(options, pairs, seed, folder, device, key), advance)

    return _KEPT.learned(key, learn, advance)
