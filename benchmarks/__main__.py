"""``make bench``: speed and memory, as ratios in one run."""

from __future__ import annotations

import argparse

from benchmarks import msssim_bench


def main() -> None:
    """Run every benchmark on the embedded cohort and print its rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed and memory, as ratios in one run.")
    parser.add_argument("--quick", action="store_true", help="fewer scans and repeats")
    quick: bool = parser.parse_args().quick
    volumes, people = msssim_bench.phantom_scans(12 if quick else 100)
    msssim_bench.print_rows(msssim_bench.run(quick, volumes, people))


if __name__ == "__main__":
    main()
