"""The server reads the segmentation: of every defense as far as its maps tell, and of noise nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from privaudit.auditing import opening
from privaudit.auditing.opening import Settings
from privaudit.auditing.run import run_audit
from privaudit.auditing.scene import Scene
from privaudit.auditing.serving import Service
from privaudit.auditing.spec import parse_spec
from privaudit.contracts import plugin
from privaudit.contracts.attack import Attack, Protocol, Task
from privaudit.contracts.claims import LabelMap, Similarity
from privaudit.contracts.cohort import Dataset, split_subjects
from privaudit.contracts.defense import Defense
from privaudit.contracts.knowledge import Rung
from privaudit.imaging.patches import most_likely, one_hot, stitch
from privaudit.results.overall import Verdict
from privaudit.results.record import Finding, Record
from privaudit.segmentation.weights import load_weights
from privaudit_attacks.decode_maps import DecodeMapsAttack
from privaudit_attacks.decoded_reid import likest

Blobs = Callable[..., dict[str, Any]]
PERFECT = {"name": "decode-maps", "maps": ["returned"]}
SERVED = {"name": "decode-maps", "maps": ["served"], "served_views": [1]}


def scene_of(name: str, **options: Any) -> Scene:
    cohort = plugin.create("datasets", "blobs", Dataset, {"subjects": 8}).open()
    split = split_subjects(cohort.subjects, 0)
    return Scene(cohort, split, plugin.create("defenses", name, Defense, options).fitted(cohort, split.victims), 0)


def claims_of(
    scene: Scene, requests: tuple[str, ...], views: int, folder: Path, name: str = "decode-maps"
) -> list[Any]:
    attack = plugin.create("attacks", name, Attack, {"views": [views]} if name == "decode-maps" else {})
    protocol = next(
        p for p in attack.protocols(scene.defense.views) if p.views == views and Rung.SERVED not in p.knowledge
    )
    task = Task(1, torch.device("cpu"), "fast", folder, lambda _: None, scene.defense.scheme)
    transcripts = scene.transcripts(requests, protocol, "audit")
    return list(attack.run(protocol, transcripts, scene.knowledge(attack, protocol), task))


def findings(record: Record, protocol: str, victim: str = "target") -> Finding:
    (found,) = [
        f for f in record.shown() if (f.attack, f.protocol, f.victim) == ("decode-maps", protocol, victim)
    ]  # fmt: skip
    return found


def test_a_protocol_for_each_kind_of_maps_and_number_of_views() -> None:
    attack = DecodeMapsAttack()
    assert [p.name for p in attack.protocols(10)] == ["returned K=1", "returned K=3", "served K=1", "served K=3"]
    assert [p.name for p in attack.protocols(1)] == ["returned K=1", "served K=1"]
    for protocol in attack.protocols(10):
        assert protocol.primary
        assert (Rung.VIEWS in protocol.knowledge) == (protocol.views > 1)
        assert (Rung.SERVED in protocol.knowledge) != (Rung.RETURNED in protocol.knowledge)
        assert protocol.cheap == (Rung.RETURNED in protocol.knowledge)


@pytest.mark.parametrize(
    "options",
    [{}, {"references": 2}, {"patch_size": 16, "alpha_per": "patch"}, {"alpha_per": "request"},
     {"patch_size": 16, "stride": 8, "reference_position": "random", "reference_per": "patch"}],
)  # fmt: skip
def test_several_views_of_a_perfect_server_give_both_maps_exactly(
    options: dict[str, Any], thirdparty: Path, tmp_path: Path
) -> None:
    scene = scene_of("mixup", views=4, **options)
    for claim in claims_of(scene, scene.requests[:3], 4, tmp_path):
        assert not claim.exchangeable
        assert (claim.labels == scene.truth(claim.request).labels).all()
        other = scene.bystander_labels(claim.request)
        assert other is not None
        assert (claim.reference == other).mean() > 0.99
        weights = scene.defense.weights(scene._key_of(claim.request))
        assert weights is not None
        assert claim.diagnostics["alpha_found"] == pytest.approx(weights[:4].mean(), abs=0.01)


def test_claims_do_not_depend_on_the_order_of_requests_and_equal_seeds_give_equal_claims(
    thirdparty: Path, tmp_path: Path
) -> None:
    scene = scene_of("mixup")
    found = []
    for requests in (scene.requests[:3], scene.requests[2::-1], scene.requests[:3]):
        claims = claims_of(scene, requests, 1, tmp_path)
        assert all(isinstance(claim, LabelMap) for claim in claims)
        found.append({claim.request: claim for claim in claims})
    for request, claim in found[0].items():
        for other in (found[1][request], found[2][request]):
            assert (claim.labels == other.labels).all()
            assert (claim.reference == other.reference).all()
            assert claim.exchangeable


def test_whoever_is_scored_the_truth_of_a_reference_is_whose_labels_were_mixed_in(thirdparty: Path) -> None:
    scene = scene_of("mixup")
    request = scene.requests[0]
    labels = scene.bystander_labels(request)
    (owner,) = scene.defense.owners(scene._key_of(request))
    assert labels is not None
    assert (labels == scene.pool[owner].labels).all()
    assert scene_of("none").bystander_labels("r0000") is None
    assert (scene.client_labels(request, 1, served=False) == scene.truth(request).labels).all()


@pytest.mark.parametrize("arm", ["planted", "planted-reference"])
def test_a_planted_leak_is_in_the_maps_too(arm: Any, thirdparty: Path) -> None:
    scene = scene_of("mixup", alpha=0.5)
    request = scene.requests[0]
    back = scene.transcript(request, arm=arm, returned=True).returned
    assert back is not None
    seen = most_likely(stitch(back[0], scene.transcript(request).positions, scene.cohort.shape))
    expected = scene.truth(request).labels if arm == "planted" else scene.bystander_labels(request)
    assert (seen == expected).all()


def test_noise_gains_nothing_and_what_is_planted_in_it_is_found(blobs: Blobs, tmp_path: Path) -> None:
    data = blobs({"name": "pure-noise", "answer": "noise"}, [PERFECT], dataset={"subjects": 32}, controls="auto")
    record = run_audit(parse_spec(data, "test"), Settings(out=tmp_path / "run")).record
    for protocol in ("returned K=1", "returned K=3"):
        finding = findings(record, protocol)
        assert finding.verdict is Verdict.NO_LEAK_DETECTED, finding
        assert finding.baseline is not None
        assert finding.baseline.difference == 0, "maps that tell nothing leave the most frequent labels"
        assert finding.control is not None
        assert finding.control.passed
        assert finding.control.limit is not None
        assert finding.control.limit <= 0.5


def test_maps_that_are_no_mixtures_are_de_encoded(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels that change places: decoding by values names them wrongly, and own people tell what they stand for."""
    cls = plugin.load("defenses", "pure-noise", Defense)

    def exchanged(self: Any, maps: Tensor, key: Any, views: int) -> Tensor:
        return maps.roll(1, dims=0)[None, None].expand(views, 1, *maps.shape).clone()

    monkeypatch.setattr(cls, "respond", exchanged)
    attack = {**PERFECT, "views": [1]}
    data = blobs({"name": "pure-noise", "views": 1}, [attack], dataset={"subjects": 32})
    finding = findings(run_audit(parse_spec(data, "test"), Settings(out=tmp_path / "run")).record, "returned K=1")
    assert finding.verdict is Verdict.LEAK
    assert finding.estimate is not None
    assert finding.estimate > 0.95


