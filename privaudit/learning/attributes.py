"""What encodings tell of age and sex: few features of each, and linear models of the attacker's own people.

The attacker encodes its own people with fresh keys, and measures those encodings as it will measure the ones under
attack. It learns what the measures say of age (ridge regression) and of sex (logistic regression). Penalties are chosen
by cross-validation in which nobody is on both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from privaudit.imaging.label_prior import LabelPrior

Floats = NDArray[np.float64]
FOLDS: Final = 5
DEEP: Final = 0.7
"""Of the greatest depth below the brain's surface: what lies deeper is where the ventricles are."""
PENALTIES: Final = tuple(10.0**power for power in range(-1, 6))
"""Of ridge regression on features of standard deviation 1."""
STRENGTHS: Final = tuple(10.0**power for power in range(-4, 3))
"""Inverse penalties of logistic regression."""


@dataclass(frozen=True, eq=False)
class Tissues:
    """Measures label maps.

    Attributes:
        prior: label frequencies of the attacker's people.
        deep: bool [X, Y, Z], the middle of the brain, where CSF is that of the ventricles.
    """

    prior: LabelPrior
    deep: Tensor

    @classmethod
    def of(cls, prior: LabelPrior) -> Tissues:
        """Find the middle of the brain from where people have one."""
        depth = ndimage.distance_transform_edt((prior.frequencies[0] < 0.5).numpy())
        return cls(prior, torch.from_numpy(depth >= DEEP * max(float(depth.max()), 1.0)))

    def measure(self, maps: Tensor) -> Floats:
        """Features [2C − 1] of label probabilities [C, X, Y, Z].

        They are the brain's size in voxels, each tissue's share of it, and how much of each lies in the brain's middle.
        """
        labels = len(self.prior.frequencies)
        if len(maps) < labels:
            maps = torch.cat([maps, maps.new_zeros((labels - len(maps), *maps.shape[1:]))])
        tissue = maps[1:labels].double()
        sizes, inner = tissue.flatten(1).sum(dim=1), tissue[:, self.deep].sum(dim=1)
        return np.concatenate([[float(sizes.sum())], (sizes / sizes.sum().clamp_min(1)).numpy(), inner.numpy()])


def principal(volumes: Floats, most: int) -> Callable[[Floats], Floats]:
    """Fit principal components of volumes [n, V]; returns what reads them off volumes [m, V], as [m, at most ``most``].

    Where all volumes are the same, as pictures are that a de-encoder found nothing for, there are none.
    """
    if np.ptp(volumes, axis=0).max() == 0:
        return lambda some: np.empty((len(some), 0))
    fitted = PCA(min(most, *volumes.shape), svd_solver="full").fit(volumes)
    return lambda some: np.asarray(fitted.transform(some))


@dataclass(frozen=True, eq=False)
class Learned:
    """A model of one attribute.

    Attributes:
        model: fitted on features; None where there were too few people, who then all get the same.
        usual: what everybody gets then: the mean, or the share of the second class.
        own: what it reaches on own people who were left out (R² or AUC); None without a model.
    """

    model: Pipeline | GridSearchCV | None
    usual: float
    own: float | None

    def __call__(self, features: Floats) -> float:
        """The claim for one person's features [F]: a number, or the share of the second class."""
        if self.model is None:
            return self.usual
        predict = self.model.predict_proba if hasattr(self.model, "predict_proba") else self.model.predict
        return float(np.asarray(predict(features[None])).ravel()[-1])


def learn_number(features: Floats, truth: Floats, people: NDArray[np.int64]) -> Learned:
    """Ridge regression of a number.

    Args:
        features: [n, F], of several encodings of each person.
        truth: [n].
        people: [n], whose they are.
    """
    if len(np.unique(people)) < 2 * FOLDS or np.ptp(truth) == 0:
        return Learned(None, float(truth.mean()), None)

    def fit(x: Floats, y: Floats, who: NDArray[np.int64]) -> Pipeline:
        inner = list(GroupKFold(FOLDS).split(x, y, who))
        return make_pipeline(StandardScaler(), RidgeCV(PENALTIES, cv=inner)).fit(x, y)

    guess = np.empty(len(truth))
    for learn, left in GroupKFold(FOLDS).split(features, truth, people):
        guess[left] = fit(features[learn], truth[learn], people[learn]).predict(features[left])
    return Learned(fit(features, truth, people), float(truth.mean()), float(r2_score(truth, guess)))


def learn_class(features: Floats, second: NDArray[np.bool_], people: NDArray[np.int64], seed: int) -> Learned:
    """Logistic regression of two classes; arguments as of :func:`learn_number`.

    Args:
        features: [n, F].
        second: [n], who is of the second class.
        people: [n].
        seed: of the folds.
    """
    if min(len(np.unique(people[second == value])) for value in (False, True)) < FOLDS:
        return Learned(None, float(second.mean()), None)

    def folds(x: Floats, y: NDArray[np.bool_], who: NDArray[np.int64]) -> list[Any]:
        few = min(len(np.unique(who[y == value])) for value in (False, True))
        return list(StratifiedGroupKFold(min(FOLDS, few), shuffle=True, random_state=seed).split(x, y, who))

    def fit(x: Floats, y: NDArray[np.bool_], who: NDArray[np.int64]) -> GridSearchCV:
        tell = LogisticRegression(solver="newton-cholesky", max_iter=1000)
        model = Pipeline([("scale", StandardScaler()), ("tell", tell)])
        tried = {"tell__C": list(STRENGTHS)}
        return GridSearchCV(model, tried, cv=folds(x, y, who), scoring="neg_log_loss").fit(x, y)

    guess = np.empty(len(second))
    for learn, left in folds(features, second, people):
        guess[left] = fit(features[learn], second[learn], people[learn]).predict_proba(features[left])[:, 1]
    return Learned(fit(features, second, people), float(second.mean()), float(roc_auc_score(second, guess)))
