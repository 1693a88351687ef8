"""What it took to make a record: code, versions, machine."""

from __future__ import annotations

import ast
import hashlib
import inspect
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from privaudit._version import __version__
from privaudit.paths import base_name

PACKAGE = Path(__file__).parent
PRESENTATION = ("cli", "cards", "interactive.py", "results/gate.py", "results/compare.py", "results/ci_formats.py",
                "results/pytest_plugin.py", "contracts/report.py")  # fmt: skip
"""Rooms and files that no score depends on."""


def _hash_files(files: Iterable[Path], root: Path) -> str:
    hasher = hashlib.sha256()
    for file in sorted(files):
        hasher.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return hasher.hexdigest()[:12]


@cache
def core_code() -> str:
    """Hash of the core's source, without what only presents results."""
    shown = [PACKAGE / place for place in PRESENTATION]
    files = [f for f in PACKAGE.rglob("*.py") if not any(f.is_relative_to(place) for place in shown)]
    return _hash_files(files, PACKAGE)


def plugin_code(cls: type) -> str:
    """Hash of the source of the package a plugin class lives in, or of its file if that stands alone."""
    try:
        file = inspect.getsourcefile(cls)
    except (TypeError, OSError):  # a notebook's
        file = None
    if file is None:
        return "unknown"
    depth = cls.__module__.count(".")
    if not depth:
        return _hash_files(_with_helpers(Path(file)), Path(file).parent)
    package = Path(file).parents[depth - 1]
    return core_code() if package == PACKAGE else _hash_files(package.rglob("*.py"), package)


def _with_helpers(file: Path) -> list[Path]:
    """A file that stands alone, and the files beside it that it imports, and they, and so on."""
    found, todo = {file}, [file]
    while todo:
        try:
            tree = ast.parse(todo.pop().read_bytes())
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            beside = {file.parent / f"{name.partition('.')[0]}.py" for name in names}
            for name in names:
                beside |= set((file.parent / name.partition(".")[0]).glob("*.py"))
            new = [other for other in sorted(beside) if other.is_file() and other not in found]
            found |= set(new)
            todo += new
    return sorted(found)


@cache
def commit() -> str | None:
    """Commit of the checkout the package runs from, with '+' if it has changes; None outside a checkout of its own."""
    top = PACKAGE.parent
    if not (top / ".git").exists():
        return None
    try:
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=top, capture_output=True, text=True, timeout=10, check=True
        )
        state = subprocess.run(
            ["git", "status", "--porcelain", "-uno"], cwd=top, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+" if state.stdout.strip() else "")


def versions(packages: Iterable[str] = ("torch", "numpy", "scipy", "nibabel", "nilearn", "monai")) -> dict[str, str]:
    """Installed versions of the packages a figure may depend on."""
    out = {}
    for name in packages:
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            continue
    return out


def without_folders(words: Iterable[str]) -> str:
    """A command line without folders: they may carry names of people or places, and fingerprints say which data."""
    return " ".join(map(base_name, words))


def _command() -> str:
    """What was typed, as it can be typed again."""
    program = Path(sys.argv[0])
    name = f"python -m {program.parent.name}" if program.name == "__main__.py" else program.name
    return f"{name} {without_folders(sys.argv[1:])}".strip()


def machine(device: str, threads: int) -> dict[str, object]:
    """Where it ran, without host or user names."""
    return {
        "version": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": versions(),
        "device": device,
        "threads": threads,
        "cores": os.cpu_count(),
        "command": _command(),
    }
