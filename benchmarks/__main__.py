"""``make bench``: speed and memory of everything that claims any, as ratios in one run.

Seven are something else, and run only when asked for: ``python -m benchmarks power``, audits of encoders of known
strength, ``python -m benchmarks verdicts``, how often verdicts are right on made-up figures, ``python -m benchmarks
settings``, every setting of mixup under the attacks on all requests together, ``python -m benchmarks ckks``, what
homomorphic encryption costs, ``python -m benchmarks precision``, float16 on the wire, ``python -m benchmarks ways``,
minutes from an empty folder to a card, and ``python -m benchmarks strongest``, a table of the strongest attacks from
finished records.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks import (
    ckks_bench,
    decode_bench,
    joint_bench,
    layout_bench,
    msssim_bench,
    power_bench,
    precision_bench,
    rivals_bench,
    segmentation_bench,
    separation_bench,
    serving_bench,
    settings_bench,
    strongest,
    verdicts_bench,
    ways_bench,
)

PARTS = ("msssim", "segmentation", "separation", "rivals", "joint", "decode", "layout", "serving")


def main() -> None:
    """Run every benchmark, or those named, and print its rows."""
    alone = {
        "power": power_bench.main, "settings": settings_bench.main, "verdicts": verdicts_bench.main,
        "strongest": strongest.main, "ckks": ckks_bench.main, "precision": precision_bench.main,
        "ways": ways_bench.main,
    }  # fmt: skip
    if sys.argv[1:2] and sys.argv[1] in alone:
        alone[sys.argv[1]](sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Speed and memory, as ratios in one run.",
        epilog="'power --help' tells of the exposure table: audits of encoders of known strength.",
    )  # fmt: skip
    parser.add_argument("part", nargs="*", choices=[*PARTS, []], help="only these")
    parser.add_argument("--quick", action="store_true", help="fewer scans and repeats")
    arguments = parser.parse_args()
    quick: bool = arguments.quick
    if not arguments.part or "msssim" in arguments.part:
        volumes, people = msssim_bench.phantom_scans(12 if quick else 100)
        msssim_bench.print_rows(msssim_bench.run(quick, volumes, people))
    if not arguments.part or "segmentation" in arguments.part:
        segmentation_bench.print_rows(segmentation_bench.run(quick))
    if not arguments.part or "separation" in arguments.part:
        segmentation_bench.print_rows(separation_bench.run(quick))
    if not arguments.part or "rivals" in arguments.part:
        segmentation_bench.print_rows(rivals_bench.run(quick))
    if not arguments.part or "joint" in arguments.part:
        segmentation_bench.print_rows(joint_bench.run(quick))
    if not arguments.part or "decode" in arguments.part:
        segmentation_bench.print_rows(decode_bench.run(quick))
    if not arguments.part or "layout" in arguments.part:
        segmentation_bench.print_rows(layout_bench.run(quick))
    if not arguments.part or "serving" in arguments.part:
        segmentation_bench.print_rows(serving_bench.run(quick))


if __name__ == "__main__":
    main()
