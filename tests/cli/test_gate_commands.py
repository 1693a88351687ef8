"""baseline, check and compare from the command line: every exit code, on real audits."""

import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]
# Two dozen people lend references: ten at least are needed to decide.
COMMON = [
    "--dataset", "blobs", "--subjects", "60", "--split.victims", "0.3", "--split.pool", "0.4", "--quiet",
    "--scoring.resamples", "500",
]  # fmt: skip


@pytest.fixture
def runs(here: Cli, tmp_path: Path) -> Path:
    """Two audits of one scheme, the second with a planted leak: nearly all of the target is sent."""
    for name, alpha in (("weak", "0.05"), ("leaky", "0.95")):
        out = here("audit", *COMMON, "--attack", "average", "--alpha", alpha, "--out", name, "--mixup.views", "2")
        assert out.returncode == 2, "alpha belongs to two plugins"
        options = ["--mixup.alpha", alpha, "--mixup.views", "2", "--out", name]
        out = here("audit", *COMMON, "--attack", "average", *options)
        assert out.returncode == 0, out.stderr
    out = here("baseline", "weak")
    (tmp_path / "base.json").write_text(out.stdout)
    return tmp_path


def test_every_exit_code_and_compare(here: Cli, runs: Path) -> None:
    base = ["--baseline", "base.json"]
    fine = here("check", "weak", *base)
    assert fine.returncode == 0, fine.stdout
    assert fine.stdout.endswith("leakage has not grown\n")

    grown = here("check", "leaky", *base, "--junit", "out/leak.xml", "--sarif", "out/leak.sarif")
    assert grown.returncode == 1, grown.stdout
    assert "regressed" in grown.stdout
    assert ET.parse(runs / "out" / "leak.xml").find("testsuite/testcase/failure") is not None
    assert '"level": "error"' in (runs / "out" / "leak.sarif").read_text()

    assert here("check", "nowhere", *base).returncode == 2
    assert here("check", "weak", "--baseline", "nowhere.json").returncode == 2
    assert here("check", "weak", *base, "--tolerance", "-1").returncode == 2
    assert here("check", "weak").returncode == 2

    options = ["--mixup.alpha", "0.05", "--mixup.views", "2", "--out", "less"]
    here("audit", *COMMON, "--attack", "as-is", *options)
    less = here("check", "less", *base)
    assert less.returncode == 3, less.stdout
    assert "the baseline has this figure, and the run has not" in less.stdout

    # Here, and not in a test of its own, because the audits behind it take a minute.
    out = here("compare", "weak", "leaky")
    assert out.returncode == 0
    line = next(ln for ln in out.stdout.splitlines() if ln.startswith("average/target/ms_ssim"))
    assert line.endswith("worse")
    here("audit", *COMMON, "--attack", "as-is", "--out", "other", "--blobs.seed", "5")
    refused = here("compare", "weak", "other")
    assert refused.returncode == 2
    assert "cannot be compared: data fingerprint differs" in refused.stderr
