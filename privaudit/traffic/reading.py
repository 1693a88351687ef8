"""Reading a file of traffic, whichever of the known kinds it is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from privaudit.traffic.cloudevents import read_cloudevents
from privaudit.traffic.flows import Flow, TrafficError
from privaudit.traffic.har import read_har


@dataclass(frozen=True, eq=False)
class Traffic:
    """What was captured: flows in their order, and the hash of the file (12 hex digits)."""

    flows: list[Flow]
    digest: str


def read_traffic(path: Path) -> Traffic:
    """Read an HTTP archive (.har), or the request log of KServe (.jsonl).

    Raises:
        TrafficError: it is neither, or nothing was captured.
    """
    if not path.is_file():
        raise TrafficError("no file of traffic there", got=path, todo="make one with 'privaudit capture'")
    flows = read_cloudevents(path) if path.suffix in (".jsonl", ".ndjson") else read_har(path)
    if not any(flow.infers for flow in flows):
        raise TrafficError(f"{path} holds no inference request", got=f"{len(flows)} other requests")
    return Traffic(flows, hashlib.sha256(path.read_bytes()).hexdigest()[:12])
