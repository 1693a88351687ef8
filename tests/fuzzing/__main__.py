"""``python -m tests.fuzzing``: malformed inputs by the thousand, and what became of them."""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections import Counter

import joblib

from tests.fuzzing.judging import FAULTS, Tally
from tests.fuzzing.running import SEEDS, run_target
from tests.fuzzing.targets import TARGETS

MEMORY = 8 * 2**30
"""Bytes of address space: what explodes is an error, and takes nobody else down."""
BATCH = 50


def batch(name: str, count: int, seed: int) -> tuple[str, Tally]:
    """Some cases of one kind, in a process that cannot take all memory."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    return name, run_target(name, count, seed)


def main() -> int:
    """Run, print counts, write new seeds down; exit code 4 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="another seed gives other cases")
    parser.add_argument("--only", choices=TARGETS, help="one kind of input")
    parser.add_argument("--minutes", type=float, default=60, help="no batch is begun after so many")
    wanted = parser.parse_args()
    kinds = {wanted.only: 100} if wanted.only else {name: share for name, (_, share) in TARGETS.items()}
    left = {name: wanted.cases * share // 100 for name, share in kinds.items()}
    work: list[tuple[str, int, int]] = []
    while any(left.values()):  # in turns, so that a short run has seen every kind
        for name in left:
            if (count := min(BATCH, left[name])) > 0:
                work.append((name, count, wanted.seed + len(work)))
                left[name] -= count
    started, tallies = time.monotonic(), {name: Tally() for name in kinds}
    ends = started + 60 * wanted.minutes
    calls = (joblib.delayed(batch)(*item) for item in work if time.monotonic() < ends)
    pool = joblib.Parallel(n_jobs=wanted.jobs, return_as="generator_unordered", pre_dispatch="n_jobs")
    for name, tally in pool(calls):
        tallies[name] += tally
    report(tallies, time.monotonic() - started, wanted.seed)
    found = [item for tally in tallies.values() for item in tally.found]
    known = set(SEEDS.read_text(encoding="utf-8").splitlines())
    new = sorted({f"{name} {seed}" for name, seed, _, _ in found} - known)
    if new:
        SEEDS.write_text("\n".join([*sorted(known), *new, ""]).lstrip("\n"), encoding="utf-8")
        print(f"{len(new)} new seeds are in {SEEDS}")
    return 4 if found else 0


def report(tallies: dict[str, Tally], seconds: float, seed: int) -> None:
    """Print what was found, each fault once, and the counts."""
    seen: Counter[tuple[str, str, str]] = Counter()
    for tally in tallies.values():
        for name, number, fault, what in tally.found:
            where = (name, fault, what.strip().splitlines()[-1][:80] if what.strip() else "")
            seen[where] += 1
            if seen[where] == 1:
                print(f"--- {name} {number}: {fault}\n{what}")
    columns = ("cases", "refused", "accepted", *FAULTS)
    print(f"{'':12s}" + "".join(f"{column:>21s}" for column in columns))
    for name, tally in {**tallies, "all": sum(tallies.values(), Tally())}.items():
        print(f"{name:12s}" + "".join(f"{tally.counts[column]:21d}" for column in columns))
    print(f"{seconds:.0f} s, seed {seed}")


if __name__ == "__main__":
    sys.exit(main())
