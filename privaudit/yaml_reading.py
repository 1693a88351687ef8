"""YAML as specifications use it: plain values, each key once, and no more of it than somebody wrote."""

from __future__ import annotations

import math
from typing import Any, Final

import yaml

from privaudit.errors import OptionError, short

MOST_NODES: Final = 100_000
"""Values of a file, each repetition of an alias counted: a few lines of aliases can stand for billions."""
DEEPEST: Final = 100
"""Levels of nesting."""
DEFECTS: Final = (
    yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError,
)  # fmt: skip


class _Loader(yaml.SafeLoader):
    """Without dates and the other types that JSON, and so every record, lacks."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.yaml_constructors = {
    tag: make
    for tag, make in yaml.SafeLoader.yaml_constructors.items()
    if str(tag).rpartition(":")[2] not in {"timestamp", "binary", "omap", "pairs", "set"}
}


def load_yaml(text: str, source: str) -> Any:
    """Read YAML.

    Args:
        text: of one document.
        source: where it comes from, for messages.

    Raises:
        OptionError: ``source`` is not YAML; or a key stands twice in one mapping, of which the last would win; or it is
            nested too deep, or aliases make it too large, or a number is not finite.
    """
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node, source)
        return loader.construct_document(node)
    except DEFECTS as error:
        reason = short(error) or type(error).__name__
        raise OptionError(f"{source} is not YAML: {reason}") from None
    finally:
        if loader is not None:
            loader.dispose()


def load_value(text: str, source: str) -> Any:
    """Read a value that was typed as an option.

    Raises:
        OptionError: as :func:`load_yaml`; or a part of it is a comment, which would be lost without a word.
    """
    value = load_yaml(text, source)
    last = [token for token in yaml.scan(text) if not isinstance(token, yaml.StreamEndToken | yaml.BlockEndToken)][-1]
    if text[last.end_mark.index :].strip():
        raise OptionError(
            f"{source} has a '#', which begins a comment", got=repr(short(text)), todo="quote it: '\"a #1\"'"
        )
    return value


def _check(root: yaml.Node, source: str) -> None:
    """Count the values, and look for keys given twice."""
    sizes: dict[int, int] = {}
    open_: set[int] = set()

    def size(node: yaml.Node, depth: int) -> int:
        if id(node) in sizes:
            return sizes[id(node)]
        if id(node) in open_ or depth > DEEPEST:
            raise OptionError(
                f"{source} is nested too deep, or holds itself", allowed=f"{DEEPEST} levels", todo="write it plainly"
            )
        open_.add(id(node))
        found = 1
        if isinstance(node, yaml.MappingNode):
            _check_keys(node, source)
            found += sum(size(key, depth + 1) + size(value, depth + 1) for key, value in node.value)
        elif isinstance(node, yaml.ScalarNode):
            _check_number(node, source)
        elif isinstance(node, yaml.SequenceNode):
            found += sum(size(item, depth + 1) for item in node.value)
        open_.remove(id(node))
        if found > MOST_NODES:
            raise OptionError(f"{source} holds more values than any use of it needs", allowed=f"{MOST_NODES:,}")
        sizes[id(node)] = found
        return found

    size(root, 0)


def _check_number(node: yaml.ScalarNode, source: str) -> None:
    """JSON, and so every record, has no word for numbers that are not finite."""
    if node.tag == "tag:yaml.org,2002:float":
        text = node.value.replace("_", "").lower()
        if text.lstrip("+-") in {".inf", ".nan"} or (":" not in text and not math.isfinite(float(text))):
            raise OptionError(
                f"{source}: '{short(node.value, 40)}' is no finite number", todo="write null where there is no limit"
            )


def _check_keys(node: yaml.MappingNode, source: str) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise OptionError(
                    f"{source}: the key '{short(key.value, 60)}' is given twice, in line {key.start_mark.line + 1}",
                    todo="remove one of them",
                )
            seen.add(key.value)
