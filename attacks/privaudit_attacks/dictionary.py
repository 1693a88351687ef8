"""Subtracting the reference: what is left of a mixture where the attacker holds the pool of reference scans.

The scheme's secret is then which scan of the pool was mixed in, and how much of it. Both are found by likelihood
(:mod:`privaudit.imaging.dictionary`), and taken out again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from privaudit.contracts.attack import Attack, Check, Protocol, Task
from privaudit.contracts.claims import Reconstruction
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.options import PluginOptions
from privaudit.contracts.scheme import Mixing
from privaudit.contracts.transcript import Transcript
from privaudit.imaging.atlas import Atlas
from privaudit.imaging.dictionary import Dictionary
from privaudit.imaging.explaining import Explained, Sharing, explain, subtract
from privaudit.imaging.locating import Places
from privaudit.imaging.patches import Shape, as_tensor, cut, stitch
from privaudit.imaging.unmixing import separate

TRIALS: Final = 6
"""Encodings of its own on which the attack is tried."""
ENOUGH: Final = 0.5
"""Share of these in whose patches the reference must be found."""


class DictionaryOptions(PluginOptions):
    """What the attacker holds of the pool."""

    pool_share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0, description="share of the reference pool that the attacker holds, drawn at random"
    )


class DictionaryAttack(Attack):
    """Target and reference by subtraction of the pool's scan that explains a view best.

    A view that no reference of the attacker's explains is answered with the Wiener estimate.
    """

    name = "dictionary"
    summary = "the reference found among the pool's scans by likelihood, and subtracted"
    claim = "reconstruction"
    on_grid = True
    Options = DictionaryOptions
    options: DictionaryOptions
    cheap = True
    beside = ("wiener", "nearest-pool")

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """One view, and all views together."""
        rungs = {Rung.TRANSCRIPT, Rung.ATLAS, Rung.POOL}
        return tuple(
            Protocol(
                f"K={k}",
                frozenset(rungs | {Rung.VIEWS} if k > 1 else rungs),
                views=k,
                primary=k == views_sent,
                cheap=k == 1,
            )
            for k in sorted({1, views_sent})
        )

    def health(self, protocol: Protocol, knowledge: Knowledge, task: Task) -> Iterator[Check]:
        """Are references found in mixtures that the attacker makes of its own references?"""
        defense, volumes = task.defense, knowledge.pool
        found = []
        for number in range(min(TRIALS, len(volumes)) if len(volumes) > 2 and defense is not None else 0):
            assert defense is not None
            image = as_tensor(volumes[number].image)
            others = [volume for index, volume in enumerate(volumes) if index != number]
            keys = random.Random(int(task.rng(f"own {number}").integers(2**62)))
            shape: Shape = (image.shape[0], image.shape[1], image.shape[2])
            key = defense.draw_key(shape, others, keys)
            if defense.bystanders(key, 1) is None:  # nobody is mixed in, and there is nothing to find
                break
            sent = defense.encode(image, key, protocol.views)
            transcript = Transcript("own", sent.views, sent.positions, shape, volumes[number].affine)
            searcher = Searcher([as_tensor(volume.image) for volume in others], knowledge.atlas, task.scheme.mixing)
            found.append(float(searcher.explain(transcript)[1].found.mean()))
        if found:
            share = float(np.mean(found))
            yield Check("references found in own mixtures, share", share, f"at least {ENOUGH:g}", share >= ENOUGH)
        task.advance(1)

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Reconstruction]:
        """Yield a picture of target and reference for each request."""
        pool = knowledge.pool
        # The same part of it for every request and protocol.
        held = np.random.default_rng(task.attack_seed).permutation(len(pool))
        held = np.sort(held[: max(1, round(self.options.pool_share * len(pool)))])
        searcher = Searcher([as_tensor(pool[int(i)].image) for i in held], knowledge.atlas, task.scheme.mixing)
        for transcript in transcripts:
            yield searcher.claim(transcript)


class Searcher:
    """Looks for references in what was sent; what is the same for all requests is made once.

    Args:
        pool: the references that the attacker holds, float32 [X, Y, Z] each.
        atlas: of its population sample.
        mixing: how the scheme mixes.
    """

    def __init__(self, pool: Sequence[Tensor], atlas: Atlas, mixing: Mixing) -> None:
        self.pool, self.atlas, self.mixing = pool, atlas, mixing
        self.sharing = Sharing(mixing.references, mixing.reference_per == "volume", mixing.alpha_per, mixing.fresh)
        self._dictionary: Dictionary | None = None
        self._places: Places | None = None

    def explain(self, transcript: Transcript) -> tuple[Dictionary, Explained]:
        """The references that explain what was sent, and the dictionary that they are in."""
        x, y, z = transcript.views.shape[-3:]
        last = self._dictionary
        if last is None or last.size != (x, y, z) or not np.array_equal(last.positions, transcript.positions):
            self._dictionary = last = Dictionary(self.pool, self.atlas, transcript.positions, (x, y, z))
            self._places = None if self.mixing.aligned else Places(self.pool, last.centre, (x, y, z))
        return last, explain(transcript.views, last, self.sharing, self._places)

    def claim(self, transcript: Transcript) -> Reconstruction:
        """Target and reference: by subtraction where that is explained, by the Wiener estimate elsewhere."""
        dictionary, explained = self.explain(transcript)
        views, positions, shape = transcript.views, transcript.positions, transcript.shape
        target, reference = subtract(views, dictionary, explained), explained.references(dictionary, 0)
        known = torch.from_numpy(explained.found)
        if not bool(known[0].all()):
            guesses = separate(views, positions, shape, self.atlas, self.mixing)
            guess, other = (cut(volume, positions, dictionary.size) for volume in guesses)
            target = torch.where(known.any(dim=0).reshape(-1, 1, 1, 1), target, guess)
            reference = torch.where(known[0].reshape(-1, 1, 1, 1), reference, other)
        told = {"explained": float(known.double().mean()), "log_odds": float(explained.odds.median())}
        return Reconstruction(
            transcript.request, stitch(target, positions, shape), stitch(reference, positions, shape), diagnostics=told
        )
