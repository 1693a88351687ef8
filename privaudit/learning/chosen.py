"""Undoing a scheme with one key for everything by images of the attacker's own choice, sent as often as it likes.

Chosen-plaintext attacks are known on random projections (Liu, Giannella and Kargupta, "An attacker's view of distance
preserving maps for privacy preserving data mining", PKDD 2006) and on image ciphers with a fixed key (Li, Li, Chen and
Bourbakis, "A general quantitative cryptanalysis of permutation-only multimedia ciphers against plaintext attacks",
Signal Processing: Image Communication 2008).
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from privaudit.contracts.defense import Defense
from privaudit.contracts.transcript import Transcript
from privaudit.imaging.atlas import Atlas
from privaudit.imaging.cube_maps import CubeMap
from privaudit.imaging.cube_probes import fit_cubes
from privaudit.imaging.linear_maps import FilterMap, LinearMap, VoxelMap
from privaudit.imaging.normalising import Standard, Undone, standardised, undone
from privaudit.imaging.patches import Shape
from privaudit.imaging.probing import (
    Floats,
    Send,
    averaged,
    drawn_twice,
    likely_changes,
    own_changes,
    repeats,
    root_mean_square,
    share,
    spread_of,
)
from privaudit.imaging.voxel_tables import Tables

REPEATS: Final = 0.3
"""Share, at most, by which encodings of one image under two keys differ, for a scheme that repeats itself."""
QUIET: Final = 0.05
"""The same of what is worked with: the mean of encodings of one image, of as many as that takes."""
MOST_REPEATS: Final = 16
"""Encodings of one image, at most, whose mean is taken."""
FEW: Final = 4
"""The same where many probes are looked at together."""
DRAWN: Final = 128
"""Keys that are drawn to see whether any comes twice: of 256 keys one surely does, of 65,536 in one case of nine."""
LINEAR: Final = 0.2
"""Share, at most, of what a change changes that a map or a table may miss: the rest is noise to it."""
COARSE: Final = 0.9
"""The same for a map of small cubes, which cannot know what differs inside them, of changes as people have them."""
EXACT: Final = 1e-3
"""Share that a map misses which is taken at once: no other is tried."""
FLOOR: Final = 1e-3
"""Least variance of a voxel, as a share of the greatest."""


@dataclass(frozen=True, eq=False)
class Broken:
    """What probes have told of a scheme.

    Attributes:
        atlas: the attacker's.
        repeats: by how much encodings of one image under two keys differ, as a share of two images' difference.
        missed: share of what a change of an image changes that the best map or table does not predict; None where the
            scheme does not repeat itself, so that none was looked for.
        form: what the scheme is to the attacker, in words.
        nothing: what is sent of the atlas, [m], without the scheme's normalisation.
        found: a linear map, or tables of grey values; None where the claim is the atlas.
        noise: variance of what a map does not explain.
        undone: the scheme's normalisation of images, if any.
        equal: of so many encodings of one image under fresh keys, how many were there before; 0 where all are equal.
        standard: in what form numbers are read where each encoding has a gain and an offset of its own; else None.
    """

    atlas: Atlas
    repeats: float
    missed: float | None = None
    form: str = "no map"
    nothing: Floats | None = None
    found: LinearMap | Tables | None = None
    noise: float = 0.0
    undone: Undone = field(default_factory=Undone)
    standard: Standard | None = None
    equal: int = 0

    def invert(self, transcript: Transcript) -> Tensor:
        """The picture [X, Y, Z] behind what was sent; the atlas itself where the attack does not fit."""
        sent = transcript.values()[0].double().numpy()
        if self.found is None or self.nothing is None or sent.size != self.nothing.size:
            return self.atlas.mean.clone()
        sent = self.undone.seen(sent if self.standard is None else self.standard(sent))
        mean, variance = _prior(self.atlas)
        if isinstance(self.found, Tables):
            image = self.found.back(sent, mean, variance)
        else:
            image = mean + self.found.back(sent - self.nothing, variance, self.noise)
        return torch.from_numpy(image).float().clamp(0, 1)


def _prior(atlas: Atlas) -> tuple[Floats, Floats]:
    """Mean in [0, 1] and variance [X, Y, Z]; where nobody of the sample differs somebody else still may, a little."""
    variance = atlas.variance.double().numpy()
    return atlas.mean.double().clamp(0, 1).numpy(), np.maximum(variance, max(FLOOR * float(variance.max()), 1e-8))


def sender(scheme: Defense, shape: Shape, seed: int) -> Send:
    """Sends images [X, Y, Z] through a scheme, each under a key drawn afresh, and gives all numbers of the first view.

    What is not finite counts as 0, and so does all that is sent of an image that the scheme refuses.

    Args:
        scheme: what encodes; it mixes nobody in.
        shape: of images.
        seed: of the attacker's own keys.
    """
    keys, sizes = random.Random(f"chosen {seed}"), list[int]()

    def send(image: Floats) -> Floats:
        try:
            encoded = scheme.encode(torch.from_numpy(image).float(), scheme.draw_key(shape, [], keys), 1)
        except Exception:
            if not sizes:
                raise
            return np.zeros(sizes[0])  # a scheme may refuse an image that is like nobody's
        values = encoded.views if encoded.sent is None else encoded.sent
        sizes.append(values[0].numel())
        return np.asarray(np.nan_to_num(values[0].flatten().double().numpy(), nan=0.0, posinf=0.0, neginf=0.0))

    return send


def break_scheme(scheme: Defense, atlas: Atlas, seed: int, advance: Callable[[float], None]) -> Broken:
    """Probe a scheme around the atlas, and find what undoes it.

    Args:
        scheme: what encodes; it mixes nobody in.
        atlas: the attacker's mean and variance, of the shape of images.
        seed: of keys and probes: equal arguments give equal results.
        advance: called with shares of the work; they add up to at most 1.
    """
    x, y, z = atlas.mean.shape
    send, rng = sender(scheme, (x, y, z), seed), np.random.default_rng([seed, 14])
    base, _ = _prior(atlas)
    repeated, standard = repeats(send, base, rng), None
    if repeated > REPEATS:  # a fresh gain, sign and offset of all numbers may be all that differs
        send, standard = standardised(send, base)
        again = repeats(send, base, rng)
        if again > REPEATS:
            return Broken(atlas, repeated, equal=drawn_twice(send, base, DRAWN))
        repeated = again
    times = min(MOST_REPEATS, max(1, math.ceil((repeated / QUIET) ** 2)))
    found, apart = undone(averaged(send, times), base, rng, max(EXACT, repeated), signed=standard is None)
    sends = found.through(averaged(send, times)), found.through(averaged(send, min(times, FEW)))
    nothing, noise = sends[0](base), spread_of(found.through(send), base) ** 2
    advance(0.05)
    form = f"no linear map{_after(found)}"
    best = Broken(atlas, repeated, min(apart, 1.0), form, nothing, None, noise, found, standard)
    if apart <= LINEAR:
        best = _linear(sends, base, best, rng, lambda done: advance(0.45 * done))
    if best.found is None and repeated <= 2 * QUIET:  # entries of tables are not averaged over probes
        best = _tables(sends[0], base, best, rng, lambda done: advance(0.45 * done))
    return best


def _after(opened: Undone) -> str:
    return f" after normalisation by {opened.name}" if opened.name else ""


def _linear(
    sends: tuple[Send, Send], base: Floats, sofar: Broken, rng: np.random.Generator, advance: Callable[[float], None]
) -> Broken:
    """The first linear map that predicts exactly, or the best one of those that predict well."""
    assert sofar.nothing is not None
    (send, fewer), nothing, best, (_, variance) = sends, sofar.nothing, sofar, _prior(sofar.atlas)
    quiet = spread_of(send, base)
    for form in ("a filter", "voxel by voxel", "cube by cube"):
        found: LinearMap | None
        if form == "a filter":
            found = FilterMap.fit(send, base, nothing)
        elif form == "voxel by voxel":
            found = VoxelMap.fit(send, base)
        else:
            # Patterns of probes average noise themselves.
            found = fit_cubes(fewer, base, nothing, spread_of(fewer, base), rng, advance)
        if found is None:
            continue
        coarse = isinstance(found, CubeMap) and found.step > 1
        changes = [likely_changes(variance, rng) if coarse else own_changes(base, rng) for _ in range(2)]
        true = np.concatenate([send(base + change) - nothing for change in changes])
        rest = true - np.concatenate([found.of(change) for change in changes])
        missed, size = share(rest, true), max(root_mean_square(true), 1e-12)
        noise = max(root_mean_square(rest), 1e-7 * size) ** 2 + sofar.noise
        kept = found if missed <= (COARSE if coarse else LINEAR) else None
        if best is sofar or (kept is not None and (best.found is None or missed < (best.missed or 0))):
            name = f"linear, {form}{_after(sofar.undone)}"
            best = replace(sofar, missed=missed, form=name, found=kept, noise=noise)
        # Of two encodings of one image as much is not predicted by the best of maps.
        if best.found is not None and (best.missed or 0) <= max(EXACT, 2 * math.sqrt(2) * quiet / size):
            break
    return best


def _tables(
    send: Send, base: Floats, sofar: Broken, rng: np.random.Generator, advance: Callable[[float], None]
) -> Broken:
    """Tables, where they predict images well; they are tried on grey values for which there are entries."""
    assert sofar.nothing is not None
    _, variance = _prior(sofar.atlas)
    tables = Tables.fit(send, base.shape, sofar.nothing.size, advance)
    one, other = (rng.choice(tables.levels, base.shape) for _ in range(2))
    true = send(one) - send(other)
    missed = share(true - tables.of(one) + tables.of(other), true)
    # A scheme may answer such images otherwise than images of people.
    usual = [tables.nearest(base + change) for change in (np.zeros(1), *(likely_changes(variance, rng) for _ in "ab"))]
    seen, told = ([some(image) for image in usual] for some in (send, tables.of))
    changed = np.concatenate([seen[1] - seen[0], seen[2] - seen[0]])
    missed = max(missed, share(changed - np.concatenate([told[1] - told[0], told[2] - told[0]]), changed))
    if missed > LINEAR:
        return sofar
    return replace(sofar, missed=missed, form=f"tables of grey values{_after(sofar.undone)}", found=tables)


_LAST: dict[str, Broken] = {}


def shared_break(scheme: Defense, atlas: Atlas, seed: int, advance: Callable[[float], None]) -> Broken:
    """:func:`break_scheme`, or what it gave last: an attack and its check of itself ask for the same large map."""
    weights = None if scheme.trained is None else scheme.trained.digest
    digest = hashlib.sha256(repr((scheme.name, scheme.params, weights, seed)).encode())
    x, y, z = atlas.mean.shape
    sent = sender(scheme, (x, y, z), 0)(_prior(atlas)[0])  # a scheme that was edited may keep its name
    for part in (atlas.mean.numpy(), atlas.variance.numpy(), sent):
        digest.update(np.ascontiguousarray(part).tobytes())
    key = digest.hexdigest()
    if key not in _LAST:
        found = break_scheme(scheme, atlas, seed, advance)
        _LAST.clear()
        _LAST[key] = found
    else:
        advance(1)
    return _LAST[key]
