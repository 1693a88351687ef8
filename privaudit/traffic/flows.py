"""A flow: one request as it crossed the wire, and its answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from privaudit.errors import PrivauditError
from privaudit.wire.messages import LENGTH_HEADER, Array, Sent, WireError, read_answer, read_request


class TrafficError(PrivauditError):
    """A file of traffic that cannot be read, or holds something else."""


Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class Flow:
    """One request and its answer, in bytes.

    Attributes:
        connection: a name for the connection; '' where the capture does not say.
        started: seconds since the epoch at which the request began, as the capture says.
        method: of HTTP.
        target: path and query.
        headers: of the request, in their order.
        body: of the request.
        status: of the answer; 0 where there was none.
        answer_headers: of the answer.
        answer: its body.
    """

    connection: str
    started: float
    method: str
    target: str
    headers: Headers
    body: bytes
    status: int = 0
    answer_headers: Headers = ()
    answer: bytes = field(default=b"", repr=False)

    @property
    def infers(self) -> bool:
        """Whether it asks for maps."""
        return self.method == "POST" and self.target.split("?")[0].endswith("/infer")

    def request(self) -> Sent:
        """What was sent.

        Raises:
            WireError: it is no request of the protocol.
        """
        return read_request(self.body, header_of(self.headers, LENGTH_HEADER))

    def maps(self, output: str) -> Array | None:
        """What came back under the name of an output, None where nothing did."""
        if self.status != 200:
            return None
        try:
            return read_answer(self.answer, header_of(self.answer_headers, LENGTH_HEADER))[1].get(output)
        except WireError:
            return None


def header_of(headers: Iterable[tuple[str, str]], name: str) -> str | None:
    """The value of a header, whatever its letters' case; None where there is none."""
    return next((value for key, value in headers if key.lower() == name.lower()), None)
