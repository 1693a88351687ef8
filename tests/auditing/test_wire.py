"""Audits of captured traffic: as the audit in one process to the digit, and red where something else left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

pytest.importorskip("uvicorn", reason="needs the extra 'serve'")

from privaudit.auditing.opening import Settings, open_context
from privaudit.auditing.run import run_audit
from privaudit.auditing.scene import Scene
from privaudit.auditing.sending import send_cohort
from privaudit.auditing.spec import AuditSpec, parse_spec
from privaudit.auditing.wire import WireScene
from privaudit.cards.pictures import pictures_of
from privaudit.cards.writing import report_input
from privaudit.client.connection import Address, Connection
from privaudit.client.remote import RemoteServer
from privaudit.errors import DataError, RecordError
from privaudit.traffic.flows import Flow
from privaudit.traffic.har import write_har
from privaudit.traffic.reading import Traffic, read_traffic
from privaudit.traffic.running import recording
from privaudit.wire.messages import LENGTH_HEADER, Array
from tests.serving.stub import StubEngine, served

DATA: dict[str, Any] = {
    "dataset": {"name": "blobs", "subjects": 10}, "defense": {"name": "mixup", "views": 3},
    "attacks": ["average"], "scoring": {"resamples": 200}, "seed": 3,
}  # fmt: skip


class FourClasses(StubEngine):
    classes, size = 4, 32

    def maps(self, patches: Array) -> Array:
        return np.repeat(super().maps(patches)[:, :1], 4, axis=1) * 0 + np.float32(0.25)


@dataclass
class Sent:
    spec: AuditSpec
    scene: Scene
    flows: list[Flow]
    traffic: Path


@contextmanager
def connected(proxy: str) -> Iterator[RemoteServer]:
    with Connection(Address(proxy)) as connection:
        yield RemoteServer(connection, 32, 4)


def captured(scene: Scene, client: Callable[[str], Any] = connected) -> list[Flow]:
    """What a client sends of all scans, through a recording proxy to a server."""
    with served(FourClasses()) as port, recording(f"http://127.0.0.1:{port}") as (recorder, proxy):
        send_cohort(scene, lambda: client(proxy), lambda _: None)
    return recorder.flows


@pytest.fixture(scope="module")
def sent(thirdparty: Path, tmp_path_factory: pytest.TempPathFactory) -> Sent:
    spec = parse_spec(DATA, "test")
    scene = open_context(spec, Settings(device="cpu"))[0].scene
    flows = captured(scene)
    path = tmp_path_factory.mktemp("wire") / "traffic.har"
    write_har(path, flows, "127.0.0.1:1")
    return Sent(spec, scene, flows, path)


@pytest.mark.slow
def test_the_audit_of_traffic_agrees_with_that_in_one_process_to_the_digit(sent: Sent, tmp_path: Path) -> None:
    here = run_audit(sent.spec, Settings(out=tmp_path / "here", device="cpu"))
    there = run_audit(sent.spec, Settings(out=tmp_path / "there", device="cpu", traffic=sent.traffic))
    assert there.leaks == ()
    one, other = here.record.stable(), there.record.stable()
    for finding in other["findings"]:  # the attackers had all that they know of requests from the wire
        assert ("wire" in finding["knowledge"]) == ("transcript" in finding["knowledge"])
        finding["knowledge"] = [rung for rung in finding["knowledge"] if rung != "wire"]
    assert one["findings"] == other["findings"]
    assert one["verdict"] == other["verdict"]
    (note,) = other["defense"]["notes"]
    requests = len(sent.scene.requests) * 3
    digest = read_traffic(sent.traffic).digest
    assert note == f"transcripts are bytes captured on the wire: {requests} requests (file {digest})"
    # Without the traffic nothing is drawn: what the scheme makes is not what was sent.
    assert report_input(there.run, there.record, False, None).pictures == ()
    with pytest.raises(RecordError, match="pictures of captured traffic need its file"):
        report_input(there.run, there.record, True, None)


def dimmed(flow: Flow) -> Flow:
    """A request with patches half as bright; any other as it was."""
    if not flow.infers:
        return flow
    length = int(next(value for name, value in flow.headers if name.lower() == LENGTH_HEADER.lower()))
    patches = np.frombuffer(flow.body[length:], "<f4") / 2
    return replace(flow, body=flow.body[:length] + patches.astype("<f4").tobytes())


def test_pictures_show_what_was_captured(sent: Sent, tmp_path: Path) -> None:
    write_har(tmp_path / "dim.har", map(dimmed, sent.flows), "127.0.0.1:1")
    drawn = [
        pictures_of(tmp_path / "run", None, utility=False, spec=sent.spec, traffic=traffic)[0].png
        for traffic in (sent.traffic, tmp_path / "dim.har")
    ]
    assert drawn[0] != drawn[1]


def heard(sent: Sent, flows: list[Flow]) -> tuple[WireScene, tuple[str, ...]]:
    """The scene of an audit of these flows, and what it names."""
    old = sent.scene
    scene = WireScene(old.cohort, old.split, old.defense, old.seed, Traffic(flows, "0" * 12))
    return scene, scene.leaks


def test_transcripts_are_made_of_nothing_but_captured_bytes(sent: Sent) -> None:
    scene, leaks = heard(sent, sent.flows)
    assert leaks == ()
    for request in scene.requests[:3]:
        transcript = scene.transcript(request, views=3, served=True)
        np.testing.assert_array_equal(transcript.views, sent.scene.transcript(request, views=3).views)
        assert transcript.served is not None
        assert float(transcript.served.min()) == 0.25  # what this server answered, and no network here could
        np.testing.assert_array_equal(transcript.affine, np.eye(4))
    # A byte that is changed on the wire is changed in the transcript, and named.
    place = next(n for n, flow in enumerate(sent.flows) if flow.infers)
    body = bytearray(sent.flows[place].body)
    body[-1] ^= 1
    changed = [*sent.flows[:place], replace(sent.flows[place], body=bytes(body)), *sent.flows[place + 1 :]]
    scene, (leak,) = heard(sent, changed)
    assert leak.startswith("patches that are not what the scan's key makes")
    assert len(scene.captured.groups) == len(scene.requests)


class RawBeside(RemoteServer):
    """Sends the raw image, too: as one more request."""

    raw: Array

    def respond(self, patches: Tensor) -> Tensor:
        self.ask(self.raw[None])
        return super().respond(patches)


def test_the_raw_image_in_a_side_channel_is_found(sent: Sent) -> None:
    @contextmanager
    def client(proxy: str) -> Iterator[RemoteServer]:
        with Connection(Address(proxy)) as connection:
            server = RawBeside(connection, 32, 4)
            server.raw = sent.scene.truth(sent.scene.requests[0]).image
            yield server

    # By the first scan alone; the others go the honest way.
    clients = iter([client])
    _, leaks = heard(sent, captured(sent.scene, lambda proxy: next(clients, connected)(proxy)))
    assert any(leak.startswith("the raw image") for leak in leaks), leaks


def test_a_key_that_is_used_again_is_found(sent: Sent) -> None:
    scene = sent.scene
    first, second = scene.requests[:2]

    class Careless:
        """A scene whose client takes the first scan's key for the second."""

        defense, classes, requests = scene.defense, scene.classes, scene.requests

        def client_side(self, request: str, views: int) -> Any:
            volume, key, encoded = scene.client_side(request, views)
            if request == second:
                key = scene.draw_key(first)
                encoded = scene.defense.encode(np_tensor(volume.image), key, views)
            return volume, key, encoded

    _, leaks = heard(sent, captured(Careless()))  # type: ignore[arg-type]
    assert len(leaks) == 1
    assert leaks[0].startswith("a key that was used before")
    assert leaks[0].endswith(f"{second}, with the key of {first})")


def np_tensor(image: Array) -> Tensor:
    from privaudit.imaging.patches import as_tensor

    return as_tensor(image)


def test_scans_that_were_not_captured_are_missed(sent: Sent) -> None:
    half = sent.flows[: len(sent.flows) // 2]
    with pytest.raises(DataError, match="were not captured whole"):
        heard(sent, half)
