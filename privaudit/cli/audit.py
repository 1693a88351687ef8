"""``privaudit audit`` and ``privaudit attack``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from privaudit.cli.completing import names_of
from privaudit.cli.options import Attacks, Budget, Chosen, Run, Running, Spec, grouped
from privaudit.cli.progress import progress_bars, say_unless
from privaudit.errors import OptionError

if TYPE_CHECKING:
    from privaudit.auditing.run import Result
    from privaudit.auditing.spec import AuditSpec

EPILOG = (
    "Every option of the dataset, the defense and the attacks is an option here: --voxel-mm 2, --patch-size 32; "
    "'privaudit defenses show mixup' lists them. Where two plugins share a name, write --mixup.views 10. "
    "Sections of the specification are reached the same way: --split.victims 0.4, --scoring.margin-image 0.01."
)


@grouped
def audit(
    context: typer.Context,
    chosen: Chosen,
    run: Run,
    running: Running,
    spec: Spec = None,
    attack: Attacks = None,
    budget: Budget = None,
) -> None:
    """Audit a defense: run every attack, score it, and write record and card.

    Without a specification and options: the standard battery, quick, on Mixup-Privacy and the embedded phantom cohort.
    The same command after a kill continues where it stopped.
    """
    from privaudit.auditing.panel import read_specs
    from privaudit.cli.building import unknown_first

    path, extra = unknown_first(spec, context.args)
    bases = [None] if path is None else read_specs(path)
    if len(bases) > 1 and chosen.defense is not None:
        raise OptionError(
            "--defense cannot replace a list of defenses", got=chosen.defense, todo="edit the specification"
        )
    if len(bases) > 1 and run.traffic is not None:
        raise OptionError("captured traffic is of one defense", got=f"{len(bases)} defenses", todo="name one")
    built = [
        build_spec(extra, base, chosen, attack, run.msssim, str(path or ""), run.controls, budget) for base in bases
    ]
    if len(built) == 1:
        _run(built[0], run, running)
    else:
        _run_panel(built, run, running)


@grouped
def attack(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help="Which attack ('privaudit attacks list').", autocompletion=names_of("attacks"))
    ],
    chosen: Chosen,
    run: Run,
    running: Running,
) -> None:
    """Run one attack (with its trivial baselines and controls) against a defense."""
    if name.startswith("--"):
        raise OptionError("the attack's name comes first", got=name, todo="write: privaudit attack NAME --option value")
    _run(build_spec(context.args, None, chosen, [name], run.msssim, controls=run.controls), run, running)


CARDS = ("html", "markdown")
OWN = (
    "dataset", "defense", "attack", "seed", "out", "cache", "device", "jobs", "msssim", "controls", "budget", "quiet",
    "explain", "pseudonym_key", "key_secret", "traffic",
)  # fmt: skip


def build_spec(
    extra: list[str],
    base: AuditSpec | None,
    chosen: Chosen,
    attacks: list[str] | None,
    msssim: str | None,
    source: str = "",
    controls: str | None = None,
    budget: str | None = None,
) -> AuditSpec:
    """Merge a specification, read from ``source``, and options: options win."""
    from privaudit.auditing.battery import STANDARD
    from privaudit.auditing.spec import SECTIONS, AuditSpec, expand, parse_spec
    from privaudit.cli.building import choose_plugins, fill
    from privaudit.cli.routing import read_pairs, route
    from privaudit.contracts import plugin
    from privaudit.contracts.attack import Attack
    from privaudit.contracts.options import accepts_text_only
    from privaudit.yaml_reading import load_value

    data: dict[str, Any] = (AuditSpec() if base is None else base).model_dump()
    if attacks or budget:
        given = {item["name"]: item for item in data["attacks"]}
        names = dict.fromkeys(attacks or [STANDARD])
        asked = expand(
            [name if name == STANDARD else given.get(name, {"name": name}) for name in names], budget, "command line"
        )
        data["attacks"] = [dict(item) for item in asked]
    sections = choose_plugins(data, dataset=chosen.dataset, defense=chosen.defense)
    for item in data["attacks"]:
        cls = plugin.load("attacks", item["name"], Attack)
        sections[cls.name] = (item, cls.Options)
    owners = {name: list(options.model_fields) for name, (_, options) in sections.items()}
    owners |= {section: list(model.model_fields) for section, model in SECTIONS.items()}
    routed = route(read_pairs(extra), owners, OWN)
    for section in SECTIONS:
        data[section] |= {
            key: value
            if accepts_text_only(SECTIONS[section].model_fields[key].annotation)
            else load_value(value, f"--{section}.{key.replace('_', '-')}")
            for key, value in routed.pop(section).items()
        }
    fill(sections, routed)
    if chosen.seed is not None:
        data["seed"] = chosen.seed
    if controls is not None:
        data["controls"] = controls
    if msssim is not None:
        data["scoring"]["msssim"] = msssim
    return parse_spec(data, source or "command line")


def _run(spec: AuditSpec, run: Run, running: Running) -> None:
    from privaudit.auditing.opening import Settings, traffic_folder
    from privaudit.auditing.run import run_audit
    from privaudit.cards.writing import write_cards
    from privaudit.cli.summary import print_leaks, print_summary

    out = run.out if run.traffic is None or run.out is not None else traffic_folder(spec, run.traffic)
    settings = Settings(
        out, running.cache, running.device, run.jobs, running.quiet, run.pseudonym_key, run.traffic, run.key_secret
    )
    with progress_bars(running.quiet) as progress:
        result: Result = run_audit(spec, settings, progress, say_unless(running.quiet))
    cards = write_cards(
        result.run, CARDS, run.with_images, running.cache, run.jobs, running.quiet, spec, traffic=run.traffic,
        key_secret=run.key_secret,
    )  # fmt: skip
    if run.explain:
        for name, note in result.notes.items():
            typer.echo(f"{name}: {note}")
    print_summary(result.record, cards, running.quiet)
    if run.traffic is not None:
        print_leaks(result.leaks)
        if result.leaks:
            raise typer.Exit(1)
    if result.record.missing:
        raise typer.Exit(3)


def _run_panel(specs: list[AuditSpec], run: Run, running: Running) -> None:
    from privaudit.auditing.opening import Settings
    from privaudit.auditing.panel import panel_folder, run_panel, write_panel
    from privaudit.cards.writing import write_cards
    from privaudit.cli.summary import print_summary

    folder = panel_folder(specs, run.out)
    settings = Settings(
        None, running.cache, running.device, run.jobs, running.quiet, run.pseudonym_key, key_secret=run.key_secret
    )
    with progress_bars(running.quiet) as progress:
        done = run_panel(specs, settings, folder, progress, say_unless(running.quiet))
    for spec, (place, record) in zip(specs, done, strict=True):
        cards = write_cards(
            place, CARDS, run.with_images, running.cache, run.jobs, running.quiet, spec, key_secret=run.key_secret
        )
        print_summary(record, cards, running.quiet)
    for path in write_panel(folder, [record for _, record in done], CARDS):
        typer.echo(f"panel: {path}")
    if any(record.missing for _, record in done):
        raise typer.Exit(3)
