"""Utility: how well the victims' scans are segmented through the defense, beside no encoding at all.

One row per scan is stored as it is finished, so a killed run continues; figures are made from the rows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.auditing.jobs import Advance, Context, scene_key
from privaudit.auditing.scene import Scene
from privaudit.auditing.shown import Shown
from privaudit.auditing.spec import UtilitySpec
from privaudit.auditing.store import JobFile
from privaudit.contracts.cohort import Cohort
from privaudit.errors import OptionError
from privaudit.imaging.patches import Shape, as_tensor, cut, stitch
from privaudit.paths import marked_name, told
from privaudit.results.record import Utility
from privaudit.scoring.overlap import dice
from privaudit.scoring.rows import DIGITS, Row
from privaudit.scoring.utility import NONE, RECORDED, utility_findings
from privaudit.segmentation.server import Server
from privaudit.segmentation.system import Average, make_system, steps_up_to, views_of
from privaudit.segmentation.weights import Weights, find_shipped, how_to_train, load_weights, require_fit, why_unfit


@dataclass(frozen=True)
class Networks:
    """Networks for the defense under audit, and for no encoding; the latter may be missing.

    The former is missing where the maps that came back were recorded: then nothing need be segmented.
    """

    protected: Weights | None
    plain: Weights | None

    @property
    def used(self) -> list[dict[str, str]]:
        """Name and hash of each, for the record."""
        found = {w.name: w.digest for w in (self.protected, self.plain) if w is not None}
        return [{"name": name, "sha256": digest} for name, digest in found.items()]


def check_weights(spec: UtilitySpec) -> None:
    """Read weights that were asked for by name, before data is generated or read.

    Raises:
        OptionError: there are none.
    """
    for wanted in (spec.weights, spec.plain_weights):
        if wanted not in ("auto", "none"):
            load_weights(Path(wanted))


def choose_networks(spec: UtilitySpec, scene: Scene) -> tuple[Networks | None, str]:
    """Return the networks to measure with, or None and why utility is not measured.

    Raises:
        OptionError: weights that were asked for do not fit, or have seen the people under test.
    """
    if spec.weights == "none":
        return None, "not asked for"
    cohort, defense = scene.cohort, scene.defense.name
    if scene.defense.answers and not scene.defense.fresh and spec.weights == "auto":
        plain = _find(spec.plain_weights, "none", cohort, scene.defense.patch_size)
        if plain is not None:
            require_fit(plain, cohort, "none", scene.defense.patch_size, scene.split.victims)
        return Networks(None, plain), ""
    own = scene.defense.trained if spec.weights == "auto" else None
    protected = own if isinstance(own, Weights) else _find(spec.weights, defense, cohort, scene.defense.patch_size)
    if protected is None:
        todo = how_to_train(cohort, defense, "--utility.weights")
        why = why_unfit(defense, cohort, scene.defense.patch_size)
        return None, f"no shipped weights fit this cohort and defense: {why}; {todo}"
    plain = protected if defense == "none" else _find(spec.plain_weights, "none", cohort, protected.config.patch_size)
    for weights, scheme in ((protected, defense), (plain, "none")):
        if weights is not None:
            require_fit(weights, cohort, scheme, scene.defense.patch_size, scene.split.victims)
    return Networks(protected, plain), ""


def _find(wanted: str, defense: str, cohort: Cohort, patch_size: int | None) -> Weights | None:
    if wanted == "none":
        return None
    if wanted == "auto":
        return find_shipped(defense, cohort, patch_size)
    weights = load_weights(Path(wanted))
    if weights.config.defense["name"] != defense:
        raise OptionError(
            f"the weights '{weights.name}' were trained for another defense",
            got=weights.config.defense["name"],
            allowed=defense,
        )
    return weights


def probes(spec: UtilitySpec, scene: Scene) -> tuple[str, ...]:
    """The requests to segment: each victim's first session, or every session."""
    return scene.some_requests(spec.scans, spec.people)


