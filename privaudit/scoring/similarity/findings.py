"""Findings of re-identification, against chance. Pure: made from rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privaudit.contracts.attack import Protocol
from privaudit.contracts.knowledge import Rung
from privaudit.results.overall import Verdict
from privaudit.results.record import Comparison, Control, Curve, Finding, Interval, finite
from privaudit.scoring.arms import GRADED, PLANTED_TEXT, SHARES, Arm
from privaudit.scoring.rows import Floats, Row
from privaudit.scoring.scorecard import Scorecard, Scored
from privaudit.scoring.similarity import ranks as identity_scores
from privaudit.scoring.similarity.guesses import epsilon
from privaudit.scoring.similarity.random_ranks import Query, drawn_map, share_reaching
from privaudit.scoring.similarity.ranks import QueryRanks
from privaudit.scoring.stats import within
from privaudit.scoring.verdicts import RANDOM_P, Evidence, decide, fits, with_limit
from privaudit.seeds import seed_from

LEAST_DRAWS = 5000
"""Random similarities that are drawn at least: a thousandth of them must be some."""


OWNER: Final = "reference"
"""The victim of findings about whose scan was mixed in."""
SAME_SCAN: Final = "same_scan"
"""Column of a row: whether the attacker holds the very scan that was mixed in."""
AS_OTHERS: Final = "as_others"
"""Column of a row: average precision that other requests' owners would have in its place, their mean."""
BESIDE: Final = frozenset({"request", SAME_SCAN, AS_OTHERS})
"""Columns of a row that are no part of its ranking."""
ATTRIBUTES = {"map": "average_precision", "map5": "average_precision5", "eer": "error", "epsilon": "guess"}
"""Where a metric's values stand in :class:`QueryRanks`, if not under its own name."""
BETTING = frozenset({identity_scores.PRIMARY_METRIC, "auc", "eer", *identity_scores.FALSE_POSITIVE_RATES})
"""Metrics with betting intervals: where all but one or two people score alike, a bootstrap-t has no upper end."""


def _ranks(rows: Sequence[Row]) -> list[QueryRanks]:
    return [QueryRanks(query=i, **{k: v for k, v in row.items() if k not in BESIDE}) for i, row in enumerate(rows)]


def _metric_values(ranks: Sequence[QueryRanks], metric: str) -> tuple[Floats, list[str]]:
    """One value per query, or per person for macro F1, with the person each belongs to."""
    if metric == "f1":
        by_person = identity_scores.f1_by_person(ranks)
        return np.array(list(by_person.values())), list(by_person)
    attribute = ATTRIBUTES.get(metric, metric)
    return np.array([getattr(rank, attribute) for rank in ranks], dtype=np.float64), [rank.person for rank in ranks]


def findings_of(scored: Scored, card: Scorecard, margin: float) -> list[Finding]:
    """Findings of one re-identification attack: every metric against chance."""
    ranks = _ranks(scored.rows["audit"])
    if not ranks:
        return []
    chance = _levels(scored.rows["audit"], ranks)
    # One guess is asked of each person, and none where there are not two.
    used = {"epsilon": [rank for rank in ranks if rank.guess is not None]}
    return [
        _finding(scored, found, chance[metric], metric, card, margin)
        for metric in identity_scores.METRICS
        if (found := used.get(metric, ranks))
    ]


def _levels(rows: Sequence[Row], ranks: Sequence[QueryRanks]) -> dict[str, float]:
    """Chance of each metric. Where owners are asked for, mAP must beat what other requests' owners have, too.

    Who has references may be told without a look at them: they may be of another place than the other candidates.
    """
    chance = identity_scores.chance_levels(ranks)
    others = [row[AS_OTHERS] for row in rows if row.get(AS_OTHERS) is not None]
    if others:
        primary = identity_scores.PRIMARY_METRIC
        chance[primary] = max(chance[primary], float(np.mean(others)))
    return chance


def _above_chance(
    ranks: Sequence[QueryRanks], metric: str, chance: float, card: Scorecard, *key: str
) -> tuple[float, Interval | None, Comparison]:
    values, people = _metric_values(ranks, metric)
    estimate, ci = float(values.mean()), None
    if metric == "epsilon":
        estimate, ci = epsilon(int(values.sum()), len(values), card.scoring.confidence)
    elif metric in BETTING:
        ci = card.betting(values, people, *key, metric)
    else:
        ci = no_wider(
            card.interval(values, people, True, *key, metric), card.betting(values, people, *key, metric), estimate
        )
    shifted = None if ci is None else (ci[0] - chance, ci[1] - chance)
    return (
        estimate,
        ci,
        Comparison(name="chance", estimate=chance, difference=estimate - chance, ci=shifted, reads_transcript=False),
    )


def no_wider(found: Interval | None, sure: Interval | None, estimate: float) -> Interval | None:
    """A bootstrap-t has no end where few people differ: then the end of an interval that always holds."""
    return found if sure is None else within(found, min(estimate, sure[0]), max(estimate, sure[1]))


def _by_chance(
    random: NDArray[np.float64], found: float, chance: float, ranks: Sequence[QueryRanks], metric: str
) -> float:
    """Share of random answers that do as well, raised by as much as chance was (:func:`_levels`)."""
    return share_reaching(random + (chance - identity_scores.chance_levels(ranks)[metric]), found)


def _random(ranks: Sequence[QueryRanks], protocol: Protocol, card: Scorecard) -> NDArray[np.float64]:
    """The mAP of similarities without any meaning, for these queries."""
    queries = tuple(Query(rank.person, rank.positives, rank.gallery) for rank in ranks)
    draws = max(LEAST_DRAWS, card.scoring.resamples)
    owners, gallery = Rung.CANDIDATES in protocol.knowledge, Rung.GALLERY in protocol.knowledge
    return drawn_map(queries, not (owners or gallery), draws, seed_from(card.seed, "random ranks"), owners)


