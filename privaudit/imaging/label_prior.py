"""What a population's label maps say before anything is seen: which label is how frequent where."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.errors import DataError

UNSEEN: Final = 0.5
"""People that are added to the sample, spread evenly over all labels: what few people have not shown may still be."""
SPREAD: Final = 0.02
"""Least standard deviation of grey values within a label, intensities in [0, 1]."""


@dataclass(frozen=True, eq=False)
class LabelPrior:
    """Label frequencies of a sample of people.

    Attributes:
        frequencies: float32 [C, X, Y, Z], adding up to 1 over the labels and nowhere 0.
        people: how many are in the sample.
    """

    frequencies: Tensor
    people: int

    @classmethod
    def of(cls, maps: Iterable[NDArray[np.integer[Any]]]) -> LabelPrior:
        """Count the labels of aligned maps [X, Y, Z], one at a time.

        Raises:
            DataError: there is no map.
        """
        counts, people = np.zeros((0,)), 0
        for people, labels in enumerate(maps, start=1):
            most = int(labels.max())
            if people == 1:
                counts = np.zeros((most + 1, *labels.shape), dtype=np.float32)
            if most >= len(counts):
                missing = np.zeros((most + 1 - len(counts), *labels.shape), dtype=np.float32)
                counts = np.concatenate([counts, missing])
            for label in range(len(counts)):
                counts[label] += labels == label
        if not people:
            raise DataError("label frequencies need somebody's label map", got=0, todo="enlarge the population sample")
        return cls(torch.from_numpy((counts + UNSEEN / len(counts)) / (people + UNSEEN)), people)

    def with_classes(self, classes: int) -> LabelPrior:
        """The same with more labels, which nobody in the sample has."""
        missing = classes - len(self.frequencies)
        if missing <= 0:
            return self
        rare = UNSEEN / classes / (self.people + UNSEEN)
        more = torch.full((missing, *self.frequencies.shape[1:]), rare)
        joined = torch.cat([self.frequencies, more])
        return LabelPrior(joined / joined.sum(dim=0), self.people)

    def residual(self, maps: Tensor) -> Tensor:
        """How maps [C, X, Y, Z] differ from the frequencies, where people do at all; elsewhere 0."""
        known = self.with_classes(len(maps)).frequencies
        if len(maps) < len(known):
            maps = torch.cat([maps, maps.new_zeros((len(known) - len(maps), *maps.shape[1:]))])
        alike = known.amax(dim=0) > 1 - UNSEEN / (self.people + UNSEEN)
        return (maps - known).masked_fill(alike, 0)


@dataclass(frozen=True, eq=False)
class GreyValues:
    """Grey values of each label: mean and standard deviation, float32 [C]."""

    mean: Tensor
    spread: Tensor

    @classmethod
    def of(cls, people: Iterable[tuple[NDArray[np.float32], NDArray[np.integer[Any]]]], classes: int) -> GreyValues:
        """Count them in images [X, Y, Z] with their label maps; a label that nobody has may have any grey value."""
        count, total, square = np.zeros(classes), np.zeros(classes), np.zeros(classes)
        for image, labels in people:
            flat, values = labels.ravel(), image.ravel().astype(np.float64)
            count += np.bincount(flat, minlength=classes)
            total += np.bincount(flat, values, minlength=classes)
            square += np.bincount(flat, values**2, minlength=classes)
        known = count > 0
        mean = np.where(known, total / np.maximum(count, 1), 0.5)
        variance = np.where(known, square / np.maximum(count, 1) - mean**2, 1.0)
        spread = np.sqrt(np.maximum(variance, SPREAD**2))
        return cls(torch.from_numpy(mean).float(), torch.from_numpy(spread).float())

    def classify(self, image: Tensor, prior: LabelPrior) -> Tensor:
        """Probability of each label [C, X, Y, Z] from an image's grey values and the label's frequencies."""
        shape = (-1, *(1,) * image.ndim)
        mean, spread = self.mean.reshape(shape), self.spread.reshape(shape)
        likelihood = -0.5 * ((image - mean) / spread) ** 2 - spread.log()
        return (likelihood + prior.frequencies.log()).softmax(dim=0)
