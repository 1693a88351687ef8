"""Traffic in HTTP archives (HAR 1.2), as proxies and browsers write them.

Bodies are bytes. HAR has a word for their encoding in answers (``encoding``: 'base64') and none in requests; here it is
the same there. Proxies that write text instead (mitmproxy) map each byte to one character (Latin-1), and are read so.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from privaudit._version import __version__
from privaudit.files import parse_json, read_text, write_text
from privaudit.traffic.flows import Flow, Headers, TrafficError


def write_har(path: Path, flows: Iterable[Flow], host: str) -> None:
    """Write flows; the file is whole or not there.

    Args:
        path: to write to.
        flows: in any order.
        host: of the server, with its port, as addresses in the file show it.
    """
    log = {
        "version": "1.2", "creator": {"name": "privaudit", "version": __version__},
        "entries": [_entry(flow, host) for flow in sorted(flows, key=lambda flow: flow.started)],
    }  # fmt: skip
    write_text(path, json.dumps({"log": log}))


def _entry(flow: Flow, host: str) -> dict[str, Any]:
    began = datetime.datetime.fromtimestamp(flow.started, datetime.UTC).isoformat()
    common = {"httpVersion": "HTTP/1.1", "cookies": [], "headersSize": -1}
    return {
        "startedDateTime": began, "time": 0, "cache": {}, "timings": {"send": 0, "wait": 0, "receive": 0},
        "connection": flow.connection,
        "request": {
            "method": flow.method, "url": f"http://{host}{flow.target}", "queryString": [], **common,
            "headers": _listed(flow.headers), "bodySize": len(flow.body),
            "postData": {"mimeType": "", "encoding": "base64", "text": base64.b64encode(flow.body).decode()},
        },
        "response": {
            "status": flow.status, "statusText": "", "redirectURL": "", **common,
            "headers": _listed(flow.answer_headers), "bodySize": len(flow.answer),
            "content": {
                "size": len(flow.answer), "mimeType": "", "encoding": "base64",
                "text": base64.b64encode(flow.answer).decode(),
            },
        },
    }  # fmt: skip


def _listed(headers: Headers) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers]


def read_har(path: Path) -> list[Flow]:
    """Read the flows of an archive, in the order in which they began.

    Raises:
        TrafficError: it is no archive, or bodies cannot be read as bytes.
    """
    data = parse_json(read_text(path, TrafficError), str(path), TrafficError)
    try:
        flows = [_flow(entry) for entry in data["log"]["entries"]]
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        reason = " ".join(str(error).split())[:100]
        raise TrafficError(f"{path} is no HTTP archive (HAR 1.2): {type(error).__name__} {reason}") from None
    return sorted(flows, key=lambda flow: flow.started)


def _flow(entry: dict[str, Any]) -> Flow:
    request, response = entry["request"], entry.get("response") or {}
    parts = urlsplit(request["url"])
    return Flow(
        connection=str(entry.get("connection") or ""),
        started=datetime.datetime.fromisoformat(entry["startedDateTime"]).timestamp(),
        method=request["method"],
        target=parts.path + (f"?{parts.query}" if parts.query else ""),
        headers=_pairs(request["headers"]),
        body=_bytes(request.get("postData") or {}),
        status=int(response.get("status") or 0),
        answer_headers=_pairs(response.get("headers") or []),
        answer=_bytes(response.get("content") or {}),
    )


def _pairs(headers: list[dict[str, str]]) -> Headers:
    return tuple((str(item["name"]), str(item["value"])) for item in headers)


def _bytes(content: dict[str, Any]) -> bytes:
    text = content.get("text") or ""
    if content.get("encoding") == "base64":
        return base64.b64decode(text, validate=True)
    try:
        return str(text).encode("latin-1")
    except UnicodeEncodeError:
        return str(text).encode()
