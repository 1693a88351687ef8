"""The kind of claim 'reconstruction'."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from privaudit.contracts.claims import Claim, Reconstruction
from privaudit.contracts.knowledge import Rung
from privaudit.imaging.patches import as_tensor
from privaudit.results.record import Finding, Record
from privaudit.results.words import interval, number, without_looking
from privaudit.scoring.images import METRICS, PRIMARY_METRIC, PSNR_CAP, pool
from privaudit.scoring.kind import Asked, Titled, Words, known_of
from privaudit.scoring.paired import WHOSE, PairedKind
from privaudit.scoring.reconstruction.pictures import gallery_rows
from privaudit.scoring.rows import DIGITS, Row
from privaudit.scoring.settings import ScoringSpec
from privaudit.scoring.verdicts import lead_noticed, unseen_line

NAMES = {
    "ms_ssim": "MS-SSIM", "psnr": "PSNR (dB)", "ms_ssim_brain": "MS-SSIM, brain", "psnr_brain": "PSNR, brain (dB)",
    "ms_ssim_worst": "MS-SSIM, worst patch",
}  # fmt: skip
SPREADS = {0.02: "schemes that hide well, at most", 0.06: "mixtures"}
"""Standard deviation over people of an attack's lead over not looking, MS-SSIM."""


class ReconstructionKind(PairedKind):
    """The attacker's picture of a target, and of what it was mixed with, compared with the true images."""

    name = "reconstruction"
    summary = "a picture of each target (and of its mixing reference): MS-SSIM and PSNR, whole and within the brain"
    claim = Reconstruction
    metrics = {name: NAMES[name] for name in METRICS}
    ranges = {name: (0, PSNR_CAP) if name.startswith("psnr") else (0, 1) for name in METRICS}
    primary = PRIMARY_METRIC
    victims = ("target", "reference")
    beside = ("as-is", "atlas", "random-subject")
    blind = frozenset({"atlas", "random-subject"})
    blind_with = {Rung.POOL: "nearest-pool", Rung.GALLERY: "nearest-gallery"}
    controls = ("planted", "planted-reference")
    drawn = True
    words = Words(
        noun="reconstruction",
        title="reconstruction",
        gain="the image: MS-SSIM above not looking",
        strongest="strongest reconstruction, MS-SSIM",
        untested="reconstruction of the image",
        panel="Image: MS-SSIM of what an attack recovers to the true image, of the person scanned (target) or of"
        " the owner of a mixing reference, and its difference to the best attacker who does not look. Schemes that send"
        " patches are scored on patches, others on whole volumes: compare the differences.",
        columns=("Whose", "MS-SSIM", "scored on", "best without looking", "Difference"),
        frontier="strongest attack on the target, MS-SSIM",
        glossary={
            "MS-SSIM": "multi-scale structural similarity (Wang et al. 2003), 0 to 1; 1 is an exact copy",
            "PSNR": "peak signal-to-noise ratio in dB for intensities in [0, 1]; 100 stands for an exact copy",
            "brain": "only what lies inside the brain counts: the mean of the map of similarities over the brain",
            "worst patch": "the patch of a scan that is most like the true one",
        },
    )

    def margin(self, scoring: ScoringSpec) -> float:
        """Least MS-SSIM gain that counts."""
        return scoring.margin_image

    def score_one(self, claim: Claim, asked: Asked) -> Row:
        """Metrics of target and reference; of alternatives, and of two orders, those of the likest."""
        assert isinstance(claim, Reconstruction)
        secrets = asked.secrets
        truth, other = secrets.truth(claim.request), secrets.bystander(claim.request)
        brain = truth.labels > 0
        best: Row = {}
        for image, reference in [(claim.image, claim.reference), *claim.alternatives]:
            orders = [("as claimed", image, image if reference is None else reference)]
            if claim.exchangeable and other is not None:
                orders.append(("swapped", orders[0][2], image))
            for order, guess, of_other in orders:
                pictures = {"": (guess, as_tensor(truth.image))}
                if other is not None:
                    pictures["reference_"] = (of_other, other.clamp(0, 1))
                scores = _scores(asked, claim, pictures, brain)
                if len(orders) > 1:
                    scores["order"] = order
                if not best or _likeness(scores) > _likeness(best):
                    best = scores
        if claim.alternatives:
            best["best_of"] = 1 + len(claim.alternatives)
        return best | known_of(secrets, claim.request) | _rounded(claim.diagnostics)

    def theirs(self, row: Row, other: Row, column: str) -> float:
        """On the same patches, where only some were attacked."""
        if not row.get("partial"):
            return super().theirs(row, other, column)
        prefix = "reference_" if column.startswith("reference_") else ""
        patches = {name: other[f"{prefix}patches"][name] for name in row[f"{prefix}patches"]}
        values: Mapping[str, float] = {str(name): value for name, value in pool(patches).items()}
        return values[column.removeprefix(prefix)]

    def notes(self, rows: Sequence[Row]) -> list[str]:
        """How many patches were scored where not all were attacked, and whether the scorer chose the order."""
        out = []
        if rows and rows[0].get("partial"):
            out.append(f"{sum(len(row['patches']) for row in rows)} patches of {len(rows)} scans were attacked")
        if rows and "best_of" in rows[0]:
            out.append(f"an upper bound: the best of {rows[0]['best_of']} pictures, chosen with the truth")
        if rows and "order" in rows[0]:
            swapped = sum(row["order"] == "swapped" for row in rows)
            out.append(
                f"which source is the target was resolved by the scorer, swapped in {swapped} of {len(rows)} scans"
            )
        return out

    def sentence(self, finding: Finding, record: Record) -> str:
        """How like the true image the recovered one is."""
        baseline = finding.baseline
        assert baseline is not None
        return (
            f"The recovered image of {WHOSE[finding.victim]} has {self.metrics[finding.metric]}"
            f" {number(finding.estimate)} to the true one; who does not look at the encoding gets"
            f" {number(baseline.estimate)} ({baseline.name})."
        )

    def cells(self, finding: Finding, record: Record) -> list[str] | None:
        """MS-SSIM of every attack that looks, deciding or not."""
        if finding.metric != self.primary or finding.role == "baseline":
            return None
        return [
            finding.victim, interval(finding.estimate, finding.ci),
            str(record.settings.get("ms_ssim", "–")).removeprefix("MS-SSIM ").partition(":")[0],
            *without_looking(finding),
        ]  # fmt: skip

    def power(self, people: int, scans: int, scoring: ScoringSpec, rng: np.random.Generator) -> list[str]:
        """Least lead noticed, for spreads of the lead as audits show them, and the share of people unseen."""
        out = []
        for spread, of_what in SPREADS.items():
            lead = lead_noticed(spread, people, scoring.margin_image, scoring.confidence)
            sure, nearly = (float(stats.t.ppf(q, people - 1)) for q in (0.5 + scoring.confidence / 2, 0.95))
            needed = math.ceil(((sure + nearly) * spread / scoring.margin_image) ** 2)
            out.append(
                f"with a standard deviation of {spread:g} over people ({of_what}): a lead of"
                f" {lead:.3f} MS-SSIM is noticed in 9 of 10 audits;"
                f" no lead passes in 95 of 100 from about {max(needed, scoring.min_subjects)} people on"
            )
        return [*out, unseen_line(people)]

    def picture(self, claim: Claim, request: str, asked: Asked) -> Titled:
        """The claimed image and its MS-SSIM."""
        assert isinstance(claim, Reconstruction)
        truth = asked.secrets.truth(request)
        score = asked.images.score(claim.image, as_tensor(truth.image), truth.labels > 0)[PRIMARY_METRIC]
        return f"{score:.3f}", claim.image

    def gallery(
        self, claims: Sequence[Claim], request: str, seen: Tensor, side: int, asked: Asked
    ) -> list[list[Titled]]:
        """The attacked patches: a row of truth and mixture, then rows of what was recovered."""
        pictures = [claim for claim in claims if isinstance(claim, Reconstruction)]
        truth, other = as_tensor(asked.secrets.truth(request).image), asked.secrets.bystander(request)
        return gallery_rows(pictures, truth, other, seen, side)


