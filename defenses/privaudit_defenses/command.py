"""Any executable as a scheme: it reads a scan from a file and writes what would be sent to another."""

from __future__ import annotations

import hashlib
import itertools
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from pydantic import Field, field_validator
from torch import Tensor, stack

from privaudit.cohorts.array_files import read_encoding, write_image
from privaudit.cohorts.store import cache_folder
from privaudit.contracts.arrays import ArrayDefense, ArrayKey, numbers, pack
from privaudit.contracts.cohort import Cohort, mark
from privaudit.contracts.defense import Defense, Encoded, Key
from privaudit.contracts.options import PluginOptions
from privaudit.errors import DataError, OptionError, PluginError
from privaudit.files import atomic_path, writing
from privaudit.imaging.patches import Shape
from privaudit.programs import end_programs, run_program
from privaudit.provenance import without_folders

TAIL: Final = 300
"""Characters of what a command says on standard error that are shown."""


class CommandOptions(PluginOptions):
    """What is run, and how."""

    command: str = Field(
        default="",
        description="for example 'vendor-encode {input} {output}'; {seed} is a number that decides everything secret,"
        " and with {views} it makes so many files in the folder {output}; {python} is the Python that runs this tool."
        " No shell reads it",
    )
    views: Annotated[int, Field(ge=1)] = Field(default=1, description="encodings of each scan that are sent")
    timeout: Annotated[float, Field(gt=0)] = Field(default=600.0, description="seconds that one run may take")
    format: Literal["nii.gz", "nii", "npy"] = Field(default="nii.gz", description="of both files")
    keep: Path | None = Field(
        default=None,
        description="folder where encodings are kept between runs; by default one in the user's cache, which only the"
        " user can read",
    )

    @field_validator("command")
    @classmethod
    def _usable(cls, value: str) -> str:
        if value and not ("{input}" in value and "{output}" in value):
            raise ValueError("it must name {input} and {output}")
        try:
            shlex.split(value)
        except ValueError as error:
            raise ValueError(f"it cannot be split into words: {error}") from None
        return value


