"""Sending a cohort's scans through the real client, for an audit of what crosses the wire."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch

from privaudit.auditing.scene import Scene
from privaudit.segmentation.system import Client, Responder, views_of


def send_cohort(
    scene: Scene, opened: Callable[[], AbstractContextManager[Responder]], advance: Callable[[float], None]
) -> None:
    """Send every scan under attack, with the audit's keys, as ``privaudit segment --server`` sends one.

    Args:
        scene: of the audit; its keys follow from its seed, so that all that leaves can be checked.
        opened: connects to the server; each scan has a connection of its own, as it has in use.
        advance: called with 1 after each scan.
    """
    client = Client(None, torch.device("cpu"))
    for request in scene.requests:
        _, key, encoded = scene.client_side(request, scene.defense.views)
        with opened() as server:
            for _ in views_of(server, client, scene.defense, encoded.views, key, scene.classes):
                pass
        advance(1)
