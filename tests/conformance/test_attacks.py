"""Every attack finds a planted leak, finds nothing in noise, and gets only the knowledge it declares."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from privaudit.auditing.opening import Settings
from privaudit.auditing.run import run_audit
from privaudit.auditing.scene import Scene
from privaudit.auditing.spec import parse_spec
from privaudit.contracts import plugin
from privaudit.contracts.attack import Attack, Protocol, Task
from privaudit.contracts.claims import Reconstruction, Similarity
from privaudit.contracts.cohort import Dataset, split_subjects
from privaudit.contracts.defense import Defense
from privaudit.contracts.knowledge import Rung
from privaudit.errors import ClaimError, KnowledgeError, PluginError
from privaudit.results.overall import Verdict

ATTACKS = [
    "as-is", "atlas", "attributes", "average", "bss", "chosen", "decode-maps", "decoded-reid", "dictionary",
    "frequent-labels", "invert", "inverted-reid", "joint", "joint-reid", "learned-reid", "mean-attributes",
    "mean-brightness", "meter", "nearest-gallery", "nearest-pool", "random-map", "random-subject", "reference-reid",
    "registered-reid", "reid", "smooth", "unwrap", "unwrapped-reid", "values", "values-reid", "wiener",
]  # fmt: skip
BLIND = (
    "atlas", "frequent-labels", "mean-attributes", "mean-brightness", "nearest-gallery", "nearest-pool", "random-map",
    "random-subject",
)  # fmt: skip
OWNERS = ("reference-reid",)
"""They say whose scan was mixed in: tests/attacks/test_reference_reid.py."""
LOOKING = [name for name in ATTACKS if name not in (*BLIND, *OWNERS)]
GETTERS: dict[Rung, Callable[[Any], object]] = {
    Rung.ATLAS: lambda k: k.atlas,
    Rung.POPULATION: lambda k: k.population,
    Rung.POOL: lambda k: k.pool,
    Rung.GALLERY: lambda k: k.gallery,
    Rung.CANDIDATES: lambda k: k.candidates,
    Rung.WEIGHTS: lambda k: k.weights("r0000"),
}


@pytest.fixture
def scene(thirdparty: Path) -> Scene:
    cohort = plugin.create("datasets", "blobs", Dataset, {"subjects": 8}).open()
    return Scene(cohort, split_subjects(cohort.subjects, 0), plugin.create("defenses", "mixup", Defense, {}), 0)


def test_every_installed_attack_is_covered(thirdparty: Path) -> None:
    assert sorted(plugin.points("attacks")) == ATTACKS


@pytest.mark.parametrize("name", ATTACKS)
def test_undeclared_knowledge_is_refused(name: str, scene: Scene) -> None:
    attack = plugin.create("attacks", name, Attack)
    for protocol in attack.protocols(10):
        assert all(isinstance(rung, Rung) for rung in protocol.knowledge)
        knowledge = scene.knowledge(attack, protocol)
        for rung, get in GETTERS.items():
            if rung in protocol.knowledge:
                get(knowledge)
            else:
                with pytest.raises(KnowledgeError, match=f"asked for '{rung}' knowledge"):
                    get(knowledge)


@pytest.mark.parametrize("name", ATTACKS)
def test_only_declared_views_are_handed_over(name: str, scene: Scene) -> None:
    for protocol in plugin.create("attacks", name, Attack).protocols(10):
        assert protocol.views == 1 or Rung.VIEWS in protocol.knowledge
        transcripts = scene.transcripts(scene.requests[:1], protocol, "audit")
        looks = Rung.TRANSCRIPT in protocol.knowledge
        if Rung.SERVED in protocol.knowledge:
            with pytest.raises(KnowledgeError, match="no trained network"):
                transcripts[0]
            continue
        assert len(transcripts[0].views) == (protocol.views if looks else 0)
        assert transcripts[0].served is None
        back = transcripts[0].returned
        if Rung.RETURNED in protocol.knowledge:
            assert back is not None
            assert len(back) == protocol.views
        else:
            assert back is None


def test_several_views_without_their_rung_are_refused(scene: Scene) -> None:
    with pytest.raises(KnowledgeError, match="without knowing which belong together"):
        scene.transcripts(scene.requests, Protocol("x", frozenset({Rung.TRANSCRIPT}), views=2), "audit")


@pytest.fixture
def with_options(request: pytest.FixtureRequest) -> Callable[[str], dict[str, Any]]:
    """An attack as a specification names it, with the options that it needs on blobs, or in a test's time."""

    def options(name: str) -> dict[str, Any]:
        if name == "learned-reid":
            return {"name": name, "steps": 4}
        if name == "attributes":
            return {"name": name, "views": [1], "encodings": 1}
        if name != "bss":
            return {"name": name}
        return {"name": name, "prior": str(request.getfixturevalue("blob_prior")), "levels": 3}

    return options


