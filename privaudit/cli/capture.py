"""``privaudit capture``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from privaudit.cli.options import Chosen, KeySecret, Running, grouped
from privaudit.cli.progress import progress_bars
from privaudit.cli.remote import Remote, address_of
from privaudit.errors import OptionError

if TYPE_CHECKING:
    from privaudit.client.remote import RemoteServer


@grouped
def capture(
    context: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", help="HTTP archive (HAR) to write.")],
    chosen: Chosen,
    running: Running,
    remote: Remote,
    key_secret: KeySecret = None,
    listen: Annotated[int, typer.Option("--listen", help="Port of the recording proxy; 0 for any.")] = 0,
    wait: Annotated[bool, typer.Option("--wait", help="Send nothing: record other clients until Ctrl-C.")] = False,
) -> None:
    """Send a cohort through the real client and a recording proxy to a server, and write down every byte.

    'privaudit audit --traffic' then attacks what was captured: give it the same dataset, defense, options, seed and
    key secret.
    """
    from privaudit.cli.extras import need
    from privaudit.files import check_place

    need("serve", "starlette", "uvicorn")
    from privaudit.traffic.har import write_har
    from privaudit.traffic.running import recording

    if remote.server is None:
        raise OptionError("a capture needs a server", todo="give its address: --server http://127.0.0.1:8000")
    if not output.name.endswith(".har"):
        raise OptionError("traffic is written as an HTTP archive", got=output.name, allowed="a name ending in .har")
    if remote.shuffle:
        raise OptionError("an audit of traffic takes patches in their order", got="--shuffle", todo="leave it out")
    if remote.sent is not None or remote.max_views is not None:
        raise OptionError(
            "a capture keeps no ledger: its scans are an auditor's", todo="leave out --sent and --max-views"
        )
    check_place(output.parent)
    address = address_of(remote)
    address.check()
    secure = address.context() if remote.server.startswith("https") else None
    with recording(remote.server, listen, secure) as (recorder, proxy):
        try:
            if wait:
                _until_stopped(proxy)
            else:
                _send(context, chosen, running, remote, proxy, key_secret)
        finally:
            write_har(output, recorder.flows, urlsplit(remote.server).netloc)
    typer.echo(f"traffic: {output}, {len(recorder.flows)} requests")


def _until_stopped(proxy: str) -> None:
    import time

    typer.echo(f"recording at {proxy}; Ctrl-C ends it")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return


def _send(
    context: typer.Context, chosen: Chosen, running: Running, remote: Remote, proxy: str, key_secret: Path | None
) -> None:
    from privaudit.auditing.opening import Settings, open_context
    from privaudit.auditing.sending import send_cohort
    from privaudit.cli.audit import build_spec
    from privaudit.client.connection import Address, Connection
    from privaudit.client.remote import RemoteServer

    spec = build_spec(context.args, None, chosen, None, None)
    settings = Settings(None, running.cache, running.device, 1, running.quiet, key_secret=key_secret)
    scene = open_context(spec, settings)[0].scene
    size = scene.defense.patch_size or 0

    @contextmanager
    def opened() -> Iterator[RemoteServer]:
        # To the proxy on this machine, which has TLS towards the server; a token passes through it.
        with Connection(Address(proxy, token_file=remote.token_file, patience=remote.patience)) as connection:
            server = RemoteServer(connection, size, scene.classes, remote.model, remote.wire, remote.shuffle)
            server.check()
            yield server

    with progress_bars(running.quiet) as progress:
        send_cohort(scene, opened, progress("send", len(scene.requests)))
