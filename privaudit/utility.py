"""Utility: how well the victims' scans are segmented through the defense, beside no encoding at all.

One row per scan is stored as it is finished, so a killed run continues; figures are made from the rows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from privaudit.cohort import Cohort
from privaudit.errors import OptionError
from privaudit.jobs import DIGITS, Advance, Context, scene_key
from privaudit.patches import Shape, as_tensor, cut, stitch
from privaudit.record import Curve, Utility
from privaudit.scene import Scene, seed_from
from privaudit.scorecard import by_alpha
from privaudit.segmentation.scores import dice, icc
from privaudit.segmentation.system import Average, Server, make_system, steps_up_to, views_of
from privaudit.segmentation.weights import Weights, find_shipped, how_to_train, load_weights, require_fit
from privaudit.spec import UtilitySpec
from privaudit.stats import cluster_interval
from privaudit.store import JobFile, Row

NONE: Final = "no encoding"


@dataclass(frozen=True)
class Networks:
    """Networks for the defense under audit, and for no encoding; the latter may be missing."""

    protected: Weights
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
    own = scene.defense.trained if spec.weights == "auto" else None
    protected = own or _find(spec.weights, defense, cohort, scene.defense.patch_size)
    if protected is None:
        todo = how_to_train(cohort, defense, "--utility.weights")
        return None, f"no shipped weights fit this cohort and defense; {todo}"
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
    first = tuple(r for r in scene.requests if r not in set(scene.later_requests))
    chosen = first if spec.scans == "first" else scene.requests
    if spec.people is None:
        return chosen
    people = sorted({scene.person(request) for request in chosen})[: spec.people]
    return tuple(request for request in chosen if scene.person(request) in set(people))


def run_utility(context: Context, networks: Networks, advance: Advance) -> JobFile:
    """Segment every probe through the defense, or those that a kill left."""
    scene, spec = context.scene, context.spec.utility
    store = JobFile.open(context.run / "jobs" / "utility.jsonl", _key(context, networks))
    requests = probes(spec, scene)
    finished = {row["request"] for row in store.rows}
    advance(len(finished))
    if store.done:
        return store
    started = time.perf_counter() - store.seconds
    try:
        for request in requests:
            if request not in finished:
                row = {"request": request, "person": scene.person(request), **_score(context, networks, request)}
                fifth = scene.alpha_fifth(request)
                row |= {} if fifth is None else {"alpha_fifth": fifth}
                store.append(row, time.perf_counter() - started)
                advance(1)
        store.finish(time.perf_counter() - started)
    finally:
        store.close()
    return store


def _key(context: Context, networks: Networks) -> dict[str, Any]:
    return {
        **scene_key(context, ("torch", "numpy", "monai")),
        "weights": networks.used,
        "utility": context.spec.utility.model_dump(mode="json"),
    }


def _score(context: Context, networks: Networks, request: str) -> dict[str, Any]:
    """Dice by name, as :func:`label_maps` gives them, and structure."""
    truth = context.scene.truth(request).labels
    names = {label: name for label, name in context.scene.cohort.label_names.items() if label > 0}
    scores: dict[str, dict[str, float | None]] = {}
    for name, guess in label_maps(context, networks, request):
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
        yield f"{NONE} @ 1", stitch(plain.respond(raw), encoded.positions, shape).argmax(dim=0).numpy()
    if scene.defense.name == "none":
        return
    config = networks.protected.config
    server, client = make_system(networks.protected.networks, config.patch_size, device)

    def labels(maps: Tensor, whole: bool) -> NDArray[np.int64]:
        guess: NDArray[np.int64] = (maps[0] if whole else scene.defense.assemble(maps, key)).argmax(dim=0).numpy()
        return guess

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


def utility_findings(rows: Sequence[Row], context: Context) -> list[Utility]:
    """Dice with intervals clustered by subject, paired differences, ICC over two references, and curves over K."""
    if not rows:
        return []
    spec = context.spec
    people = [str(row["person"]) for row in rows]
    structures = list(next(iter(rows[0]["scores"].values())))
    rng = np.random.default_rng(seed_from(spec.seed, "utility"))
    views = context.scene.defense.views

    def values(name: str, structure: str) -> NDArray[np.float64]:
        wanted = structures if structure == "mean" else [structure]
        found = [[v for s in wanted if (v := row["scores"][name][s]) is not None] for row in rows]
        return np.array([np.mean(some) if some else np.nan for some in found])

    def item(method: str, structure: str, metric: str, data: NDArray[np.float64], k: int, **more: Any) -> Utility:
        there = np.isfinite(data)
        kept = [person for person, is_there in zip(people, there, strict=True) if is_there]
        ci = None
        if len(set(kept)) > 1:
            ci = cluster_interval(
                data[there], kept, rng, confidence=spec.scoring.confidence, resamples=spec.scoring.resamples
            )
        estimate = round(float(data[there].mean()), DIGITS) if kept else None
        return Utility(
            method=method, structure=structure, metric=metric, estimate=estimate,
            ci=None if ci is None else (round(ci[0], DIGITS), round(ci[1], DIGITS)),
            n_subjects=len(set(kept)), params={"views": k, **more.pop("params", {})}, **more,
        )  # fmt: skip

    out: list[Utility] = []
    methods: dict[str, tuple[str, int]] = {}
    for name in rows[0]["scores"]:
        base, _, count = name.partition(" @ ")
        if count and int(count) in (1, views):
            methods[base if count == "1" else f"{base} + TTA"] = (name, int(count))
    order = [m for m in (NONE, "naive", "naive + TTA", "learned", "learned + TTA") if m in methods]
    for method in order:
        name, k = methods[method]
        for structure in (*structures, "mean"):
            curves = _curves(rows, method, name, values, item) if structure == "mean" else []
            data = values(name, structure)
            more = {"by_alpha": by_alpha(rows, data)} if structure == "mean" and np.isfinite(data).all() else {}
            out.append(item(method, structure, "dice", data, k, curves=curves, **more))
    for better, worse in (
        ("naive + TTA", "naive"), ("learned", "naive"), ("learned + TTA", "learned"), ("learned + TTA", NONE),
    ):  # fmt: skip
        if better in methods and worse in methods:
            apart = values(methods[better][0], "mean") - values(methods[worse][0], "mean")
            out.append(item(better, "mean", "dice difference", apart, methods[better][1], params={"minus": worse}))
    for method in ("naive", "learned"):
        if f"{method} # 2" not in rows[0]["scores"]:
            continue
        for structure in structures:
            pair = np.stack([values(f"{method} # {n}", structure) for n in (1, 2)], axis=1)
            pair = pair[np.isfinite(pair).all(axis=1)]
            result = icc(pair, spec.scoring.confidence)
            bounds = None if result is None else (round(result[1][0], DIGITS), round(result[1][1], DIGITS))
            value = None if result is None else round(result[0], DIGITS)
            out.append(
                Utility(
                    method=method, structure=structure, metric="icc", estimate=value, ci=bounds, n_subjects=len(pair),
                    params={"references": 2, "views": 1},
                )
            )  # fmt: skip
    return out


def _curves(rows: Sequence[Row], method: str, name: str, values: Any, item: Any) -> list[Curve]:
    """Mean Dice against the number of views, for a method with test-time augmentation."""
    if not method.endswith("+ TTA"):
        return []
    base = name.partition(" @ ")[0]
    counts = sorted(int(key.partition(" @ ")[2]) for key in rows[0]["scores"] if key.startswith(f"{base} @ "))
    points = [item(method, "mean", "dice", values(f"{base} @ {k}", "mean"), k) for k in counts]
    if any(point.estimate is None or point.ci is None for point in points):
        return []
    return [
        Curve(
            name="views", x_label="views K", y_label="mean Dice", x=[float(k) for k in counts],
            y=[point.estimate for point in points],
            low=[point.ci[0] for point in points], high=[point.ci[1] for point in points],
        )
    ]  # fmt: skip
