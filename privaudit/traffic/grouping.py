"""What can be inferred from the wire: which patches belong to one scan, in which view, at which place.

Whoever sees the traffic knows the scheme but its keys: into how many patches a scan is cut, how many views are sent.
A client sends the patches of one scan one after the other over one connection. A request that is sent again, with the
same bytes, is one request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from privaudit.traffic.flows import Flow, TrafficError
from privaudit.wire.messages import INPUT, OUTPUT, OUTPUT_HALF, Array, WireError


@dataclass(frozen=True, eq=False)
class Group:
    """What was sent of one scan, as inferred.

    Attributes:
        views: float32 [V, N, *patch].
        served: what came back, float32 [V, N, C, *patch]; None where something did not.
        flows: its requests.
    """

    views: Array
    served: Array | None
    flows: tuple[Flow, ...]


@dataclass(frozen=True, eq=False)
class Grouping:
    """Groups in the order in which they were sent, and requests of which no whole scan came."""

    groups: list[Group]
    left: list[Flow]


def distinct(flows: Iterable[Flow]) -> list[Flow]:
    """Inference requests, each once: of repetitions the one that was answered, at the place of the first."""
    found: dict[tuple[str, bytes], Flow] = {}
    for flow in flows:
        if flow.infers:
            key = flow.target, hashlib.sha256(flow.body).digest()
            if key not in found or (found[key].status != 200 and flow.status == 200):
                found[key] = flow if key not in found else _in_place(found[key], flow)
    return list(found.values())


def _in_place(first: Flow, answered: Flow) -> Flow:
    """The answered repetition, on the connection of the first try: a client that repeats has lost that."""
    return Flow(
        first.connection, first.started, first.method, first.target, first.headers, first.body, answered.status,
        answered.answer_headers, answered.answer,
    )  # fmt: skip


def group(flows: Sequence[Flow], patches: int, views: int) -> Grouping:
    """Infer scans from traffic.

    Args:
        flows: in the order in which they began.
        patches: of one view, N.
        views: of one scan, V.

    Raises:
        TrafficError: of no scan everything was captured.
    """
    lanes: dict[str, list[Flow]] = {}
    for flow in distinct(flows):
        lanes.setdefault(flow.connection, []).append(flow)
    groups: list[Group] = []
    left: list[Flow] = []
    for lane in lanes.values():
        found, rest = _cut(lane, patches * views)
        groups += [_grouped(part, patches, views) for part in found]
        left += rest
    if not groups:
        raise TrafficError(
            "no scan of this scheme was captured whole", got=f"{sum(map(len, lanes.values()))} requests",
            allowed=f"{views} views of {patches} patches a scan, one after the other on one connection",
            todo="give the dataset and the defense that were used, with their options",
        )  # fmt: skip
    return Grouping(sorted(groups, key=lambda g: g.flows[0].started), left)


def _cut(lane: Sequence[Flow], count: int) -> tuple[list[list[Flow]], list[Flow]]:
    """Runs of requests with so many patches in all; a request of another kind, or too many patches, begins anew."""
    found: list[list[Flow]] = []
    left: list[Flow] = []
    run: list[Flow] = []
    have, kind = 0, None
    for flow in lane:
        shape = _shape(flow)
        if shape is None:
            left.append(flow)
            continue
        if have + shape[0] > count or (run and shape[1:] != kind):
            left += run
            run, have = [], 0
        run.append(flow)
        have, kind = have + shape[0], shape[1:]
        if have == count:
            found.append(run)
            run, have = [], 0
    return found, left + run


def _shape(flow: Flow) -> tuple[int, ...] | None:
    try:
        array = flow.request().arrays.get(INPUT)
    except WireError:
        return None
    return None if array is None or array.ndim != 5 or array.shape[1] != 1 else array.shape


def _grouped(flows: Sequence[Flow], patches: int, views: int) -> Group:
    sent = np.concatenate([flow.request().arrays[INPUT][:, 0] for flow in flows]).astype(np.float32)
    answers = [_answered(flow) for flow in flows]
    whole = [maps for maps in answers if maps is not None]
    served = None
    if len(whole) == len(flows) and sum(map(len, whole)) == len(sent):
        joined = np.concatenate(whole).astype(np.float32)
        served = joined.reshape(views, patches, *joined.shape[1:])
    return Group(sent.reshape(views, patches, *sent.shape[1:]), served, tuple(flows))


def _answered(flow: Flow) -> Array | None:
    maps = flow.maps(OUTPUT)
    return maps if maps is not None else flow.maps(OUTPUT_HALF)
