"""The kind of claim 'attribute'."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from scipy import stats

from privaudit.contracts.claims import Attributes, Claim
from privaudit.contracts.cohort import Attribute
from privaudit.errors import ClaimError
from privaudit.results.record import Comparison, Finding, Interval, Record
from privaudit.results.words import interval, number, without_looking
from privaudit.scoring.attributes.figures import Floats, auc_values, r2_values
from privaudit.scoring.kind import Asked, Words, answered
from privaudit.scoring.paired import PairedKind
from privaudit.scoring.rows import DIGITS, Row
from privaudit.scoring.scorecard import Scorecard, Scored
from privaudit.scoring.settings import ScoringSpec
from privaudit.scoring.verdicts import lead_noticed

AGE: Final = "age_r2"
SEX: Final = "sex_auc"
RARER: Final = "sex_rarer"
"""Column with the number of people of the rarer sex, the same in every row."""
SPREADS: Final = {AGE: 0.77, SEX: math.sqrt(1 / 3)}
"""Standard deviation over people of a scan's value: of an R² of 0.3, and of an AUC of 0.5 with as many of each sex."""


class AttributeKind(PairedKind):
    """Age and sex of the person behind a request, against who does not look. Rows hold influences, see ``figures``."""

    name = "attribute"
    summary = "age and sex of the person behind each request: R² and AUC, against predicting the mean"
    claim = Attributes
    metrics = {AGE: "R² of age", SEX: "AUC of sex"}
    ranges = {AGE: (-math.inf, 1), SEX: (0, 1)}
    primary = AGE
    victims = ("target",)
    beside = ("mean-attributes",)
    blind = frozenset({"mean-attributes"})
    one_by_one = False
    needs_attributes = True
    private_rows = True
    words = Words(
        noun="attribute",
        title="attributes",
        gain="attributes: R² of age above not looking",
        strongest="attributes, R² of age",
        untested="age and sex",
        panel="Attributes: what an attack tells of the age and the sex of the person scanned, and its difference to the"
        " best attacker who does not look, who predicts the mean.",
        columns=("What", "Figure", "best without looking", "Difference"),
        glossary={
            "R² of age": "1 less the squared error of claimed ages as a share of that of who claims everybody's mean"
            " age; 1 is exact, 0 is the mean",
            "AUC of sex": "of a scan of either sex, how often the claims say rightly which is which; 0.5 by chance",
        },
    )

    @property
    def deciding(self) -> frozenset[str]:
        """Both: one says nothing of the other."""
        return frozenset(self.metrics)

    def margin(self, scoring: ScoringSpec) -> float:
        """Least gain that counts, of R² and of AUC."""
        return scoring.margin_attribute

    def score(self, claims: Iterable[Claim], asked: Asked) -> Iterator[Row]:
        """Yield a row for each request once all are claimed: the figures are of all of them together.

        Raises:
            ClaimError: a request is not answered once, or an attribute is claimed of some and not of others.
        """
        found = dict(answered(claims, asked, Attributes))
        truth = {request: asked.secrets.attributes(request) for request in asked.requests}
        people = {request: asked.secrets.person(request) for request in asked.requests}
        columns = {AGE: _ages(found, truth, asked), **_sexes(found, truth, people, asked)}
        for request, claim in found.items():
            row: Row = {"request": request, "person": people[request]}
            row |= {name: round(column[request], DIGITS) for name, column in columns.items() if request in column}
            yield row | {name: round(float(value), DIGITS) for name, value in claim.diagnostics.items()}

    def findings(self, scored: Scored, beside: Sequence[Scored], card: Scorecard) -> list[Finding]:
        """A figure for each attribute, of those whose attribute is known."""
        out = []
        for metric in self.metrics:
            mine = _with(scored, metric)
            others = [other for other in (_with(one, metric) for one in beside) if other.rows["audit"]]
            if mine.rows["audit"]:
                found = self._finding(mine, others, card, self.victims[0], metric)
                out.append(found if card.shareable else found.model_copy(update={"table": None}))
        return out

    def details(self, rows: Sequence[Row], victim: str, metric: str) -> dict[str, float | None]:
        """What the attack reached on people of its own who were left out; influences have no deciles of people."""
        told = f"own_{metric}"
        own = {told: float(np.mean([row[told] for row in rows]))} if rows and told in rows[0] else {}
        return {"median": None, "worst_decile": None, **own}

    def notes(self, rows: Sequence[Row]) -> list[str]:
        """How many people are of the rarer sex, where that is what the rows are about."""
        if not rows or RARER not in rows[0] or SEX not in rows[0]:
            return []
        return [f"{rows[0][RARER]:.0f} of {len({row['person'] for row in rows})} people are of the rarer sex"]

    def sentence(self, finding: Finding, record: Record) -> str:
        """What is told of age or sex."""
        baseline = finding.baseline
        assert baseline is not None
        what = "age" if finding.metric == AGE else "sex"
        return (
            f"Of the {what} of the person scanned the attacker tells {self.metrics[finding.metric]}"
            f" {number(finding.estimate)}; who does not look at the encoding gets {number(baseline.estimate)}"
            f" ({baseline.name})."
        )

    def cells(self, finding: Finding, record: Record) -> list[str] | None:
        """Both figures of every attack that looks."""
        if finding.role == "baseline":
            return None
        return [
            self.metrics[finding.metric], interval(finding.estimate, finding.ci),
            *without_looking(finding),
        ]  # fmt: skip

    def power(self, people: int, scans: int, scoring: ScoringSpec, rng: np.random.Generator) -> list[str]:
        """Least lead noticed, and for the AUC how many people a pass needs."""
        margin = scoring.margin_attribute
        out = [
            f"{self.metrics[metric]}: a lead of {lead_noticed(spread, people, margin, scoring.confidence):.2f} over not"
            " looking is noticed in 9 of 10 audits"
            for metric, spread in SPREADS.items()
        ]
        sure, nearly = (float(stats.t.ppf(q, people - 1)) for q in (0.5 + scoring.confidence / 2, 0.95))
        needed = math.inf if margin == 0 else math.ceil(((sure + nearly) * SPREADS[SEX] / margin) ** 2)
        return [*out, f"an AUC of 0.5 passes in 95 of 100 audits from about {needed} people on, half of either sex"]

    def _column(self, victim: str, metric: str) -> str:
        return metric

    def _behind(self, rows: Sequence[Row], people: Sequence[str]) -> int:
        """Of an AUC, as many as there would be were both sexes as rare as the rarer one."""
        sexes = bool(rows) and SEX in rows[0] and AGE not in rows[0]
        return 2 * int(rows[0][RARER]) if sexes else super()._behind(rows, people)

    def _exposed(
        self, rows: Sequence[Row], beside: Sequence[Scored], column: str, baseline: Comparison | None, margin: float
    ) -> tuple[int, int]:
        """Nobody: an influence is no figure of one person."""
        return 0, 0

    def _interval(self, values: Floats, people: list[str], column: str, card: Scorecard, *key: str) -> Interval | None:
        """Of an AUC also the exact binomial one, without which a perfect order of few people would have no width."""
        shift = 0.5 if key[-1] == "difference" else 0.0
        if column != SEX or not 0 <= float(values.mean()) + shift <= 1:
            return super()._interval(values, people, column, card, *key)
        found = card.interval(values + shift, people, True, *key)
        return None if found is None else (found[0] - shift, found[1] - shift)


