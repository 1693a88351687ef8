"""``privaudit plan``."""

from __future__ import annotations

import typer

from privaudit.cli.options import Attacks, Budget, Chosen, Controls, Spec, grouped


@grouped
def plan(
    context: typer.Context,
    chosen: Chosen,
    spec: Spec = None,
    attack: Attacks = None,
    budget: Budget = None,
    controls: Controls = None,
) -> None:
    """Say what an audit could show, before anything runs: the least leak noticed, and people that a pass needs.

    Takes what ``privaudit audit`` takes.
    """
    from privaudit.auditing.planning import foresee
    from privaudit.auditing.spec import read_spec
    from privaudit.cli.audit import build_spec
    from privaudit.cli.building import unknown_first

    path, extra = unknown_first(spec, context.args)
    base = None if path is None else read_spec(path)
    for line in foresee(build_spec(extra, base, chosen, attack, None, str(path or ""), controls, budget)):
        typer.echo(line)
