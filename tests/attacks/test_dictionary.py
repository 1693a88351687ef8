"""The attack that holds the pool: on the phantom, where people have outlines of their own, it is exact."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from privaudit.auditing.opening import Settings
from privaudit.auditing.run import run_audit
from privaudit.auditing.scene import Scene
from privaudit.auditing.spec import parse_spec
from privaudit.contracts import plugin
from privaudit.contracts.attack import Attack, Check, Protocol, Task
from privaudit.contracts.claims import Reconstruction
from privaudit.contracts.cohort import Dataset, split_subjects
from privaudit.contracts.defense import Defense
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.transcript import Transcript
from privaudit.imaging.patches import as_tensor
from privaudit.results.overall import Verdict
from privaudit_attacks.dictionary import DictionaryAttack, Searcher
from privaudit_attacks.nearest_pool import NearestPoolAttack
from privaudit_attacks.random_subject import RandomSubjectAttack
from privaudit_defenses.mixup import MixupKey


@cache
def phantom_scene(**options: Any) -> Scene:
    cohort = plugin.create("datasets", "phantom", Dataset, {"subjects": 32, "sessions": 1, "voxel_mm": 4}).open()
    split = split_subjects(cohort.subjects, 0, 0.25, 0.375, 0.375)
    return Scene(cohort, split, plugin.create("defenses", "mixup", Defense, options), 0)


def task(scene: Scene, workdir: Path) -> Task:
    return Task(1, torch.device("cpu"), "fast", workdir, lambda _: None, scene.defense.scheme, defense=scene.defense)


def claims(scene: Scene, workdir: Path, views: int, requests: Sequence[str], **options: Any) -> list[Reconstruction]:
    attack = plugin.create("attacks", "dictionary", Attack, options)
    protocol = next(p for p in attack.protocols(scene.defense.views) if p.views == views)
    transcripts = scene.transcripts(requests, protocol, "audit")
    out = attack.run(protocol, transcripts, scene.knowledge(attack, protocol), task(scene, workdir))
    return [claim for claim in out if isinstance(claim, Reconstruction)]


def errors(scene: Scene, found: Sequence[Reconstruction]) -> list[float]:
    """Root mean square of each claim about the target."""
    truths = [as_tensor(scene.truth(claim.request).image) for claim in found]
    return [float((claim.image - truth).square().mean().sqrt()) for claim, truth in zip(found, truths, strict=True)]


@pytest.mark.parametrize(
    "options",
    [
        {"patch_size": None, "views": 2},
        {"patch_size": 16, "views": 2},
        {"patch_size": None, "views": 2, "references": 2, "alpha": (0.1, 0.5)},
        {"patch_size": None, "views": 2, "alpha_per": "request"},
    ],
    ids=["volumes", "patches", "two references", "a weight for each view"],
)
@pytest.mark.parametrize("views", [1, 2])
def test_target_and_reference_are_recovered_exactly(options: dict[str, Any], views: int, tmp_path: Path) -> None:
    scene = phantom_scene(**options)
    found = claims(scene, tmp_path, views, scene.requests)
    assert max(errors(scene, found)) < 1e-4
    for claim in found:
        other = scene.bystander(claim.request)
        assert other is not None
        assert claim.reference is not None
        assert float((claim.reference - other).abs().max()) < 1e-4
        assert claim.diagnostics["explained"] == 1


def test_what_is_found_is_what_was_drawn(tmp_path: Path) -> None:
    """Known keys, for the test alone; the attack's own diagnostic says as much without them."""
    scene = phantom_scene(patch_size=16, views=4, reference_per="patch")
    searcher = Searcher([as_tensor(v.image) for v in scene.pool], scene.atlas, scene.defense.mixing)
    right = wrong = 0
    for request in scene.requests:
        key = scene._key_of(request)
        assert isinstance(key, MixupKey)
        _, explained = searcher.explain(scene.transcript(request, views=4))
        same = (explained.chosen == key.draw.subjects).all(axis=-1)
        right += int((same & explained.found).sum())
        wrong += int((~same & explained.found).sum())
    assert wrong == 0
    assert right > 0.6 * len(scene.requests) * 4 * explained.found.shape[1]


def test_permuted_requests_get_the_same_answer(tmp_path: Path) -> None:
    scene = phantom_scene(patch_size=16, views=2)
    forth = {c.request: c.image for c in claims(scene, tmp_path, 1, scene.requests[:4], pool_share=0.5)}
    back = {c.request: c.image for c in claims(scene, tmp_path, 1, scene.requests[:4][::-1], pool_share=0.5)}
    assert all(torch.equal(forth[request], back[request]) for request in forth)


def test_half_of_the_pool_explains_some_and_guesses_at_the_rest(tmp_path: Path) -> None:
    scene = phantom_scene(patch_size=16, views=2)
    found = claims(scene, tmp_path, 1, scene.requests, pool_share=0.5)
    known = [claim.diagnostics["explained"] for claim in found]
    assert set(known) == {0.0, 1.0}
    assert max(e for e, share in zip(errors(scene, found), known, strict=True) if share) < 1e-4
    linear = {c.request: c for c in wiener(scene, tmp_path)}
    for claim, share in zip(found, known, strict=True):
        if not share:
            assert torch.allclose(claim.image, linear[claim.request].image, atol=1e-6)
    both = claims(scene, tmp_path, 2, scene.requests, pool_share=0.5)
    assert sum(errors(scene, both)) < sum(errors(scene, found)), "one view of two is enough"


