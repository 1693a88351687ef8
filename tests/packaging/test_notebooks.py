"""Notebooks: their sources run, and what is shown was made of these very sources."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2] / "docs" / "tutorials" / "notebooks"
SOURCES = sorted(path.name for path in ROOT.glob("*.py"))

SMALL = {
    '{"name": "phantom", "subjects": 20, "sessions": 2, "voxel_mm": 4}': '{"name": "blobs", "subjects": 8}',
    'attacks=["reid"]': 'attacks=[{"name": "reid", "protocols": ["encoded"]}]',
}
"""The same on people who are made in no time."""


def cells(source: str) -> list[tuple[str, str]]:
    """Kind and text of the cells of a source in the percent format."""
    found = re.split(r"^# %%(.*)\n", source, flags=re.M)[1:]
    return [
        ("markdown", re.sub(r"^# ?", "", text.strip(), flags=re.M)) if "markdown" in kind else ("code", text.strip())
        for kind, text in zip(found[::2], found[1::2], strict=True)
    ]


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_runs(name: str, thirdparty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed: pip install 'privaudit[docs]'")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / name).read_text()
    for usual, small in SMALL.items():
        assert usual in text
        text = text.replace(usual, small)
    names: dict[str, Any] = {"__name__": "notebook"}
    exec(compile(text, name, "exec"), names)
    verdict = names["result"].verdict if "result" in names else names["record"]["verdict"]
    assert verdict in ("LEAK", "INCONCLUSIVE")
    if "rows" in names:
        assert len(names["rows"]) == len(names["rows"]["request"].unique())


@pytest.mark.parametrize("name", SOURCES)
def test_the_notebook_was_made_of_its_source(name: str) -> None:
    """Cells are equal, each code cell was run in order, and none failed."""
    notebook = json.loads((ROOT / name).with_suffix(".ipynb").read_text())
    made = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    assert made == cells((ROOT / name).read_text()), "run the command in CONTRIBUTING.md again"
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert outputs
    assert all(output["output_type"] != "error" for output in outputs)
