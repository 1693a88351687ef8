"""Kills, two processes and full disks: whatever stops a command, the same command ends with the same record.

    python -m benchmarks.kills [--kills 20] [--only learned-reid]

Every case is run once undisturbed. Then it is killed (SIGKILL to its whole session) at moments spread over the time
that it took, and started again until it ends. What it ends with is compared with the undisturbed run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from privaudit.results.record_files import read
from tests.installing import install

BLOBS = ["--dataset", "blobs", "--blobs.subjects", "16", "--scoring.resamples", "200", "--controls", "single"]
PRIOR_STEPS = ["--steps", "30", "--train.detail", "false", "--validate-every", "30", "--validation-batches", "1"]


@dataclass(frozen=True)
class Case:
    """A command, without its folder, and what is compared of the folder it leaves."""

    name: str
    words: list[str]
    result: Callable[[Path], Any]


def record_of(run: Path) -> Any:
    """The record, without times."""
    return read(run).stable()


def weights_of(folder: Path) -> Any:
    """Every number, and the losses."""
    tensors = {name: value.tolist() for name, value in load_file(folder / "segmentation.safetensors").items()}
    rows = (folder / "history.csv").read_text().splitlines()
    columns = [number for number, name in enumerate(rows[0].split(",")) if "second" not in name]
    return tensors, [[row.split(",")[number] for number in columns] for row in rows]


def cases(prior: Path) -> list[Case]:
    """What is killed: an audit, one that learns, one that separates, and a training."""
    none = ["--utility.weights", "none", "--quiet"]
    return [
        Case("audit", ["audit", *BLOBS, "--attack", "reid", "--attack", "average", *none], record_of),
        Case("learned-reid", ["attack", "learned-reid", *BLOBS, "--learned-reid.steps", "12", *none], record_of),
        Case("bss", ["attack", "bss", *BLOBS, "--blobs.flat", "true", "--prior", str(prior), "--levels", "3",
                     "--bss.steps", "3", "--views", "2", "--pictures.people", "4", *none], record_of),
        Case("train", ["train", "--dataset", "blobs", "--blobs.subjects", "16", "--defense", "mixup", "--steps", "8",
                       "--batch", "1", "--checkpoint-every", "2", "--validate-every", "8", "--validation-batches", "1",
                       "--device", "cpu", "--quiet"], weights_of),
    ]  # fmt: skip


def start(words: list[str], out: Path, **more: Any) -> subprocess.Popen[bytes]:
    """The command in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "privaudit", *words, "--out", str(out)], stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, start_new_session=True, **more,
    )  # fmt: skip


def finish(words: list[str], out: Path) -> None:
    """Run to the end."""
    process = start(words, out)
    _, said = process.communicate()
    if process.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(words)}: exit code {process.returncode}\n{said.decode()}")


def killed(case: Case, base: Path, kills: int, source: random.Random) -> tuple[int, int]:
    """How many kills there were, and how many of the runs that followed ended alike."""
    started = time.monotonic()
    finish(case.words, base / "whole")
    seconds, expected = time.monotonic() - started, case.result(base / "whole")
    done = alike = 0
    while done < kills:
        out = base / f"killed-{done}"
        process = start(case.words, out)
        try:
            process.wait(timeout=source.uniform(0.2, 1.0) * seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            done += 1
            finish(case.words, out)
            alike += case.result(out) == expected
        shutil.rmtree(out, ignore_errors=True)
    return done, alike


def two_at_once(case: Case, base: Path) -> bool:
    """Two processes on one folder: one ends, the other is told so in one line, and the result is the same."""
    out = base / "two"
    both = [start(case.words, out) for _ in range(2)]
    said = [process.communicate()[1].decode() for process in both]
    codes = sorted(process.returncode for process in both)
    told = any("another process is writing" in text and len(text.strip().splitlines()) == 1 for text in said)
    finish(case.words, out)
    ended = codes[0] in (0, 3) and codes[1] in (0, 2, 3) and (codes[1] == 2) == told
    return ended and bool(case.result(out) == case.result(base / "whole"))


def full_disk(case: Case, base: Path) -> bool:
    """No file may grow beyond some bytes, as on a full disk: one line, exit code 2; with room it ends alike."""
    out = base / "full"

    def no_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))

    process = start(case.words, out, preexec_fn=no_room)
    said = process.communicate()[1].decode()
    lines = said.strip().splitlines()
    refused = process.returncode == 2 and len(lines) == 1 and "not be written" in lines[0]
    left = [path.name for path in out.rglob(".tmp-*")] if out.exists() else []
    verdict = out / "record.json"
    if not refused or left or verdict.exists():
        print(f"full disk, {case.name}: exit code {process.returncode}, {left}, {said[-300:]}")
        return False
    finish(case.words, out)
    return bool(case.result(out) == case.result(base / "whole"))


def main() -> int:
    """Print a line for each case; exit code 4 if one did not end alike."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="over all cases")
    parser.add_argument("--only", help="one case")
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        install("thirdparty", base / "site")
        os.environ |= {
            "PYTHONPATH": os.pathsep.join([str(base / "site"), os.environ.get("PYTHONPATH", "")]),
            "OMP_NUM_THREADS": "1",
        }
        prior = base / "prior"
        chosen = [case for case in cases(prior) if wanted.only in (None, case.name)]
        if any(case.name == "bss" for case in chosen):
            data = ["--dataset", "blobs", "--blobs.subjects", "16", "--blobs.flat", "true"]
            finish(["train", "--prior", *data, *PRIOR_STEPS, "--device", "cpu", "--quiet"], prior)
        for number, case in enumerate(chosen):
            place = base / case.name
            place.mkdir()
            kills = wanted.kills // len(chosen) + (number < wanted.kills % len(chosen))
            done, alike = killed(case, place, kills, random.Random(wanted.seed))
            two, full = two_at_once(case, place), full_disk(case, place)
            failed |= done != alike or not two or not full
            told = {"case": case.name, "kills": done, "alike": alike, "two processes": two, "full disk": full}
            print(json.dumps(told), flush=True)
    return 4 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
