"""What the pictures of a card show."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from privaudit.auditing.opening import Settings, _open_scene, open_context
from privaudit.auditing.planning import all_attacks
from privaudit.auditing.run import run_audit
from privaudit.auditing.shown import is_drawn
from privaudit.auditing.spec import AuditSpec, parse_spec
from privaudit.cards.pictures import _sent, attack_pictures, claimed
from privaudit.cohorts.phantom import PhantomCohort
from privaudit.contracts.attack import Protocol
from privaudit.contracts.references import lent
from privaudit_attacks.average import AverageAttack


@pytest.mark.parametrize(
    ("defense", "attack", "titles"),
    [
        ("none", "reid", ["target", "what the server sees 1.000"]),
        ("mixup", "reid", ["target", "reference", "what the server sees"]),
        ("none", "average", ["target", "what the server sees 1.000", "atlas", "random-subject", "average K=1 0.99"]),
    ],
)
def test_what_the_server_sees_is_shown_whatever_attacks(
    tmp_path: Path, defense: str, attack: str, titles: list[str]
) -> None:
    data = {
        "dataset": {"name": "phantom", "subjects": 12, "voxel_mm": 4.0},
        "defense": {"name": defense}, "attacks": [{"name": attack}], "utility": {"weights": "none"},
    }  # fmt: skip
    spec = parse_spec(data, "here")
    context, _ = open_context(spec, Settings(out=tmp_path))
    request = context.scene.requests[0]
    row = _sent(context, [request])[0]
    row += [
        (claimed(Settings(out=tmp_path), spec, attack.name) or [])[0]
        for attack in all_attacks(spec)
        if is_drawn(attack)
    ]
    shown = [title.replace("\n", " ") for title, _ in row]
    assert len(shown) == len(titles)
    for one, expected in zip(shown, titles, strict=True):
        assert one.startswith(expected), shown
    seen = next(image for title, image in row if title.startswith("what the server sees"))
    assert torch.equal(seen, context.scene.transcript(request).stitched().clamp(0, 1))


def small(people: int = 12) -> AuditSpec:
    data = {
        "dataset": {"name": "phantom", "subjects": people, "voxel_mm": 4.0}, "defense": {"name": "mixup"},
        "attacks": [{"name": "average"}], "utility": {"weights": "none"}, "controls": "single",
    }  # fmt: skip
    return parse_spec(data, "here")


def test_pictures_of_a_finished_audit_are_those_that_were_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, settings = small(), Settings(out=tmp_path)
    run_audit(spec, settings)
    again = claimed(Settings(out=tmp_path / "empty"), spec, "average")  # nothing was kept there: attacked again
    monkeypatch.setattr("privaudit.cards.pictures.claims_of", lambda *_: pytest.fail("attacked again"))
    kept = claimed(settings, spec, "average")
    assert again is not None
    assert kept is not None
    assert [title for title, _ in kept] == [title for title, _ in again]
    for (_, one), (_, other) in zip(kept, again, strict=True):
        torch.testing.assert_close(one[..., 0], other[..., other.shape[2] // 2])
    with pytest.raises(pytest.fail.Exception):  # another seed: what was kept is of another audit
        claimed(settings, spec.model_copy(update={"seed": 1}), "average")


def test_no_voxels_are_kept_of_a_cohort_that_may_not_be_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PhantomCohort, "shareable", False)
    _open_scene.cache_clear()
    run_audit(small(13), Settings(out=tmp_path))
    assert not list(tmp_path.rglob("*.npz"))
    _open_scene.cache_clear()


class Beside(AverageAttack):
    """A trivial attack of which no protocol decides, as its contract allows."""

    trivial = True

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        return tuple(replace(protocol, primary=False) for protocol in super().protocols(views_sent))


def test_a_trivial_attack_that_decides_nothing_is_run_and_drawn(tmp_path: Path) -> None:
    settings = Settings(out=tmp_path)
    with lent(Beside) as name:
        spec = parse_spec(small(14).model_dump(mode="json") | {"attacks": [{"name": name}]}, "here")
        assert not run_audit(spec, settings).record.missing
        assert attack_pictures(settings, spec) == []
        assert len(claimed(settings, spec, "average") or []) == 3
