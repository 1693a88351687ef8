"""Plugins by place: ``my_encoder.py:MyEncoder`` or ``package.module:Class``. Nothing need be packaged or installed.

For a defense the place may also be a function ``encode(image, rng)`` (:mod:`privaudit.contracts.arrays`).
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from privaudit.errors import PluginError

NOTEBOOK: Final = "notebook"
"""Place of classes that a program has made."""
_LENT: dict[str, type] = {}


def is_reference(name: str) -> bool:
    """Whether a name says where a class lies, rather than what it is called."""
    return ":" in name


@contextmanager
def lent(cls: type) -> Iterator[str]:
    """Let a class that lies nowhere, such as one made of a notebook's function, be loaded by a name in this process.

    Yields:
        The name, which stands in a specification.
    """
    name = f"{NOTEBOOK}:{cls.__name__}"
    _LENT[name] = named(cls, cls.__name__)
    try:
        yield name
    finally:
        _LENT.pop(name, None)


def load_reference(kind: str, reference: str, base: type) -> type[Any]:
    """Import the class at a place.

    Args:
        kind: 'attacks', 'defenses', …, for messages.
        reference: ``file.py:Class``, or ``package.module:Class``.
        base: what it must be a subclass of.

    Raises:
        PluginError: there is no such file, it cannot be imported, or what is there is nothing of the kind.
    """
    if reference in _LENT:
        return _LENT[reference]
    place, _, name = reference.rpartition(":")
    word = kind[:-1]
    if place == NOTEBOOK:
        raise PluginError(f"'{name}' was given to privaudit.audit by a program that has ended", todo="call it again")
    form = "my_file.py:MyClass or package.module:MyClass"
    if not place or not name.isidentifier():
        raise PluginError(f"'{reference}' says nowhere to find a {word}", allowed=form)
    module = _module(word, place)
    found = getattr(module, name, None)
    if found is None:
        classes = [n for n, v in vars(module).items() if inspect.isclass(v) and issubclass(v, base) and v is not base]
        raise PluginError(f"{place} has no '{name}'", allowed=", ".join(classes) or f"a subclass of {base.__name__}")
    if inspect.isfunction(found) and kind == "defenses":
        from privaudit.contracts.arrays import function_defense

        found = function_defense(found)
    if not (inspect.isclass(found) and issubclass(found, base)):
        raise PluginError(
            f"{reference} is no {word}", got=type(found).__name__, allowed=f"a subclass of privaudit.{base.__name__}"
        )
    return named(found, name)


def named(cls: type[Any], called: str) -> type[Any]:
    """A class that says its name and what it is, by itself or by what it is called."""
    if not isinstance(getattr(cls, "name", None), str):
        cls.name = kebab(called)
    if not isinstance(getattr(cls, "summary", None), str):
        cls.summary = (cls.__doc__ or "").strip().partition("\n")[0].rstrip(".") or f"'{called}'"
    return cls


def kebab(name: str) -> str:
    """A class's name as plugins are called.

    >>> kebab("MyEncoder"), kebab("noise_2D")
    ('my-encoder', 'noise-2d')
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).replace("_", "-").lower()


def stamp(name: str) -> str:
    """What changes when the code at a place does; '' for plugins that are installed."""
    place, _, _ = name.rpartition(":")
    if name in _LENT:
        return str(id(_LENT[name]))
    return _digest(Path(place)) if place.endswith(".py") and Path(place).is_file() else ""


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]


def _module(word: str, place: str) -> ModuleType:
    file = Path(place)
    if not place.endswith(".py"):
        try:
            return importlib.import_module(place)
        except (Exception, SystemExit) as error:
            raise _unimportable(word, place, error, None) from error
    if not file.is_file():
        raise PluginError(f"no file {place}", todo=f"give the file that the {word} is written in")
    file = file.resolve()
    # Its content is in the name: a changed file is another module, and pickles of two never mix.
    name = f"{re.sub(r'[^0-9A-Za-z_]', '_', file.stem)}_{_digest(file)}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))  # what lies beside it may be imported, as by a script
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _unimportable(word, place, error, file) from error
    return module


def _unimportable(word: str, place: str, error: BaseException, file: Path | None) -> PluginError:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if file is not None and Path(f.filename) == file]
    line = error.lineno if isinstance(error, SyntaxError) else frames[-1].lineno if frames else None
    where = place if line is None else f"{place}, line {line}"
    text = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())[:300]
    return PluginError(
        f"the {word} in {where} cannot be imported: {type(error).__name__}: {text}", todo="mend the file"
    )
