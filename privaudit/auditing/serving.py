"""The trained networks of an audit in use: what the server computes, and what the client makes of that."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from privaudit.auditing.scene import Scene
from privaudit.auditing.spec import UtilitySpec
from privaudit.auditing.utility import choose_networks
from privaudit.contracts.attack import Attack
from privaudit.contracts.defense import Defense, Key
from privaudit.contracts.knowledge import Rung
from privaudit.segmentation.system import Average, make_system, unmixed
from privaudit.segmentation.weights import Weights


class Service:
    """A server and a client with the networks that were trained for the scheme.

    Args:
        weights: of both networks.
        device: where they run.

    Attributes:
        digest: of the weights.
    """

    def __init__(self, weights: Weights, device: torch.device) -> None:
        self.digest = weights.digest
        self._server, self._client = make_system(weights.networks, weights.config.patch_size, device, True)

    def respond(self, sent: Tensor) -> Tensor:
        """What the server computes of views [V, N, *patch]: probabilities, float32 [V, N, C, *patch]."""
        maps = self._server.respond(sent.flatten(0, 1))
        return maps.reshape(*sent.shape[:2], *maps.shape[1:])

    def decode(self, answers: Tensor, defense: Defense, key: Key) -> Tensor:
        """What the client makes of answers [V, N, C, *patch]: the mean map [C, X, Y, Z], by a network if it has one."""
        side, average = defense.side_information(key, len(answers), answers.shape[2]), Average()
        whole = side is None
        for number, returned in enumerate(answers):
            maps = unmixed(self._client, defense, returned, key, side, number).maps
            average.add(maps.get("learned", maps["naive"]))
        return average.mean()[0] if whole else defense.assemble(average.mean(), key)


def open_service(
    spec: UtilitySpec, scene: Scene, attacks: Sequence[Attack], device: torch.device
) -> tuple[Service | None, str]:
    """A service with the networks that utility is measured with, if an attack asks for their maps.

    Returns:
        The service, or None and why there is none; an empty reason if nobody asks.

    Raises:
        OptionError: weights that were asked for do not fit, or have seen the people under test.
    """
    protocols = [protocol for attack in attacks for protocol in attack.protocols(scene.defense.views)]
    if not any(Rung.SERVED in protocol.knowledge for protocol in protocols):
        return None, ""
    networks, note = choose_networks(spec, scene)
    if networks is None or networks.protected is None:
        return None, note or "the maps that came back were recorded"
    return Service(networks.protected, device), ""
