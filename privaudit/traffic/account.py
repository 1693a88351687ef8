"""The account of traffic: whatever left beside encoded patches and what the protocol needs is named.

Everything of a request is looked at: address, headers, the JSON before the tensors, the tensors' bytes. What is not on
a list of what must be there is a leak, whatever it says; some leaks are recognised and named for what they tell.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from privaudit.traffic.flows import Flow, header_of
from privaudit.wire.messages import INPUT, LENGTH_HEADER, OUTPUT, OUTPUT_HALF, WireError, shown

ADDRESS: Final = re.compile(
    r"/v2(/health/(live|ready)|/models/[\w.-]{1,64}(/versions/\d{1,9})?(/ready|/infer)?)?|/metrics", re.ASCII
)
EXPECTED: Final = {
    "host": r"[\w.:\[\]-]{1,260}",
    "content-length": r"\d{1,12}",
    LENGTH_HEADER.lower(): r"\d{1,12}",
    "content-type": r"application/(octet-stream|json)",
    "accept": r"\*/\*",
    "connection": r"keep-alive|close",
    "authorization": r"Bearer \S{1,1024}",
}
"""Headers that a request needs, and what they may say: no more than fits, so that no image does."""
MODEL: Final = re.compile(r"/v2/models/([^/]*)")
TELLING: Final = (
    ("a time", re.compile(r"\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d|(?<!\d)1[5-9]\d{8}(\d{3})?(?!\d)")),
    (
        "a file name or path",
        re.compile(r"\.(nii|mgz|dcm|gz)\b|/home/|/mnt/|/data/|[A-Za-z]:\\\\|\bsub-\w", re.IGNORECASE),
    ),
    ("an affine or grid", re.compile(r"affine|[sq]form|srow|pixdim|spacing|orientation", re.IGNORECASE)),
    ("software and its version", re.compile(r"python|curl|torch|numpy|\w+/\d+\.\d+", re.IGNORECASE)),
)
RANDOM: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""What an id may look like: 16 random bytes, or a UUID."""
MAGIC: Final = ((b"n+1\0", "a NIfTI file"), (b"ni1\0", "a NIfTI file"), (b"DICM", "a DICOM file"))
SHORTEST: Final = 6
"""Letters of a name that is looked for among the bytes of tensors: shorter ones occur by chance."""


@dataclass(frozen=True)
class Leak:
    """Something that left and should not have.

    Attributes:
        kind: what it tells: 'the name of a person', 'a time', 'more than is needed', …
        where: in which part of which request.
    """

    kind: str
    where: str


@dataclass(frozen=True)
class Known:
    """What the auditor knows of the scans that were sent, to recognise it.

    Attributes:
        names: of people and sessions.
        affines: float64 [4, 4] each.
    """

    names: tuple[str, ...] = ()
    affines: tuple[NDArray[np.float64], ...] = ()


def account(flows: Sequence[Flow], known: Known) -> list[Leak]:
    """All that left beside patches, each kind at each place once.

    Args:
        flows: everything that was captured.
        known: of the scans.
    """
    found: dict[Leak, None] = {}
    needles = _needles(known)
    for number, flow in enumerate(flows, start=1):
        for part, text, allowed in _parts(flow, known.names):
            where = f"request {number}: {part}"
            told = _told(text, known.names)
            if not allowed or told:
                found[Leak(told or "more than is needed", where)] = None
        found |= {Leak(kind, f"request {number}: its bytes"): None for kind in _in_bytes(flow, needles)}
    found |= dict.fromkeys(_ids(flows))
    found |= dict.fromkeys(_variants([flow for flow in flows if flow.infers]))
    found |= dict.fromkeys(_beside(flows))
    return list(found)


def _variants(flows: Sequence[Flow]) -> Iterator[Leak]:
    """What is the same in all requests tells none from another; what differs may."""
    for name in (*EXPECTED, ""):
        if name.endswith("content-length"):
            continue
        values = {tuple(v for k, v in f.headers if k.lower() == name) if name else (f.target,) for f in flows}
        if len(values) > 1 or any(len(value) > 1 for value in values):
            what = f"the header {name}" if name else "the address"
            yield Leak("something that differs between requests", f"{what}, {len(values)} ways")


def _beside(flows: Sequence[Flow]) -> Iterator[Leak]:
    """What differs between requests of any kind: questions that carry no patch can carry an image in small pieces."""
    told = {
        "the header authorization": {v for f in flows for k, v in f.headers if k.lower() == "authorization"},
        "the header host": {v for f in flows if not f.infers for k, v in f.headers if k.lower() == "host"},
        "the model's name": {m.group(1) for f in flows if (m := MODEL.match(f.target)) is not None},
    }
    for what, values in told.items():
        if len(values) > 1:
            yield Leak("something that differs between requests", f"{what}, {len(values)} ways")


