"""Traffic in the request logs of KServe: CloudEvents, one in JSON on each line.

Such a log holds bodies and times, no headers and no connections; which requests share a connection is not known.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import json
from pathlib import Path
from typing import Any

from privaudit.files import parse_json, read_text
from privaudit.traffic.flows import Flow, TrafficError
from privaudit.wire.messages import LENGTH_HEADER, MODEL

REQUEST, RESPONSE = "inference.request", "inference.response"


def read_cloudevents(path: Path) -> list[Flow]:
    """Read the flows of a log, in the order in which they began; an answer is found by its event's id.

    Raises:
        TrafficError: a line is no CloudEvent.
    """
    answers: dict[str, tuple[bytes, str | None]] = {}
    requests: list[tuple[str, float, bytes, str | None]] = []
    for number, line in enumerate(read_text(path, TrafficError).splitlines(), start=1):
        if not line.strip():
            continue
        event = parse_json(line, f"{path}, line {number},", TrafficError)
        try:
            kind, name, body = str(event["type"]), str(event["id"]), _body(event)
            if kind.endswith(REQUEST):
                began = datetime.datetime.fromisoformat(event["time"]).timestamp()
                requests.append((name, began, body, _header_length(body)))
            elif kind.endswith(RESPONSE):
                answers[name] = body, _header_length(body)
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise TrafficError(f"{path}, line {number}, is no CloudEvent: {type(error).__name__} {error}") from None
    flows = [
        Flow(
            "", began, "POST", f"/v2/models/{MODEL}/infer", _said(length), body,
            *((200, _said(answers[name][1]), answers[name][0]) if name in answers else ()),
        )
        for name, began, body, length in requests
    ]  # fmt: skip
    return sorted(flows, key=lambda flow: flow.started)


def _body(event: dict[str, Any]) -> bytes:
    if "data_base64" in event:
        return base64.b64decode(event["data_base64"], validate=True)
    data = event["data"]
    return data.encode() if isinstance(data, str) else json.dumps(data).encode()


def _header_length(body: bytes) -> str | None:
    """Where the JSON header ends; None where all of the body is JSON."""
    text = body.decode("latin-1")
    _, end = json.JSONDecoder().raw_decode(text)
    return str(end) if text[end:].strip() else None


def _said(length: str | None) -> tuple[tuple[str, str], ...]:
    return () if length is None else ((LENGTH_HEADER, length),)
