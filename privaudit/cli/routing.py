"""Routing of ``--key value`` pairs that the command does not know to the plugin that declares them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from privaudit.errors import OptionError, nearest


def read_pairs(tokens: Sequence[str]) -> list[tuple[str, str]]:
    """Read ``--key value``, ``--key=value`` and ``--flag`` (meaning true).

    Raises:
        OptionError: a token is no option.

    >>> read_pairs(["--root", "/data", "--lesions", "--voxel-mm=1.5"])
    [('root', '/data'), ('lesions', 'true'), ('voxel_mm', '1.5')]
    """
    pairs, index = [], 0
    while index < len(tokens):
        token = tokens[index]
        index += 1
        if not token.startswith("--") or len(token) < 3:
            raise OptionError("unexpected argument", got=repr(token), todo="options are written --name value")
        key, equals, value = token[2:].partition("=")
        if not equals:
            if index < len(tokens) and not tokens[index].startswith("--"):
                value = tokens[index]
                index += 1
            else:
                value = "true"
        pairs.append((key.replace("-", "_") if "." not in key else _dotted(key), value))
    return pairs


def _dotted(key: str) -> str:
    owner, _, option = key.rpartition(".")
    return f"{owner}.{option.replace('-', '_')}"


def spelled(key: str) -> str:
    """An option as it is typed.

    >>> spelled("mixup.alpha_per")
    'mixup.alpha-per'
    """
    return key.replace("_", "-")


def route(
    pairs: Sequence[tuple[str, str]], owners: Mapping[str, Sequence[str]], own: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Give each pair to the one owner that declares it.

    Args:
        pairs: what :func:`read_pairs` returned; a key may be ``owner.option``.
        owners: option names by owner ('phantom', 'mixup', 'reid', 'split', …).
        own: options of this and related commands, so that a typo in one is recognised.

    Returns:
        Option values by owner.

    Raises:
        OptionError: nobody declares it (the nearest name is offered), or several do.
    """
    out: dict[str, dict[str, str]] = {owner: {} for owner in owners}
    for key, value in pairs:
        owner, _, option = key.rpartition(".")
        if owner:
            if owner not in owners:
                raise OptionError(
                    f"--{spelled(key)}: '{owner}' takes no part in this audit", todo=nearest(owner, owners)
                )
            candidates = [owner]
        else:
            candidates = [name for name, options in owners.items() if option in options]
        if not candidates or option not in owners[candidates[0]]:
            if key in own:
                raise OptionError(f"this command has no option --{spelled(key)}", todo="see --help for those it has")
            known = [*(o for options in owners.values() for o in options), *own] if not owner else owners[owner]
            raise OptionError(
                f"no such option: --{spelled(key)}",
                todo=nearest(spelled(option), [spelled(name) for name in known], f"--{owner}." if owner else "--"),
            )
        if len(candidates) > 1:
            choices = " or ".join(f"--{name}.{spelled(option)}" for name in candidates)
            raise OptionError(f"--{spelled(option)} could belong to several plugins", todo=f"write {choices}")
        if option in out[candidates[0]]:
            raise OptionError(f"--{spelled(key)} is given twice", got=f"{out[candidates[0]][option]!r} and {value!r}")
        out[candidates[0]][option] = value
    return out
