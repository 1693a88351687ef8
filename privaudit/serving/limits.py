"""What the server accepts, and how much of it at a time."""

from __future__ import annotations

from dataclasses import dataclass

from privaudit.errors import OptionError

MB = 2**20


@dataclass(frozen=True)
class Limits:
    """Bounds, in bytes and seconds.

    Attributes:
        body: of one request.
        header: of its JSON header where tensors are binary.
        patches: in one request.
        voxels: of one patch or volume.
        waiting: bodies of requests that are being read, waiting or computed, together; more is told to come again.
        receive: seconds in which a body must have arrived.
        delay: seconds that a forward pass waits to be filled.
        drain: seconds that a stopping server gives to what it has accepted.
    """

    body: int = 64 * MB
    header: int = 64 * 1024
    patches: int = 512
    voxels: int = 256**3
    waiting: int = 256 * MB
    receive: float = 30.0
    delay: float = 0.002
    drain: float = 60.0

    def __post_init__(self) -> None:
        """Raises OptionError: one is not above 0, or nothing could ever be accepted."""
        for name, value in vars(self).items():
            if value <= 0 and name != "delay":
                raise OptionError(f"the limit '{name}' must be above 0", got=value)
        if self.waiting < self.body:
            raise OptionError(
                "a request of the largest size could never be accepted", got=f"{self.waiting // MB} MB for all",
                allowed=f"at least the {self.body // MB} MB of one",
            )  # fmt: skip
