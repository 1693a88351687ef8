"""Running the recording proxy on this machine, in a thread of its own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ssl import SSLContext

import uvicorn

from privaudit.errors import OptionError
from privaudit.traffic.proxy import Recorder


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
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
        except OSError as error:
            raise OptionError(
                f"cannot listen on port {port}: {error.strerror}", todo="choose another --listen"
            ) from None
        listening.listen(64)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield recorder, f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(60)
