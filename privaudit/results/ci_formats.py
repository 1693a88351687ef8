"""Text that CI systems read: JUnit XML and SARIF 2.1.0, from the same list of cases."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from privaudit._version import __version__
from privaudit.results.overall import Verdict, covered
from privaudit.results.record import Finding, Record

State = Literal["passed", "failure", "error"]
SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
# XML 1.0 has no way to write these, escaped or not.
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Case:
    """One thing that is checked.

    Attributes:
        name: what, for example 'reid/encoded/identity/map'.
        state: 'passed'; 'failure' for a leak or a regression; 'error' where nothing can be said.
        message: why, in one sentence.
        seconds: how long it took.
    """

    name: str
    state: State
    message: str
    seconds: float = 0.0


def finding_case(finding: Finding) -> Case:
    """What one primary finding means to CI: only NO LEAK DETECTED passes."""
    states: dict[Verdict | None, State] = {Verdict.NO_LEAK_DETECTED: "passed", Verdict.LEAK: "failure"}
    return Case(
        finding.key, states.get(finding.verdict, "error"), f"{finding.verdict}: {finding.reason}", finding.seconds
    )


def record_cases(record: Record) -> list[Case]:
    """One case per primary finding and per missing attack; an empty record is an error of its own."""
    primary = record.primary()
    cases = [finding_case(finding) for finding in primary if not covered(finding, primary)]
    cases += [Case(f"{m.attack}/{m.protocol}", "error", f"did not finish: {m.error}") for m in record.missing]
    return cases or [Case("audit", "error", record.reason)]


def junit(suite: str, cases: Sequence[Case]) -> str:
    """JUnit XML with one testcase per case."""
    counts = {state: sum(case.state == state for case in cases) for state in ("failure", "error")}
    attributes = {
        "name": _xml(suite),
        "tests": str(len(cases)),
        "failures": str(counts["failure"]),
        "errors": str(counts["error"]),
        "skipped": "0",
        "time": f"{sum(case.seconds for case in cases):.3f}",
    }
    root = ET.Element("testsuites")
    node = ET.SubElement(root, "testsuite", attributes)
    for case in cases:
        item = ET.SubElement(
            node, "testcase", {"classname": _xml(suite), "name": _xml(case.name), "time": f"{case.seconds:.3f}"}
        )
        if case.state != "passed":
            ET.SubElement(item, case.state, {"message": _xml(case.message)}).text = _xml(case.message)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _xml(text: str) -> str:
    return NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def sarif(cases: Sequence[Case], file: str = "record.json") -> str:
    """SARIF 2.1.0 with one result per case that did not pass."""
    failing = [case for case in cases if case.state != "passed"]
    rules = sorted({case.name for case in cases})
    results: list[dict[str, Any]] = [
        {
            "ruleId": case.name,
            "ruleIndex": rules.index(case.name),
            "level": "error" if case.state == "failure" else "warning",
            "message": {"text": case.message},
            # Code-scanning services show nothing without a place.
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": file}, "region": {"startLine": 1}}}],
            "partialFingerprints": {"privaudit/v1": case.name},
        }
        for case in failing
    ]
    driver = {
        "name": "privaudit",
        "version": __version__,
        "rules": [{"id": name, "shortDescription": {"text": f"Leakage found by {name}"}} for name in rules],
    }
    log = {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}
    return json.dumps(log, indent=1, ensure_ascii=False) + "\n"
