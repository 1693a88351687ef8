"""The kind of claim 'label map'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from privaudit.contracts.claims import Claim, LabelMap
from privaudit.contracts.knowledge import Rung
from privaudit.errors import ClaimError
from privaudit.results.record import Finding, Record, finite
from privaudit.results.words import interval, number, without_looking
from privaudit.scoring.kind import Asked, Words, known_of
from privaudit.scoring.overlap import dice
from privaudit.scoring.paired import WHOSE, PairedKind
from privaudit.scoring.rows import DIGITS, Row, column_of
from privaudit.scoring.settings import ScoringSpec
from privaudit.scoring.verdicts import lead_noticed, unseen_line

METRIC: Final = "map_dice"
STRUCTURE: Final = "dice "
"""What a structure's column begins with, in tables and in a finding's details."""
SPREADS: Final = {0.02: "whole tissues", 0.1: "small structures"}
"""Standard deviation over people of a claim's lead over not looking, Dice."""


class LabelMapKind(PairedKind):
    """The attacker's segmentation of a target, and of what it was mixed with, compared with the true label maps."""

    name = "label-map"
    summary = "the segmentation of each target (and of its mixing reference): Dice, mean over structures"
    claim = LabelMap
    needs_labels = True
    metrics = {METRIC: "mean Dice"}
    ranges = {METRIC: (0, 1)}
    primary = METRIC
    victims = ("target", "reference")
    beside = ("frequent-labels", "random-map")
    blind = frozenset({"frequent-labels", "random-map"})
    controls = ("planted", "planted-reference")
    words = Words(
        noun="label map",
        title="label map",
        gain="the label map: Dice above not looking",
        strongest="strongest label map, Dice",
        untested="the segmentation",
        panel="Label map: Dice of the segmentation that an attack recovers to the true one, of the person scanned"
        " (target) or of the owner of a mixing reference, and its difference to the best attacker who does not look."
        " The client's own is what it makes of the same maps with its key.",
        columns=("Whose", "Dice", "the client's own", "best without looking", "Difference"),
        glossary={"Dice": "twice the voxels that two segmentations share, over the voxels of both; 1 is an exact copy"},
    )

    def margin(self, scoring: ScoringSpec) -> float:
        """Least gain of mean Dice that counts."""
        return scoring.margin_map

    def score_one(self, claim: Claim, asked: Asked) -> Row:
        """Dice of target and reference, mean and by structure, of the better order where the attacker knows none.

        Raises:
            ClaimError: a label that the cohort does not have.
        """
        assert isinstance(claim, LabelMap)
        secrets, request = asked.secrets, claim.request
        names = {label: name for label, name in secrets.cohort.label_names.items() if label > 0}
        _refuse_unknown(claim, max(secrets.cohort.label_names), asked.attack.name)
        truth, other = secrets.truth(request).labels, secrets.bystander_labels(request)
        second = claim.labels if claim.reference is None else claim.reference
        orders = {"as claimed": (claim.labels, second)}
        if claim.exchangeable and other is not None:
            orders["swapped"] = (second, claim.labels)
        best: Row = {}
        for order, (guess, of_other) in orders.items():
            row = _scores(guess, truth, names, "")
            if other is not None:
                row |= _scores(of_other, other, names, "reference_")
            if len(orders) > 1:
                row["order"] = order
            if not best or _likeness(row) > _likeness(best):
                best = row
        if asked.attack.reads_transcript:
            served = Rung.SERVED in asked.protocol.knowledge
            own = _scores(secrets.client_labels(request, asked.protocol.views, served), truth, names, "")
            best["client_dice"] = own[METRIC]
        figures = {name: round(float(value), DIGITS) for name, value in claim.diagnostics.items()}
        return best | known_of(secrets, request) | figures

    def details(self, rows: Sequence[Row], victim: str, metric: str) -> dict[str, float | None]:
        """Mean Dice of each structure, share of maps recovered exactly, and what the client itself gets."""
        prefix = "" if victim == self.victims[0] else f"{victim}_"
        names = dict.fromkeys(name for row in rows for name in row if name.startswith(f"{prefix}{STRUCTURE}"))
        out = {
            name.removeprefix(prefix): finite(float(np.mean([row[name] for row in rows if name in row])))
            for name in names
        }
        out["exact"] = float(np.mean([row[f"{prefix}exact"] for row in rows]))
        if not prefix and rows and "client_dice" in rows[0]:
            out["client"] = float(column_of(rows, "client_dice").mean())
        return out

    def notes(self, rows: Sequence[Row]) -> list[str]:
        """How many maps are exact, what the client itself gets, and whether the scorer chose the order."""
        if not rows:
            return []
        exact = sum(bool(row["exact"]) for row in rows)
        out = [f"the target's map is exact in {exact} of {len(rows)} scans"]
        if "client_dice" in rows[0]:
            own = float(column_of(rows, "client_dice").mean())
            out.append(f"the client itself, with the key, gets Dice {own:.3f} from the same maps")
        if "order" in rows[0]:
            swapped = sum(row["order"] == "swapped" for row in rows)
            out.append(
                f"which map is the target's was resolved by the scorer, swapped in {swapped} of {len(rows)} scans"
            )
        return out

    def sentence(self, finding: Finding, record: Record) -> str:
        """How like the true segmentation the recovered one is, and the client's own."""
        baseline = finding.baseline
        assert baseline is not None
        own = finding.details.get("client")
        client = "" if own is None else f", the client itself {number(own)}"
        return (
            f"The recovered label map of {WHOSE[finding.victim]} has a {self.metrics[finding.metric]} of"
            f" {number(finding.estimate)}; who does not look at the encoding gets"
            f" {number(baseline.estimate)} ({baseline.name}){client}."
        )

    def cells(self, finding: Finding, record: Record) -> list[str] | None:
        """Dice of every attack that looks, deciding or not."""
        if finding.role == "baseline":
            return None
        return [
            finding.victim, interval(finding.estimate, finding.ci), number(finding.details.get("client")),
            *without_looking(finding),
        ]  # fmt: skip

    def power(self, people: int, scans: int, scoring: ScoringSpec, rng: np.random.Generator) -> list[str]:
        """Least lead noticed, for spreads of the lead, and the share of people unseen."""
        out = []
        for spread, of_what in SPREADS.items():
            lead = lead_noticed(spread, people, scoring.margin_map, scoring.confidence)
            out.append(
                f"with a standard deviation of {spread:g} over people ({of_what}): a lead of {lead:.3f} Dice is noticed"
                " in 9 of 10 audits"
            )
        return [*out, unseen_line(people)]


def _refuse_unknown(claim: LabelMap, last: int, attack: str) -> None:
    for labels in (claim.labels, claim.reference):
        if labels is not None and int(labels.max()) > last:
            raise ClaimError(
                f"attack '{attack}' claims a label that there is not", got=int(labels.max()), allowed=f"0 to {last}"
            )


def _scores(
    guess: NDArray[np.integer[Any]], truth: NDArray[np.integer[Any]], names: Mapping[int, str], prefix: str
) -> Row:
    """Dice of each structure that the truth has, their mean, and whether the maps are equal.

    Where the truth has no structure at all, the mean is 1 for a map without any, and 0 for another.
    """
    found = {name: dice(guess, truth, label) for label, name in names.items()}
    there = {name: value for name, value in found.items() if value is not None}
    mean = float(np.mean(list(there.values()))) if there else float(not (guess > 0).any())
    row: Row = {f"{prefix}{METRIC}": round(mean, DIGITS), f"{prefix}exact": bool((guess == truth).all())}
    return row | {f"{prefix}{STRUCTURE}{name}": round(value, DIGITS) for name, value in there.items()}


def _likeness(row: Row) -> float:
    return float(row[METRIC]) + float(row.get(f"reference_{METRIC}", 0.0))
