"""What the server counts, for Prometheus: numbers of requests, patches and seconds, and nothing of what was sent."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counters of one server.

    Args:
        waiting: how many patches wait at the moment.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self.answers = Counter(
            "privaudit_requests", "Answers to inference requests, by status", ["code"], registry=self._registry
        )
        self.seconds = Histogram(
            "privaudit_request_seconds", "Seconds from a request's head to its answer", buckets=SECONDS,
            registry=self._registry,
        )  # fmt: skip
        self._patches = Counter("privaudit_patches", "Patches segmented", registry=self._registry)
        self._filled = Histogram(
            "privaudit_pass_patches", "Patches in a forward pass", buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self._registry,
        )  # fmt: skip
        self._pass = Histogram(
            "privaudit_pass_seconds", "Seconds of a forward pass", buckets=SECONDS, registry=self._registry
        )
        Gauge("privaudit_patches_waiting", "Patches that wait", registry=self._registry).set_function(waiting)

    def passed(self, patches: int, seconds: float) -> None:
        """Note a forward pass."""
        self._patches.inc(patches)
        self._filled.observe(patches)
        self._pass.observe(seconds)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)