def _parts(flow: Flow, names: Sequence[str]) -> Iterator[tuple[str, str, bool]]:
    """Every part of a request: what it is, its text, and whether it must be there and may say that."""
    known_method = flow.method == ("POST" if flow.infers else "GET")
    yield "its address", f"{flow.method} {flow.target}", known_method and ADDRESS.fullmatch(flow.target) is not None
    for name, value in flow.headers:
        pattern = EXPECTED.get(name.lower())
        fine = pattern is not None and re.fullmatch(pattern, value, re.ASCII) is not None
        silent = fine and name.lower() in ("authorization", "content-length")  # digits and tokens look like anything
        named = any(len(one) >= SHORTEST and one.lower() in value.lower() for one in names)
        yield f"the header {shown(name)}", "" if silent and not named else f"{name}: {value}", fine
    if not flow.infers:
        if flow.body:
            yield "a body that is not asked for", flow.body[:2000].decode("latin-1"), False
        return
    try:
        sent = flow.request()
    except WireError:
        yield "a body that is no request", flow.body[:2000].decode("latin-1"), False
        return
    length = int(header_of(flow.headers, LENGTH_HEADER) or len(flow.body))
    head: dict[str, Any] = json.loads(flow.body[:length])
    if json.dumps(head, separators=(",", ":")).encode() != flow.body[:length]:
        yield "blanks, doubled fields or another spelling in its JSON, where something can hide", "", False
    yield from _fields(head)
    for name in sent.arrays:
        if name != INPUT:
            yield f"the tensor '{shown(name)}'", name, False


def _fields(head: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Fields of the JSON header that are not those of the protocol's barest request."""
    for key, value in head.items():
        if key not in ("id", "inputs", "outputs"):
            yield f"the field '{shown(key)}'", json.dumps({key: value}), False
    yield "the field 'id'", str(head.get("id", "")), True
    for tensor in head["inputs"]:
        for key, value in tensor.items():
            fine = key in ("name", "shape", "datatype") or (
                key == "parameters" and isinstance(value, dict) and value.keys() <= {"binary_data_size"}
            )
            yield f"the field 'inputs.{shown(key)}'", "" if fine else json.dumps({key: value}), fine
    for output in head.get("outputs", []):
        fine = output.get("name") in (OUTPUT, OUTPUT_HALF) and output.keys() <= {"name", "parameters"}
        fine = fine and output.get("parameters", {}).keys() <= {"binary_data"}
        yield "the field 'outputs'", "" if fine else json.dumps(output), fine


def _told(text: str, names: Sequence[str]) -> str:
    """What a text tells, in words; '' for nothing that is recognised."""
    low = text.lower()
    random = RANDOM.fullmatch(text) is not None  # a name or a time can be read in random digits by chance
    for name in names:
        if len(name) > 2 and name.lower() in low and not random:
            return "the name of a person"
        if any(digest in low for digest in _hashes(name)):
            return "a hash of a person's name: whoever knows the names finds it"
    return "" if random else next((kind for kind, pattern in TELLING if pattern.search(text)), "")


def _hashes(name: str) -> list[str]:
    data = name.encode()
    return [make(data).hexdigest()[:16] for make in (hashlib.md5, hashlib.sha1, hashlib.sha256)]


def _needles(known: Known) -> list[tuple[bytes, str]]:
    """Bytes that must not be anywhere in a body."""
    found = list(MAGIC)
    found += [(name.encode(), "the name of a person") for name in known.names if len(name) >= SHORTEST]
    for affine in known.affines:
        if not np.array_equal(affine, np.eye(4)):
            found += [(affine[:3].astype(kind).tobytes(), "an affine or grid") for kind in ("<f4", "<f8", ">f4", ">f8")]
    return list(dict.fromkeys(found))


def _in_bytes(flow: Flow, needles: Sequence[tuple[bytes, str]]) -> set[str]:
    return {kind for needle, kind in needles if needle in flow.body}


def _ids(flows: Sequence[Flow]) -> Iterator[Leak]:
    """Names of requests must be random: no counter, none twice but on a repetition."""
    bodies: dict[str, set[bytes]] = {}
    for flow in flows:
        if flow.infers:
            try:
                name = flow.request().head.id
            except WireError:
                continue
            bodies.setdefault(name, set()).add(hashlib.sha256(flow.body).digest())
    bodies.pop("", None)
    if any(len(different) > 1 for different in bodies.values()):
        yield Leak("which requests belong together", "one id on different requests")
    plain = sum(not RANDOM.fullmatch(name) for name in bodies)
    if plain:
        yield Leak("ids that are not random: they may tell an order or a person", f"{plain} ids")
