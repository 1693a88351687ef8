"""``privaudit init`` and ``privaudit doctor``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from privaudit.cli.options import FAULT
from privaudit.errors import OptionError

TEMPLATE = """\
# An audit: which data, which scheme, which attacks. Run it with: privaudit audit {name}
# 'privaudit datasets|defenses|attacks show NAME' lists every option of a plugin; any of them may stand here.

dataset:
  name: phantom            # or bids, ppmi, brats2021 with  root: /path/to/data
  # rescans: 2             # bids, brats2021: simulate sessions where everybody has one (every output will say so)

defense:
  name: mixup              # or none, the upper anchor
  patch_size: 32           # voxels; null mixes whole volumes
  alpha: [0.0, 1.0]        # mixing weight: drawn uniformly, or one number
  alpha_per: volume        # one weight per patch, request or volume
  reference_per: volume    # one reference per view, or one per patch
  views: 10                # encoded views per target (test-time augmentation)

attacks:
  - standard               # the standard battery; or names, each with its options, such as
  # - name: bss            # blind source separation, the paper's attack, for mixtures
  # the trivial attackers (as-is, atlas, random-subject) always run beside a reconstruction attack
budget: quick              # of the battery: quick, full, thorough

pictures:                  # identity is attacked on every victim, pictures on so many
  people: 24

seed: 0

split:                     # people in each role: a share, a number, or a file with a name in each line
  victims: 0.5
  pool: 0.25
  population: 0.25

scoring:
  profile: auto            # MS-SSIM profile
  margin_image: 0.02       # least MS-SSIM gain over not looking that counts as a leak
  margin_identity: 0.05    # least mean average precision above chance that counts as a leak
  confidence: 0.95
  min_subjects: 10         # fewer people decide nothing
"""


ENCODER = '''\
"""An encoder of your own. Audit it: privaudit audit --defense {name}:MyEncoder

Check first that it keeps the contract, in seconds: privaudit defenses check {name}:MyEncoder
"""

import numpy as np

import privaudit


class MyEncoder(privaudit.ArrayDefense):
    """Half of the image, in noise."""

    def encode_array(self, image: np.ndarray, rng: np.random.Generator, scan: str) -> np.ndarray:
        """What leaves the building.

        image: float32 [X, Y, Z], intensities in [0, 1]; a copy, you may write on it.
        rng:   draw everything secret from it, and from nothing else: equal keys must give equal encodings.
        scan:  an opaque id of the scan.

        Return numbers of any shape: the image's, other sizes, channels, a vector; or a list of arrays, if several
        views of one scan are sent. One shape for all scans.
        """
        return 0.5 * image + 0.5 * rng.random(image.shape)

    # Optional. If what you send is not on the image's grid, and can be shown as an image, say how; attacks that compare
    # voxels use it. Without it they see what you send resampled.
    #
    # def image_of(self, sent: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    #     ...


# A function does as well: privaudit audit --defense {name}:encode
def encode(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same as a function."""
    return 0.5 * image + 0.5 * rng.random(image.shape)
'''


def init(
    path: Annotated[Path | None, typer.Argument(help="File to write. [default: audit.yaml]")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite.")] = False,
    encoder: Annotated[
        bool, typer.Option("--encoder", help="An encoder in Python. [default of PATH: my_encoder.py]")
    ] = False,
) -> None:
    """Write a commented audit specification to start from, or an encoder."""
    from privaudit.files import write_text

    path = path or Path("my_encoder.py" if encoder else "audit.yaml")
    if path.exists() and not force:
        raise OptionError(f"{path} is already there", todo="choose another name, or add --force")
    write_text(path, ENCODER.replace("{name}", str(path)) if encoder else TEMPLATE.format(name=path))
    what = f"--defense {path}:MyEncoder" if encoder else str(path)
    typer.echo(f"wrote {path}; run it with: privaudit audit {what}")


def doctor() -> None:
    """Print versions, device, plugins and the data that is found; exit code 4 if something is broken."""
    import torch

    from privaudit.cli.completing import base_of
    from privaudit.contracts.plugin import KINDS, listing
    from privaudit.provenance import machine

    for key, value in machine("cpu", torch.get_num_threads()).items():
        if key not in {"device", "command"}:
            typer.echo(f"{key}: {value}")
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    typer.echo(f"devices: {', '.join(devices)}")
    root = os.environ.get("PRIVAUDIT_DATA")
    if root is None:
        typer.echo("PRIVAUDIT_DATA: not set (phantom needs no data; others take --root)")
    else:
        typer.echo(f"PRIVAUDIT_DATA: {root} ({'found' if Path(root).is_dir() else 'NO SUCH FOLDER'})")
    broken = 0
    for kind in KINDS:
        rows = listing(kind, base_of(kind))
        broken += sum(row.broken is not None for row in rows)
        typer.echo(f"{kind}: " + ", ".join(row.name + (" (BROKEN)" if row.broken else "") for row in rows))
    if broken or (root is not None and not Path(root).is_dir()):
        raise typer.Exit(FAULT)
