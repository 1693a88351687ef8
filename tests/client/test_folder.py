"""Folders of scans, and what a user types wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from privaudit.cli.app import main
from privaudit.client.folder import bids_items, still_to_do
from privaudit.errors import DataError


def test_a_bids_folder_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    root, out = tmp_path / "study", tmp_path / "maps"
    names = ("sub-01/anat/sub-01_T1w.nii.gz", "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii")
    for name in (*names, "sub-02/anat/sub-02_T2w.nii.gz", "derivatives/x/anat/sub-01_T1w.nii.gz"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    items = bids_items(root, out)
    assert [str(item.image.relative_to(root)) for item in items] == list(names)
    assert items[1].output == out / "sub-02/ses-1/anat/sub-02_ses-1_desc-privaudit_dseg.nii.gz"
    items[0].output.parent.mkdir(parents=True)
    items[0].output.touch()
    assert still_to_do(items, shuffle=False) == items[1:]
    assert still_to_do(items, shuffle=True) == items[1:]
    with pytest.raises(DataError, match="holds no scans"):
        bids_items(tmp_path / "maps", out)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "--weights", "w", "--host", "0.0.0.0"], "plain HTTP is for this machine alone"),
        (["serve", "--weights", "w", "--tls-cert", "x"], "a certificate and its key"),
        (["serve", "--weights", "w", "--token-file", "none"], "there is no such file"),
        (["serve", "--weights", "w", "--model", "../x"], "a model's name is part of an address"),
        (["serve", "--weights", "w", "--body-mb", "512"], "could never be accepted"),
        (["client", ".", "--out", "o", "--weights", "w"], "a client needs a server"),
        (["client", ".", "--out", "o", "--weights", "w", "--server", "http://127.0.0.1:1"], "holds no scans"),
        (["capture", "-o", "x.har"], "a capture needs a server"),
        (["capture", "-o", "x.txt", "--server", "http://127.0.0.1:1"], "a name ending in .har"),
        (["capture", "-o", "x.har", "--server", "http://127.0.0.1:1", "--shuffle"], "in their order"),
        (["capture", "-o", "x.har", "--server", "http://127.0.0.1:1", "--max-views", "3"], "keeps no ledger"),
        (["capture", "-o", "x.har", "--server", "http://192.168.1.1"], "over plain HTTP anybody"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if arguments[0] != "client":
        pytest.importorskip("uvicorn", reason="needs the extra 'serve'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["privaudit", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    shown = capsys.readouterr().err
    assert stopped.value.code == 2, shown
    assert said in shown
    assert len(shown.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())
