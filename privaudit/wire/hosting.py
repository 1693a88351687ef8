"""Running an ASGI application on this machine in a thread: for the recording proxy, for benchmarks and for tests."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from privaudit.errors import OptionError


@contextmanager
def hosted(config: uvicorn.Config, port: int = 0) -> Iterator[int]:
    """Run it on 127.0.0.1; it ends with the block, after what has begun.

    Args:
        config: the application, and how uvicorn is to run it; its host and port count for nothing.
        port: to listen on; 0 for any that is free.

    Yields:
        The port.

    Raises:
        OptionError: the port is taken.
    """
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
        except OSError as error:
            raise OptionError(f"cannot listen on port {port}: {error.strerror}", todo="choose another") from None
        listening.listen(64)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(60)
