"""Pure noise, fifty audits: how often does anything read as a leak, and does noise ever break a control?"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from privaudit.auditing.run import Settings, run_audit
from privaudit.auditing.spec import parse_spec
from privaudit.results.record import Verdict

RUNS = 50
CHUNKS = 5
# Each deciding figure may exceed its threshold by chance in at most 2.5 % of runs (one tail of a 95 % interval).
# 10 runs decide 40 figures each chunk: 5 or more leaks would happen less than once in 300 chunks at that rate.
ALLOWED_PER_CHUNK = 4


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_noise_does_not_read_as_a_leak(
    chunk: int, blobs: Callable[..., dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verdicts: list[Verdict | None] = []
    for seed in range(chunk, RUNS, CHUNKS):
        dataset = {"subjects": 22, "side": 28, "seed": seed}
        noise = {"name": "pure-noise", "views": 2}
        spec = parse_spec(blobs(noise, dataset=dataset, seed=seed, scoring={"resamples": 200}), "test")
        record = run_audit(spec, Settings(out=tmp_path / str(seed))).record
        assert not record.missing
        for finding in record.primary():
            assert finding.control is not None
            assert finding.control.passed, (seed, finding.key)
            verdicts.append(finding.verdict)
    leaks = verdicts.count(Verdict.LEAK)
    with capsys.disabled():
        passes = verdicts.count(Verdict.NO_LEAK_DETECTED)
        print(f"\nnoise, chunk {chunk}: {leaks} LEAK, {passes} NO LEAK DETECTED of {len(verdicts)} figures")
    assert len(verdicts) == 4 * RUNS // CHUNKS
    assert leaks <= ALLOWED_PER_CHUNK
