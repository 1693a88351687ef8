"""pytest plugin: a leakage check as a test in the user's own suite.

In a test, with the ``privaudit_check`` fixture::

    def test_encoder_does_not_leak_more(privaudit_check):
        privaudit_check("privaudit-runs/phantom-mixup-1a2b3c4d", baseline="privaudit-baseline.json")

Or from the command line, one test per deciding figure::

    pytest --privaudit-run RUN [--privaudit-baseline FILE]

pytest imports this in every session, so nothing heavy is imported until it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from privaudit.results.ci_formats import Case


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two options."""
    group = parser.getgroup("privaudit", "privacy audits")
    group.addoption("--privaudit-run", metavar="RUN", help="collect one test per deciding figure of this audit")
    group.addoption("--privaudit-baseline", metavar="FILE", help="compare with this file instead of demanding no leak")
    group.addoption(
        "--privaudit-tolerance", metavar="T", type=float, default=0.02, help="least growth that counts (default 0.02)"
    )


def _cases(run: str | Path, baseline: str | Path | None, tolerance: float) -> list[Case]:
    from privaudit.results.baseline import read_baseline
    from privaudit.results.ci_formats import record_cases
    from privaudit.results.gate import check
    from privaudit.results.record_files import read

    record = read(Path(run))
    if baseline is None:
        return record_cases(record)
    return check(record, read_baseline(Path(baseline)), tolerance).cases()


@pytest.fixture
def privaudit_check() -> Callable[..., None]:
    """Fail unless a finished audit shows no leak, or none beyond a committed baseline.

    Call it with the run folder, and optionally ``baseline=`` and ``tolerance=``. What is inconclusive, incomplete or
    not comparable fails too.
    """

    def check(run: str | Path, baseline: str | Path | None = None, tolerance: float = 0.02) -> None:
        from privaudit.errors import PrivauditError

        try:
            cases = _cases(run, baseline, tolerance)
        except PrivauditError as error:
            pytest.fail(f"privaudit: {error}", pytrace=False)
        failing = [f"{case.name}: {case.message}" for case in cases if case.state != "passed"]
        if failing:
            pytest.fail("\n".join(["privaudit:", *failing]), pytrace=False)

    return check


class LeakageError(Exception):
    """A case that did not pass."""


class LeakageItem(pytest.Item):
    """One deciding figure of an audit."""

    case: Case

    def runtest(self) -> None:
        """Fail with the figure's reason."""
        if self.case.state != "passed":
            raise LeakageError(f"{self.name}: {self.case.message}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        """Show the reason without a traceback."""
        return str(excinfo.value)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the figure comes from."""
        return self.path, None, f"privaudit: {self.name}"


class LeakageCollector(pytest.Collector):
    """All deciding figures of an audit."""

    def collect(self) -> Iterator[LeakageItem]:
        """Yield one item per figure."""
        from privaudit.errors import PrivauditError

        option = self.config.getoption
        try:
            cases = _cases(option("--privaudit-run"), option("--privaudit-baseline"), option("--privaudit-tolerance"))
        except PrivauditError as error:
            raise pytest.UsageError(f"privaudit: {error}") from None
        for case in cases:
            item = LeakageItem.from_parent(self, name=case.name)
            item.case = case
            yield item


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the figures of ``--privaudit-run`` to whatever else was collected."""
    if config.getoption("--privaudit-run"):
        collector = LeakageCollector.from_parent(session, name="privaudit", nodeid="privaudit")
        items.extend(collector.collect())