def test_a_mixture_hides_no_map_of_anybody_from_the_server(blobs: Blobs, tmp_path: Path) -> None:
    spec = parse_spec(blobs({"name": "mixup", "views": 3}, ["decode-maps"]), "test")
    record = run_audit(spec, Settings(out=tmp_path / "run")).record
    for protocol in ("returned K=1", "returned K=3"):
        for victim in ("target", "reference"):
            finding = findings(record, protocol, victim)
            assert finding.verdict is Verdict.LEAK or victim == "reference"  # too few owners to decide
            assert finding.estimate == pytest.approx(1, abs=1e-3)
            assert finding.control is not None
            assert finding.control.passed
    assert any("resolved by the scorer" in note for note in findings(record, "returned K=1").notes)
    assert not any("resolved by the scorer" in note for note in findings(record, "returned K=3").notes)
    assert {(item.attack, item.protocol) for item in record.skipped} == {
        ("decode-maps", "served K=1"), ("decode-maps", "served K=3"),
    }  # fmt: skip
    assert all("no trained server network: no shipped weights" in item.error for item in record.skipped)
    assert not record.missing


def test_a_deformation_leaves_a_warped_map(thirdparty: Path, tmp_path: Path) -> None:
    scene = scene_of("deformation", weights="none")
    (claim,) = claims_of(scene, scene.requests[:1], 1, tmp_path)
    sent = scene.transcript(scene.requests[0], returned=True)
    assert sent.returned is not None
    assert claim.reference is None
    assert not claim.exchangeable
    assert (claim.labels == most_likely(sent.returned[0, 0])).mean() > 0.97


