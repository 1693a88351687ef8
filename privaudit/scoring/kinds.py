"""The kinds of claims that are installed, by the name that attacks declare and by the metrics of findings."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import EntryPoint

from privaudit.contracts import plugin
from privaudit.contracts.attack import Attack
from privaudit.errors import PluginError
from privaudit.results.record import Finding, Record
from privaudit.scoring.kind import ClaimKind


def kind_named(name: str) -> ClaimKind:
    """The kind of that name.

    Raises:
        PluginError: there is none, or it cannot be loaded.
    """
    return plugin.create("claims", name, ClaimKind)


def kind_of(attack: Attack) -> ClaimKind:
    """The kind of an attack's claims.

    Raises:
        PluginError: no kind is called so.
    """
    return kind_named(attack.claim)


def all_kinds() -> tuple[ClaimKind, ...]:
    """Every kind that loads, by name; a broken one stops nobody who does not use it.

    Raises:
        PluginError: two kinds share a metric.
    """
    return _kinds(tuple(point for points in plugin.points("claims").values() for point in points))


@lru_cache(maxsize=4)
def _kinds(installed: tuple[EntryPoint, ...]) -> tuple[ClaimKind, ...]:
    """Load them once for what is installed: a card asks for the kind of every figure."""
    kinds = tuple(kind_named(row.name) for row in plugin.listing("claims", ClaimKind) if row.broken is None)
    owners: dict[str, str] = {}
    for kind in kinds:
        for metric in kind.metrics:
            if metric in owners:
                raise PluginError(
                    f"the kinds of claims '{owners[metric]}' and '{kind.name}' share the metric '{metric}'",
                    todo="give each kind's metrics names of their own",
                )
            owners[metric] = kind.name
    return kinds


def kind_with(metric: str) -> ClaimKind | None:
    """The kind that has a metric of this name; None where it is not installed here."""
    return next((kind for kind in all_kinds() if metric in kind.metrics), None)


def kinds_in(*records: Record) -> tuple[ClaimKind, ...]:
    """The kinds that records have findings of."""
    metrics = {finding.metric for record in records for finding in record.findings}
    return tuple(kind for kind in all_kinds() if not metrics.isdisjoint(kind.metrics))


def metric_name(name: str) -> str:
    """A metric as it is printed."""
    kind = kind_with(name)
    return name if kind is None else kind.metrics[name]


def findings_of(kind: ClaimKind, record: Record) -> list[Finding]:
    """A record's findings of one kind."""
    return [finding for finding in record.findings if finding.metric in kind.metrics]


def whose(finding: Finding) -> str:
    """An arrow to the victim, where findings of the kind speak of several."""
    kind = kind_with(finding.metric)
    plain = kind is not None and (len(kind.victims) == 1 or finding.victim == kind.unsaid)
    return "" if plain else f" → {finding.victim}"
