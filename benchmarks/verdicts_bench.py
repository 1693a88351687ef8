"""How often are the words right? Thousands of made-up audits go through the rules that decide, and are counted.

Run with ``python -m benchmarks verdicts``. Rankings are random, or a share of the people is found in first place;
leads of blind attackers are drawn around 0. Nothing is encoded: this is about the rules, not about attacks.

Expected before measuring: noise passes in at least 95 of 100 audits of 150 people with 3 scans; noise and blind
attackers read as a leak in at most 2 of 200 audits at 24, 100 and 200 people; an mAP of .3 at 24 people is a leak in at
least 90 of 100.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privaudit.results.overall import Verdict
from privaudit.results.record import Control
from privaudit.scoring.settings import ScoringSpec
from privaudit.scoring.similarity.power import Design
from privaudit.scoring.similarity.random_ranks import share_reaching
from privaudit.scoring.stats import betting_interval, cluster_interval
from privaudit.scoring.verdicts import Evidence, decide

Floats = NDArray[np.float64]
SCORING: Final = ScoringSpec()
FIGURES: Final = (True, False, True, False)
"""Identity figures of the standard battery, quick: two attacks, each among encoded scans and in a raw gallery."""
FOUND: Final = Control(description="found", estimate=1.0, difference=0.9, ci=(0.8, 1.0), passed=True)
DRAWS: Final = 10_000


def identity(design: Design, values: Floats, null: Floats, rng: np.random.Generator) -> Verdict:
    """The verdict on average precisions [people], beside mAPs of random rankings [draws]."""
    names = [str(person) for person in range(design.people)]
    ci, chance = betting_interval(values, names, rng, confidence=SCORING.confidence), design.chance
    shifted = None if ci is None else (ci[0] - chance, ci[1] - chance)
    found = float(values.mean())
    evidence = Evidence(found - chance, shifted, "chance", design.people, p=share_reaching(null, found))
    return decide(evidence, SCORING.margin_identity, FOUND, SCORING.min_subjects)[0]


def blind(leads: Floats, rng: np.random.Generator) -> Verdict:
    """The verdict on an attacker's leads [people] over another one, neither of whom looks."""
    margin, names = SCORING.margin_image, [str(person) for person in range(len(leads))]
    ci = cluster_interval(leads, names, rng, confidence=SCORING.confidence, resamples=1000)
    ahead, behind = int((leads > margin).sum()), int((leads < 2 * np.median(leads) - margin).sum())
    evidence = Evidence(float(leads.mean()), ci, "atlas", len(leads), ahead, behind)
    return decide(evidence, margin, FOUND, SCORING.min_subjects)[0]


def noise(people: int, scans: int, audits: int, rng: np.random.Generator) -> list[Sequence[Verdict]]:
    """Verdicts of every identity figure in audits of a scheme that sends noise."""
    designs = [Design(people, scans, encoded) for encoded in FIGURES]
    nulls = {design: design.random(DRAWS, rng).mean(axis=1) for design in dict.fromkeys(designs)}
    return [[identity(d, d.random(1, rng)[0], nulls[d], rng) for d in designs] for _ in range(audits)]


def leak(people: int, scans: int, wanted: float, audits: int, rng: np.random.Generator) -> list[Verdict]:
    """Verdicts on an attack that finds so many people in first place that its mAP is as wanted, among encoded scans."""
    design = Design(people, scans, encoded=True)
    null = design.random(DRAWS, rng).mean(axis=1)
    share, out = (wanted - design.chance) / (1 - design.chance), []
    for values in design.random(audits, rng):
        values[rng.random(people) < share] = 1.0
        out.append(identity(design, values, null, rng))
    return out


LEADS: Final[dict[str, Callable[[np.random.Generator, int], Floats]]] = {
    "normal leads": lambda rng, n: rng.normal(0, 0.03, n),
    "leads shifted down": lambda rng, n: rng.normal(-0.015, 0.03, n),
    "heavy-tailed leads (t, 3 degrees)": lambda rng, n: 0.02 * rng.standard_t(3, n),
}


def main(arguments: Sequence[str]) -> None:
    """Count, and print a line for each question."""
    rng = np.random.default_rng(0)
    passed = sum(all(v is Verdict.NO_LEAK_DETECTED for v in figures) for figures in noise(150, 3, 100, rng))
    print(f"noise, 150 people, 3 scans each: all four identity figures pass in {passed} of 100 audits", flush=True)
    for people in (24, 100, 200):
        leaks = sum(Verdict.LEAK in figures for figures in noise(people, 2, 200, rng))
        print(f"noise, {people} people, 2 scans each: a false LEAK in {leaks} of 200 audits", flush=True)
        for name, draw in LEADS.items():
            leaks = sum(blind(draw(rng, people), rng) is Verdict.LEAK for _ in range(200))
            print(f"blind attacker, {people} people, {name}: a false LEAK in {leaks} of 200 audits", flush=True)
    for wanted in (0.2, 0.3, 0.4):
        found = leak(24, 2, wanted, 400, rng).count(Verdict.LEAK)
        print(f"a true mAP of {wanted:g}, 24 people, 2 scans each: LEAK in {found / 4:.0f} of 100 audits", flush=True)
