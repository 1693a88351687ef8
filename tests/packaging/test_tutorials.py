"""The tutorials run as they are written: each in an empty folder, its commands one after the other."""

import contextlib
import io
import re
import runpy
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

ROOT = Path(__file__).parents[2] / "docs" / "tutorials"
ALLOWED = {"audit": {0}, "check": {0, 3}}
"""Exit codes: twenty people decide little."""


def parts(file: str) -> list[tuple[str, str]]:
    return re.findall(r"```(python|console)\n(.*?)```", (ROOT / file).read_text(), flags=re.S)


def tiny(text: str) -> str:
    """The same on eight people who are made in no time, with one retrieval."""
    text = text.replace("--subjects 20 --voxel-mm 4", "--dataset blobs --subjects 8")
    text = text.replace('{"name": "phantom", "subjects": 20, "voxel_mm": 4}', '{"name": "blobs", "subjects": 8}')
    assert "phantom" not in text
    few = "--controls single --reid.protocols [encoded]"
    text = re.sub(r"(audit .*--attack reid)\b", rf"\1 {few}", text)
    return text.replace('attacks=["reid"]', 'attacks=["values-reid"], controls="single"')


def run_command(line: str) -> str:
    from privaudit.cli.app import app

    command, _, target = line.removeprefix("$ ").partition(" > ")
    program, *words = shlex.split(command)
    if program == "python":
        with contextlib.redirect_stdout(io.StringIO()) as stream:
            runpy.run_path(words[0], run_name="__main__")
        return stream.getvalue()
    assert program == "privaudit"
    words = [word.replace("python vendor", f"{sys.executable} vendor") for word in words]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code in ALLOWED.get(words[0], {0}), result.output
    if target:
        Path(target).write_text(result.stdout)
    return result.output


@pytest.mark.parametrize("file", sorted(path.name for path in ROOT.glob("*.md")))
def test_a_tutorial_runs(file: str, thirdparty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # What a card draws takes longer than all the rest, and is tested elsewhere.
    monkeypatch.setattr("privaudit.cards.pictures.pictures_of", lambda *_, **__: [])
    said, namespace = "", dict[str, Any]()
    for language, text in ((language, tiny(text)) for language, text in parts(file)):
        if language == "console":
            said += "".join(run_command(line) for line in text.splitlines() if line.startswith("$ "))
        elif text.startswith("# "):
            Path(text.partition("\n")[0][2:]).write_text(text)
        elif not text.startswith("def encode_array"):
            with contextlib.redirect_stdout(io.StringIO()) as stream:
                exec(text, namespace)
            said += stream.getvalue()
    assert "FAILED" not in said
    if file == "black-box.md":
        assert "not run: learned-reid encoded: it needs encodings of images of its own choosing" in said
    if file == "my-encoder.md":
        assert re.search(r"^values-reid encoded +map .*INCONCLUSIVE$", said, flags=re.M)
        assert Path("from-python/card.html").is_file()
        assert namespace["record"].defense.name == "my-encoder"
