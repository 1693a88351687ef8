"""Does a plugin keep its contract? Run on anybody's, by ``privaudit defenses check`` and ``privaudit attacks check``.

A defense is asked on a few toy volumes; an attack runs on a scheme that leaks, on noise, and on no encoding at all.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from privaudit.auditing.first_request import check_contract
from privaudit.auditing.opening import Settings
from privaudit.auditing.planning import of_owners
from privaudit.auditing.run import run_audit
from privaudit.auditing.scene import Scene
from privaudit.auditing.spec import parse_spec
from privaudit.auditing.toy_schemes import NoiseForOthers, OnlyNoise, OnlyOthers
from privaudit.cohorts.toy import ToyCohort, ToyDataset
from privaudit.contracts import plugin
from privaudit.contracts.attack import Attack
from privaudit.contracts.cohort import split_subjects
from privaudit.contracts.defense import Defense, Key
from privaudit.contracts.references import lent
from privaudit.errors import PrivauditError
from privaudit.imaging.patches import as_tensor, one_hot, stitch
from privaudit.results.overall import Verdict

NEAR: float = 0.97
"""Share of labels that must come back where interpolation blurs their borders."""


@dataclass(frozen=True)
class Checked:
    """One thing that was looked at.

    Attributes:
        what: must hold.
        passed: whether it does; None where there is nothing to look at.
        told: what was found where it does not.
    """

    what: str
    passed: bool | None
    told: str = ""


def check_defense(name: str, values: dict[str, Any] | None = None) -> Iterator[Checked]:
    """Check a defense on toy volumes.

    Args:
        name: of the plugin, or its place.
        values: its options.

    Raises:
        PrivauditError: there is no such plugin, or its options are wrong.
    """
    cohort = ToyCohort()
    split = split_subjects(cohort.subjects, 0)
    defense = plugin.create("defenses", name, Defense, values).fitted(cohort, split.victims)
    yield from check_scene(Scene(cohort, split, defense, 3))


def check_scene(scene: Scene) -> Iterator[Checked]:
    """Check the defense of a scene; what does not hold makes no later check fail."""
    for what, check in CHECKS.items():
        try:
            passed, told = check(scene)
        except PrivauditError as error:
            passed, told = False, str(error)
        except (Exception, SystemExit) as error:
            passed, told = False, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        yield Checked(what, passed, "" if passed else told)
        if what == FIRST and not passed:
            return


Found = tuple[bool | None, str]


def _contract(scene: Scene) -> Found:
    check_contract(scene)
    return True, ""


def _key(scene: Scene, seed: int = 5) -> Key:
    return scene.defense.draw_key(scene.cohort.shape, scene.pool, random.Random(seed))


def _equal_keys(scene: Scene) -> Found:
    image = as_tensor(scene.truth(scene.requests[0]).image)
    before, views = image.clone(), scene.defense.views
    sent = [scene.defense.encode(image, _key(scene), views) for _ in range(2)]
    if not torch.equal(image, before):
        return False, "the image was changed in place"
    same = torch.equal(sent[0].views, sent[1].views)
    return same, "two encodings of one scan under equal keys differ: chance comes from somewhere else than the key"


def _first_views(scene: Scene) -> Found:
    request = scene.requests[0]
    one, all_ = scene.transcript(request), scene.transcript(request, views=scene.defense.views)
    return torch.equal(one.views[0], all_.views[0]), "the first view depends on how many are asked for"


def _other_scans(scene: Scene) -> Found:
    for request in scene.requests[1:4]:
        scene.transcript(request, views=scene.defense.views)
    return True, ""


def _copied(scene: Scene) -> Found:
    copied, image = copy.deepcopy(scene.defense), as_tensor(scene.truth(scene.requests[0]).image)
    one, two = (d.encode(image, _key(scene), 1).views for d in (scene.defense, copied))
    return torch.equal(one, two), "a copy of the scheme, which attackers are lent, sends something else"


def _decoded(scene: Scene) -> Found:
    defense = scene.defense
    if not defense.answers:
        return None, "it does not say what a server sends back"
    labels = scene.truth(scene.requests[0]).labels
    maps, key = one_hot(labels, scene.classes), _key(scene)
    decoded = defense.decode(defense.respond(maps, key, defense.views), key)
    share = float((decoded.argmax(dim=0).numpy() == labels).mean())
    return share >= (1 if defense.lossless else NEAR), f"{share:.1%} of the labels come back"


def _keys_differ(scene: Scene) -> Found:
    if not scene.defense.keyed:
        return None, "it has no secret that differs from scan to scan"
    image, source = as_tensor(scene.truth(scene.requests[0]).image), random.SystemRandom()
    keys = [scene.defense.draw_key(scene.cohort.shape, scene.pool, source) for _ in range(8)]
    first, *others = [scene.defense.encode(image, key, 1).views for key in keys]
    differ = not all(torch.equal(first, other) for other in others)
    return differ, "eight fresh keys give one encoding; set keyed = False if there is no secret"


def _silent(scene: Scene) -> Found:
    key = _key(scene)
    good = repr(key) == str(key) == f"<{type(key).__name__}: secret>"
    return good, "its key prints its content: derive it from privaudit.Key, with @dataclass(repr=False)"


def _explained(scene: Scene) -> Found:
    key, views = _key(scene), scene.defense.views
    others, weights = scene.defense.bystanders(key, views), scene.defense.weights(key)
    if others is None or weights is None:
        return None, "the scheme mixes no other people in"
    image = as_tensor(scene.truth(scene.requests[0]).image)
    sent = scene.defense.encode(image, key, views)
    alpha = torch.from_numpy(weights).float()[..., None, None, None]
    target = stitch(((sent.views - (1 - alpha) * others) / alpha)[0], sent.positions, scene.cohort.shape)
    error = float((target - image).abs().max())
    return error < 2e-7 / float(weights.min()) + 1e-6, f"what is sent differs from that mixture by {error:.2g}"


FIRST = "types and shapes are those of the contract"
CHECKS: dict[str, Callable[[Scene], Found]] = {
    FIRST: _contract,
    "equal keys give equal encodings, and the image stays as it was": _equal_keys,
    "the first view is the same however many are asked for": _first_views,
    "every scan is sent in one form, with finite values": _other_scans,
    "a copy of the scheme does the same": _copied,
    "labels come back from respond() and decode()": _decoded,
    "fresh keys give other encodings": _keys_differ,
    "a key does not print its secret": _silent,
    "what is sent is the mixture that bystanders() and weights() tell of": _explained,
}


def check_attack(name: str, values: dict[str, Any] | None, folder: Path) -> Iterator[Checked]:
    """Check an attack: audits of noise and of no encoding, on toy volumes.

    One that says whose scan was mixed in meets noise beside which references are drawn, and the references themselves.

    Args:
        name: of the plugin, or its place.
        values: its options.
        folder: where the two audits are kept.

    Raises:
        PrivauditError: there is no such plugin, its options are wrong, or it is no attack that an audit could run.
    """
    attack = plugin.create("attacks", name, Attack, values)
    owners = of_owners(attack)
    scoring = {"resamples": 500, **({"min_subjects": 4} if owners else {})}  # the toy pool has eight people
    with lent(ToyDataset) as dataset, lent(NoiseForOthers if owners else OnlyNoise) as noise, lent(OnlyOthers) as bare:
        for scheme in (noise, bare if owners else "none"):
            data: dict[str, Any] = {
                "dataset": dataset,
                "defense": scheme,
                "attacks": [{"name": name, **(values or {})}],
            }
            data |= {"controls": "single", "utility": {"weights": "none"}, "scoring": scoring}
            record = run_audit(parse_spec(data, "check"), Settings(out=folder / scheme.rpartition(":")[2])).record
            mine = [f for f in record.shown() if f.attack == attack.name]
            failed = [item.error for item in (*record.missing, *record.skipped) if item.attack == attack.name]
            where = "noise" if scheme == noise else "no encoding"
            yield Checked(f"on {where}: it runs to its end", not failed, "; ".join(failed))
            if attack.trivial and not attack.reads_transcript:
                continue
            if scheme == noise:
                missed = [f.protocol for f in mine if f.control is None or not f.control.passed]
                yield Checked("on noise with 90 % of the image: the leak is found", not missed, f"missed: {missed}")
                wrong = [f.protocol for f in mine if f.verdict is Verdict.LEAK]
                yield Checked("on noise alone: no leak is found", not wrong, f"found: {wrong}")
            else:
                found = np.any([f.verdict is Verdict.LEAK for f in mine])
                yield Checked("on no encoding: a leak is found", bool(found), "none is")