class Thresholds:
    """A server that segments as the blobs were labelled."""

    digest = "0" * 64

    def respond(self, sent: Tensor) -> Tensor:
        maps = torch.stack([one_hot(label(view), 4) for patches in sent for view in patches])
        return maps.reshape(*sent.shape[:2], *maps.shape[1:]) * 0.7 + 0.075

    def decode(self, answers: Tensor, defense: Defense, key: Any) -> Tensor:
        return defense.decode(answers, key)


def label(image: Tensor) -> Any:
    values = image.numpy()
    return ((values > 0.01) * (1 + (values > 0.45).astype(int) + (values > 0.55))).astype(np.uint8)


def test_the_maps_of_a_trained_network_are_a_rung_of_their_own(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "open_service", lambda *_: (Thresholds(), ""))
    opening._open_scene.cache_clear()
    record = run_audit(parse_spec(blobs("none", [SERVED]), "test"), Settings(out=tmp_path / "run")).record
    opening._open_scene.cache_clear()
    finding = findings(record, "served K=1")
    assert not record.skipped
    assert finding.verdict is Verdict.LEAK
    assert finding.estimate is not None
    assert finding.estimate > 0.99
    assert "served" in finding.knowledge
    assert finding.details["client"] == pytest.approx(finding.estimate, abs=0.01)


def test_the_networks_of_an_audit_serve(rivals: dict[str, str]) -> None:
    scene = scene_of("privacy-net", weights=rivals["privacy-net"])
    scene.service = Service(load_weights(Path(rivals["privacy-net"])), torch.device("cpu"))
    request = scene.requests[0]
    transcript = scene.transcript(request, served=True)
    assert transcript.served is not None
    assert transcript.served.shape == (1, 1, 4, 32, 32, 32)
    assert float((transcript.served.sum(dim=2) - 1).abs().max()) < 1e-5
    assert transcript.digest() != scene.transcript(request).digest()
    planted = scene.transcript(request, arm="planted", served=True).served
    assert planted is not None
    assert (most_likely(planted[0, 0]) == scene.truth(request).labels).all()
    client = scene.client_labels(request, 1, served=True)
    assert (client == most_likely(transcript.served[0, 0])).mean() > 0.999


def test_likest_takes_the_best_pair_of_maps_and_leaves_out_one_map_in_two_mixtures() -> None:
    one, two, three = torch.eye(3)
    near = torch.nn.functional.normalize(one + 0.2 * three, dim=0)
    queries = [torch.stack([one, two]), torch.stack([two, near])]
    assert likest(queries, queries, distinct=False)[0, 1] == pytest.approx(1)
    assert likest(queries, queries, distinct=True)[0, 1] == pytest.approx(float(near[0]))
    assert likest(queries, [three[None]], distinct=False).shape == (2, 1)


def test_people_are_known_again_by_decoded_maps(thirdparty: Path, tmp_path: Path) -> None:
    scene = scene_of("mixup")
    (claim,) = claims_of(scene, scene.requests, 1, tmp_path, "decoded-reid")
    assert isinstance(claim, Similarity)
    people = [scene.person(request) for request in scene.requests]
    for i, person in enumerate(people):
        scores = claim.scores.exact(i, np.arange(len(people)))
        assert people[int(scores.argmax())] == person


def test_protocols_without_a_server_are_refused_by_the_scene(thirdparty: Path) -> None:
    from privaudit.errors import KnowledgeError

    scene = scene_of("none")
    protocol = Protocol("x", frozenset({Rung.TRANSCRIPT, Rung.SERVED}))
    with pytest.raises(KnowledgeError, match="no trained network whose maps could be known"):
        scene.transcripts(scene.requests, protocol, "audit")[0]
