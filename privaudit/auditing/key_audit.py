"""An audit of the keys that a scheme draws: do they repeat, have they a period, are they drawn as declared?

A secret is worth no more than what draws it. Every check has one chance in a thousand, or less, to be wrong about sound
keys.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Final

import numpy as np
import torch
from scipy import stats

from privaudit.contracts.attack import Check
from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Defense, Key
from privaudit.errors import OptionError
from privaudit.imaging.mixing import Draw
from privaudit.imaging.patches import Shape

LEVEL: Final = 0.001
"""Probability below which a deviation is no chance."""
SIDE: Final = 32
"""Side in voxels of the made-up scans, where the scheme's patches are no larger."""
EXPECTED: Final = 5
"""Times that each reference must be expected, for the chi-square test to hold."""
LABELS: Final = 4
"""Kinds of tissue of the made-up scans."""


def audit_keys(
    defense: Defense, keys: int, rng: random.Random, references: int = 24,
    advance: Callable[[float], None] = lambda _: None,
) -> list[Check]:  # fmt: skip
    """Draw keys, one after the other from one generator, and check them.

    Args:
        defense: the scheme, fitted if it is trained.
        keys: how many are drawn.
        rng: where randomness comes from: the operating system, or a seed, to repeat an audit.
        references: made-up scans in the pool.
        advance: called with 1 for each key.

    Returns:
        A check for each question that can be asked of the scheme.

    Raises:
        OptionError: the scheme has no keys, or so few are drawn that nothing could be told.
    """
    if not defense.keyed:
        raise OptionError(f"'{defense.name}' has no keys that differ from scan to scan", todo="audit another defense")
    needed = max(2 * EXPECTED, EXPECTED * references if defense.needs_pool else 0)
    if keys < needed:
        raise OptionError("too few keys to tell anything", got=keys, allowed=f"at least {needed}", todo="raise --keys")
    side = max(SIDE, 2 * (defense.patch_size or 0))
    shape: Shape = (side, side, side)
    image, pool = made_up(shape, 1)[0], made_up(shape, references) if defense.needs_pool else []
    draws: list[Draw] = []
    names: list[str] = []
    for _ in range(keys):
        key = defense.draw_key(shape, pool, rng)
        draw = defense.drawn(key)
        if draw is not None:
            draws.append(draw)
        names.append(_name(draw) if draw is not None else _sent(defense, torch.from_numpy(image.image), key))
        advance(1)
    checks = [_repeated("keys that were drawn before", names)]
    series: dict[str, Sequence[Hashable]] = {"keys": names}
    if draws:
        checks.append(_repeated("references mixed in at the same place by the same weight again", _triples(draws)))
        low, high = defense.alpha_range or (0.0, 1.0)
        weights = [value for draw in draws for value in dict.fromkeys(draw.alpha.ravel().tolist())]
        chosen = _chosen(draws, defense.mixing.reference_per == "volume")
        if high > low:
            series["mixing weights"] = weights
            if defense.alpha_range is not None:
                checks.append(_uniform(weights, low, high))
        if references > 1:
            series["references"] = chosen
            checks.append(_even(chosen, references))
    return [*checks, *(_without_period(what, values) for what, values in series.items())]


def made_up(shape: Shape, count: int) -> list[Volume]:
    """Scans of noise, all different: references must be told apart, and nothing else matters."""
    noise = np.random.default_rng(0)
    return [
        Volume(
            noise.random(shape, dtype=np.float32), noise.integers(LABELS, size=shape, dtype=np.uint8), np.eye(4)
        )
        for _ in range(count)
    ]  # fmt: skip


def _name(draw: Draw) -> str:
    """A hash of all that was drawn for a key."""
    parts = (draw.alpha, draw.subjects, draw.weights, draw.corners)
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()


def _sent(defense: Defense, image: torch.Tensor, key: Key) -> str:
    """A hash of what a key makes of an image: all that can be seen of a key that does not say what was drawn."""
    return hashlib.sha256(defense.encode(image, key, defense.views).views.contiguous().numpy().tobytes()).hexdigest()


def _triples(draws: Sequence[Draw]) -> list[Hashable]:
    """Reference, its place and the target's weight, for every mixture; equal ones hide two targets in one way."""
    out: list[Hashable] = []
    for draw in draws:
        alpha = np.broadcast_to(draw.alpha[..., None], draw.subjects.shape)
        out += zip(
            draw.subjects.ravel().tolist(), map(tuple, draw.corners.reshape(-1, 3).tolist()), alpha.ravel().tolist(),
            draw.weights.ravel().tolist(), strict=True,
        )  # fmt: skip
    return out


def _chosen(draws: Sequence[Draw], per_volume: bool) -> list[int]:
    """References of first views, each choice once: later views are not independent, as they avoid what was drawn."""
    first = [draw.subjects[0, :1] if per_volume else draw.subjects[0] for draw in draws]
    return [int(index) for of_key in first for index in of_key.ravel()]


def _repeated(what: str, values: Sequence[Hashable]) -> Check:
    again = len(values) - len(set(values))
    return Check(f"{what} (of {len(values)})", again, "0", again == 0)


def _uniform(weights: Sequence[float], low: float, high: float) -> Check:
    """Kolmogorov and Smirnov's test against what is declared; that 0 is never drawn makes no difference."""
    p = float(stats.kstest(weights, stats.uniform(low, high - low).cdf).pvalue)
    return Check(f"mixing weights uniform on [{low:g}, {high:g}], p", p, f"at least {LEVEL:g}", p >= LEVEL)


def _even(chosen: Sequence[int], references: int) -> Check:
    """Pearson's chi-square test; several references of one mixture are all different, which makes it err to 'even'."""
    counts = Counter(chosen)
    p = float(stats.chisquare([counts[index] for index in range(references)]).pvalue)
    return Check("references drawn equally often, p", p, f"at least {LEVEL:g}", p >= LEVEL)


def _without_period(what: str, values: Sequence[Hashable]) -> Check:
    """No period shows in the second half: a generator may take some draws to get into its circle."""
    period = shortest_period(values[len(values) // 2 :])
    return Check(f"period of the {what}", period or math.nan, "none", period is None)


def shortest_period(values: Sequence[Hashable]) -> int | None:
    """The shortest period that a series goes through at least twice; None without one.

    By the longest border (Knuth, Morris & Pratt 1977), in linear time.

    >>> shortest_period("abcabcab"), shortest_period("abcabd")
    (3, None)
    """
    borders = [0] * len(values)
    for index in range(1, len(values)):
        border = borders[index - 1]
        while border and values[index] != values[border]:
            border = borders[border - 1]
        borders[index] = border + (values[index] == values[border])
    period = len(values) - borders[-1] if values else 0
    return period if values and 2 * period <= len(values) else None
