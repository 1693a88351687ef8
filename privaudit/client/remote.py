"""A server on another machine, used as if it were in this process."""

from __future__ import annotations

import random
import secrets
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from privaudit.client.checking import check_answer
from privaudit.client.connection import Connection, ServerError
from privaudit.wire.messages import BINARY_TYPE, INPUT, LENGTH_HEADER, MODEL, OUTPUT, OUTPUT_HALF, Array, read_answer
from privaudit.wire.writing import write_request

if TYPE_CHECKING:
    from torch import Tensor

REQUEST_BYTES: Final = 16 * 2**20
"""About how much goes into one request; a volume is never divided."""
Precision = Literal["float32", "float16"]


class RemoteServer:
    """Sends patches, and returns what comes back if it can be what was asked for.

    Args:
        connection: to the server.
        size: side of the network's patches.
        classes: number of labels.
        model: name of the model in the protocol.
        precision: of the numbers on the wire, there and back.
        shuffle: whether patches are sent in a random order; then all views of a scan should be handed over at once.

    Attributes:
        batch: patches that it is best handed at a time: those of one view, or all of them to be shuffled.
        size: side of the network's patches.
    """

    def __init__(
        self, connection: Connection, size: int, classes: int, model: str = MODEL, precision: Precision = "float32",
        shuffle: bool = False,
    ) -> None:  # fmt: skip
        self._connection, self._classes, self._model = connection, classes, model
        self._dtype = np.dtype("<f2" if precision == "float16" else "<f4")
        self._output = OUTPUT_HALF if precision == "float16" else OUTPUT
        self._shuffle = random.SystemRandom().shuffle if shuffle else None
        self.batch, self.size = (2**20 if shuffle else 1), size

    def check(self) -> None:
        """See whether the server has the model, before anything is sent.

        Raises:
            ServerError: it has not, or one for something else.
        """
        try:
            told: dict[str, Any] = self._connection.get(f"/v2/models/{self._model}").json()
            inputs = {item["name"] for item in told["inputs"]}
            outputs = {item["name"]: list(item["shape"]) for item in told["outputs"]}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ServerError("the server does not say what its model takes and gives") from None
        if inputs != {INPUT} or self._output not in outputs:
            raise ServerError(
                f"the server's model '{self._model}' takes or gives other tensors",
                allowed=f"'{INPUT}' and '{self._output}'", todo="see --model and --wire",
            )  # fmt: skip
        shape = outputs[self._output]
        if len(shape) != 5 or shape[1] not in (-1, self._classes):
            raise ServerError(f"the server's model '{self._model}' has other classes", got=shape, allowed=self._classes)

    def respond(self, patches: Tensor) -> Tensor:
        """Maps of probabilities, float32 [N, C, *patch], of patches [N, *patch].

        Raises:
            ServerError: the server cannot be reached, refuses, or its answer cannot be right.
        """
        import torch  # only where networks are in use anyway

        return torch.from_numpy(self.ask(patches.numpy()))

    def ask(self, patches: Array) -> Array:
        """The same with arrays."""
        sent = patches.astype(self._dtype)
        order = np.arange(len(sent))
        if self._shuffle is not None:
            listed = order.tolist()
            self._shuffle(listed)
            order = np.array(listed)
        together = max(1, REQUEST_BYTES // max(1, sent[0].nbytes))
        maps = np.empty((len(sent), self._classes, *sent.shape[1:]), np.float32)
        for start in range(0, len(sent), together):
            part = order[start : start + together]
            maps[part] = self._one(sent[part])
        return maps

    def _one(self, patches: Array) -> Array:
        name = secrets.token_hex(16)
        body, header = write_request(name, {INPUT: patches[:, None]}, [self._output])
        headers = {"Content-Type": BINARY_TYPE, LENGTH_HEADER: str(header)}
        answer = self._connection.post(f"/v2/models/{self._model}/infer", body, headers)
        head, arrays = read_answer(answer.content, answer.headers.get(LENGTH_HEADER))
        shape = (len(patches), self._classes, *patches.shape[1:])
        return check_answer(head, arrays, name, self._output, shape)
