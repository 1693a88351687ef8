"""Text in Markdown: what comes from records, files and people must not be read as markup."""

from __future__ import annotations

import re
from typing import Final

MARKS: Final = "\\`*_{}[]|~#!"
"""Begin emphasis, code, links, images, tables, headings and strikethrough. Brackets of numbers read as before."""


BEGINNING: Final = re.compile(r"^(?:[-+](?=\s|$)|[-=]+(?=\s*$)|\d+(?=[.)](?:\s|$)))")
"""Of a line that would be a list, a rule or a heading; numbers are none."""


def escape(text: object) -> str:
    r"""Keep text from being read as markup, as the edge of a table, as a link or as somebody to be notified.

    >>> escape("a|b *c* <d> @e")
    'a\\|b \\*c\\* &lt;d&gt; &#64;e'
    """
    out = " ".join(str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())
    out = "".join("\\" + letter if letter in MARKS else letter for letter in out)
    out = out.replace("@", "&#64;").replace("://", "&#58;//")
    out = re.sub(r"\b(?=www\.)", "&#8203;", out, flags=re.IGNORECASE)
    return re.sub(BEGINNING, lambda found: _first(found[0]), out)


def _first(mark: str) -> str:
    return mark + "&#8203;" if mark[0].isdigit() else "\\" + mark


def code(text: object) -> str:
    """Text as code: nothing in it is markup, and it has no backticks."""
    inner = " ".join(str(text).replace("`", "'").split())
    return f"`{inner}`" if inner else ""
