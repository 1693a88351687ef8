"""How long it takes from an empty folder to a card, for each way to bring an encoder: file, function, command, folder.

Run with ``python -m benchmarks ways``. What is typed is what the tutorials show, read from them: a block of Python that
begins with ``# name.py`` is written into that file, and each line that begins with ``$`` is run. Each way has an
environment with nothing in it but the path, an empty home and the language. ``--fresh`` makes a virtual environment
first, builds the wheel and installs it there, with whatever versions the package registry has.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from privaudit.files import write_text
from privaudit.provenance import commit
from privaudit.results.record_files import read

ROOT: Final = Path(__file__).parents[1]
TUTORIALS: Final = ROOT / "docs" / "tutorials"
CPU_TORCH: Final = "https://download.pytorch.org/whl/cpu"
KEPT: Final = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
"""What the environment keeps where it is set: how many threads there are, on a machine that others use too."""


@dataclass(frozen=True)
class Way:
    """One way to bring an encoder.

    Attributes:
        name: of the way.
        page: the tutorial.
        sections: its headings, as they begin; what stands below them is typed.
        after: another way, in whose folder this one goes on.
    """

    name: str
    page: str
    sections: tuple[str, ...]
    after: str = ""


WAYS: Final = (
    Way("file", "my-encoder.md", ("1.", "2.", "3.")),
    Way("function", "my-encoder.md", ("The same from Python",)),
    Way("command", "black-box.md", ("A program",)),
    Way("folder", "black-box.md", ("A folder",), after="command"),
)


@dataclass(frozen=True)
class Typed:
    """What a person types: files of code, and commands.

    Attributes:
        files: text by name.
        commands: lines for a shell, without the prompt.
        shown: lines of code in a file that a command has written, which the person would change.
    """

    files: Mapping[str, str]
    commands: Sequence[str]
    shown: int

    @property
    def code(self) -> int:
        """Lines of code, blank ones not counted."""
        return sum(bool(line.strip()) for text in self.files.values() for line in text.splitlines())


@dataclass
class Took:
    """What one way took.

    Attributes:
        wall: seconds on the clock, until the card is there.
        cpu: seconds of one core.
        steps: of each command, the same two.
        verdict: of the audit.
        card: where it lies.
    """

    wall: float = 0.0
    cpu: float = 0.0
    steps: list[tuple[str, float, float]] = field(default_factory=list)
    verdict: str = ""
    card: Path = Path()


def typed(way: Way, folder: Path = TUTORIALS) -> Typed:
    """What the tutorial of a way tells to type.

    Args:
        way: which.
        folder: of the tutorials.

    Raises:
        ValueError: it lacks a section, or tells to type nothing.
    """
    parts = re.split(r"^## ", (folder / way.page).read_text(), flags=re.M)[1:]
    chosen = [part for part in parts if part.startswith(way.sections)]
    blocks = re.findall(r"```(python|console)\n(.*?)```", "\n".join(chosen), flags=re.S)
    files = {text.partition("\n")[0][2:]: text for kind, text in blocks if kind == "python" and text.startswith("# ")}
    lines = [line[2:] for kind, text in blocks if kind == "console" for line in text.splitlines() if line[:2] == "$ "]
    if len(chosen) != len(way.sections) or not lines:
        raise ValueError(f"{way.page} has no sections {way.sections} with lines to type")
    shown = sum(len(text.splitlines()) for kind, text in blocks if kind == "python" and text.startswith("def encode_"))
    return Typed(files, lines, shown)


def timed(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[float, float]:
    """Run a command to its end; what it says is kept for the case that it fails.

    Returns:
        Seconds on the clock, and of one core, those of the programs that it runs among them.

    Raises:
        RuntimeError: it ends with another code than 0; the message holds what it said.
    """
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        words, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(
            f"{shlex.join(words)} ended with code {done.returncode}: {(done.stdout + done.stderr)[-2000:]}"
        )
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def clean(programs: Path, home: Path) -> dict[str, str]:
    """An environment with nothing of the person who runs this."""
    home.mkdir(parents=True)
    path = os.pathsep.join([str(programs), "/usr/bin", "/bin"])
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", **kept}


def install(folder: Path) -> tuple[Path, float, float]:
    """Build the wheel and install it into a new virtual environment, with the CPU build of torch where it can be had.

    Returns:
        The folder of its programs; seconds on the clock and of one core.
    """
    environment = {**clean(Path(sys.executable).parent, folder / "home-of-pip")}
    environment |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    wall = cpu = 0.0
    python = folder / "venv" / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    torch = [*pip, "--no-deps", "--retries", "0", "--timeout", "10", "--index-url", CPU_TORCH, "torch"]
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(ROOT)]
    for words in (build, [sys.executable, "-m", "venv", str(folder / "venv")], torch, [*pip, "WHEEL"]):
        wheel = next(map(str, folder.glob("*.whl")), "")
        try:
            spent = timed([wheel if word == "WHEEL" else word for word in words], folder, environment)
        except RuntimeError:
            if words is not torch:
                raise
            continue  # that index cannot be reached: torch comes with the rest, as large as it is
        wall, cpu = wall + spent[0], cpu + spent[1]
    return python.parent, wall, cpu


def take(way: Way, folder: Path, programs: Path) -> Took:
    """Type what a tutorial shows into a folder, until a card lies there.

    Args:
        way: which; where it goes on after another, the folder is that way's.
        folder: where to type, empty or not there.
        programs: folder with ``privaudit`` and ``python``.

    Raises:
        RuntimeError: a command fails, or there is no card in the end.
    """
    text, took = typed(way), Took()
    folder.mkdir(exist_ok=True)
    environment = clean(programs, folder.parent / f"home-of-{way.name}")
    before = set(folder.rglob("card.html"))
    for name, content in text.files.items():
        (folder / name).write_text(content)
    for line in text.commands:
        # The shell of the person would find the program; the line itself needs no shell.
        first, *words = shlex.split(line)
        wall, cpu = timed([str(programs / first), *words], folder, environment)
        took.steps.append((line, wall, cpu))
        took.wall, took.cpu = took.wall + wall, took.cpu + cpu
    cards = set(folder.rglob("card.html")) - before
    if len(cards) != 1:
        raise RuntimeError(f"way '{way.name}' has made {len(cards)} cards")
    took.card = cards.pop()
    took.verdict = str(read(took.card.parent).verdict)
    return took


def row(way: Way, text: Typed, took: Took) -> list[str]:
    """A line of the table."""
    code = f"{text.code}" if text.code else f"none; {text.shown} to change"
    code += f", and those of '{way.after}'" if way.after else ""
    return [way.name, str(len(text.commands)), code, f"{took.wall:.0f} s", f"{took.cpu:.0f} s", took.verdict]


def main(arguments: Sequence[str]) -> None:
    """Take every way, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks ways", description="From an empty folder to a card.")
    parser.add_argument("way", nargs="*", choices=[*(way.name for way in WAYS), []], help="only these")
    parser.add_argument("--fresh", action="store_true", help="in a new virtual environment, with the wheel installed")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work there, and leave everything; new or empty")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table for the documentation")
    chosen = parser.parse_args(arguments)
    rows = [["way", "commands typed", "lines of code", "on the clock", "of one core", "verdict"], ["---"] * 6]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if chosen.keep is None else chosen.keep.absolute()
        folder.mkdir(parents=True, exist_ok=True)
        programs, told = Path(sys.executable).parent, ""
        if chosen.fresh:
            programs, wall, cpu = install(folder)
            told = f" Wheel, virtual environment and `pip install`: {wall:.0f} s on the clock, {cpu:.0f} s of one core."
            print(told.strip(), flush=True)
        for way in WAYS:
            if chosen.way and way.name not in chosen.way:
                continue
            took = take(way, folder / (way.after or way.name), programs)
            rows.append(row(way, typed(way), took))
            for line, wall, cpu in took.steps:
                print(f"{wall:7.1f} s, {cpu:7.1f} s of one core: {line}", flush=True)
            print(" | ".join(rows[-1]), took.card, flush=True)
    text = "\n".join(f"| {' | '.join(line)} |" for line in rows)
    text += f"\n\n(Commit {str(commit())[:8]}, `python -m benchmarks ways{' --fresh' * chosen.fresh}`.{told})\n"
    print(text)
    if chosen.markdown is not None:
        write_text(chosen.markdown, text)
