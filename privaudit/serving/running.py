"""Running the application under uvicorn: where it listens, TLS, who may ask, and how it stops."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from privaudit.errors import OptionError
from privaudit.files import read_text
from privaudit.serving.limits import Limits


@dataclass(frozen=True)
class Door:
    """Where the server listens, and to whom.

    Attributes:
        host: address or name.
        port: TCP port; 0 for any that is free.
        certificate: the server's TLS certificate chain, PEM.
        key: its private key, PEM.
        client_ca: certificates of who signs clients' certificates, PEM: then nobody else is let in (mTLS).
        token_file: file with a token that clients must send.
        plain_http: whether HTTP without TLS is allowed on an address that others can reach.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    token_file: Path | None = None
    plain_http: bool = False

    def check(self) -> None:
        """Refuse what would let anybody listen in.

        Raises:
            OptionError: plain HTTP beyond this machine, or half of a certificate; or a file is not there.
        """
        if (self.certificate is None) != (self.key is None):
            raise OptionError("TLS needs a certificate and its key", todo="give both --tls-cert and --tls-key")
        if self.client_ca is not None and self.certificate is None:
            raise OptionError("clients' certificates need TLS", todo="give --tls-cert and --tls-key, too")
        for path in (self.certificate, self.key, self.client_ca, self.token_file):
            if path is not None and not path.is_file():
                raise OptionError("there is no such file", got=path)
        if self.certificate is None and not self.plain_http and not is_loopback(self.host):
            raise OptionError(
                "plain HTTP is for this machine alone: on the way anybody could read what is sent", got=self.host,
                allowed="127.0.0.1, ::1 or localhost",
                todo="give --tls-cert and --tls-key, or, behind a proxy that has TLS, --plain-http",
            )  # fmt: skip

    def token(self) -> str | None:
        """The token, if there is one.

        Raises:
            OptionError: the file cannot be read, or is no token.
        """
        if self.token_file is None:
            return None
        token = read_text(self.token_file, OptionError).strip()
        if not (16 <= len(token) <= 1024 and token.isascii() and token.isprintable() and " " not in token):
            raise OptionError(f"{self.token_file} holds no token", allowed="16 or more printable ASCII characters")
        return token


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def uvicorn_config(app: ASGIApp, door: Door, limits: Limits) -> uvicorn.Config:
    """How uvicorn is to run it: no access log, no headers that name software, connections that idle are closed.

    Raises:
        OptionError: the certificates cannot be used.
    """
    door.check()
    tls: dict[str, Any] = {}
    if door.certificate is not None:
        tls = {"ssl_certfile": str(door.certificate), "ssl_keyfile": None if door.key is None else str(door.key)}
    if door.client_ca is not None:
        tls |= {"ssl_ca_certs": str(door.client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}
    config = uvicorn.Config(
        app, door.host, door.port, log_level="warning", access_log=False, server_header=False, date_header=False,
        ws="none", http="h11", timeout_keep_alive=30, timeout_graceful_shutdown=int(limits.drain) or 1, **tls,
    )  # fmt: skip
    try:
        config.load()
    except (ssl.SSLError, OSError) as error:
        raise OptionError(f"the certificates cannot be used: {error.strerror or type(error).__name__}") from None
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return config


class AnnouncingServer(uvicorn.Server):
    """Says where it listens once it does.

    Args:
        config: of uvicorn.
        announce: called with the port.
    """

    def __init__(self, config: uvicorn.Config, announce: Any) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: Any = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        if self.started:
            self._announce(self.servers[0].sockets[0].getsockname()[1])
