"""The kind of claim 'similarity'."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

import numpy as np

from privaudit.contracts.attack import Attack
from privaudit.contracts.claims import Claim, Similarity
from privaudit.contracts.knowledge import Rung
from privaudit.errors import ClaimError
from privaudit.msssim import DenseSimilarity, MsssimSimilarity
from privaudit.results.record import Finding, Record
from privaudit.results.words import interval, number, over_seeds
from privaudit.scoring.arms import Arm
from privaudit.scoring.kind import Asked, ClaimKind, Words
from privaudit.scoring.rows import DIGITS, Row
from privaudit.scoring.scorecard import Scorecard, Scored
from privaudit.scoring.settings import ScoringSpec
from privaudit.scoring.similarity.findings import AS_OTHERS, OWNER, SAME_SCAN, findings_of
from privaudit.scoring.similarity.power import Design, least_noticed, needed_people, passing
from privaudit.scoring.similarity.ranks import METRICS, PRIMARY_METRIC, as_others, check_similarity, rank_queries
from privaudit.seeds import seed_from

NAMES = {
    "map": "mAP", "rank1": "rank-1", "rank5": "rank-5", "map5": "mAP at 5", "f1": "macro F1", "auc": "AUC",
    "eer": "equal error rate", "tpr_at_fpr01": "TPR at 1 % FPR", "tpr_at_fpr001": "TPR at 0.1 % FPR",
    "epsilon": "ε from guesses",
}  # fmt: skip


class SimilarityKind(ClaimKind):
    """How alike the attacker finds every two scans: who is behind a scan, against chance."""

    name = "similarity"
    summary = "how alike scans are, to each other or to a gallery: rank, mAP, F1 of finding the person again"
    claim = Similarity
    metrics = {name: NAMES[name] for name in METRICS}
    primary = PRIMARY_METRIC
    victims = ("identity", OWNER)
    controls = ("planted", "planted-reference")
    one_by_one = False
    names_owners = True
    unsaid = "identity"
    needs_sessions = True
    words = Words(
        noun="identity",
        title="re-identification",
        gain="identity: mAP above chance",
        strongest="re-identification, mAP",
        untested="re-identification",
        panel="Identity: is the best match, among encoded scans or in a gallery of raw ones, the same person? 'Paper'"
        " rows are Table 2 of Mixup-Privacy (encoded scans among each other, MS-SSIM) on its own data.",
        columns=("rank-1", "macro F1", "mAP", "by chance", "mAP over seeds"),
        glossary={
            "mAP": "mean average precision of the ranking of the gallery; 1 if every scan finds its person first",
            "rank-1": "share of scans whose best match is the right person",
            "macro F1": "mean over people of the F1 of naming them by the best match",
            "AUC": "share of other people's scans that are less like a scan than its own person's other scan is; mean"
            " over scans; 0.5 by chance",
            "equal error rate": "how often 'the same person' is said or denied wrongly, at the one threshold for all"
            " scans where both happen equally often; 0.5 by chance, and the lower, the more is leaked",
            "TPR at 1 % FPR": "share of same-person pairs above the similarity that 1 % of other pairs reach; at 0.1 %,"
            " with fewer than 1,000 other pairs, the share above them all",
            "ε from guesses": "for one request of each person the attacker guesses which of two people was sent. Where"
            " what is sent for one scan is ε-differentially private, no guess is right with a chance above"
            " e^ε/(1+e^ε). So many right ones prove that the scheme's ε is at least the interval's lower end (10: no"
            " end). It says nothing of the privacy of training, and is no upper bound: a better attacker or more people"
            " may prove more",
        },
    )

    def arms(self, attack: Attack) -> tuple[Arm, ...]:
        """A planted reference for attacks that say whose scan was mixed in, a planted target for all others."""
        return ("planted-reference",) if attack.about == (OWNER,) else ("planted",)

    def margin(self, scoring: ScoringSpec) -> float:
        """Least mAP above chance that counts."""
        return scoring.margin_identity

    def score(self, claims: Iterable[Claim], asked: Asked) -> Iterator[Row]:
        """Rank the gallery for every request; one claim answers them all."""
        found, attack = list(claims), asked.attack.name
        if len(found) != 1 or not isinstance(found[0], Similarity):
            raise ClaimError(f"attack '{attack}' must claim one similarity", got=f"{len(found)} claims")
        scores = found[0].scores
        if not isinstance(scores, DenseSimilarity | MsssimSimilarity):
            # The scorer asks for a person's own entries first: a value that depends on what is asked would tell.
            raise ClaimError(f"attack '{attack}' must claim a DenseSimilarity", got=type(scores).__name__)
        encoded = not {Rung.GALLERY, Rung.CANDIDATES} & asked.protocol.knowledge
        told: dict[str, Row] = {}
        if Rung.CANDIDATES in asked.protocol.knowledge:
            mixed = {request: asked.secrets.candidate(request) for request in asked.requests}
            people = ["" if found is None else found[0] for found in mixed.values()]  # nobody's, and left out
            owners = asked.secrets.candidate_people()
            told = {request: {SAME_SCAN: found[1]} for request, found in mixed.items() if found is not None}
            for request, places in zip(mixed, as_others(scores, people, owners), strict=True):
                told.setdefault(request, {})[AS_OTHERS] = places
        else:
            people = [asked.secrets.person(request) for request in asked.requests]
            owners = people if encoded else asked.secrets.gallery_people()
        check_similarity(scores, len(people), len(owners), encoded, attack)
        rng = np.random.default_rng(seed_from(asked.seed, "ties"))
        for ranks in rank_queries(scores, people, owners, rng, asked.advance):
            request = asked.requests[ranks.query]
            row = {"request": request, **asdict(ranks), **told.get(request, {})}
            row.pop("query")
            yield {k: round(v, DIGITS) if isinstance(v, float) else v for k, v in row.items()}

    def findings(self, scored: Scored, beside: Sequence[Scored], card: Scorecard) -> list[Finding]:
        """Every metric against chance."""
        return findings_of(scored, card, self.margin(card.scoring))

    def sentence(self, finding: Finding, record: Record) -> str:
        """How often the best match is the right person, and the mAP."""
        baseline = finding.baseline
        assert baseline is not None
        same = (f for f in record.findings if (f.attack, f.protocol) == (finding.attack, finding.protocol))
        first = next((f for f in same if f.metric == "rank1"), None)
        text = f"{self.metrics[finding.metric]} {number(finding.estimate)}, by chance {number(baseline.estimate)}."
        if first is None or first.estimate is None or first.chance is None:
            return text
        span = "" if first.ci is None else f" [{first.ci[0]:.0%}, {first.ci[1]:.0%}]"
        if finding.victim == OWNER:
            return (
                f"The best match among the candidates is the person whose scan was mixed in for {first.estimate:.0%}"
                f"{span} of scans, with references of {first.n_subjects} people (by chance {first.chance:.1%}); {text}"
            )
        return (
            f"The best match is the right person for {first.estimate:.0%}{span} of scans of {first.n_subjects} people "
            f"(by chance {first.chance:.1%}); {text}"
        )

    def power(self, people: int, scans: int, scoring: ScoringSpec, rng: np.random.Generator) -> list[str]:
        """Least mAP noticed, and people that a pass needs, among encoded scans and in a raw gallery."""
        out = []
        for encoded, where in ((True, "among encoded scans"), (False, "in a raw gallery")):
            design = Design(people, scans, encoded)
            noticed, share = least_noticed(design, scoring, rng), passing(design, scoring, rng)
            needed = needed_people(scans, encoded, scoring, rng)
            least = "no leak is noticed" if noticed is None else f"an mAP of {noticed:.2f} above chance is noticed"
            out.append(
                f"{where} ({people} people, {scans} scans each; chance {design.chance:.3f}): {least} in 9 of 10 audits;"
                f" a scheme that hides everything passes in {share:.0%} of audits"
                f" ({'no number tried' if needed is None else f'at least {needed} people'} for 95 %)"
            )
        return out

    def cells(self, finding: Finding, record: Record) -> list[str] | None:
        """Rank-1, macro F1 and mAP of every deciding protocol."""
        if finding.role != "primary" or finding.metric != self.primary:
            return None
        same = {f.metric: f for f in record.findings if (f.attack, f.protocol) == (finding.attack, finding.protocol)}
        figures = [interval(f.estimate, f.ci) if (f := same.get(m)) else "–" for m in ("rank1", "f1", "map")]
        return [*figures, number(finding.chance), over_seeds(finding)]
