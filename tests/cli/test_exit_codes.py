"""What a machine reads: 1 is the gate's alone; other trouble has one line, and a file's trouble its name."""

import errno
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from privaudit.cli import app
from privaudit.results.baseline import dump_baseline, make_baseline
from privaudit.results.record_files import dumps
from tests.records import finding, record

Main = Callable[..., tuple[int, str]]


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Main:
    """Run the command line here; returns its exit code and what it says on standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["privaudit", *arguments])
        with pytest.raises(SystemExit) as stop:
            app.main()
        return int(stop.value.code or 0), capsys.readouterr().err

    return run


@pytest.fixture
def gate(tmp_path: Path) -> list[str]:
    accepted = record(finding())
    (tmp_path / "record.json").write_text(dumps(accepted))
    (tmp_path / "base.json").write_text(dump_baseline(make_baseline(accepted)))
    return ["check", "record.json", "--baseline", "base.json"]


def raising(error: BaseException) -> Callable[..., Any]:
    def stop(*_: Any, **__: Any) -> Any:
        raise error

    return stop


@pytest.mark.parametrize("error", [KeyError("sub-01"), RecursionError(), MemoryError(), EOFError(), OSError(5, "bad")])
def test_an_unexpected_error_exits_70_with_one_line_and_a_private_report(
    main: Main, gate: list[str], error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "reports"))
    (tmp_path / "reports").mkdir()
    monkeypatch.setattr("privaudit.results.gate.check", raising(error))
    code, said = main(*gate)
    assert code == 70
    assert said.strip().splitlines()[-1].startswith(f"privaudit: unexpected error: {type(error).__name__}, a fault of")
    assert "sub-01" not in said
    (report,) = (tmp_path / "reports").iterdir()
    assert str(report) in said
    assert "Traceback" in report.read_text()
    assert stat.S_IMODE(report.stat().st_mode) == 0o600


def test_without_a_place_for_the_report_the_exit_code_is_the_same(
    main: Main, gate: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.NamedTemporaryFile", raising(OSError(errno.ENOSPC, "No space left on device")))
    monkeypatch.setattr("privaudit.results.gate.check", raising(RuntimeError()))
    code, said = main(*gate)
    assert (code, "no report could be written: No space left" in said) == (70, True)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [(KeyboardInterrupt(), 130, "the same command continues from there"), (BrokenPipeError(errno.EPIPE, ""), 141, "")],
)
def test_a_stopped_command_is_no_grown_leakage(
    main: Main, gate: list[str], error: BaseException, code: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = sys.stdout, sys.stderr
    monkeypatch.setattr("privaudit.results.gate.check", raising(error))
    found, said = main(*gate)
    sys.stdout, sys.stderr = out, err  # typer replaces them after a broken pipe
    assert found == code
    assert text in said


def test_the_gate_still_says_what_it_says(main: Main, gate: list[str], tmp_path: Path) -> None:
    assert main(*gate)[0] == 0
    from privaudit.results.overall import Verdict

    grown = record(finding(estimate=0.99, verdict=Verdict.LEAK))
    (tmp_path / "record.json").write_text(dumps(grown))
    assert main(*gate)[0] == 1
    assert main("check", "record.json", "--baseline", "nowhere.json")[0] == 2


def test_a_baseline_warns_of_what_its_own_run_would_not_pass(
    main: Main, gate: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from privaudit.results.overall import Verdict

    (tmp_path / "record.json").write_text(dumps(record(finding(verdict=Verdict.INCONCLUSIVE))))

    def base(*more: str) -> str:
        monkeypatch.setattr(sys, "argv", ["privaudit", "baseline", "record.json", *more])
        with pytest.raises(SystemExit):
            app.main()
        printed = capsys.readouterr()
        (tmp_path / "base.json").write_text(printed.out)
        return printed.err

    said = base()
    assert "'check' will not pass average/K=10/target/ms_ssim" in said
    assert "--accept-inconclusive" in said
    assert main(*gate)[0] == 3
    assert base("--accept-inconclusive") == ""
    assert main(*gate)[0] == 0


DAMAGED = {
    "not UTF-8": b"\xff\xfe\x00 schema",
    "nested": b"[" * 100_000,
    "a long number": b'{"schema_version": ' + b"9" * 5000 + b"}",
    "empty": b"",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("name", ["record.json", "base.json"])
def test_damaged_records_and_baselines_are_named(
    main: Main, gate: list[str], name: str, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    code, said = main(*gate)
    assert code == 2
    assert said.startswith("privaudit: error: ")
    assert name in said
    assert len(said.strip().splitlines()) == 1
    assert len(said) < 500


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00",
        b"seed: 2001-99-99",
        b"seed: " + b"9" * 5000,
        b"[" * 5000,
        b"seed: !!timestamp soon",
        b"seed: !!bool perhaps",
        b"seed: !!int ''",
        b"? [1]\n: 2",
        b"a: *nobody",
    ],
)
def test_a_specification_that_is_no_yaml_is_named(main: Main, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "audit.yaml").write_bytes(content)
    for command in ("audit", "plan", "sweep"):
        code, said = main(command, "audit.yaml")
        assert (code, "audit.yaml" in said, len(said.strip().splitlines())) == (2, True, 1), said
    code, said = main("train", "--config", "audit.yaml")
    assert (code, "audit.yaml" in said) == (2, True), said


@pytest.mark.parametrize("value", ["2001-99-99", "9" * 5000, "[" * 3000, "!!bool perhaps"])
def test_a_value_that_is_no_yaml_names_its_option(main: Main, value: str) -> None:
    for option, name in (("--subjects", "subjects"), ("--scoring.margin-image", "--scoring.margin-image")):
        code, said = main("audit", option, value)
        assert (code, name in said, len(said.strip().splitlines())) == (2, True, 1), said
        assert len(said) < 500
    code, said = main("sweep", "--grid", f"views={value}")
    assert (code, "--grid" in said) == (2, True)


def test_what_the_system_refuses_to_read_is_named(main: Main, gate: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As root, who may read everything, a refusal must be made up."""
    original = Path.read_text

    def refused(self: Path, *arguments: Any, **more: Any) -> str:
        if self.name == "base.json":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return original(self, *arguments, **more)

    monkeypatch.setattr(Path, "read_text", refused)
    code, said = main(*gate)
    assert code == 2
    assert "base.json cannot be read: Permission denied" in said


