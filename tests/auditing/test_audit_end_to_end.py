"""Whole audits on the third-party cohort: verdicts, resumption, failures, parallel jobs."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
import yaml

from privaudit.auditing.opening import Settings, open_context
from privaudit.auditing.run import run_audit
from privaudit.auditing.spec import parse_spec
from privaudit.contracts import plugin
from privaudit.contracts.cohort import Dataset
from privaudit.contracts.defense import Defense
from privaudit.devices import choose_device
from privaudit.errors import DataError, OptionError, PluginError, PrivauditError
from privaudit.imaging.patches import as_tensor
from privaudit.results.overall import Verdict
from privaudit.results.record import Record
from privaudit.results.record_files import json_schema, read

KILLS = int(os.environ.get("PRIVAUDIT_KILLS", "2"))

Make = Callable[..., dict[str, Any]]
Cli = Callable[..., subprocess.CompletedProcess[str]]


def audit(data: dict[str, Any], run: Path, **settings: Any) -> Record:
    return run_audit(parse_spec(data, "test"), Settings(out=run, **settings)).record


@pytest.fixture(scope="module")
def mixup_run(tmp_path_factory: pytest.TempPathFactory, thirdparty: Path) -> Path:
    run = tmp_path_factory.mktemp("mixup") / "run"
    data = {"dataset": {"name": "blobs", "subjects": 24}, "attacks": ["reid", "average"], "scoring": {"resamples": 500}}
    audit(data, run)
    return run


def test_the_record_fits_its_schema_and_its_file(mixup_run: Path) -> None:
    data = json.loads((mixup_run / "record.json").read_text())
    jsonschema.validate(data, json_schema())
    assert read(mixup_run).model_dump(mode="json") == data


def test_every_primary_finding_has_what_a_reviewer_asks_for(mixup_run: Path) -> None:
    record = read(mixup_run)
    keys = {finding.key for finding in record.shown()}
    assert keys == {
        "as-is/default/target/ms_ssim",
        "as-is/default/reference/ms_ssim",
        "average/K=10/target/ms_ssim",
        "average/K=10/reference/ms_ssim",
        "reid/encoded/identity/map",
        "reid/raw-gallery/identity/map",
    }
    for finding in record.primary():
        assert finding.ci is not None
        assert finding.estimate is not None
        assert finding.ci[0] <= finding.estimate <= finding.ci[1]
        assert finding.baseline is not None
        assert not finding.baseline.reads_transcript
        assert finding.control is not None
        assert finding.n_subjects == (4 if finding.victim == "reference" else 12)  # four of six people lent a reference
        assert finding.knowledge
        assert finding.table is not None
        assert (mixup_run / finding.table).is_file()


def test_tables_name_nobody(mixup_run: Path) -> None:
    text = "".join(file.read_text() for file in (mixup_run / "tables").glob("*.csv"))
    text += (mixup_run / "record.json").read_text()
    assert "P001" in text
    assert "b000" not in text
    assert "b013" not in text


def test_the_same_seed_gives_the_same_record_with_more_jobs(
    mixup_run: Path, blobs: Make, tmp_path: Path, cli: Cli
) -> None:
    (tmp_path / "audit.yaml").write_text(yaml.safe_dump(blobs(controls="auto")))
    out = cli("audit", "audit.yaml", "--out", "run", "--jobs", "2")
    assert out.returncode == 0, out.stderr
    assert read(tmp_path / "run").stable() == read(mixup_run).stable()


def test_another_seed_gives_another_record(mixup_run: Path, blobs: Make, tmp_path: Path) -> None:
    other = audit(blobs(attacks=["average"], seed=1), tmp_path / "run")
    first = {f.key: f.estimate for f in read(mixup_run).findings}
    assert any(first[finding.key] != finding.estimate for finding in other.findings)


def test_a_second_run_reuses_everything_and_a_changed_part_is_named(blobs: Make, tmp_path: Path) -> None:
    spec = parse_spec(blobs(attacks=["as-is"]), "test")
    run_audit(spec, Settings(out=tmp_path / "run"))
    again = run_audit(spec, Settings(out=tmp_path / "run"))
    assert set(again.notes.values()) == {"reused"}
    changed = parse_spec(blobs(attacks=["as-is"], seed=5), "test")
    notes = run_audit(changed, Settings(out=tmp_path / "run")).notes
    assert "seed changed (0 → 5)" in notes["as-is.default.audit"]


def test_killed_at_random_moments_a_run_ends_with_the_unkilled_record(
    mixup_run: Path, blobs: Make, tmp_path: Path, thirdparty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "audit.yaml").write_text(yaml.safe_dump(blobs(controls="auto")))
    command = [sys.executable, "-m", "privaudit", "audit", "audit.yaml", "--out", "run", "--quiet"]
    env = {**os.environ, "PYTHONPATH": str(thirdparty), "OMP_NUM_THREADS": "1"}
    expected = read(mixup_run).stable()
    source = random.Random(0)
    started = time.perf_counter()
    subprocess.run(command, cwd=tmp_path, env=env, check=True, timeout=600)
    whole = time.perf_counter() - started
    assert read(tmp_path / "run").stable() == expected
    shutil.rmtree(tmp_path / "run")
    kills = finished = 0
    while kills < KILLS:
        process = subprocess.Popen(command, cwd=tmp_path, env=env, start_new_session=True)
        try:
            process.wait(timeout=source.uniform(0.3, 1.0) * whole)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            continue
        # It got through despite the kills before: compare, and start over.
        assert read(tmp_path / "run").stable() == expected
        shutil.rmtree(tmp_path / "run")
        finished += 1
    subprocess.run(command, cwd=tmp_path, env=env, check=True, timeout=600)
    assert read(tmp_path / "run").stable() == expected
    with capsys.disabled():
        print(f"\nkilled {kills} times; {finished + 1} runs ended with the unkilled record")


def test_a_failing_attack_is_missing_and_never_a_pass(
    blobs: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from privaudit_attacks.atlas import AtlasAttack
    from privaudit_attacks.reid import ReidAttack

    def broken(*_: Any) -> Any:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(ReidAttack, "run", broken)
    record = audit(blobs("pure-noise", ["reid"], dataset={"subjects": 12}), tmp_path / "run")
    assert record.verdict is Verdict.INCONCLUSIVE
    assert {item.error for item in record.missing} == {"RuntimeError: out of luck"}
    # Without the attackers who do not look there is no threshold, and so no verdict either.
    monkeypatch.setattr(AtlasAttack, "run", broken)
    record = audit(blobs("pure-noise", ["average"], dataset={"subjects": 12}), tmp_path / "other")
    assert record.missing
    assert record.verdict is not Verdict.NO_LEAK_DETECTED


def test_a_scheme_that_sends_no_numbers_is_told_so_and_never_passes(
    blobs: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = type(plugin.create("defenses", "pure-noise", Defense))
    encode, spared = scheme.encode, list[torch.Tensor]()

    def broken(self: Any, image: torch.Tensor, *arguments: Any) -> Any:
        sent = encode(self, image, *arguments)
        if any(torch.equal(image, other) for other in spared):
            return sent
        return replace(sent, views=torch.full_like(sent.views, torch.nan))

    monkeypatch.setattr(scheme, "encode", broken)
    with pytest.raises(PluginError, match="'pure-noise' sends values that are not finite"):
        audit(blobs("pure-noise", ["reid"], dataset={"subjects": 12}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    # Only the first request is looked at before work starts: what is wrong with later ones fails their jobs.
    scene = open_context(parse_spec(blobs("none", ["reid"], dataset={"subjects": 12}), "test"), Settings())[0].scene
    spared.append(as_tensor(scene.truth(scene.requests[0]).image))
    record = audit(blobs("pure-noise", ["reid"], dataset={"subjects": 12}), tmp_path / "run")
    assert record.verdict is Verdict.INCONCLUSIVE
    assert all("'pure-noise' sends values that are not finite" in item.error for item in record.missing)
    assert record.missing


def test_an_interrupted_audit_leaves_no_earlier_verdict(
    blobs: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from privaudit_attacks.as_is import AsIsAttack

    audit(blobs("pure-noise", ["as-is"]), tmp_path / "run")

    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(AsIsAttack, "run", stop)
    with pytest.raises(KeyboardInterrupt):
        audit(blobs("none", ["as-is"]), tmp_path / "run")
    assert not (tmp_path / "run" / "record.json").exists()


def test_a_job_file_that_lost_rows_is_computed_again(blobs: Make, tmp_path: Path) -> None:
    first = audit(blobs(attacks=["as-is"]), tmp_path / "run")
    job = tmp_path / "run" / "jobs" / "as-is.default.audit.jsonl"
    lines = job.read_text().splitlines(keepends=True)
    job.write_text("".join([lines[0], *lines[4:]]))
    assert audit(blobs(attacks=["as-is"]), tmp_path / "run").stable() == first.stable()


def test_forged_and_damaged_job_files_change_nothing(blobs: Make, tmp_path: Path) -> None:
    first = audit(blobs(attacks=["as-is"]), tmp_path / "run")
    jobs = sorted((tmp_path / "run" / "jobs").glob("*.jsonl"))
    for number, job in enumerate(jobs):
        lines = job.read_text().splitlines(keepends=True)
        if number % 3 == 0:
            lines = [lines[0], '{"done": 0, "seconds": 1.0}\n']
        elif number % 3 == 1:
            lines[1] = lines[1].replace('"ms_ssim": 0.', '"ms_ssim": 1.')
        else:
            lines[2] = '{"row": {"request": "r0000"}, "seconds": 1.0}\n'
        job.write_text("".join(lines))
    assert audit(blobs(attacks=["as-is"]), tmp_path / "run").stable() == first.stable()


def test_no_file_of_a_run_names_anybody(mixup_run: Path) -> None:
    files = [file for file in mixup_run.rglob("*") if file.is_file() and file.suffix != ".png"]
    text = "".join(file.read_bytes().decode("latin-1") for file in files)
    assert not re.search(r"\bb0\d\d\b", text)


def test_re_identification_needs_two_sessions(blobs: Make, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two or more sessions.*--rescans 2"):
        audit(blobs(dataset={"sessions": 1}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_bad_data_met_on_the_way_stops_with_one_clear_error(
    blobs: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = type(plugin.create("datasets", "blobs", Dataset).open())
    original = cohort.load

    def load(self: Any, scan: Any) -> Any:
        if scan.subject == "b003":
            raise DataError("sub-x_T1w.nii.gz is truncated", todo="copy it again")
        return original(self, scan)

    monkeypatch.setattr(cohort, "load", load)
    with pytest.raises(DataError, match="truncated"):
        audit(blobs(attacks=["as-is"], seed=11), tmp_path / "run")
    assert not (tmp_path / "run" / "record.json").exists()


def test_devices_and_jobs_are_checked(blobs: Make, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no such device here; got tpu; allowed: auto, cpu"):
        choose_device("tpu")
    with pytest.raises(OptionError, match="--jobs must be at least 1"):
        audit(blobs(), tmp_path / "run", jobs=0)


def test_unknown_plugins_offer_the_nearest(thirdparty: Path) -> None:
    with pytest.raises(PrivauditError, match="no attack is called 'ried'; did you mean 'reid'"):
        audit({"attacks": ["ried"]}, Path("nowhere"))
