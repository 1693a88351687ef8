"""Trivial attacker: everybody has the mean age and the usual sex of the attacker's own people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from privaudit.contracts.attack import Protocol, Task
from privaudit.contracts.blind import Blind
from privaudit.contracts.claims import Attributes
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.transcript import Transcript


class MeanAttributesAttack(Blind):
    """Claims the same of everybody, whatever was sent: R² about 0, AUC 0.5."""

    name = "mean-attributes"
    summary = "trivial: the mean age and the shares of the sexes in the attacker's own people, whatever was sent"
    claim = "attribute"
    holds = Rung.POPULATION

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Attributes]:
        """Yield the same claim for each request; nothing of what is known of none of the own people."""
        known = knowledge.attributes
        ages = [float(person["age"]) for person in known if "age" in person]
        sexes = Counter(str(person["sex"]) for person in known if "sex" in person)
        numbers = {"age": float(np.mean(ages))} if ages else {}
        shares = {"sex": {sex: count / sexes.total() for sex, count in sexes.items()}} if sexes else {}
        for transcript in transcripts:
            yield Attributes(transcript.request, numbers, shares)
