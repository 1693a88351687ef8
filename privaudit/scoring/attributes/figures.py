"""R² and AUC as means over scans, so that everything that is made of means (intervals, differences) serves them too.

A scan's value is the figure plus the scan's *influence* on it: how far the figure moves where the scan weighs more.
Their mean is the figure itself, and their spread is that of the figure (the infinitesimal jackknife, Efron 1982; of the
AUC: DeLong et al. 1988, and Obuchowski 1997 for several scans of a person). A value mixes what is claimed with what is
true and states neither; much could still be worked out from many, so that tables show them of shareable cohorts alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]


def r2_values(truth: Floats, claimed: Floats) -> Floats:
    """Values [n] whose mean is R²: 1 less the squared error as a share of the truth's squared distance to its mean.

    R² is 1 for exact claims, 0 for who claims the mean, and below 0 for worse ones.

    Args:
        truth: [n], not all equal.
        claimed: [n].
    """
    error, spread = (truth - claimed) ** 2, (truth - truth.mean()) ** 2
    usual = spread.mean()
    left = error.mean() / usual
    return np.asarray(1 - error / usual + left * (spread / usual - 1))


def auc_values(positive: NDArray[np.bool_], score: Floats) -> Floats:
    """Values [n] whose mean is the AUC: how often a positive scan has a greater score than a negative one.

    Equal scores count half; the AUC is 0.5 for who gives everybody the same score, and 1 for a perfect order.

    Args:
        positive: [n], with at least one scan of each class.
        score: [n].
    """
    own = np.empty(len(score))
    for which in (positive, ~positive):  # a scan's rank among all, less that among its own, counts the others below
        own[which] = stats.rankdata(score[which])
    below = stats.rankdata(score) - own
    others = np.where(positive, np.sum(~positive), np.sum(positive))
    placed = below / others
    placed[~positive] = 1 - placed[~positive]
    auc = float(placed[positive].mean())
    return np.asarray(auc + (placed - auc) * len(score) / (len(score) - others))