def cohort_for(name: str) -> dict[str, Any]:
    """Options of blobs: as many people as an attack needs to learn from, and as small as may be."""
    if name == "bss":  # its prior is of patches of 32³
        return {"subjects": 32, "sessions": 1, "flat": True}
    if name == "attributes":
        return {"subjects": 80, "sessions": 1, "side": 28}
    return {"subjects": 24 if name == "registered-reid" else 32, "side": 28}


@pytest.mark.parametrize("name", LOOKING)
def test_a_planted_leak_is_found_and_noise_is_not(
    name: str, blobs: Callable[..., dict[str, Any]], with_options: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    # The attack 'chosen' says that it does not fit what never repeats itself.
    defense = {"name": "pure-noise", "answer": "noise", "fixed": name == "chosen"}
    data = blobs(defense, [with_options(name)], dataset=cohort_for(name))
    record = run_audit(parse_spec(data, "test"), Settings(out=tmp_path / "run")).record
    mine = [finding for finding in record.shown() if finding.attack == name]
    assert mine
    for finding in mine:
        assert finding.control is not None
        assert finding.control.passed, finding
        assert finding.verdict is not Verdict.LEAK, finding
    assert not record.missing


@pytest.mark.parametrize("name", LOOKING)
def test_no_encoding_leaks(
    name: str, blobs: Callable[..., dict[str, Any]], with_options: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    spec = parse_spec(blobs("none", [with_options(name)], dataset=cohort_for(name)), "test")
    record = run_audit(spec, Settings(out=tmp_path / "run")).record
    for finding in record.primary():
        if finding.attack == name and name != "smooth":
            assert finding.verdict is Verdict.LEAK, finding
    assert record.verdict is Verdict.LEAK


def test_claims_do_not_depend_on_the_order_of_requests(scene: Scene, tmp_path: Path) -> None:
    for name in ("average", "dictionary", "random-subject"):
        attack = plugin.create("attacks", name, Attack)
        protocol = next(p for p in attack.protocols(10) if p.primary)
        task = Task(1, torch.device("cpu"), "fast", tmp_path, lambda _: None, scene.defense.scheme)
        images = []
        for requests in (scene.requests[:3], scene.requests[:3][::-1]):
            transcripts = scene.transcripts(requests, protocol, "audit")
            claims = attack.run(protocol, transcripts, scene.knowledge(attack, protocol), task)
            images.append({c.request: c.image for c in claims if isinstance(c, Reconstruction)})
        assert all(torch.equal(images[0][r], images[1][r]) for r in images[0])


def test_claims_that_cannot_be_scored_are_refused() -> None:
    with pytest.raises(ClaimError, match="another shape"):
        Reconstruction("r0000", torch.zeros(2, 2, 2)).checked((3, 3, 3), "x")
    with pytest.raises(ClaimError, match="not finite"):
        Reconstruction("r0000", torch.full((3, 3, 3), torch.nan)).checked((3, 3, 3), "x")


def test_writing_on_what_is_handed_over_changes_nothing_that_is_scored(thirdparty: Path) -> None:
    cohort = plugin.create("datasets", "blobs", Dataset, {"subjects": 8, "side": 40}).open()
    defense = plugin.create("defenses", "mixup", Defense, {})
    scene = Scene(cohort, split_subjects(cohort.subjects, 0), defense, 0)
    everything = Protocol("x", frozenset(Rung), views=2)
    knowledge = scene.knowledge(plugin.create("attacks", "as-is", Attack), everything)
    truth = scene.truth(scene.requests[0]).image.copy()
    transcript = scene.transcript(scene.requests[0], views=2)
    digest = transcript.digest()
    knowledge.weights(scene.requests[0])[:] = 1
    transcript.views.zero_()
    transcript.positions[:] = 0
    knowledge.atlas.mean.zero_()
    for entry in (*knowledge.gallery, *knowledge.candidates):
        entry.load().zero_()
    for volume in (knowledge.population[0], knowledge.pool[0]):
        with pytest.raises(ValueError, match="read-only"):
            volume.image[:] = 0
    assert (scene.truth(scene.requests[0]).image == truth).all()
    assert all(entry.load().any() for entry in knowledge.candidates)
    assert scene.transcript(scene.requests[0], views=2).digest() == digest
    assert knowledge.atlas.mean.any()


@pytest.mark.parametrize("names", [["../x"], ["a", "a"], [""], ["a/b"], []])
def test_protocol_names_that_cannot_name_files_are_refused(
    names: list[str], blobs: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from privaudit_attacks.as_is import AsIsAttack

    protocols = tuple(Protocol(name, frozenset({Rung.TRANSCRIPT})) for name in names)
    monkeypatch.setattr(AsIsAttack, "protocols", lambda *_: protocols)
    with pytest.raises(PluginError, match="unusable protocol names"):
        run_audit(parse_spec(blobs(attacks=["as-is"]), "test"), Settings(out=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_an_attacker_who_is_said_not_to_look_cannot(thirdparty: Path, scene: Scene) -> None:
    blind = Protocol("x", frozenset({Rung.ATLAS}))
    transcript = scene.transcripts(scene.requests, blind, "audit")[0]
    assert transcript.views.numel() == 0
    assert (transcript.affine == scene.truth(scene.requests[0]).affine).all()  # blobs: the identity, as for everybody


@pytest.mark.parametrize(("name", "knowledge"), [("atlas", {Rung.TRANSCRIPT}), ("as-is", {Rung.ATLAS})])
def test_looking_and_saying_so_must_agree(
    name: str, knowledge: set[Rung], blobs: Callable[..., dict[str, Any]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    cls = plugin.load("attacks", name, Attack)
    monkeypatch.setattr(cls, "protocols", lambda *_: (Protocol("x", frozenset(knowledge)),))
    with pytest.raises(PluginError, match="reads_transcript is"):
        run_audit(parse_spec(blobs(attacks=["as-is"]), "test"), Settings(out=tmp_path / "run"))


def test_an_attack_in_which_nothing_decides_is_refused(
    blobs: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = plugin.load("attacks", "smooth", Attack)
    protocol = Protocol("x", frozenset({Rung.TRANSCRIPT}), primary=False)
    monkeypatch.setattr(cls, "protocols", lambda *_: (protocol,))
    with pytest.raises(PluginError, match="has no protocol that decides"):
        run_audit(parse_spec(blobs(attacks=["smooth"]), "test"), Settings(out=tmp_path / "run"))


def test_a_similarity_that_could_tell_what_is_asked_is_refused(
    blobs: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from privaudit_attacks.reid import ReidAttack

    class Odd:
        symmetric, n_queries, n_gallery = True, 24, 24

    monkeypatch.setattr(ReidAttack, "run", lambda *_: iter([Similarity(Odd())]))  # type: ignore[arg-type]
    record = run_audit(parse_spec(blobs("pure-noise", ["reid"]), "test"), Settings(out=tmp_path / "run")).record
    assert all("must claim a DenseSimilarity" in item.error for item in record.missing)
    assert record.verdict is Verdict.INCONCLUSIVE


def test_a_leak_of_some_people_is_a_leak(
    blobs: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four scans in ten are sent raw, the others as noise: on average that is worse than the atlas."""
    cls = plugin.load("defenses", "pure-noise", Defense)
    encode = cls.encode

    def some(self: Any, image: torch.Tensor, key: Any, views: int) -> Any:
        sent = encode(self, image, key, views)
        return replace(sent, views=image.expand_as(sent.views).clone()) if key.seed % 10 < 4 else sent

    monkeypatch.setattr(cls, "encode", some)
    data = blobs("pure-noise", ["average"], dataset={"subjects": 100}, pictures={"people": None})
    record = run_audit(parse_spec(data, "test"), Settings(out=tmp_path / "run")).record
    first = next(f for f in record.primary() if f.attack == "as-is")
    assert first.baseline is not None
    assert (first.baseline.difference or 0) < 0
    assert first.verdict is Verdict.LEAK, first.reason
    assert record.verdict is Verdict.LEAK


def test_an_attack_works_on_a_copy_of_the_scheme(
    blobs: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it does to its copy shows nowhere."""
    cls = plugin.load("attacks", "smooth", Attack)
    run = cls.run

    def spoiling(self: Any, protocol: Protocol, transcripts: Any, knowledge: Any, task: Task) -> Any:
        assert task.defense is not None
        task.defense.encode = lambda *_: pytest.fail("the copy's")  # type: ignore[method-assign]
        yield from run(self, protocol, transcripts, knowledge, task)

    spec = parse_spec(blobs(attacks=["smooth"]), "test")
    first = run_audit(spec, Settings(out=tmp_path / "first")).record
    monkeypatch.setattr(cls, "run", spoiling)
    second = run_audit(spec, Settings(out=tmp_path / "second")).record
    assert not second.missing
    assert first.findings[0].estimate == second.findings[0].estimate


def test_an_attack_that_changes_what_is_sent_is_found_out(
    blobs: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls, scheme = plugin.load("attacks", "smooth", Attack), plugin.load("defenses", "mixup", Defense)
    run, encode = cls.run, scheme.encode

    def brighter(self: Any, image: torch.Tensor, key: Any, views: int) -> Any:
        sent = encode(self, image, key, views)
        return replace(sent, views=sent.views * 1.1)

    def tampering(self: Any, protocol: Protocol, transcripts: Any, knowledge: Any, task: Task) -> Any:
        yield from run(self, protocol, transcripts, knowledge, task)
        monkeypatch.setattr(scheme, "encode", brighter)

    monkeypatch.setattr(cls, "run", tampering)
    record = run_audit(parse_spec(blobs(attacks=["smooth"]), "test"), Settings(out=tmp_path / "run")).record
    assert any("changed what the scheme sends" in item.error for item in record.missing)
    assert not (tmp_path / "run" / "jobs" / "smooth.default.audit.jsonl").exists()
    assert record.verdict is not Verdict.NO_LEAK_DETECTED