def run_utility(context: Context, networks: Networks, advance: Advance) -> JobFile:
    """Segment every probe through the defense, or those that a kill left."""
    scene, spec = context.scene, context.spec.utility
    requests = probes(spec, scene)
    path = _path(context)
    store = JobFile.open(path, _key(context, networks), requests, names=context.names)
    finished = {row["request"] for row in store.rows}
    advance(len(finished))
    if store.done:
        return store
    started = time.perf_counter() - store.seconds
    try:
        for request in requests:
            if request not in finished:
                shown = Shown(path, store.key) if scene.cohort.shareable and request == requests[0] else None
                scores = _score(context, networks, request, shown)
                row = {"request": request, "person": scene.person(request), **scores}
                fifth = scene.alpha_fifth(request)
                row |= {} if fifth is None else {"alpha_fifth": fifth}
                store.append(row, time.perf_counter() - started)
                advance(1)
        store.finish(time.perf_counter() - started)
    finally:
        store.close()
    return store


def kept_maps(context: Context, networks: Networks) -> dict[str, Tensor]:
    """Middle slices [X, Y, 1] of the first probe's label maps, by 'method @ K', if they were kept."""
    return {name: volume for name, (_, volume) in Shown(_path(context), _key(context, networks)).slices.items()}


def _path(context: Context) -> Path:
    return context.run / "jobs" / "utility.jsonl"


def _key(context: Context, networks: Networks) -> dict[str, Any]:
    return {
        **scene_key(context, ("torch", "numpy", "monai")),
        "weights": networks.used,
        "utility": told(context.spec.utility.model_dump(mode="json"), marked_name),
    }


def _score(context: Context, networks: Networks, request: str, shown: Shown | None) -> dict[str, Any]:
    """Dice by name, as :func:`label_maps` gives them, and structure; maps that a card shows are kept."""
    truth = context.scene.truth(request).labels
    names = {label: name for label, name in context.scene.cohort.label_names.items() if label > 0}
    scores: dict[str, dict[str, float | None]] = {}
    for name, guess in label_maps(context, networks, request):
        if shown is not None and " @ " in name:
            shown.keep(name, name, torch.from_numpy(guess))
        values = {tissue: dice(guess, truth, label) for label, tissue in names.items()}
        scores[name] = {tissue: None if v is None else round(v, DIGITS) for tissue, v in values.items()}
    return {"scores": scores}


def label_maps(context: Context, networks: Networks, request: str) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Segment one request by every method.

    Yields:
        'method @ K' for the mean over the first K views, 'method # n' for the n-th view alone, and the label map.
    """
    scene, device = context.scene, context.device
    volume, key, encoded = scene.client_side(request, scene.defense.views)
    classes = max(scene.cohort.label_names) + 1
    if networks.plain is not None:
        # Cut like the encoded ones, so that the encoding alone makes the difference.
        raw = cut(as_tensor(volume.image), encoded.positions, (*encoded.views.shape[-3:],))
        plain = Server(networks.plain.networks.segmentation, networks.plain.config.patch_size, device)
        shape: Shape = (volume.image.shape[0], volume.image.shape[1], volume.image.shape[2])
        yield f"{NONE} @ 1", _largest(stitch(plain.respond(raw), encoded.positions, shape))
    if scene.defense.name == "none":
        return
    if networks.protected is None:
        views = scene.defense.views
        yield f"{RECORDED} @ {views}", scene.client_labels(request, views, False)
        return
    config = networks.protected.config
    server, client = make_system(networks.protected.networks, config.patch_size, device)

    def labels(maps: Tensor, whole: bool) -> NDArray[np.int64]:
        return _largest(maps[0] if whole else scene.defense.assemble(maps, key))

    averages: dict[str, Average] = {}
    wanted = set(steps_up_to(len(encoded.views)))
    for number, view in enumerate(views_of(server, client, scene.defense, encoded.views, key, classes), start=1):
        for method, maps in view.maps.items():
            average = averages.setdefault(method, Average())
            average.add(maps)
            if number in wanted:
                yield f"{method} @ {number}", labels(average.mean(), view.whole)
            if number <= 2:
                yield f"{method} # {number}", labels(maps, view.whole)


def _largest(maps: Tensor) -> NDArray[np.int64]:
    """Label map [X, Y, Z] of the greatest of maps [C, X, Y, Z], the lowest label of equal ones."""
    guess: NDArray[np.int64] = maps.max(dim=0).indices.numpy()  # along the first axis, argmax takes seven times as long
    return guess


def utility_figures(rows: Sequence[Row], context: Context) -> list[Utility]:
    """Figures of the finished rows."""
    spec, views = context.spec, context.scene.defense.views
    return utility_findings(rows, views, spec.scoring, spec.seed)
