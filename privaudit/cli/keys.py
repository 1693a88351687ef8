"""``privaudit key-audit``."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from privaudit.cli.options import FAULT, grouped
from privaudit.cli.progress import progress_bars


@grouped
def key_audit(
    context: typer.Context,
    defense: Annotated[str, typer.Option("--defense", help="Which scheme.")] = "mixup",
    keys: Annotated[int, typer.Option("--keys", help="How many keys to draw.")] = 1000,
    references: Annotated[int, typer.Option("--references-held", help="Made-up scans in the reference pool.")] = 24,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Repeat an audit. [default: the operating system's generator]")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, and only the verdict line.")] = False,
) -> None:
    """Draw keys and check them for repetitions, short periods and bias: exit 0 clean, 2 bad input, 4 faults.

    Options of the defense pass through: --views, --alpha-per.
    """
    import random

    from rich.table import Table

    from privaudit.auditing.key_audit import audit_keys
    from privaudit.cli.routing import read_pairs, route
    from privaudit.cli.summary import terminal
    from privaudit.contracts import plugin
    from privaudit.contracts.defense import Defense

    options = list(plugin.load("defenses", defense, Defense).Options.model_fields)
    values = route(read_pairs(context.args), {defense: options}, ("keys", "references_held", "seed"))[defense]
    scheme = plugin.create("defenses", defense, Defense, values)
    rng = random.SystemRandom() if seed is None else random.Random(seed)
    with progress_bars(quiet) as progress:
        checks = audit_keys(scheme, keys, rng, references, progress("keys", keys))
    console = terminal()
    if not quiet:
        table = Table("check", "found", "allowed", "")
        for check in checks:
            whole = "none" if math.isnan(check.figure) else f"{check.figure:,.0f}"
            found = f"{check.figure:.3g}" if check.name.endswith(", p") else whole
            table.add_row(check.name, found, check.allowed, "ok" if check.passed else "FAULT")
        console.print(table)
    faults = [check.name for check in checks if not check.passed]
    source = "the operating system's generator" if seed is None else f"seed {seed}"
    verdict = f"FAULTY: {'; '.join(faults)}" if faults else "no fault found"
    console.print(f"{keys} keys of {defense} from {source}: {verdict}", markup=False, soft_wrap=True)
    raise typer.Exit(FAULT if faults else 0)
