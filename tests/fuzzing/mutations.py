"""Ways to spoil bytes, texts and nested data."""

from __future__ import annotations

import copy
import math
import random
from typing import Any

NASTY: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**30, 0.0, -0.0, 1e-300, 1e-320, 1e308, -1e308, math.inf,
    -math.inf, math.nan, "", " ", "0", "1e11", "nan", "#", "a\x00b", "\ud800", "..", "../../etc/passwd", "a" * 5000,
    "%s%n", "{{7*7}}", "<script>", "é", [], [[]], {}, {"name": "x"}, [None], [1, "a"], "P001", "mixup", "auto", "none",
    "2001-01-01",
]  # fmt: skip
SCALARS = [
    "", "~", "null", ".inf", "-.inf", ".nan", "1e11", "1.0e+11", "1e-300", "0x10", "0o17", "1:30", "1_000",
    "2001-01-01", "2001-99-99", "yes", "no", "on", "9" * 5000, "9" * 400, "-1", "0", "1.5", "'", '"', "[", "]", "{",
    "}", "[]", "{}", "#a", "a #b", "&a [*a]", "*a", "!!python/object:os.system x", "!!binary aGk=", "!!timestamp now",
    "!!set {a}", "? a", "|", ">", "[0, 1]", "[1, 0]", "[0.5, .inf]", "\x00", "é", "\ud83d", "a" * 3000, "%TAG", "---",
    "...", "<<: {a: 1}", "@", "`", "true", "../x", "/dev/null", "/proc/self/mem", "mixup", "none", "auto",
]  # fmt: skip
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
"""Nine to the ninth values in nine lines."""


def spoil_bytes(rng: random.Random, data: bytes) -> bytes:
    """Flip bits, cut, repeat, insert or overwrite."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5, 30))):
        place, length = rng.randrange(len(out) + 1), rng.choice((1, 2, 4, 8, 100))
        how = rng.randrange(6)
        if how == 0 and out:
            out[place % len(out)] ^= 1 << rng.randrange(8)
        elif how == 1:
            del out[place:]
        elif how == 2:
            del out[place : place + length]
        elif how == 3:
            out[place:place] = rng.randbytes(length)
        elif how == 4:
            out[place:place] = out[place : place + length]
        else:
            out[place : place + length] = rng.choice((b"\x00", b"\xff", b"9", b"[", b"\n")) * length
    return bytes(out)


def places_of(data: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested data."""
    found = [at]
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        found += places_of(value, (*at, key))
    return found


def spoil_data(rng: random.Random, data: Any) -> Any:
    """Replace, remove, rename or repeat parts of nested data (changed in place)."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        place = rng.choice(places_of(data)[1:] or [()])
        if not place:
            return copy.deepcopy(rng.choice(NASTY))
        parent = data
        for key in place[:-1]:
            parent = parent[key]
        how = rng.randrange(5)
        if how == 0:
            del parent[place[-1]]
        elif how == 1 and isinstance(parent, dict):
            parent[rng.choice(("x", "", "name", "é", "a" * 300))] = parent.pop(place[-1])
        elif how == 2 and isinstance(parent, list):
            parent.extend(parent[:50])
        else:
            parent[place[-1]] = copy.deepcopy(rng.choice(NASTY))  # it may be spoiled in its turn
    return data


def spoil_lines(rng: random.Random, text: str) -> str:
    """Give keys of a YAML text other values, repeat, drop and indent lines, and put in what explodes."""
    lines = text.split("\n")
    for _ in range(rng.choice((1, 1, 2, 3))):
        place = rng.randrange(len(lines))
        how = rng.randrange(8)
        if how == 0:
            lines.insert(place, lines[place])
        elif how == 1:
            del lines[place]
        elif how == 2:
            lines[place] = " " * rng.randrange(6) + lines[place]
        elif how == 3:
            lines.insert(rng.choice((0, len(lines))), rng.choice((BOMB, "x: &x {y: *x}", "[" * 2000, "? " * 500)))
        else:
            key, colon, _ = lines[place].partition(":")
            lines[place] = f"{key}{colon} {rng.choice(SCALARS)}"
        lines = lines or [""]
    return "\n".join(lines)
