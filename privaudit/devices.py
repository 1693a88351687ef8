"""Choosing the device to compute on."""

from __future__ import annotations

import torch

from privaudit.errors import OptionError


def choose_device(name: str) -> torch.device:
    """Turn 'auto', 'cpu', 'cuda' or 'mps' into a device that is there.

    Raises:
        OptionError: it is not.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(d for d in ("cuda", "mps", "cpu") if there[d]))
    if not there.get(name, False):
        here = ", ".join(["auto", *(d for d, is_there in there.items() if is_there)])
        raise OptionError("no such device here", got=name, allowed=here)
    return torch.device(name)