def _scores(
    asked: Asked, claim: Reconstruction, pictures: Mapping[str, tuple[Tensor, Tensor]], brain: NDArray[np.bool_]
) -> Row:
    """Metrics of each picture against its truth.

    Patch by patch for trivial attackers: others are compared with them on the patches that those others attack.
    """
    row: Row = {}
    for prefix, (guess, truth) in pictures.items():
        if asked.images.patch is None and claim.positions is None:
            scores = asked.images.score(guess, truth, brain)
        else:
            by_patch = asked.images.by_patch(guess, truth, brain, claim.positions)
            if claim.positions is None:
                scores = asked.images.score(guess, truth, brain, by_patch)
            else:
                scores, row["partial"] = pool(by_patch), True
            if asked.attack.trivial or claim.positions is not None:
                row[f"{prefix}patches"] = {k: [round(v, DIGITS) for v in values] for k, values in by_patch.items()}
        row |= {f"{prefix}{name}": value for name, value in _rounded(scores).items()}
    return row


def _likeness(row: Row) -> float:
    return float(row["ms_ssim"]) + float(row.get("reference_ms_ssim", 0.0))


def _rounded(scores: Mapping[Any, float]) -> dict[str, float]:
    return {str(name): round(value, DIGITS) for name, value in scores.items()}
