"""What an audit runs: attacks, their protocols, and the arms that each needs."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from typing import Final

import numpy as np

from privaudit.auditing.jobs import Context, facts_of
from privaudit.auditing.scene import Scene
from privaudit.auditing.spec import AuditSpec
from privaudit.contracts import plugin
from privaudit.contracts.attack import Attack, Learned, Protocol
from privaudit.contracts.cohort import Dataset, require_unseen
from privaudit.contracts.knowledge import Rung
from privaudit.contracts.roles import assign_roles
from privaudit.errors import PluginError
from privaudit.results.record import Missing
from privaudit.results.words import roles_text
from privaudit.scoring.arms import GRADED, Arm
from privaudit.scoring.kinds import kind_of
from privaudit.scoring.paired import speaks_of
from privaudit.seeds import seed_from
from privaudit.specs import PluginSpec

TELLING: Final = frozenset({Rung.ATLAS, Rung.POPULATION, Rung.POOL, Rung.GALLERY})
"""Rungs that may not stand beside candidates. All but the last tell the pool's people from the others before anything
is looked at, as the atlas is made of those others; with the last it is not clear where to look somebody up."""
Steps = list[tuple[Attack, Protocol, list[Arm]]]
"""Attacks, their protocols, and the arms that each is run on."""


def all_attacks(spec: AuditSpec) -> list[Attack]:
    """The attacks asked for, and the trivial attackers that must stand beside claims of their kinds."""
    asked = [plugin.create("attacks", a.name, Attack, a.values) for a in spec.attacks]
    names = {attack.name for attack in asked}
    wanted = [name for attack in asked for name in kind_of(attack).beside]
    wanted += [name for attack in asked for name in attack.beside]
    trivial = [PluginSpec(name=name) for name in dict.fromkeys(wanted) if name not in names]
    asked = [plugin.create("attacks", t.name, Attack) for t in trivial] + asked
    if len({attack.name for attack in asked}) < len(asked):
        raise PluginError(
            "two attacks have one name", got=sorted(a.name for a in asked), todo="give yours another name"
        )
    return sorted(asked, key=lambda attack: not attack.trivial)


def learned_by(context: Context, attacks: list[Attack]) -> dict[str, Sequence[Learned]]:
    """Return what each attack has been trained on.

    Raises:
        OptionError: something is missing, does not fit, or has seen the people under attack.
    """
    scene = context.scene
    found = {attack.name: attack.learned(facts_of(context)) for attack in attacks}
    for name, items in found.items():
        for item in items:
            require_unseen(f"'{item.name}', which '{name}' uses, was", item.people, scene.cohort, scene.split.victims)
    return found


def plan(context: Context, attacks: list[Attack]) -> tuple[Steps, list[Missing]]:
    """Every attack's protocols with the arms they need: a control for each figure that decides a verdict.

    Returns:
        What can be run, and what cannot, with the reason: :func:`cannot_run`.
    """
    out: Steps = []
    skipped = []
    for attack in attacks:
        kind, protocols = kind_of(attack), attack.protocols(context.scene.defense.views)
        _check_protocols(attack, protocols)
        for protocol in protocols:
            if protocol.unlike and context.scene.defense.alike:
                continue  # another view would tell no more than the first
            if why := cannot_run(context.scene, attack, protocol):
                skipped.append(Missing(attack=attack.name, protocol=protocol.name, error=why))
                continue
            in_gallery = Rung.GALLERY in protocol.knowledge
            if in_gallery or (kind.needs_sessions and Rung.CANDIDATES not in protocol.knowledge):
                context.scene.require_sessions()
            if kind.needs_attributes:
                context.scene.require_attributes()
            arms: list[Arm] = ["audit"]
            if protocol.primary and attack.reads_transcript:
                others = context.scene.has_bystanders and speaks_of(attack, "reference")
                arms += [arm for arm in kind.arms(attack) if arm != "planted-reference" or others]
                arms += GRADED if context.spec.controls == "graded" and "planted" in arms else ()
                if type(attack).health is not Attack.health:
                    arms.append("health")
            out.append((attack, protocol, arms))
    return out, skipped


def cannot_run(scene: Scene, attack: Attack, protocol: Protocol) -> str:
    """Why a protocol is not for what this scheme sends, or for these data; '' if it is."""
    if Rung.SERVED in protocol.knowledge and scene.service is None:
        return f"there is no trained server network: {scene.unserved}"
    maps = bool({Rung.RETURNED, Rung.SERVED} & protocol.knowledge)
    if not scene.cohort.labelled and (maps or kind_of(attack).needs_labels):
        return f"'{scene.cohort.name}' has no label maps"
    if Rung.RETURNED in protocol.knowledge and not scene.defense.answers:
        return f"'{scene.defense.name}' does not say what a server sends back"
    if Rung.CANDIDATES in protocol.knowledge and scene.candidate(scene.requests[0]) is None:
        return "it says whose scan was mixed in, and no scan is mixed with the image of exactly one other person"
    if attack.on_grid and scene.off_grid is not None:
        return "it solves for mixtures voxel by voxel, and what is sent is not on the image's grid"
    if attack.alone and scene.defense.needs_pool:
        return f"it is for schemes that send the same for the same image, and '{scene.defense.name}' mixes others' in"
    if protocol.fresh and not scene.defense.fresh:
        return "it needs encodings of images of its own choosing, and only recorded ones are there"
    return ""


def foresee(spec: AuditSpec) -> list[str]:
    """What an audit could show, in sentences: who is attacked, the least leak noticed, people that a pass needs.

    Nothing is encoded or attacked; the figures are simulated with the seed of the specification.
    """
    cohort = plugin.create("datasets", spec.dataset.name, Dataset, spec.dataset.values).open()
    split = assign_roles(cohort.subjects, spec.split, spec.seed)
    battery = "" if spec.battery is None else f"{spec.battery}: "
    everybody = len(cohort.subjects)
    out = [
        f"{cohort.name}: {everybody} people ({roles_text(everybody, split.counts())}), {len(cohort)} scans",
        *cohort.notes,
        f"{battery}{', '.join(attack.name for attack in spec.attacks)}",
    ]
    scans = statistics.mode(len(cohort.sessions_of(victim)) for victim in split.victims)
    attacks = all_attacks(spec)
    if any(of_owners(attack) for attack in attacks):
        out.append(
            f"whose scan is mixed in: at most {len(split.pool)} people of the pool decide (at least"
            f" {spec.scoring.min_subjects}); what so many can show is not simulated"
        )
    for kind in {attack.claim: kind_of(attack) for attack in attacks if not of_owners(attack)}.values():
        if kind.needs_sessions and scans < 2:
            out.append(f"{kind.words.title}: nobody has two sessions, and none is possible")
            continue
        limit = len(split.victims) if not kind.one_by_one else spec.pictures.people or len(split.victims)
        people = min(limit, len(split.victims))
        rng = np.random.default_rng(seed_from(spec.seed, "plan", kind.name))
        out += [f"{kind.words.title}: {line}" for line in kind.power(people, scans, spec.scoring, rng)]
    return out


def of_owners(attack: Attack) -> bool:
    """Whether an attack says whose scan was mixed in, among candidates."""
    kind = kind_of(attack)
    return kind.names_owners and attack.about is not None and kind.victims[0] not in attack.about


def _check_protocols(attack: Attack, protocols: Sequence[Protocol]) -> None:
    """Protocols name files and findings: they must be different, and plain. One decides, and none looks unsaid."""
    names = [protocol.name for protocol in protocols]
    bad = [name for name in names if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 =_-]*", name)]
    if bad or len(set(names)) != len(names) or not names:
        raise PluginError(
            f"attack '{attack.name}' has unusable protocol names", got=names, allowed="distinct letters, digits, = _ -"
        )
    if not attack.trivial and not any(protocol.primary for protocol in protocols):
        raise PluginError(f"attack '{attack.name}' has no protocol that decides", todo="make one of them primary")
    for protocol in protocols:
        if protocol.requests is not None and (protocol.requests < 1 or protocol.primary or not attack.together):
            raise PluginError(
                f"attack '{attack.name}', protocol '{protocol.name}' hands over some requests at a time",
                got=protocol.requests,
                allowed="at least 1, where the protocol is not primary and the attack says together",
            )
        owners = Rung.CANDIDATES in protocol.knowledge
        if owners and (not of_owners(attack) or protocol.knowledge & TELLING):
            raise PluginError(
                f"attack '{attack.name}', protocol '{protocol.name}' looks references up among candidates",
                got=f"claim '{attack.claim}', about {attack.about}, knowledge {sorted(protocol.knowledge)}",
                allowed=f"claim 'similarity', about ('reference',), without {', '.join(sorted(TELLING))}",
                todo="make an atlas of the candidates themselves",
            )
        if of_owners(attack) and not owners:
            raise PluginError(
                f"attack '{attack.name}', protocol '{protocol.name}' speaks of references' owners",
                todo=f"declare the rung '{Rung.CANDIDATES}', in which they are looked up",
            )
        if (Rung.TRANSCRIPT in protocol.knowledge) != attack.reads_transcript:
            raise PluginError(
                f"attack '{attack.name}', protocol '{protocol.name}': reads_transcript is {attack.reads_transcript},"
                f" but the knowledge is {sorted(protocol.knowledge)}",
                todo="declare the rung 'transcript' if, and only if, it reads the transcript",
            )
