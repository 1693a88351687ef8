"""Kinds whose claims answer one request each, compared with what attackers who do not look claim of the same request.

Pure: findings are made from rows. A row holds the kind's metrics for the main victim under their own names, and for
another victim under '<victim>_<metric>'.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Final

import numpy as np

from privaudit.contracts.attack import Attack
from privaudit.contracts.claims import Claim
from privaudit.contracts.knowledge import Rung
from privaudit.results.overall import Verdict
from privaudit.results.record import Comparison, Control, Finding, Interval, finite
from privaudit.scoring.arms import GRADED, PLANTED_TEXT, SHARES, Arm
from privaudit.scoring.kind import Asked, ClaimKind, answered
from privaudit.scoring.rows import Floats, Row, by_alpha, column_of, owners_of, people_of
from privaudit.scoring.scorecard import Scorecard, Scored
from privaudit.scoring.stats import within
from privaudit.scoring.verdicts import Evidence, decide, fits, with_limit

WHOSE: Final = {"target": "the person scanned", "reference": "the other person (whose scan was mixed in)"}


class PairedKind(ClaimKind):
    """A claim for each request; leaks are what it gains over the best attacker who does not look."""

    blind: ClassVar[frozenset[str]] = frozenset()
    """Attackers who do not look, without whom the threshold would be too low: then nothing is decided."""
    blind_with: ClassVar[Mapping[Rung, str]] = {}
    """The same for attacks that hold a rung: who holds it too, and does not look."""

    def score_one(self, claim: Claim, asked: Asked) -> Row:
        """Score one claim; the request and the person are added."""
        raise NotImplementedError

    def theirs(self, row: Row, other: Row, column: str) -> float:
        """Another attacker's figure for the request of ``row``."""
        return float(other[column])

    def notes(self, rows: Sequence[Row]) -> list[str]:
        """What else a reader must know of how these rows were scored."""
        return []

    def details(self, rows: Sequence[Row], victim: str, metric: str) -> dict[str, float | None]:
        """More plain figures of a finding than every one has, by name."""
        return {}

    def score(self, claims: Iterable[Claim], asked: Asked) -> Iterator[Row]:
        """Yield a row for each claim; every request must be answered once."""
        for request, claim in answered(claims, asked, self.claim):
            yield {"request": request, "person": asked.secrets.person(request), **self.score_one(claim, asked)}

    def findings(self, scored: Scored, beside: Sequence[Scored], card: Scorecard) -> list[Finding]:
        """Every metric, for every victim that the rows speak of."""
        rows = scored.rows["audit"]
        main, *others = self.victims
        told = [victim for victim in others if rows and f"{victim}_{self.primary}" in rows[0]]
        there = [main, *(victim for victim in told if speaks_of(scored.attack, victim))]
        return [self._finding(scored, beside, card, victim, metric) for victim in there for metric in self.metrics]

    def _column(self, victim: str, metric: str) -> str:
        return metric if victim == self.victims[0] else f"{victim}_{metric}"

    def _finding(self, scored: Scored, beside: Sequence[Scored], card: Scorecard, victim: str, metric: str) -> Finding:
        attack, protocol = scored.attack, scored.protocol
        column = self._column(victim, metric)
        rows = scored.rows["audit"]
        people = self._people(rows, column)
        values = column_of(rows, column)
        key = (attack.name, protocol.name, column)
        comparisons = [
            self._compare(rows, other.rows["audit"], column, card, (*key, other.attack.name), other.attack)
            for other in beside
            if other.attack.name != attack.name
        ]
        blind = [c for c in comparisons if not c.reads_transcript]
        needed = self.blind | {self.blind_with[rung] for rung in protocol.knowledge if rung in self.blind_with}
        complete = {c.name for c in blind} >= needed - {attack.name}
        baseline = _strongest(blind) if complete else None
        is_baseline = attack.trivial and not attack.reads_transcript
        deciding = metric in self.deciding and protocol.primary and not is_baseline
        margin = self.margin(card.scoring)
        control, verdict, reason, fit = None, None, "supports the primary figure", True
        if is_baseline:
            reason = "a trivial attacker, who does not look at the transcript"
        elif deciding:
            arm: Arm = "planted" if column in self.metrics else "planted-reference"
            control = self._control(scored, beside, card, column, arm, margin)
            ahead, behind = self._exposed(rows, beside, column, baseline, margin)
            evidence = Evidence(
                baseline.difference if baseline else None, baseline.ci if baseline else None,
                baseline.name if baseline else "no baseline", self._behind(rows, people), ahead, behind,
                misfit=below(baseline, margin), unsound=scored.unhealthy, unfit=scored.unfit,
            )  # fmt: skip
            verdict, reason = decide(evidence, margin, control, card.scoring.min_subjects)
            fit = fits(reason)
        # A trivial attacker may find a leak; that it finds nothing says nothing.
        silent = deciding and attack.trivial and verdict is not Verdict.LEAK
        if silent:
            verdict, reason = None, f"a trivial attacker decides nothing unless it finds a leak; {reason}"
        return Finding(
            attack=attack.name,
            protocol=protocol.name,
            victim=victim,
            metric=metric,
            role="baseline" if is_baseline else "trivial" if silent else "primary" if deciding else "secondary",
            higher_is_leakier=True,
            estimate=finite(float(values.mean())),
            ci=self._possible(self._interval(values, people, column, card, *key), column),
            confidence=card.scoring.confidence,
            baseline=baseline,
            comparisons=comparisons,
            margin=margin,
            control=control,
            n_subjects=len(set(people)),
            n_scans=len(rows),
            fits=fit,
            verdict=verdict,
            reason=reason,
            knowledge=sorted(protocol.knowledge),
            params=attack.params,
            details={
                "sd": finite(float(values.std(ddof=1))) if len(values) > 1 else None,
                "median": finite(float(np.median(values))),
                "worst_decile": finite(float(np.quantile(values, 0.9))),
                **self.details(rows, victim, metric),
            },
            by_alpha=by_alpha(rows, values),
            notes=[*self.notes(rows), *self._clustering(rows, column)],
            table=scored.table,
            seconds=round(scored.seconds, 3),
        )

    def _people(self, rows: Sequence[Row], column: str) -> list[str]:
        """Whose privacy each row speaks of: the person scanned, or the owner of what was mixed in."""
        return people_of(rows) if column in self.metrics else owners_of(rows)

    def _behind(self, rows: Sequence[Row], people: Sequence[str]) -> int:
        return len(set(people))  # that a figure rests on

    def _interval(self, values: Floats, people: list[str], column: str, card: Scorecard, *key: str) -> Interval | None:
        return card.interval(values, people, False, *key)

    def _possible(self, found: Interval | None, column: str, difference: bool = False) -> Interval | None:
        """An interval of a column's figure, or of a difference of two, without what is impossible."""
        least, greatest = self.ranges.get(self._metric(column), (-math.inf, math.inf))
        return within(found, *((least - greatest, greatest - least) if difference else (least, greatest)))

    def _metric(self, column: str) -> str:
        """Whose values a column holds, whoever the victim is."""
        prefixes = (f"{victim}_" for victim in self.victims[1:] if column not in self.metrics)
        return next((column.removeprefix(prefix) for prefix in prefixes if column.startswith(prefix)), column)

    def _clustering(self, rows: Sequence[Row], column: str) -> list[str]:
        """A note where figures about owners cannot be clustered by owner."""
        if column in self.metrics or all("owner" in row for row in rows):
            return []
        return ["each scan is mixed from several people's images: clustered by the person scanned"]

    def _against(self, rows: Sequence[Row], others: Sequence[Row], column: str) -> Floats:
        """Another attacker's figures for the same requests."""
        by_request = {row["request"]: row for row in others}
        return np.array([self.theirs(row, by_request[row["request"]], column) for row in rows], dtype=np.float64)

    def _compare(
        self, rows: Sequence[Row], others: Sequence[Row], column: str, card: Scorecard, key: tuple[str, ...],
        other: Attack,
    ) -> Comparison:  # fmt: skip
        """Paired by request: the other attacker's rows cover at least these requests."""
        against = self._against(rows, others, column)
        difference = column_of(rows, column) - against
        ci = self._interval(difference, self._people(rows, column), column, card, *key, "difference")
        return Comparison(
            name=other.name,
            estimate=finite(float(against.mean())),
            difference=finite(float(difference.mean())),
            ci=self._possible(ci, column, difference=True),
            reads_transcript=other.reads_transcript,
        )

    def _exposed(
        self, rows: Sequence[Row], beside: Sequence[Scored], column: str, baseline: Comparison | None, margin: float
    ) -> tuple[int, int]:
        """People with a scan that beats the baseline by more than the margin, and people as far below the median.

        An attacker who does not look is ahead of another for some people, and behind for as many; where it is a little
        better or worse for all, both sides are counted from there.
        """
        if baseline is None:
            return 0, 0
        source = next(t for t in beside if t.attack.name == baseline.name)
        lead = column_of(rows, column) - self._against(rows, source.rows["audit"], column)
        people, far = np.array(self._people(rows, column)), 2 * float(np.median(lead)) - margin
        return len(set(people[lead > margin].tolist())), len(set(people[lead < far].tolist()))

    def _control(
        self, scored: Scored, beside: Sequence[Scored], card: Scorecard, column: str, arm: Arm, margin: float
    ) -> Control | None:
        """The same attack on the planted leak, against attackers who do not look and so need no planting."""
        control = self._planted(scored, beside, card, column, arm, margin)
        if control is None or arm != "planted":
            return control
        graded = {a: self._planted(scored, beside, card, column, a, margin) for a in GRADED}
        return with_limit(control, {SHARES[a]: c.passed for a, c in graded.items() if c is not None})

    def _planted(
        self, scored: Scored, beside: Sequence[Scored], card: Scorecard, column: str, arm: Arm, margin: float
    ) -> Control | None:
        rows = scored.rows.get(arm)
        if not rows:
            return None
        key = (scored.attack.name, scored.protocol.name, column, arm)
        blind = [
            self._compare(rows, t.rows["audit"], column, card, (*key, t.attack.name), t.attack)
            for t in beside
            if not t.attack.reads_transcript
        ]
        best = _strongest(blind)
        if best is None:
            return None
        return Control(
            description=PLANTED_TEXT.get(arm, arm),
            estimate=finite(float(column_of(rows, column).mean())),
            difference=best.difference,
            ci=best.ci,
            passed=Evidence(best.difference, best.ci, best.name, len(set(self._people(rows, column)))).leaks(margin),
        )


def speaks_of(attack: Attack, victim: str) -> bool:
    """Whether an attack's claims are about somebody, or only happen to be compared with them."""
    return attack.about is None or victim in attack.about


def _strongest(blind: Sequence[Comparison]) -> Comparison | None:
    """The best of attackers who do not look."""
    return max(blind, key=lambda c: c.estimate or 0.0, default=None)


def below(baseline: Comparison | None, margin: float) -> bool:
    """Whether an attack does demonstrably worse than its baseline."""
    return baseline is not None and baseline.ci is not None and baseline.ci[1] < -margin
