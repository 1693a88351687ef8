"""One HTTP connection to a server: what its requests carry, when they are repeated, and when it gives up."""

from __future__ import annotations

import random
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

import httpx2

from privaudit.errors import OptionError, PrivauditError
from privaudit.files import read_text

AGAIN: Final = frozenset({408, 429, 502, 503, 504})
"""Answers after which the same request may be sent again."""
FIRST_WAIT, LONGEST_WAIT = 0.2, 10.0


class ServerError(PrivauditError):
    """A server that cannot be reached, refuses, or answers with something else than was asked for."""


@dataclass(frozen=True)
class Address:
    """Where a server is, and what it asks for.

    Attributes:
        url: http:// or https://, host, port.
        ca: certificates (PEM) that the server's is to be signed by; None for the system's.
        certificate: the client's own (PEM), where the server asks for one.
        key: its private key.
        token_file: file with the token that the server asks for.
        plain_http: whether HTTP without TLS is allowed to another machine.
        patience: seconds without any answer, after which it gives up.
        timeout: seconds that one answer may take.
    """

    url: str
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    token_file: Path | None = None
    plain_http: bool = False
    patience: float = 120.0
    timeout: float = 300.0

    def check(self) -> None:
        """Refuse an address that is none, or where others could listen.

        Raises:
            OptionError: it is.
        """
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise OptionError("no address of a server", got=self.url, allowed="https://host:port")
        if parts.username is not None:
            raise OptionError("an address holds no password: others see it", todo="give --token-file")
        if parts.scheme == "http" and not self.plain_http and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
            raise OptionError(
                "over plain HTTP anybody on the way could read what is sent", got=self.url, allowed="https://…",
                todo="give --plain-http if something else encrypts it",
            )  # fmt: skip
        if (self.certificate is None) != (self.key is None):
            raise OptionError("a client's certificate needs its key", todo="give both --client-cert and --client-key")

    def context(self) -> ssl.SSLContext:
        """TLS as configured.

        Raises:
            OptionError: a certificate cannot be used.
        """
        try:
            context = ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise OptionError(f"the certificates cannot be used: {error.strerror or type(error).__name__}") from None
        return context


class Connection:
    """Sends requests one after the other over one connection that is kept open.

    A request is repeated with the same bytes when the connection is lost or the server says to come again.

    Args:
        address: of the server.

    Attributes:
        sent: bytes of bodies that were sent, repetitions included.
        received: bytes of bodies that came back.
        repeated: how many requests were sent again.
    """

    def __init__(self, address: Address) -> None:
        address.check()
        self._address = address
        secure = address.url.startswith("https")
        limits = httpx2.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=None)
        # trust_env: neither passwords nor proxies from the surroundings.
        self._http = httpx2.Client(
            base_url=address.url, verify=address.context() if secure else False, trust_env=False, limits=limits,
            timeout=httpx2.Timeout(address.timeout, connect=10.0), follow_redirects=False,
        )  # fmt: skip
        self._http.headers.clear()  # they name the software and its version
        if address.token_file is not None:
            token = read_text(address.token_file, OptionError).strip()
            if not token.isascii() or not token.isprintable() or not token:
                raise OptionError(f"{address.token_file} holds no token", allowed="printable ASCII characters")
            self._http.headers["Authorization"] = f"Bearer {token}"
        self.sent = self.received = self.repeated = 0

    def __enter__(self) -> Connection:
        """The connection."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self._http.close()

    def get(self, path: str) -> httpx2.Response:
        """Ask for a page."""
        return self._patiently("GET", path, b"", {})

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> httpx2.Response:
        """Send a body.

        Raises:
            ServerError: no answer for as long as one is patient, or a refusal.
        """
        return self._patiently("POST", path, body, headers)

    def _patiently(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> httpx2.Response:
        until, wait = time.monotonic() + self._address.patience, FIRST_WAIT
        while True:
            answer, why = self._once(method, path, body, headers)
            if answer is not None and answer.status_code not in AGAIN:
                return self._accepted(answer)
            # Not all clients that were turned away at once come back at once.
            pause = random.uniform(0.5, 1.0) * max(wait, 0.0 if answer is None else _asked_to_wait(answer))
            if time.monotonic() + pause > until:
                raise ServerError(
                    f"the server at {self._address.url} did not answer for {self._address.patience:g} s: {why}",
                    todo="see whether it runs; the same command begins again",
                )
            time.sleep(pause)
            wait = min(LONGEST_WAIT, 2 * wait)
            self.repeated += 1

    def _once(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[httpx2.Response | None, str]:
        """One try: the answer if there is one, and why another is needed."""
        self.sent += len(body)
        try:
            answer = self._http.request(method, path, content=body or None, headers=headers)
        except httpx2.TransportError as error:
            cause: BaseException | None = error
            while cause is not None:
                if isinstance(cause, ssl.SSLError):
                    raise ServerError(
                        f"no TLS with {self._address.url}: {cause.reason or type(cause).__name__}",
                        todo="see --ca, --client-cert and --client-key",
                    ) from None
                cause = cause.__cause__ or cause.__context__
            return None, type(error).__name__
        self.received += len(answer.content)
        return answer, f"HTTP {answer.status_code}"

    def _accepted(self, answer: httpx2.Response) -> httpx2.Response:
        if answer.status_code == 200:
            return answer
        said = "".join(c if c.isprintable() else " " for c in answer.text[:200])
        raise ServerError(f"the server at {self._address.url} refuses: HTTP {answer.status_code} {said}")


def _asked_to_wait(answer: httpx2.Response) -> float:
    text = answer.headers.get("retry-after", "")
    return min(LONGEST_WAIT, float(text)) if text.isascii() and text.isdigit() else 0.0
