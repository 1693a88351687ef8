"""``privaudit.audit``: an audit of a function, from Python or from a notebook."""

from __future__ import annotations

import contextlib
import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from privaudit.auditing.opening import Settings
from privaudit.auditing.run import run_audit
from privaudit.auditing.spec import parse_spec
from privaudit.cards.writing import write_cards
from privaudit.contracts.arrays import function_defense
from privaudit.contracts.defense import Defense
from privaudit.contracts.references import lent
from privaudit.errors import OptionError
from privaudit.results.overall import Verdict
from privaudit.results.record import Record
from privaudit.results.words import interval, without_looking
from privaudit.scoring.kinds import whose
from privaudit.specs import named

COLUMNS = ("attack", "metric", "estimate [95 % CI]", "baseline", "difference", "control", "people", "verdict")


@dataclass(frozen=True)
class Audited:
    """A finished audit.

    Attributes:
        run: its folder.
        record: everything that was found, as ``record.json`` holds it.
        scheme: what was audited, where it lies nowhere else.
        key_secret: file of the secret that keys depend on, if any.
    """

    run: Path
    record: Record
    scheme: type[Defense] | None = None
    key_secret: Path | None = None

    @property
    def verdict(self) -> Verdict:
        """LEAK, NO LEAK DETECTED or INCONCLUSIVE."""
        return self.record.verdict

    @property
    def reason(self) -> str:
        """Why, in one sentence."""
        return self.record.reason

    @property
    def table(self) -> Any:
        """The figures that decide, and a row for each attack that could not run or failed.

        A pandas frame where pandas is installed; else a list of dictionaries.
        """
        rows = self._rows()
        try:
            import pandas
        except ImportError:
            return rows
        return pandas.DataFrame(rows, columns=list(COLUMNS))

    def card(self) -> Path:
        """Write the card, a file for a browser, and say where it is."""
        with contextlib.nullcontext() if self.scheme is None else lent(self.scheme):
            (path,) = write_cards(self.run, ("html",), with_images=False, key_secret=self.key_secret)
        return path

    def __repr__(self) -> str:
        return f"<{self.verdict}: {self.reason}; {self.run}>"

    def __str__(self) -> str:
        """Verdict, reason and table, as text."""
        lines = [COLUMNS, *([str(value) for value in row.values()] for row in self._rows())]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        return "\n".join([*text, f"{self.verdict}: {self.reason}"])

    def _repr_html_(self) -> str:
        """What a notebook shows: verdict, reason and table."""
        head = "".join(f"<th>{html.escape(name)}</th>" for name in COLUMNS)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(str(value))}</td>" for value in row.values()) + "</tr>"
            for row in self._rows()
        )
        title = f"<b>{html.escape(self.verdict)}</b>: {html.escape(self.reason)}"
        return f"<p>{title}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _rows(self) -> list[dict[str, Any]]:
        rows: list[list[str]] = []
        for f in self.record.shown():
            control = "–" if f.control is None else "found" if f.control.passed else "MISSED"
            verdict = "–" if f.verdict is None else str(f.verdict)
            name = f"{f.attack} {f.protocol}{whose(f)}"
            rows.append(
                [name, f.metric, interval(f.estimate, f.ci), *without_looking(f), control, str(f.n_subjects), verdict]
            )
        for word, items in (("MISSING", self.record.missing), ("not run", self.record.skipped)):
            rows += [[f"{m.attack} {m.protocol}", "", "", "", "", "", "", f"{word}: {m.error}"] for m in items]
        return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def audit(
    encode: Callable[..., Any] | type[Defense] | str,
    dataset: str | Mapping[str, Any] = "phantom",
    attacks: str | Sequence[str | Mapping[str, Any]] = "standard",
    *,
    views: int = 1,
    respond: Callable[..., Any] | None = None,
    decode: Callable[..., Any] | None = None,
    image_of: Callable[..., Any] | None = None,
    seed: int = 0,
    budget: str | None = None,
    out: Path | str | None = None,
    cache: Path | str | None = None,
    device: str = "auto",
    quiet: bool = False,
    key_secret: Path | str | None = None,
    **sections: Any,
) -> Audited:
    """Audit an encoder that is at hand: a function, a class, or the name of a plugin.

    Args:
        encode: ``encode(image, rng)`` takes float32 [X, Y, Z] in [0, 1] and a NumPy generator, the source of everything
            secret, and returns an array of any shape, or a list of arrays, the views of one scan. With a third argument
            it also gets the scan's opaque id. Or a subclass of :class:`privaudit.Defense`, or a plugin's name.
        dataset: name of a data set, or a mapping with its name and options.
        attacks: 'standard' for the standard battery, or attacks by name or as mappings with options.
        views: how many encodings of each scan are sent; the function is called so often.
        respond: what a server that makes no mistake makes of one-hot labels: ``respond(labels [C, X, Y, Z], rng)``.
            Without it and ``decode`` only encodings are attacked, and the result says so.
        decode: what the client makes of that: ``decode(returned, rng)`` → [C, X, Y, Z].
        image_of: what was sent, as an image, where it has another shape: ``image_of(sent, (X, Y, Z))``.
        seed: of every random choice.
        budget: of the standard battery: 'quick', 'full', 'thorough'.
        out: run folder; by default one below ``privaudit-runs``. The same call goes on after a kill.
        cache: folder for generated data.
        device: 'auto', 'cpu', 'cuda' or 'mps'.
        quiet: print nothing. Otherwise standard error says how many jobs there are and roughly how long they take, and
            shows their progress: bars on a terminal, elsewhere a line for each job that is done, and one a minute.
        key_secret: private file on which keys of scans under attack depend, made if it is missing; None to let them
            follow from the seed.
        sections: other parts of a specification: ``split``, ``scoring``, ``utility``, ``pictures``, ``controls``.

    Returns:
        Verdict, table and card; a notebook shows it by itself.

    Raises:
        PrivauditError: bad options or data, or a function that does not do what is said above.
    """
    with contextlib.ExitStack() as stack:
        scheme = _scheme_of(encode, views, respond, decode, image_of)
        name = scheme if isinstance(scheme, str) else stack.enter_context(lent(scheme))
        data = {"dataset": named(dataset), "defense": name, "seed": seed, **sections}
        items = [attacks] if isinstance(attacks, str) else list(attacks)
        data |= {"attacks": items} | ({"budget": budget} if budget is not None else {})
        data["dataset"] = dict(data["dataset"])
        spec = parse_spec(data, "privaudit.audit")
        from privaudit.cli.progress import progress_bars, say_unless

        settings = Settings(_path(out), _path(cache), device, 1, quiet, key_secret=_path(key_secret))
        progress = stack.enter_context(progress_bars(quiet))
        result = run_audit(spec, settings, progress, say_unless(quiet))
    return Audited(result.run, result.record, None if isinstance(scheme, str) else scheme, _path(key_secret))


def _scheme_of(encode: Any, views: int, respond: Any, decode: Any, image_of: Any) -> str | type[Defense]:
    """A plugin's name, or the class of what is to be audited."""
    given = [key for key, value in {"respond": respond, "decode": decode, "image_of": image_of}.items() if value]
    given += ["views"] if views != 1 else []
    if isinstance(encode, str) or (isinstance(encode, type) and issubclass(encode, Defense)):
        if given:
            raise OptionError(f"{', '.join(given)} belong to a function; a scheme says so itself", got=encode)
        return encode
    if not callable(encode):
        raise OptionError("an encoder is a function, a privaudit.Defense or a name", got=type(encode).__name__)
    if (respond is None) != (decode is None):
        raise OptionError("respond and decode belong together", got=", ".join(given), todo="give both, or neither")
    if views < 1:
        raise OptionError("views must be at least 1", got=views)
    return function_defense(encode, views=views, respond=respond, decode=decode, image_of=image_of)


def _path(value: Path | str | None) -> Path | None:
    return None if value is None else Path(value)
