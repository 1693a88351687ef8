"""The system in use: the server segments what it is sent, the client unmixes what comes back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from privaudit.contracts.defense import Defense, Key
from privaudit.imaging.mixing import unmix
from privaudit.segmentation.networks import ProtectedSegmentation
from privaudit.segmentation.server import Server, batch_size

Unmixing = Literal["naive", "learned"]


@dataclass(frozen=True)
class ViewMaps:
    """What the client makes of one returned view: maps of the target [N, C, *patch], by way of unmixing.

    Where the defense decodes by itself, there is one map, of the whole volume.
    """

    maps: dict[Unmixing, Tensor]
    whole: bool = False


class Client:
    """What the client does: it holds the key.

    Args:
        unmixing: the learned unmixing network, or None.
        device: where it runs.
    """

    def __init__(self, unmixing: nn.Module | None, device: torch.device) -> None:
        self._device, self._batch = device, batch_size(device)
        self._unmixing = unmixing.to(device).eval() if unmixing is not None else None

    @torch.inference_mode()
    def unmix(self, returned: Tensor, reference: Tensor, alpha: Tensor) -> ViewMaps:
        """Unmix one view, naively (equation 4) and by the network where there is one.

        Args:
            returned: [N, C, *patch].
            reference: labels of what was mixed in [N, C, *patch].
            alpha: [N].
        """
        naive = unmix(returned[None], reference[None], alpha[None])[0].float()
        maps: dict[Unmixing, Tensor] = {"naive": naive}
        if self._unmixing is not None:
            parts = []
            for start in range(0, len(returned), self._batch):
                batch = slice(start, start + self._batch)
                inputs = (t[batch].to(self._device, torch.float32) for t in (returned, reference, alpha))
                parts.append(self._unmixing(*inputs).softmax(dim=1).cpu())
            maps["learned"] = torch.cat(parts)
        return ViewMaps(maps)


class Responder(Protocol):
    """A server, here or on another machine.

    Attributes:
        batch: patches that it is best sent at a time.
        size: side of the patches.
    """

    batch: int
    size: int

    def respond(self, patches: Tensor) -> Tensor:
        """Maps of probabilities [N, C, *patch] of patches [N, *patch]."""


def views_of(
    server: Responder, client: Client, defense: Defense, encoded: Tensor, key: Key, classes: int
) -> Iterator[ViewMaps]:
    """Send views and unmix what returns.

    So many views as fill a batch go in one forward pass, and no more are in memory at a time.

    Args:
        server: the server.
        client: the client.
        defense: the scheme.
        encoded: what is sent, [V, N, *patch].
        key: the client's secret.
        classes: number of labels.
    """
    side = defense.side_information(key, len(encoded), classes)
    count, *sides = encoded.shape[1:]
    together = max(1, server.batch // max(1, count)) if max(sides) == server.size else 1
    for start in range(0, len(encoded), together):
        group = encoded[start : start + together]
        maps = server.respond(group.flatten(0, 1))
        answers = maps.reshape(len(group), count, *maps.shape[1:])
        for number, returned in enumerate(answers, start=start):
            yield unmixed(client, defense, returned, key, side, number)


def unmixed(
    client: Client, defense: Defense, returned: Tensor, key: Key, side: tuple[Tensor, Tensor] | None, number: int
) -> ViewMaps:
    """What the client makes of view ``number``, [N, C, *patch]; the defense decodes where there is nothing to unmix."""
    if side is None:
        return ViewMaps({"naive": defense.decode(returned[None], key)[None]}, whole=True)
    return client.unmix(returned, side[0][number], side[1][number])


class Average:
    """Mean over views (equation 5) of maps, and, if asked for, the variance of each class over them."""

    def __init__(self, variance: bool = False) -> None:
        self.count, self._variance = 0, variance
        self._sum: Tensor | None = None
        self._squares: Tensor | None = None

    def add(self, maps: Tensor) -> None:
        """Take one more view's maps."""
        self.count += 1
        self._sum = maps.clone() if self._sum is None else self._sum.add_(maps)
        if self._variance:
            self._squares = maps.square() if self._squares is None else self._squares.add_(maps.square())

    def mean(self) -> Tensor:
        """Mean of the maps taken so far."""
        assert self._sum is not None
        return self._sum / self.count

    def variance(self) -> Tensor:
        """Population variance of the maps taken so far."""
        assert self._squares is not None
        return (self._squares / self.count - self.mean().square()).clamp_(min=0)


def make_system(
    networks: ProtectedSegmentation, patch_size: int, device: torch.device, steady: bool = False
) -> tuple[Server, Client]:
    """Both roles with their trained networks; a ``steady`` server answers to the last digit as ``privaudit serve``."""
    return Server(networks.segmentation, patch_size, device, steady), Client(networks.unmixing, device)


def steps_up_to(views: int, wanted: Sequence[int] = (1, 2, 3, 5, 7, 10, 15, 20, 30)) -> list[int]:
    """The numbers of views to score, ending with all.

    >>> steps_up_to(10)
    [1, 2, 3, 5, 7, 10]
    """
    return sorted({k for k in wanted if k < views} | {views})
