"""Who plays which part in an audit or a training: roles by share, by number of people, or by name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from privaudit.contracts.cohort import ROLES, Split, split_subjects
from privaudit.errors import DataError, OptionError
from privaudit.files import read_text
from privaudit.specs import SplitSpec


def assign_roles(subjects: Sequence[str], spec: SplitSpec, seed: int) -> Split:
    """Give people their roles; the rest is drawn by a seeded hash of their names.

    People named in files come first, then numbers of people. Shares are of everybody where all three roles have one;
    beside names and numbers they are proportions, and divide all who are left.

    Args:
        subjects: distinct names.
        spec: what each role gets.
        seed: any integer.

    Raises:
        OptionError: a file is missing or names somebody who is not there, roles need more people than there are, or
            shares add up to more than 1.
        DataError: a role would be empty, or somebody is named for two.
    """
    wanted = {role: getattr(spec, role) for role in ROLES}
    if all(isinstance(value, float) for value in wanted.values()):
        return split_subjects(subjects, seed, **wanted)
    roles = {role: _named(Path(value), role, subjects) for role, value in wanted.items() if isinstance(value, str)}
    taken = {name for names in roles.values() for name in names}
    left = [name for name in _drawn(subjects, seed) if name not in taken]
    sizes = {role: value for role, value in wanted.items() if isinstance(value, int)}
    shares = {role: value for role, value in wanted.items() if isinstance(value, float)}
    spare = len(left) - sum(sizes.values())
    if spare < len(shares):
        asked = ", ".join(f"{count} {role}" for role, count in sizes.items())
        named = f"{len(taken)} named, " if taken else ""
        raise OptionError(
            f"the roles need more people than there are: {len(subjects)}",
            got=named + asked + f", and somebody for {' and '.join(shares)}" if shares else named + asked,
            todo="ask for fewer, or add people",
        )
    sizes |= divide(spare, shares)
    for role in ROLES:
        if role in sizes:
            roles[role], left = tuple(sorted(left[: sizes[role]])), left[sizes[role] :]
    fractions = {role: len(names) / len(subjects) for role, names in roles.items()}
    return Split(**{role: roles[role] for role in ROLES}, seed=seed, fractions=fractions)


def _drawn(subjects: Sequence[str], seed: int) -> list[str]:
    return sorted(subjects, key=lambda s: hashlib.sha256(f"{seed}:{s}".encode()).hexdigest())


def divide(people: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Divide people by proportions, at least one for each, nobody left over: largest remainders.

    >>> divide(5, {"pool": 0.25, "population": 0.25})
    {'pool': 3, 'population': 2}
    """
    quota = {role: max(1.0, people * share / sum(shares.values())) for role, share in shares.items()}
    found = {role: int(value) for role, value in quota.items()}
    while shares and (spare := people - sum(found.values())):
        step = 1 if spare > 0 else -1
        role = max(found, key=lambda r: (step > 0 or found[r] > 1, step * (quota[r] - found[r])))
        found[role] += step
    return found


def _named(path: Path, role: str, subjects: Sequence[str]) -> tuple[str, ...]:
    """The people whom a file names: the first column of each line; '#' begins a comment, 'sub-' may stand or not.

    Raises:
        OptionError: the file cannot be read, names nobody, or somebody who is not there.
        DataError: it names somebody twice.
    """
    hint = "write one subject a line, as the folders are called"
    if not path.is_file():
        raise OptionError(f"split.{role}: no such file", got=path, allowed="a share, a number or a file", todo=hint)
    lines = [
        line.partition("#")[0].partition("\t")[0].strip() for line in read_text(path, OptionError, hint).split("\n")
    ]
    listed = [line for line in lines if line and line != "participant_id"]
    names = [name if name in set(subjects) else name.removeprefix("sub-") for name in listed]
    unknown = [name for name in names if name not in set(subjects)]
    if unknown or not names:
        raise OptionError(
            f"{path} names {len(unknown)} people who are not in the cohort" if names else f"{path} names nobody",
            got=f"{unknown[0]!r} first" if unknown else None, todo=hint,
        )  # fmt: skip
    if len(set(names)) < len(names):
        raise DataError(f"{path} names somebody twice", todo="remove one line of each")
    return tuple(sorted(names))
