"""Recording, reading and accounting of traffic."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="needs the extra 'serve'")

from privaudit.client.connection import Address, Connection
from privaudit.client.remote import RemoteServer
from privaudit.traffic.account import Known, Leak, account
from privaudit.traffic.flows import Flow, TrafficError
from privaudit.traffic.grouping import group
from privaudit.traffic.har import read_har, write_har
from privaudit.traffic.reading import read_traffic
from privaudit.traffic.running import recording
from privaudit.wire.messages import LENGTH_HEADER
from tests.serving.stub import StubEngine, served

SCANS = np.random.default_rng(0).random((3, 2, 5, 4, 4, 4), dtype=np.float32)
"""Three scans, two views of five patches each."""
AFFINE = np.diag([1.1, 1.1, 1.2, 1.0]) + np.eye(4, k=3) * 7.25
KNOWN = Known(("sub-Miller", "K7"), (AFFINE,))


@pytest.fixture(scope="module")
def flows() -> list[Flow]:
    """What the honest client sends of three scans, as recorded."""
    with served() as port, recording(f"http://127.0.0.1:{port}") as (recorder, proxy):
        for views in SCANS:
            with Connection(Address(proxy)) as connection:
                server = RemoteServer(connection, 4, 3)
                server.check()
                for view in views:
                    np.testing.assert_array_equal(server.ask(view), StubEngine().maps(view))
    return recorder.flows


def test_scans_are_inferred_from_the_wire(flows: list[Flow]) -> None:
    found = group(flows, patches=5, views=2)
    assert not found.left
    np.testing.assert_array_equal([item.views for item in found.groups], SCANS)
    served = found.groups[1].served
    assert served is not None
    np.testing.assert_array_equal(served[1], StubEngine().maps(SCANS[1, 1]))
    # Without connections their order says the same.
    blind = group([replace(flow, connection="") for flow in flows], patches=5, views=2)
    np.testing.assert_array_equal([item.views for item in blind.groups], SCANS)
    with pytest.raises(TrafficError, match="no scan of this scheme was captured whole"):
        group(flows, patches=7, views=3)


def test_a_repetition_is_the_same_request_and_a_scan_broken_off_is_left(flows: list[Flow]) -> None:
    sent = [flow for flow in flows if flow.infers]
    lost = replace(sent[0], status=0, answer=b"", started=sent[0].started - 1, connection="lost")
    found = group([lost, *sent], patches=5, views=2)
    assert len(found.groups) == 2  # the first is divided: its connection was lost
    found = group([replace(lost, connection=sent[0].connection), *sent], patches=5, views=2)
    np.testing.assert_array_equal([item.views for item in found.groups], SCANS)
    assert found.groups[0].served is not None
    assert group(sent[1:], patches=5, views=2).left == [sent[1]]


def test_an_archive_holds_every_byte(flows: list[Flow], tmp_path: Path) -> None:
    write_har(tmp_path / "t.har", flows, "127.0.0.1:1")
    for read, flow in zip(read_har(tmp_path / "t.har"), flows, strict=True):
        assert read.started == pytest.approx(flow.started, abs=1e-5)
        assert vars(replace(read, started=flow.started)) == vars(flow)
    # As mitmproxy writes it: one character for each byte, and no word of an encoding.
    data = json.loads((tmp_path / "t.har").read_text())
    for entry in data["log"]["entries"]:
        post = entry["request"]["postData"]
        post["text"] = base64.b64decode(post["text"]).decode("latin-1")
        del post["encoding"], entry["connection"]
    (tmp_path / "m.har").write_text(json.dumps(data))
    assert [flow.body for flow in read_traffic(tmp_path / "m.har").flows] == [flow.body for flow in flows]


def test_a_request_log_of_kserve_is_read(flows: list[Flow], tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    for number, flow in enumerate(f for f in flows if f.infers):
        event = {"specversion": "1.0", "id": str(number), "source": "x", "time": f"2026-01-01T00:00:0{number}Z"}
        for kind, body in (("request", flow.body), ("response", flow.answer)):
            kind = f"org.kubeflow.serving.inference.{kind}"
            lines.append({**event, "type": kind, "data_base64": base64.b64encode(body).decode()})
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    found = group(read_traffic(path).flows, patches=5, views=2)
    np.testing.assert_array_equal([item.views for item in found.groups], SCANS)
    assert found.groups[2].served is not None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"log": {"entries": [{}]}}', '{"log": {"entries": []}}'])
def test_what_is_no_traffic_is_one_line(text: str, tmp_path: Path) -> None:
    for name in ("x.har", "x.jsonl"):
        (tmp_path / name).write_text(text)
        with pytest.raises(TrafficError) as error:
            read_traffic(tmp_path / name)
        assert "\n" not in str(error.value)


def test_the_honest_client_leaves_nothing_to_name(flows: list[Flow]) -> None:
    assert account(flows, KNOWN) == []


def header(name: str, value: str) -> Callable[[Flow], Flow]:
    return lambda flow: replace(flow, headers=(*flow.headers, (name, value)))


def field(change: Callable[[dict[str, Any]], object], tail: bytes = b"") -> Callable[[Flow], Flow]:
    def changed(flow: Flow) -> Flow:
        length = int(dict(flow.headers)[LENGTH_HEADER.lower()])
        head = json.loads(flow.body[:length])
        change(head)
        text = json.dumps(head, separators=(",", ":")).encode()
        kept = [(n, v) for n, v in flow.headers if n != LENGTH_HEADER.lower()]
        return replace(
            flow, body=text + flow.body[length:] + tail, headers=(*kept, (LENGTH_HEADER.lower(), str(len(text))))
        )

    return changed


def extra(name: str, data: bytes) -> Callable[[Flow], Flow]:
    """One more tensor, made of whatever bytes."""
    data += bytes(-len(data) % 4)
    tensor = {
        "name": name, "shape": [len(data) // 4], "datatype": "FP32", "parameters": {"binary_data_size": len(data)}
    }  # fmt: skip
    return field(lambda head: head["inputs"].append(tensor), data)


def rewritten(flow: Flow, change: Callable[[bytes], bytes]) -> Flow:
    length = int(dict(flow.headers)[LENGTH_HEADER.lower()])
    text = change(flow.body[:length])
    kept = [(n, v) for n, v in flow.headers if n != LENGTH_HEADER.lower()]
    return replace(flow, body=text + flow.body[length:], headers=(*kept, (LENGTH_HEADER.lower(), str(len(text)))))


def blanks(flow: Flow) -> Flow:
    return rewritten(flow, lambda text: text.replace(b",", b", ", 1))


def doubled(flow: Flow) -> Flow:
    return rewritten(flow, lambda text: b'{"id":"of somebody",' + text[1:])


HASH = hashlib.sha256(b"sub-Miller").hexdigest()
PLANTED: dict[str, tuple[Callable[[Flow], Flow], str]] = {
    "a name in a header": (header("X-Patient", "SUB-MILLER"), "the name of a person"),
    "a short name in a header": (header("X-Subject", "k7"), "more than is needed"),
    "a name in an expected header": (header("Content-Type", "application/sub-miller"), "the name of a person"),
    "a time": (header("Date", "Mon, 01 Jan 2026 10:11:12 GMT"), "a time"),
    "an epoch": (header("X-T", "1767225600123"), "a time"),
    "software": (header("User-Agent", "python-httpx2/2.16"), "software and its version"),
    "a time zone": (header("X-Zone", "Europe/Vienna"), "more than is needed"),
    "a path": (lambda f: replace(f, target=f.target + "?file=/home/x/scan.nii.gz"), "a file name or path"),
    "a name in the address": (lambda f: replace(f, target="/v2/models/sub-Miller/infer"), "the name of a person"),
    "an id that counts": (field(lambda head: head.update(id="7")), "ids that are not random"),
    "a name as id": (field(lambda head: head.update(id="sub-Miller")), "the name of a person"),
    "a hash as id": (field(lambda head: head.update(id=HASH[:32])), "a hash of a person's name"),
    "an affine in a field": (field(lambda head: head.update(parameters={"affine": [1.1]})), "an affine or grid"),
    "a field": (field(lambda head: head["inputs"][0].update(note="x")), "more than is needed"),
    "a parameter": (field(lambda head: head["inputs"][0]["parameters"].update(a=1)), "more than is needed"),
    "an output": (field(lambda head: head["outputs"].append({"name": "maps", "n": 1})), "more than is needed"),
    "a second tensor": (extra("thumbnail", bytes(64)), "more than is needed"),
    "a NIfTI header": (extra("x", bytes(344) + b"n+1\0"), "a NIfTI file"),
    "a binary affine": (extra("x", AFFINE[:3].astype("<f8").tobytes()), "an affine or grid"),
    "a name among bytes": (extra("x", b"..sub-Miller.."), "the name of a person"),
    "bytes behind": (lambda f: replace(f, body=f.body + b"1234"), "more than is needed"),
    "a name as host": (lambda f: replace(f, headers=(("host", "sub-miller"), *f.headers[1:])), "the name of"),
    "another host": (lambda f: replace(f, headers=(("host", "x.org"), *f.headers[1:])), "something that differs"),
    "another address": (lambda f: replace(f, target="/v2/models/m7/infer"), "something that differs"),
    "a header twice": (header("content-type", "application/octet-stream"), "something that differs"),
    "blanks in JSON": (blanks, "more than is needed"),
    "a doubled field": (doubled, "more than is needed"),
    "an image as a token": (header("Authorization", "Bearer " + "A" * 5000), "more than is needed"),
    "a name in a token": (header("Authorization", "Bearer sub-Miller"), "the name of a person"),
    "a length of 5000 digits": (header("Content-Length", "9" * 5000), "more than is needed"),
    "a host of 5000 letters": (header("Host", "x" * 5000), "more than is needed"),
    "another method": (lambda f: replace(f, method="PUT"), "more than is needed"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_side_channel_is_named(name: str, flows: list[Flow]) -> None:
    plant, kind = PLANTED[name]
    place = next(number for number, flow in enumerate(flows) if flow.infers)
    found = account([*flows[:place], plant(flows[place]), *flows[place + 1 :]], KNOWN)
    assert any(leak.kind.startswith(kind) for leak in found), found
    assert not any("miller" in f"{leak.kind} {leak.where}".lower() for leak in found)


@pytest.mark.parametrize(
    ("part", "ask"),
    [
        (
            "the header authorization",
            lambda n: Flow("c", 0.0, "GET", "/metrics", (("authorization", f"Bearer piece{n}"),), b""),
        ),
        ("the header host", lambda n: Flow("c", 0.0, "GET", "/v2/health/live", (("host", f"piece{n}"),), b"")),
        ("the model's name", lambda n: Flow("c", 0.0, "GET", f"/v2/models/piece{n}", (), b"")),
    ],
)
def test_questions_without_patches_carry_nothing_in_pieces(
    part: str, ask: Callable[[int], Flow], flows: list[Flow]
) -> None:
    assert part not in str(account([*flows, *[ask(0)] * 3][-3:], KNOWN)), "the same question again tells nothing"
    assert any(part in leak.where for leak in account([*flows, *map(ask, range(20))], KNOWN))


def test_one_id_on_two_requests_links_them(flows: list[Flow]) -> None:
    same = [field(lambda head: head.update(id="ab" * 16))(flow) if flow.infers else flow for flow in flows]
    assert account(same, KNOWN) == [Leak("which requests belong together", "one id on different requests")]
