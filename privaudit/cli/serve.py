"""``privaudit serve``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from privaudit.cli.options import grouped


@dataclass(frozen=True)
class Listening:
    """Where, and to whom."""

    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, typer.Option("--port", help="Port; 0 for any that is free.")] = 8000
    certificate: Annotated[
        Path | None, typer.Option("--tls-cert", help="The server's TLS certificate chain (PEM).")
    ] = None
    key: Annotated[Path | None, typer.Option("--tls-key", help="Its private key (PEM).")] = None
    client_ca: Annotated[
        Path | None,
        typer.Option("--client-ca", help="Only clients with a certificate signed by these (PEM) are let in."),
    ] = None
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="File with a token that clients must send.")
    ] = None
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Allow HTTP without TLS on an address that others can reach.")
    ] = False


@dataclass(frozen=True)
class Bounds:
    """How much is accepted."""

    body_mb: Annotated[int, typer.Option("--body-mb", help="Longest request, in MB.")] = 64
    waiting_mb: Annotated[
        int, typer.Option("--waiting-mb", help="All requests that wait, in MB; more are told to come again (429).")
    ] = 256
    receive_seconds: Annotated[
        float, typer.Option("--receive-seconds", help="In how many seconds a request must have arrived.")
    ] = 30.0
    delay_ms: Annotated[
        float, typer.Option("--delay-ms", help="How long a forward pass waits for more patches, in milliseconds.")
    ] = 2.0
    drain_seconds: Annotated[
        float, typer.Option("--drain-seconds", help="How long accepted requests may take after SIGTERM.")
    ] = 60.0


@grouped
def serve(
    weights: Annotated[Path, typer.Option("--weights", help="Trained weights: a folder, or shipped ones by name.")],
    listening: Listening,
    bounds: Bounds,
    name: Annotated[str, typer.Option("--model", help="Name of the model in the protocol.")] = "segmentation",
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option("--threads", help="Threads on a CPU. [default: torch's own]")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not say where it listens.")] = False,
) -> None:
    """Serve a segmentation network by the Open Inference Protocol v2: encoded patches in, maps out.

    Of the weights, the segmentation network alone is read. It ends on Ctrl-C or SIGTERM, after what it has accepted.
    """
    from privaudit.cli.extras import need
    from privaudit.errors import OptionError

    need("serve", "prometheus_client", "starlette", "uvicorn")
    import re

    from privaudit.serving.limits import MB, Limits
    from privaudit.serving.running import AnnouncingServer, Door, uvicorn_config

    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise OptionError("a model's name is part of an address", got=repr(name), allowed="letters, digits, - and _")
    if not 0 <= listening.port <= 65535:
        raise OptionError("no such port", got=listening.port, allowed="0 to 65535")
    if threads is not None and threads < 1:
        raise OptionError("--threads must be at least 1", got=threads)
    limits = Limits(
        body=bounds.body_mb * MB, waiting=bounds.waiting_mb * MB, receive=bounds.receive_seconds,
        delay=bounds.delay_ms / 1000, drain=bounds.drain_seconds,
    )  # fmt: skip
    door = Door(**vars(listening))
    door.check()
    token = door.token()

    import torch  # after all that can be checked without it: it takes seconds

    from privaudit.devices import choose_device
    from privaudit.serving.app import Service, make_app
    from privaudit.serving.engine import load_engine

    if threads is not None:
        torch.set_num_threads(threads)
    service = Service(load_engine(weights, choose_device(device)), name, limits)

    def announce(port: int) -> None:
        scheme = "http" if door.certificate is None else "https"
        shown = f"[{door.host}]" if ":" in door.host else door.host
        if not quiet:
            typer.echo(f"serving {name} at {scheme}://{shown}:{port}; Ctrl-C ends it")

    server = AnnouncingServer(uvicorn_config(make_app(service, token), door, limits), announce)
    server.run()
    if not server.started:
        raise OptionError(f"cannot listen on {door.host} port {door.port}", todo="choose another --port")
