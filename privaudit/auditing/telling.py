"""What may stand in messages that are kept: those about files often name people and places."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from privaudit.contracts.cohort import Cohort

SHORTEST: Final = 2
"""Ids shorter than this are not looked for in texts: they are everywhere."""


_QUOTED = re.compile(r"""(['"])([^'"\n]*[/\\][^'"\n]*)\1""")
_PLAIN = re.compile(r"""(?:\b[A-Za-z]:)?[^\s'"()<>,;:]*[/\\][^\s'"()<>,;:]*""")


def without_names(text: str, cohort: Cohort, known: Iterable[str] = ()) -> str:
    """A text without folders, ids of people, and names of sessions; that of a shareable cohort as it is.

    Args:
        text: a message, say.
        cohort: whose people are not to be named.
        known: paths that may stand in it, with blanks in them perhaps.
    """
    if cohort.shareable:
        return text
    for path in sorted({form for name in known for form in _forms(name)}, key=len, reverse=True):
        text = text.replace(path, Path(path).name)
    text = _QUOTED.sub(lambda found: found[1] + re.split(r"[/\\]", found[2])[-1] + found[1], text)
    text = _PLAIN.sub(lambda found: re.split(r"[/\\]", found[0])[-1], text)
    ids = {scan.subject for scan in cohort.scans} | {scan.session for scan in cohort.scans}
    long = sorted((re.escape(name) for name in ids if len(name) >= SHORTEST), key=len, reverse=True)
    # Not within longer words, and no decimals: the session '02' would be in many figures.
    return re.sub(rf"(?<![0-9A-Za-z])(?<!\d\.)(?:{'|'.join(long)})(?![0-9A-Za-z])", "[...]", text) if long else text


def _forms(path: str) -> set[str]:
    return {path, str(Path(path).expanduser()), str(Path(path).expanduser().absolute())}
