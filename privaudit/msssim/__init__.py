"""3-D multi-scale SSIM: fast for pairs, and exact retrieval over cohorts that computes only what it needs.

Kernels, profiles, caches, rankings. Figures equal pytorch-msssim's, which the tests hold them to.
Nothing here knows of people: it compares volumes.
"""

from privaudit.msssim.cache import memory_plan
from privaudit.msssim.pairs import ms_ssim, reference_ms_ssim
from privaudit.msssim.profile import PROFILES, Profile, profile_for
from privaudit.msssim.ranking import (
    DenseSimilarity,
    SimilarityLike,
    count_above,
    count_pairs_above,
    threshold_at_fpr,
    top_k,
)
from privaudit.msssim.retrieval import MsssimSimilarity, Volumes

__all__ = [
    "PROFILES",
    "DenseSimilarity",
    "MsssimSimilarity",
    "Profile",
    "SimilarityLike",
    "Volumes",
    "count_above",
    "count_pairs_above",
    "memory_plan",
    "ms_ssim",
    "profile_for",
    "reference_ms_ssim",
    "threshold_at_fpr",
    "top_k",
]
