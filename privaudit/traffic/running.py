"""Running the recording proxy on this machine, in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ssl import SSLContext

import uvicorn

from privaudit.traffic.proxy import Recorder
from privaudit.wire.hosting import hosted


@contextmanager
def recording(upstream: str, port: int = 0, context: SSLContext | None = None) -> Iterator[tuple[Recorder, str]]:
    """A proxy on 127.0.0.1 that records; it ends with the block, after what has begun.

    Args:
        upstream: address of the server.
        port: to listen on; 0 for any that is free.
        context: TLS towards the server.

    Yields:
        The recorder, and the proxy's address.

    Raises:
        OptionError: the port is taken.
    """
    recorder = Recorder(upstream, context)
    config = uvicorn.Config(
        recorder.app(), log_level="error", access_log=False, server_header=False, date_header=False, ws="none",
        http="h11", timeout_graceful_shutdown=30,
    )  # fmt: skip
    with hosted(config, port) as found:
        yield recorder, f"http://127.0.0.1:{found}"