@pytest.mark.parametrize("content", [b"\xff\xfe", b"{}", b"[" * 100_000, b'{"network": {"size": 7}}'])
def test_weights_with_a_damaged_config_are_named(main: Main, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "config.json").write_bytes(content)
    code, said = main("audit", "--utility.weights", "w")
    assert (code, "the weights in w cannot be read" in said, len(said.strip().splitlines())) == (2, True, 1), said
    assert "validation error" not in said


PLACES = ["file/inside", "/proc/privaudit"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "arguments",
    [
        ["audit", "--out", "PLACE"],
        ["audit", "--cache", "PLACE"],
        ["attack", "as-is", "--cache", "PLACE"],
        ["sweep", "--cache", "PLACE"],
        ["train", "--out", "PLACE"],
        ["train", "--prior", "--out", "PLACE"],
        ["train", "--cache", "PLACE"],
        ["segment", "scan.nii.gz", "--weights", "phantom-none", "-o", "PLACE/labels.nii.gz"],
        ["segment", "scan.nii.gz", "--weights", "phantom-none", "-o", "a.nii.gz", "--cache", "PLACE"],
        ["check", "record.json", "--baseline", "base.json", "--junit", "PLACE/leak.xml"],
        ["check", "record.json", "--baseline", "base.json", "--sarif", "PLACE/leak.sarif"],
        ["report", "record.json", "--format", "markdown", "--out", "PLACE/card.md"],
        ["init", "PLACE/audit.yaml"],
    ],
)
def test_a_place_that_cannot_be_written_is_one_line(
    main: Main, gate: list[str], arguments: list[str], place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("file", "scan.nii.gz"):
        (tmp_path / name).write_text("mine")
    if arguments[0] in ("audit", "attack", "sweep", "train"):  # data would be opened: that is too late
        monkeypatch.setattr("privaudit.contracts.plugin.create", raising(AssertionError("work has begun")))
    code, said = main(*(word.replace("PLACE", place) for word in arguments))
    assert code == 2, said
    assert "cannot be written: " in said
    assert place in said
    assert len(said.strip().splitlines()) == 1
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.json", "file", "record.json", "scan.nii.gz"]


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
@pytest.mark.parametrize("option", ["-o", "--variance"])
def test_segment_never_replaces_the_scan(main: Main, option: str, link: Any, tmp_path: Path) -> None:
    (tmp_path / "scan.nii.gz").write_text("a scan")
    name = "scan.nii.gz" if link is None else "link.nii.gz"
    if link is not None:
        link(tmp_path / "scan.nii.gz", tmp_path / name)
    outputs = ["-o", name] if option == "-o" else ["-o", "labels.nii.gz", "--variance", name]
    code, said = main("segment", "scan.nii.gz", "--weights", "phantom-none", *outputs)
    assert (code, f"{name} would replace scan.nii.gz, which is read" in said) == (2, True), said
    assert (tmp_path / "scan.nii.gz").read_text() == "a scan"


def test_the_gate_and_a_report_never_replace_what_they_read(main: Main, gate: list[str], tmp_path: Path) -> None:
    before = [(tmp_path / name).read_bytes() for name in ("record.json", "base.json")]
    for arguments in (
        [*gate, "--junit", "base.json"],
        [*gate, "--sarif", "record.json"],
        ["report", "record.json", "--format", "json", "--out", "record.json"],
    ):
        code, said = main(*arguments)
        assert (code, "would replace" in said) == (2, True), said
    assert [(tmp_path / name).read_bytes() for name in ("record.json", "base.json")] == before