class CommandDefense(ArrayDefense):
    """A command is run for each scan, in a folder of its own; what it makes is kept, so that each is made once.

    Whether it makes the same twice is found out on the first scan. A command without ``{seed}`` that does not is run
    anew for each key, and has no key that anybody could draw.
    """

    name = "command"
    summary = "any executable that reads a scan and writes what is sent: --command 'encode {input} {output}'"
    Options = CommandOptions
    options: CommandOptions

    def __init__(self, options: CommandOptions | None = None) -> None:
        super().__init__(options)
        self._voxel_mm = 1.0
        self._repeats: bool | None = None

    def fitted(self, cohort: Cohort, victims: Sequence[str]) -> Defense:
        """The same, which knows the voxel size.

        Raises:
            OptionError: no command, or one that is not there.
        """
        if not self.options.command:
            raise OptionError("which command encodes?", todo="give --command 'vendor-encode {input} {output}'")
        self._executable  # noqa: B018 - missing ones show now
        made = type(self)(self.options)
        made._voxel_mm = cohort.voxel_mm
        return made

    @property
    def views(self) -> int:
        """As many as the options say."""
        return self.options.views

    @property
    def params(self) -> dict[str, Any]:
        """The options without folders, which may carry names."""
        shown = {"command": without_folders(shlex.split(self.options.command)), "keep": self.options.keep is not None}
        return {**super().params, **shown}

    @property
    def notes(self) -> tuple[str, ...]:
        """Whether the command makes the same twice."""
        if self._repeats is None:
            return ()
        found = "the same" if self._repeats else "something else"
        return (f"the command was run twice on one scan and made {found} the second time",)

    @cached_property
    def digest(self) -> str:
        """Of the words, of the executable, and of files among its arguments."""
        hasher = hashlib.sha256(self.options.command.encode())
        for place in [Path(self._executable), *map(Path, shlex.split(self.options.command)[1:])]:
            if place.is_file():
                hasher.update(place.read_bytes())
        return hasher.hexdigest()[:12]

    @cached_property
    def _executable(self) -> str:
        first = shlex.split(self.options.command)[0].replace("{python}", sys.executable)
        found = shutil.which(first)
        if found is None:
            raise OptionError(f"there is no executable '{Path(first).name}'", todo="give its path, or install it")
        return str(Path(found).absolute())

    @cached_property
    def _folder(self) -> Path:
        folder = self.options.keep or cache_folder(None) / "commands"
        folder = folder / f"{self.digest}-{self.options.format}-{self.options.views}"
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        return folder

    def encode(self, image: Tensor, key: Key, views: int) -> Encoded:
        """What the command makes of a scan, or has made of it before."""
        assert isinstance(key, ArrayKey)
        shape: Shape = (image.shape[0], image.shape[1], image.shape[2])
        scan = image.numpy()
        if self._repeats is None:
            self._repeats = self._twice(scan, key)
        found = self._kept(scan, key)
        return pack(self, stack(numbers(found, f"the command '{self._called}'"))[:views], shape)

    def ahead(self, scans: Iterable[tuple[Tensor, Key]], jobs: int) -> None:
        """Run the command for many scans, so many at a time."""
        left = iter(scans)
        with ThreadPoolExecutor(jobs) as workers:
            while batch := list(itertools.islice(left, 4 * jobs)):  # all scans at once may be more than memory holds
                try:
                    list(workers.map(lambda item: self.encode(item[0], item[1], self.views), batch))
                except BaseException:  # Ctrl-C among them: nobody waits for what still runs
                    end_programs()
                    raise

    @property
    def _called(self) -> str:
        return Path(self._executable).name

    def _twice(self, scan: NDArray[np.float32], key: ArrayKey) -> bool:
        """Whether two runs with equal arguments make the same; remembered beside what is kept."""
        said = self._folder / "repeats.txt"
        with FileLock(self._folder / "repeats.lock"):
            if not said.exists():
                first, second = self._run(scan, key), self._run(scan, key)
                same = all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
                with atomic_path(said) as temporary:
                    temporary.write_text("the same" if same else "something else")
            return said.read_text() == "the same"

    def _kept(self, scan: NDArray[np.float32], key: ArrayKey) -> list[NDArray[Any]]:
        # Without a seed, what a command repeats depends on the scan alone.
        keyed = "{seed}" in self.options.command or not self._repeats
        secret = hashlib.sha256(str(key.seed).encode()).hexdigest()[:16] if keyed else "any"
        file = self._folder / f"{mark(scan)}-{secret}.npz"
        with FileLock(file.with_suffix(".lock")):
            if not file.exists():
                made = self._run(scan, key)
                with atomic_path(file) as temporary, temporary.open("wb") as stream:
                    np.savez(stream, *made)
                file.chmod(0o600)
        with np.load(file, allow_pickle=False) as data:
            return [data[name] for name in data.files]

    def _run(self, scan: NDArray[np.float32], key: ArrayKey) -> list[NDArray[Any]]:
        """Every view of a scan, by one run or by one for each."""
        if "{views}" in self.options.command or self.options.views == 1:
            return self._once(scan, key.seed)
        seeds = [int(key.rng(view).integers(2**63)) for view in range(self.options.views)]
        return [self._once(scan, seed)[0] for seed in seeds]

    def _once(self, scan: NDArray[np.float32], seed: int) -> list[NDArray[Any]]:
        several, ending = "{views}" in self.options.command, f".{self.options.format}"
        with tempfile.TemporaryDirectory() as name:  # its name does not tell the command who runs it
            folder = Path(name)
            given, wanted = folder / f"input{ending}", folder / ("output" if several else f"output{ending}")
            write_image(given, scan, self._voxel_mm)
            if several:
                wanted.mkdir()
            values = {"input": str(given), "output": str(wanted), "seed": str(seed), "views": str(self.options.views)}
            words = [_filled(word, values) for word in shlex.split(self.options.command)]
            self._call([self._executable, *(_absolute(word) for word in words[1:])], folder)
            files = sorted(wanted.glob(f"*{ending}")) if several else [wanted] if wanted.is_file() else []
            made = sorted(f.name for f in folder.rglob("*") if f.is_file() and f != given)
            if not len(made) == len(files) == (self.options.views if several else 1):
                rule = f"one file, {{output}}, here output{ending}"
                rule = f"{self.options.views} files *{ending} in the folder {{output}}" if several else rule
                what = "wrote other files than it was told to" if made else "wrote nothing where it was told to"
                raise PluginError(f"the command '{self._called}' {what}", got=", ".join(made) or None, allowed=rule)
            try:
                found = [read_encoding(file, f"what '{self._called}' wrote") for file in files]
            except DataError as error:
                raise PluginError(str(error)) from None
            numbers(found, f"the command '{self._called}'")  # before anything is kept
            return found

    def _call(self, words: Sequence[str], folder: Path) -> None:
        try:
            code, said = run_program(words, folder, self.options.timeout, TAIL)
        except subprocess.TimeoutExpired:
            told = f"the command '{self._called}' took more than {self.options.timeout:g} s for one scan"
            raise PluginError(told, todo="raise --command.timeout, or mend it") from None
        except OSError as error:
            raise PluginError(f"the command '{self._called}' cannot be run: {error.strerror}") from None
        if code:
            raise PluginError(f"the command '{self._called}' ended with code {code}; it said: {said or 'nothing'}")


def _filled(word: str, values: dict[str, str]) -> str:
    """A word with its names replaced; other braces stay as they are."""
    for name, value in values.items():
        word = word.replace(f"{{{name}}}", value)
    return word


def _absolute(word: str) -> str:
    """A relative file as it is found from another folder."""
    return str(Path(word).absolute()) if not Path(word).is_absolute() and Path(word).is_file() else word