def _control(
    scored: Scored, card: Scorecard, metric: str, n: int, margin: float, random: NDArray[np.float64]
) -> Control | None:
    """The same attack on the planted leak, and on smaller ones; every arm asks the same queries, so one null serves."""
    arm: Arm = "planted-reference" if _of_owners(scored) else "planted"
    control = _planted(scored, card, metric, n, margin, random, arm)
    if control is None:
        return None
    graded = {arm: _planted(scored, card, metric, n, margin, random, arm) for arm in GRADED}
    return with_limit(control, {SHARES[arm]: c.passed for arm, c in graded.items() if c is not None})


def _of_owners(scored: Scored) -> bool:
    """Whether it is asked whose scan was mixed in."""
    return Rung.CANDIDATES in scored.protocol.knowledge


def _notes(scored: Scored) -> list[str]:
    """What of the people whose scans were mixed in the attacker holds."""
    rows = scored.rows["audit"] if _of_owners(scored) else ()
    same, all_ = {row["person"] for row in rows if row[SAME_SCAN]}, {row["person"] for row in rows}
    if not same:
        return [] if not rows else ["the attacker's scan of each of these people is another one than was mixed in"]
    return [
        f"of {len(same)} of {len(all_)} people the attacker holds the very scan that was mixed in: for them it is found"
        " that a scan is in the pool, not who somebody is from another scan"
    ]


def _planted(
    scored: Scored, card: Scorecard, metric: str, n: int, margin: float, random: NDArray[np.float64], arm: Arm
) -> Control | None:
    ranks, key = _ranks(scored.rows.get(arm, ())), (scored.attack.name, scored.protocol.name, arm)
    if not ranks:
        return None
    chance = _levels(scored.rows[arm], ranks)[metric]
    found, _, lead = _above_chance(ranks, metric, chance, card, *key)
    p = _by_chance(random, found, chance, ranks, metric)
    evidence = Evidence(lead.difference, lead.ci, "chance", n, p=p)
    return Control(
        description=PLANTED_TEXT.get(arm, arm),
        estimate=found,
        difference=lead.difference,
        ci=lead.ci,
        passed=evidence.leaks(margin),
    )


def _finding(
    scored: Scored, ranks: Sequence[QueryRanks], chance: float, metric: str, card: Scorecard, margin: float
) -> Finding:
    attack, protocol = scored.attack, scored.protocol
    key = (attack.name, protocol.name)
    estimate, ci, against = _above_chance(ranks, metric, chance, card, *key)
    deciding = metric == identity_scores.PRIMARY_METRIC and protocol.primary
    n = len({rank.person for rank in ranks})
    control, verdict, reason, fit, curves = None, None, "supports the primary figure", True, []
    details: dict[str, float | None] = {}
    if deciding:
        random = _random(ranks, protocol, card)
        control = _control(scored, card, metric, n, margin, random)
        p = _by_chance(random, estimate, chance, ranks, metric)
        # Matches that are wrong more often than by chance would be right, were they read the other way round.
        misfit = share_reaching(-random, -estimate) <= RANDOM_P
        evidence = Evidence(
            against.difference, against.ci, "chance", n, p=p, misfit=misfit, unsound=scored.unhealthy,
            unfit=scored.unfit,
        )  # fmt: skip
        verdict, reason = decide(evidence, margin, control, card.scoring.min_subjects)
        fit = fits(reason)
        details = {"random_p": p}
        tied = sum(rank.tied for rank in ranks)
        if verdict is not Verdict.LEAK and tied > len(ranks) / 2:
            verdict = Verdict.INCONCLUSIVE
            reason = (
                f"for {tied:.0f} of {len(ranks)} scans all similarities are equal: the attack sees nothing in what this"
                " scheme sends, and more people would decide nothing"
            )
        # One scan of each candidate: so many people are in the gallery.
        curves = [_gallery_curve(ranks, card, key, ranks[0].gallery if _of_owners(scored) else card.people)]
    return Finding(
        attack=attack.name,
        protocol=protocol.name,
        victim=OWNER if _of_owners(scored) else "identity",
        metric=metric,
        role="primary" if deciding else "secondary",
        higher_is_leakier=metric not in identity_scores.LOWER_IS_LEAKIER,
        estimate=finite(estimate),
        ci=ci,
        confidence=card.scoring.confidence,
        baseline=against,
        comparisons=[against],
        chance=chance,
        margin=margin,
        control=control,
        n_subjects=n,
        n_scans=len(ranks),
        fits=fit,
        verdict=verdict,
        reason=reason,
        knowledge=sorted(protocol.knowledge),
        params=attack.params,
        details=details,
        notes=_notes(scored),
        curves=curves,
        table=scored.table,
        seconds=round(scored.seconds, 3),
    )


def _gallery_curve(ranks: Sequence[QueryRanks], card: Scorecard, key: tuple[str, str], among: int) -> Curve:
    sizes, table = identity_scores.gallery_curve(ranks, among)
    people = [rank.person for rank in ranks]
    spans = [card.interval(table[:, i], people, True, *key, "gallery", str(g)) for i, g in enumerate(sizes)]
    means = table.mean(axis=0).tolist()
    return Curve(
        name="gallery size",
        x_label="people in the gallery",
        y_label="rank1",
        x=[float(g) for g in sizes],
        y=means,
        low=[m if s is None else s[0] for m, s in zip(means, spans, strict=True)],
        high=[m if s is None else s[1] for m, s in zip(means, spans, strict=True)],
        chance=[1 / g for g in sizes],
    )
