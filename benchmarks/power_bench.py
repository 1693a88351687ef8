"""The exposure table: what do audits say of encoders whose strength is known?

Run with ``python -m benchmarks power``. Every encoder of ``tests/zoo`` is audited with the same attacks on the same
virtual people: a row as each audit ends, and at the end how many broken encoders were found out. A killed run goes on
where it stopped; each audit has its own folder. It takes hours with many people, so ``make bench`` leaves it out.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from privaudit.auditing.opening import Settings
from privaudit.auditing.run import run_audit
from privaudit.auditing.spec import AuditSpec, parse_spec
from privaudit.cohorts.store import cache_folder
from privaudit.files import write_text
from privaudit.provenance import commit, without_folders
from privaudit.results.overall import Verdict
from privaudit.results.record import Finding, Record
from privaudit.results.words import attack_name, interval
from privaudit.scoring.kinds import kind_with
from tests.installing import install

ATTACKS: Final = ("standard",)
VOXEL_MM: Final = 4.0
"""Of the virtual people: 40x48x40 voxels."""
HEAD: Final = ("encoder", "strength", "victims", "verdict", "strongest finding", "difference to not looking", "seconds")


@dataclass(frozen=True)
class Line:
    """One encoder's audit."""

    encoder: str
    strength: str
    victims: int
    verdict: Verdict
    finding: str
    difference: str
    seconds: float

    def cells(self) -> tuple[str, ...]:
        """As printed, in the order of :data:`HEAD`."""
        return (
            self.encoder,
            self.strength,
            str(self.victims),
            str(self.verdict),
            self.finding,
            self.difference,
            f"{self.seconds:.0f}",
        )


def strongest(record: Record) -> Finding | None:
    """The deciding finding that leaks, or else is ahead of not looking, by most of its margins; None without any."""

    def strength(finding: Finding) -> tuple[bool, float]:
        base = finding.baseline
        ahead = float("-inf") if base is None or base.difference is None else base.difference
        return finding.verdict is Verdict.LEAK, ahead / max(finding.margin, 1e-9)

    return max(record.primary(), key=strength, default=None)


def line_of(encoder: str, broken: bool, record: Record) -> Line:
    """What a record says, in one line. Seconds are those of the attacks, over all sessions of a run."""
    seconds = {(finding.attack, finding.protocol): finding.seconds for finding in record.findings}
    best, told, difference = strongest(record), "–", "–"
    if best is not None:
        kind = kind_with(best.metric)
        told = f"{attack_name(best)}: {best.metric if kind is None else kind.metrics[best.metric]}"
        if best.baseline is not None:
            difference = interval(best.baseline.difference, best.baseline.ci, signed=True)
    if record.missing:
        told += f" ({len(record.missing)} did not finish)"
    strength = "broken" if broken else "private"
    return Line(
        encoder, strength, record.dataset.split["victims"], record.verdict, told, difference, sum(seconds.values())
    )


def totals(lines: Sequence[Line]) -> list[str]:
    """How many of each strength got which verdict, and which broken ones were not found out."""
    out = []
    for strength in ("broken", "private"):
        verdicts = [line.verdict for line in lines if line.strength == strength]
        if verdicts:
            counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in Verdict)
            out.append(f"{len(verdicts)} {strength}: {counts}")
    missed = [line.encoder for line in lines if line.strength == "broken" and line.verdict is not Verdict.LEAK]
    return out + ([f"not found out: {', '.join(missed)}"] if missed else [])


def markdown(lines: Sequence[Line], command: str, people: str, code: str | None, day: datetime.date) -> str:
    """The table for the documentation, with all that made it."""
    rows = [HEAD, ("---",) * len(HEAD), *(line.cells() for line in lines)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    made = (
        f"`{command}`, {people}, commit {(code or 'unknown')[:8]}{'+' * (code or '').endswith('+')}, {day.isoformat()}:"
    )
    return f"{made}\n\n{table}\n\n" + "\n".join(f"- {total}" for total in totals(lines)) + "\n"


def spec_for(encoder: str, subjects: int, attacks: Sequence[str], seed: int) -> AuditSpec:
    """The audit of one encoder; utility is not measured: no network was trained for the zoo."""
    data = {
        "dataset": {"name": "phantom", "subjects": subjects, "voxel_mm": VOXEL_MM},
        "defense": encoder,
        "attacks": list(attacks),
        "seed": seed,
        "utility": {"weights": "none"},
    }
    return parse_spec(data, "python -m benchmarks power")


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks power", description="Audits of encoders of known strength."
    )
    parser.add_argument("--subjects", type=int, default=60, help="virtual people for broken encoders; half are victims")
    parser.add_argument("--private-subjects", type=int, default=300, help="for private ones: fewer cannot pass")
    parser.add_argument("--attacks", nargs="+", default=list(ATTACKS), metavar="NAME", help="which attacks")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this encoder; may be repeated")
    parser.add_argument("--seed", type=int, default=0, help="of every audit")
    parser.add_argument("--device", default="cpu", help="where networks run")
    parser.add_argument("--out", type=Path, help="folder of the runs [default: the user's cache]")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table for the documentation")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """Install the zoo, audit it, and print the table row by row."""
    chosen = options(arguments)
    out: Path = chosen.out or cache_folder(None) / "power"
    with tempfile.TemporaryDirectory() as site:
        install("zoo", Path(site))
        sys.path.insert(0, site)
        try:
            lines = run(chosen, out)
        finally:
            sys.path.remove(site)
    for total in totals(lines):
        print(total)
    if chosen.markdown is not None:
        command = f"python -m benchmarks power {without_folders(arguments)}".rstrip()
        people = f"virtual people at {VOXEL_MM:g} mm"
        write_text(chosen.markdown, markdown(lines, command, people, commit(), datetime.date.today()))


def run(chosen: argparse.Namespace, out: Path) -> list[Line]:
    """Audit every encoder that was chosen, in the order of the zoo."""
    from privaudit_zoo import BROKEN, PRIVATE

    names = [name for name in (*BROKEN, *PRIVATE) if chosen.only is None or name in chosen.only]
    unknown = set(chosen.only or ()) - set(names)
    if unknown:
        raise SystemExit(f"no such encoder: {', '.join(sorted(unknown))}; known: {', '.join((*BROKEN, *PRIVATE))}")
    print(" | ".join(HEAD), flush=True)
    lines = []
    for name in names:
        subjects = chosen.subjects if name in BROKEN else chosen.private_subjects
        spec = spec_for(name, subjects, chosen.attacks, chosen.seed)
        settings = Settings(out=out / f"{name}-{spec.digest}", device=chosen.device, quiet=True)
        lines.append(line_of(name, name in BROKEN, run_audit(spec, settings).record))
        print(" | ".join(lines[-1].cells()), flush=True)
    return lines