def _with(scored: Scored, metric: str) -> Scored:
    """The same with those rows, and of their figures that one alone, that are about a metric."""
    others = {AGE, SEX} - {metric}
    rows = {
        arm: [{name: value for name, value in row.items() if name not in others} for row in some if metric in row]
        for arm, some in scored.rows.items()
    }
    return replace(scored, rows=rows)


def _ages(
    found: Mapping[str, Attributes], truth: Mapping[str, Mapping[str, Attribute]], asked: Asked
) -> dict[str, float]:
    """Values by request; empty where no ages are claimed, or those known are all the same."""
    known = [request for request in found if "age" in truth[request]]
    if not _claimed([("age" in found[request].numbers) for request in known], "ages", asked):
        return {}
    true = np.array([float(truth[request]["age"]) for request in known])
    if np.ptp(true) == 0:
        return {}
    claimed = np.array([found[request].numbers["age"] for request in known], dtype=np.float64)
    return dict(zip(known, r2_values(true, claimed).tolist(), strict=True))


def _sexes(
    found: Mapping[str, Attributes], truth: Mapping[str, Mapping[str, Attribute]], people: Mapping[str, str],
    asked: Asked,
) -> dict[str, dict[str, float]]:  # fmt: skip
    """The same for sexes, and how many people are of the rarer one; empty where there are not two."""
    known = [request for request in found if "sex" in truth[request]]
    sexes = sorted({str(truth[request]["sex"]) for request in known})
    if not _claimed([("sex" in found[request].shares) for request in known], "sexes", asked) or len(sexes) != 2:
        return {}
    positive = np.array([truth[request]["sex"] == sexes[1] for request in known])
    score = np.array([found[request].shares["sex"].get(sexes[1], 0.0) for request in known], dtype=np.float64)
    rarer = min(len({people[r] for r in known if truth[r]["sex"] == sex}) for sex in sexes)
    return {
        SEX: dict(zip(known, auc_values(positive, score).tolist(), strict=True)),
        RARER: dict.fromkeys(known, float(rarer)),
    }


def _claimed(there: Sequence[bool], what: str, asked: Asked) -> bool:
    """Whether something is claimed of everybody of whom it is known; False where it is of nobody."""
    if any(there) and not all(there):
        raise ClaimError(
            f"attack '{asked.attack.name}' claims {what} of some requests and not of others", todo="claim all or none"
        )
    return any(there)
