"""Joint unmixing of what a server receives: passes over the requests, and never all of them in memory.

The first pass keeps some voxels of every view, and the mixing is found on them (:mod:`privaudit.imaging.joint`). The
next passes add every view, times its weights, to the images that are asked for. Where references or weights are drawn
for each patch, the patches at one place are a problem of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.contracts.cohort import Volume
from privaudit.contracts.scheme import Mixing
from privaudit.contracts.transcript import Transcript
from privaudit.imaging.atlas import Atlas
from privaudit.imaging.joint import Solution, solve
from privaudit.imaging.joint_fresh import solve_fresh
from privaudit.imaging.patches import Shape, cut, stitch
from privaudit.imaging.shared_references import rank_of
from privaudit.imaging.unmixing import VARIANCE_FLOOR, separate
from privaudit.learning.joint_one_view import solve_one_view

EXPLAINED: Final = 1e-3
"""Residual above which a solution is none: the requests are no such mixtures, or were told apart wrongly."""
LEAST: Final = 256
"""Voxels in which people differ, from which on a place can be solved."""
IMAGES_KEPT: Final = 2**30
"""Bytes of images that grow at a time; more of them take another pass over the requests."""

Advance = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class Place:
    """What is solved on its own: the whole volume, or the patches at one place.

    Attributes:
        mean: float32, the atlas there.
        index: int [T], voxels of the flattened block that the mixing is found on.
        spread: float32 [T], the atlas's standard deviation there.
    """

    mean: Tensor
    index: Tensor
    spread: Tensor

    def whitened(self, block: Tensor) -> Tensor:
        """Views [K, *block] as rows [K, T]."""
        return (block.flatten(1)[:, self.index] - self.mean.flatten()[self.index]) / self.spread


@dataclass(frozen=True, eq=False)
class Mixed:
    """How requests were mixed.

    Attributes:
        solutions: of every place; None where there is none.
        tissue: bool of every place, whether people differ there: nothing can be solved in air.
        alpha: float [n], mixing weights, the mean over solved places; nan without any.
        references: estimated number of references in use; nan where nothing shows that any is used again.
    """

    solutions: tuple[Solution | None, ...]
    tissue: tuple[bool, ...]
    alpha: NDArray[np.float64]
    references: float

    @property
    def solved(self) -> float:
        """Share of the places with tissue that are solved, 0 to 1."""
        return sum(solution is not None for solution in self.solutions) / max(1, sum(self.tissue))

    @property
    def reused(self) -> bool:
        """Whether references are seen to be used again."""
        return not np.isnan(self.references)

    def linked(self) -> NDArray[np.float64]:
        """Share of the solved places [n] where a request shares a reference with another one."""
        there = [solution.linked for solution in self.solutions if solution is not None]
        return np.mean(there, axis=0) if there else np.zeros(len(self.alpha))


def references_in_use(ranks: Sequence[int], targets: int, rows: int, fresh: bool) -> float:
    """Estimated number of references, the mean over places; nan where as many images were mixed as rows were sent.

    Args:
        ranks: of what was sent, at every place with tissue.
        targets: that were sent.
        rows: views that were sent, of all targets.
        fresh: whether each view has a weight of its own. With one a target, what all references gain may be what all
            targets lose: one image less.
    """
    seen = [rank for rank in ranks if rank < rows]
    return float(np.mean(seen)) - targets + (not fresh) if seen else float("nan")


def digits_of(views: Tensor) -> float:
    """Relative precision of what was sent: values that half precision holds exactly were rounded to it."""
    if torch.equal(views, views.half().float()):
        return 2.0**-11
    return 2.0**-8 if torch.equal(views, views.bfloat16().float()) else 2.0**-24


class JointRequests:
    """Requests that are unmixed together.

    Args:
        transcripts: of n targets.
        atlas: of the attacker's sample.
        mixing: how the scheme mixes.
        voxels: of each place that the mixing is found on, at most.
        seed: of the projections that directions are compared on.
        people: the attacker's own, whom one view of each target needs.
    """

    def __init__(
        self, transcripts: Sequence[Transcript], atlas: Atlas, mixing: Mixing, voxels: int, seed: int,
        people: Sequence[Volume] = (),
    ) -> None:  # fmt: skip
        self.transcripts, self.atlas, self.mixing, self.seed = transcripts, atlas, mixing, seed
        self.people = people
        first = transcripts[0]
        self.shape: Shape = first.shape
        self.positions = np.zeros((1, 3), dtype=np.int64) if mixing.whole else first.positions
        x, y, z = self.shape if mixing.whole else first.views.shape[-3:]
        variances = cut(atlas.variance, self.positions, (x, y, z))
        self.places = [
            _place(mean, variance, voxels)
            for mean, variance in zip(cut(atlas.mean, self.positions, (x, y, z)), variances, strict=True)
        ]

    def _sent(self, transcript: Transcript) -> Tensor:
        """Blocks [K, places, *block]: the views put together where they are one mixture."""
        if not self.mixing.whole:
            return transcript.views
        return stitch(transcript.views.transpose(0, 1), transcript.positions, self.shape)[:, None]

    def solve(self, advance: Advance) -> Mixed:
        """Find the mixing; ``advance`` takes shares of the work, which add up to 1."""
        if len(self.transcripts[0].views) == 1:
            return self._solve_one_view(advance)
        samples: list[list[Tensor]] = [[] for _ in self.places]
        digits: float | None = None
        for transcript in self.transcripts:
            digits = digits_of(transcript.views) if digits is None else digits
            for kept, place, block in zip(samples, self.places, self._sent(transcript).unbind(1), strict=True):
                kept.append(place.whitened(block))
            advance(0.9 / len(self.transcripts))
        assert digits is not None
        rng = np.random.default_rng(self.seed)
        solutions: list[Solution | None] = []
        ranks, tissue = [], [len(place.index) >= LEAST for place in self.places]
        for kept, there in zip(samples, tissue, strict=True):
            rows = torch.stack(kept).double().numpy()
            kept.clear()
            if there:
                ranks.append(rank_of(rows.reshape(-1, rows.shape[-1]), digits))
            solutions.append(self._solved(rows, digits, rng) if there else None)
            advance(0.1 / len(self.places))
        n = len(self.transcripts)
        alphas = [solution.alpha.reshape(n, -1).mean(axis=1) for solution in solutions if solution is not None]
        alpha = np.mean(alphas, axis=0) if alphas else np.full(n, np.nan)
        references = references_in_use(ranks, n, n * rows.shape[1], self.mixing.fresh)
        return Mixed(tuple(solutions), tuple(tissue), alpha, references)

    def _solve_one_view(self, advance: Advance) -> Mixed:
        """Only where a view is one mixture; patches of one view say too little of each other."""
        n = len(self.transcripts)
        tissue = tuple(len(place.index) >= LEAST for place in self.places)
        if not (self.mixing.whole and self.mixing.aligned and all(tissue) and len(self.people) > 1):
            return Mixed((None,) * len(tissue), tissue, np.full(n, np.nan), float("nan"))
        sent = [partial(_first_view, self.transcripts, number) for number in range(n)]
        # Two references of which one is air would look like one.
        digits = digits_of(self.transcripts[0].views) if self.mixing.references == 1 else None
        solution, shared = solve_one_view(sent, self.people, self.atlas, digits, advance)
        told = 0 if shared is None else len(np.unique(shared.group))
        return Mixed((solution,), tissue, solution.alpha, told if 0 < told < n else float("nan"))

    def _solved(self, rows: NDArray[np.float64], digits: float, rng: np.random.Generator) -> Solution | None:
        if not self.mixing.aligned:  # a reference cut elsewhere is another image
            return None
        fresh = self.mixing.fresh
        found = solve_fresh(rows, digits) if fresh else solve(rows, rng, self.mixing.references)
        return found if found is not None and found.residual < EXPLAINED else None

    def pictures(self, mixed: Mixed, advance: Advance) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield each target, and what its first view was mixed with [X, Y, Z].

        At places without a solution they are made from the target's own views alone.
        """
        n, volume = len(self.transcripts), self.atlas.mean.nbytes
        together = max(1, IMAGES_KEPT // (2 * volume))
        for start in range(0, n, together):
            yield from self._some(mixed, np.arange(start, min(n, start + together)), advance)

    def _some(self, mixed: Mixed, wanted: NDArray[np.int64], advance: Advance) -> Iterator[tuple[Tensor, Tensor]]:
        n, count = len(self.transcripts), len(wanted)
        means = torch.stack([place.mean for place in self.places])
        grown = means.expand(2 * count, *means.shape).clone()
        x, y, z = means.shape[-3:]
        missing = [place for place, found in enumerate(mixed.solutions) if found is None and mixed.tissue[place]]
        for number, transcript in enumerate(self.transcripts):
            blocks = self._sent(transcript)
            views = slice(number * len(blocks), (number + 1) * len(blocks))
            for place, solution in enumerate(mixed.solutions):
                if solution is not None:
                    rows = np.r_[wanted, n + solution.reference[wanted, 0]]
                    weights = torch.from_numpy(solution.weights[rows, views]).float()
                    beyond = blocks[:, place] - self.places[place].mean
                    grown[:, place].add_(torch.tensordot(weights, beyond, dims=1))
            if missing and number in wanted:
                views_alone = transcript.views, transcript.positions, self.shape
                for half, picture in enumerate(separate(*views_alone, self.atlas, self.mixing)):
                    alone = cut(picture, self.positions[missing], (x, y, z))
                    grown[half * count + number - int(wanted[0]), missing] = alone
            advance(count / n**2)
        for number in range(count):
            yield (
                stitch(grown[number], self.positions, self.shape),
                stitch(grown[count + number], self.positions, self.shape),
            )


def _place(mean: Tensor, variance: Tensor, voxels: int) -> Place:
    """The voxels of a block in which people differ most."""
    index = variance.flatten().topk(min(voxels, variance.numel())).indices
    index = index[variance.flatten()[index] > VARIANCE_FLOOR].sort().values
    return Place(mean, index, variance.flatten()[index].sqrt())


def _first_view(transcripts: Sequence[Transcript], number: int) -> Tensor:
    return transcripts[number].stitched()