def wiener(scene: Scene, workdir: Path) -> Iterator[Reconstruction]:
    attack = plugin.create("attacks", "wiener", Attack)
    (protocol,) = attack.protocols(1)
    transcripts = scene.transcripts(scene.requests, protocol, "audit")
    for claim in attack.run(protocol, transcripts, scene.knowledge(attack, protocol), task(scene, workdir)):
        assert isinstance(claim, Reconstruction)
        yield claim


def health(scene: Scene, workdir: Path) -> list[Check]:
    attack = DictionaryAttack()
    protocol = attack.protocols(scene.defense.views)[-1]
    return list(attack.health(protocol, scene.knowledge(attack, protocol), task(scene, workdir)))


def test_the_attack_says_whether_it_fits(tmp_path: Path) -> None:
    (fits,) = health(phantom_scene(patch_size=16, views=2), tmp_path)
    assert fits.passed
    assert fits.figure == 1
    scene = phantom_scene(patch_size=16, views=2, references=2, reference_position="random")
    (misfit,) = health(scene, tmp_path)
    assert not misfit.passed
    assert misfit.figure == 0
    plain = Scene(scene.cohort, scene.split, plugin.create("defenses", "none", Defense, {}), 0)
    assert not health(plain, tmp_path), "nobody is mixed in"


def test_an_audit_names_the_leak_and_the_best_who_do_not_look(
    blobs: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    record = run_audit(parse_spec(blobs(attacks=["dictionary"]), "test"), Settings(out=tmp_path / "run")).record
    assert not record.missing
    primary = [finding for finding in record.primary() if finding.attack == "dictionary"]
    assert {finding.victim for finding in primary} == {"target", "reference"}
    for finding in primary:
        # Four people's references are too few to decide about.
        assert finding.verdict is (Verdict.LEAK if finding.victim == "target" else Verdict.INCONCLUSIVE), finding.reason
        names = {other.name: other for other in finding.comparisons}
        assert set(names) == {"as-is", "atlas", "random-subject", "wiener", "nearest-pool"}
        assert finding.baseline is not None
        blind = [other.estimate or 0 for other in names.values() if not other.reads_transcript]
        assert finding.baseline.estimate == max(blind)


def guessing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the attack one that holds the pool, answers with somebody of it, and does not look."""

    def run(
        self: Any, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Reconstruction]:
        pool = knowledge.pool
        for transcript in transcripts:
            somebody = as_tensor(pool[int(task.rng(transcript.request).integers(len(pool)))].image)
            yield Reconstruction(transcript.request, torch.stack([as_tensor(v.image) for v in pool]).mean(0), somebody)

    monkeypatch.setattr(DictionaryAttack, "run", run)
    monkeypatch.setattr(DictionaryAttack, "health", Attack.health)


def test_to_hold_the_pool_is_no_leak(
    blobs: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guessing(monkeypatch)
    data = blobs(attacks=["dictionary"], dataset={"subjects": 60})
    record = run_audit(parse_spec(data, "test"), Settings(out=tmp_path / "run")).record
    for finding in record.findings:
        if finding.attack == "dictionary":
            assert finding.verdict is not Verdict.LEAK, finding.reason


def test_without_who_holds_the_pool_and_does_not_look_nothing_is_decided(
    blobs: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DictionaryAttack, "beside", ())
    record = run_audit(parse_spec(blobs(attacks=["dictionary"]), "test"), Settings(out=tmp_path / "run")).record
    mine = [finding for finding in record.primary() if finding.attack == "dictionary"]
    assert mine
    assert all(finding.baseline is None and finding.verdict is Verdict.INCONCLUSIVE for finding in mine)


@pytest.mark.parametrize("name", ["nearest-pool", "nearest-gallery"])
def test_who_does_not_look_answers_everybody_alike(name: str, tmp_path: Path) -> None:
    scene = phantom_scene(patch_size=None, views=2)
    attack = plugin.create("attacks", name, Attack)
    (protocol,) = attack.protocols(1)
    assert Rung.TRANSCRIPT not in protocol.knowledge
    transcripts = scene.transcripts(scene.requests, protocol, "audit")
    first, *others = attack.run(protocol, transcripts, scene.knowledge(attack, protocol), task(scene, tmp_path))
    assert isinstance(first, Reconstruction)
    assert len(others) == len(scene.requests) - 1
    assert all(torch.equal(first.image, c.image) for c in others if isinstance(c, Reconstruction))
    assert np.isfinite(first.image.numpy()).all()


def test_the_pool_is_worth_more_than_a_random_person_to_who_does_not_look(tmp_path: Path) -> None:
    scene = phantom_scene(patch_size=None, views=2)
    mean = []
    for attack in (NearestPoolAttack(), RandomSubjectAttack()):
        (protocol,) = attack.protocols(1)
        transcripts = scene.transcripts(scene.requests, protocol, "audit")
        out = list(attack.run(protocol, transcripts, scene.knowledge(attack, protocol), task(scene, tmp_path)))
        mean.append(np.mean(errors(scene, out)))
    assert mean[0] < mean[1]
