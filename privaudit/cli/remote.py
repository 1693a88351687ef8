"""Options of commands that send to a server, and the server that they name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from privaudit.errors import OptionError

if TYPE_CHECKING:
    from privaudit.client.connection import Address
    from privaudit.client.remote import RemoteServer
    from privaudit.segmentation.sent import SentLedger
    from privaudit.segmentation.weights import Weights


@dataclass(frozen=True)
class Remote:
    """Which server, what it asks for, and how much it may ever be sent."""

    server: Annotated[
        str | None, typer.Option("--server", help="Address of a server ('privaudit serve'): https://host:port.")
    ] = None
    model: Annotated[str, typer.Option("--model", help="Name of the model on the server.")] = "segmentation"
    ca: Annotated[
        Path | None, typer.Option("--ca", help="Who signs the server's certificate (PEM). [default: the system's]")
    ] = None
    client_cert: Annotated[Path | None, typer.Option("--client-cert", help="The client's own certificate (PEM).")] = (
        None
    )
    client_key: Annotated[Path | None, typer.Option("--client-key", help="Its private key (PEM).")] = None
    token_file: Annotated[Path | None, typer.Option("--token-file", help="File with the server's token.")] = None
    plain_http: Annotated[bool, typer.Option("--plain-http", help="Allow HTTP without TLS to another machine.")] = False
    wire: Annotated[
        Literal["float32", "float16"],
        typer.Option("--wire", help="Precision of the numbers on the wire."),
    ] = "float32"
    shuffle: Annotated[bool, typer.Option("--shuffle", help="Send patches of all views in a random order.")] = False
    patience: Annotated[
        float, typer.Option("--patience", help="Seconds without an answer, after which it gives up.")
    ] = 120.0
    sent: Annotated[
        Path | None,
        typer.Option("--sent", help="Note in this file how often each scan was sent. [with --server: the user's own]"),
    ] = None
    max_views: Annotated[
        int | None, typer.Option("--max-views", help="Refuse to send more views of one scan than this, ever.")
    ] = None


def address_of(remote: Remote) -> Address:
    """Where the server is, and what it asks for."""
    from privaudit.client.connection import Address

    return Address(
        remote.server or "", remote.ca, remote.client_cert, remote.client_key, remote.token_file, remote.plain_http,
        remote.patience,
    )  # fmt: skip


@contextmanager
def opened(remote: Remote, weights: Weights) -> Iterator[RemoteServer | None]:
    """The server that the options name, if they name one."""
    if remote.server is None:
        if remote != Remote():
            raise OptionError("these options are for a server", todo="give its address: --server https://host:port")
        yield None
        return
    from privaudit.client.connection import Connection
    from privaudit.client.remote import RemoteServer

    with Connection(address_of(remote)) as connection:
        config = weights.config
        server = RemoteServer(
            connection, config.patch_size, config.network.classes, remote.model, remote.wire, remote.shuffle
        )
        server.check()
        yield server


def sent_ledger(remote: Remote) -> SentLedger | None:
    """Where it is noted what was sent; None where nothing is sent."""
    if remote.server is None:
        return None
    import platformdirs

    from privaudit.segmentation.sent import SentLedger

    usual = platformdirs.user_state_path("privaudit") / "sent.txt"
    return SentLedger(remote.sent or usual, remote.max_views)
