"""The normal form that undoes a scheme is chosen, and none where nothing tells anything."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from privaudit.auditing.scene import Scene
from privaudit.contracts import plugin
from privaudit.contracts.cohort import Cohort, Dataset, split_subjects
from privaudit.contracts.defense import Defense
from privaudit.imaging.forms import FIRST, LAST, PLACES, Chain
from privaudit.imaging.patches import as_tensor
from privaudit.learning import unwrapping
from privaudit.learning.inversion import learn_inverter
from privaudit.learning.unwrapping import SLOW, Tried, Unwrapped, choose, shared_choice


@pytest.fixture(scope="module")
def cohort(thirdparty: Path) -> Cohort:
    return plugin.create("datasets", "blobs", Dataset, {"subjects": 24, "sessions": 1, "side": 28}).open()


@pytest.fixture
def scene_of(cohort: Cohort, zoo: Path) -> Callable[[str], Scene]:
    def make(name: str) -> Scene:
        return Scene(cohort, split_subjects(cohort.subjects, 0), plugin.create("defenses", name, Defense), 0)

    return make


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without rigid moves, which take most of the time."""
    monkeypatch.setattr(unwrapping, "PLACES", {name: form for name, form in PLACES.items() if "moved" not in name})


def chosen(scene: Scene, seed: int = 0) -> list[Tried]:
    shares: list[float] = []
    found = choose(scene.defense, scene.population, scene.atlas, 1, "quick", seed, shares.append)
    assert sum(shares) == pytest.approx(1)
    assert [item.left for item in found] == sorted(item.left for item in found)
    assert Chain() in [item.chain for item in found], "what is sent as it is"
    return found


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize(
    ("name", "right", "most"),
    [
        ("zoo-signs", lambda chain: chain.first == "sizes" and not chain.last, 0.05),
        ("zoo-roll", lambda chain: chain.place in ("rolled back", "turned back") and not chain.last, 0.05),
        ("zoo-turns", lambda chain: chain.place == "turned back" and not chain.last, 0.05),
        ("zoo-grey-permutation", lambda chain: chain.last == "grey values by table", 0.2),
        ("zoo-etc", lambda chain: chain.place == "blocks of 8 put back", 0.8),
    ],
)
def test_the_right_form_is_first(
    name: str, right: Callable[[Chain], bool], most: float, scene_of: Callable[[str], Scene]
) -> None:
    best, *rest = chosen(scene_of(name))
    assert right(best.chain), str(best.chain)
    assert best.left < most
    assert next(item.left for item in rest if item.chain == Chain()) > 0.98


@pytest.mark.usefixtures("brief")
def test_of_noise_no_form_tells_anything(scene_of: Callable[[str], Scene]) -> None:
    scene = scene_of("zoo-uniform-noise")
    found = chosen(scene)
    assert found[0] == Tried(Chain(), 1.0)
    assert {item.left for item in found} == {1.0}
    assert len(found) > 1


@pytest.mark.usefixtures("brief")
def test_what_seems_to_tell_of_noise_does_not_tell_the_de_encoder(scene_of: Callable[[str], Scene]) -> None:
    scene = scene_of("zoo-uniform-noise")
    found = chosen(scene, seed=2)
    assert 0.97 < found[0].left <= 1, "less than 1 by chance: the seed was looked for"
    unwrapped = Unwrapped(scene.defense, found[0].chain, scene.atlas)
    inverter = learn_inverter(unwrapped, scene.population, scene.atlas, 1, 3, 2, lambda share: None)
    assert inverter.left == 1
    assert torch.equal(inverter.invert(torch.rand(scene.cohort.shape)), scene.atlas.mean)


@pytest.mark.usefixtures("brief")
def test_equal_seeds_give_equal_choices_and_are_asked_once(
    scene_of: Callable[[str], Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = scene_of("zoo-signs")
    people, atlas = scene.population, scene.atlas
    first = shared_choice(scene.defense, people, atlas, 1, "quick", 11, lambda share: None)
    assert chosen(scene, seed=11) == first
    monkeypatch.setattr(unwrapping, "choose", lambda *_: [Tried(Chain("sizes"), 0.5)])
    shares: list[float] = []
    assert shared_choice(scene.defense, people, atlas, 1, "quick", 11, shares.append) is first
    assert shares == [1]
    assert shared_choice(scene.defense, people, atlas, 1, "full", 11, lambda share: None) != first
    other = scene_of("zoo-roll").defense
    assert shared_choice(other, people, atlas, 1, "quick", 11, lambda share: None) != first


def test_where_the_image_itself_is_sent_nothing_else_is_tried(
    scene_of: Callable[[str], Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unwrapping, "_forms", lambda *_: pytest.fail("tried"))
    (only,) = chosen(scene_of("none"))
    assert only.chain == Chain()
    assert only.left < 0.01


def test_effort_says_which_forms_are_tried(scene_of: Callable[[str], Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    scene = scene_of("none")

    def same(volume: Tensor, _: object) -> Tensor:
        return volume

    monkeypatch.setattr(unwrapping, "PLACES", dict.fromkeys(PLACES, same))
    assert set(PLACES) > SLOW
    for effort, count in (("quick", len(PLACES) - len(SLOW)), ("full", len(PLACES))):
        made = [chain for chain, _ in unwrapping._forms([], scene.atlas, effort, lambda share: None)]  # type: ignore[arg-type]
        assert len(set(made)) == len(made) == len(FIRST) * count * len(LAST)


def test_an_unwrapped_scheme_is_a_scheme(scene_of: Callable[[str], Scene]) -> None:
    scene = scene_of("zoo-signs")
    image = as_tensor(scene.population[0].image)
    scheme = Unwrapped(scene.defense, Chain("sizes"), scene.atlas)
    assert isinstance(scheme, Defense)
    x, y, z = image.shape
    keys = [scheme.draw_key((x, y, z), scene.population, random.Random(seed)) for seed in (0, 0, 1)]
    sent = [scheme.encode(image, key, 1) for key in keys]
    assert sent[0].views.shape == (1, 1, *image.shape)
    assert sent[0].positions.tolist() == [[0, 0, 0]]
    assert torch.equal(sent[0].views, sent[1].views)
    assert torch.equal(sent[2].views[0, 0], image), "signs are undone"
    assert (scheme.params["scheme"], scheme.params["chain"]) == ("zoo-signs", "sizes")
    assert scheme.trained is None


def test_views_are_averaged_before(thirdparty: Path, cohort: Cohort) -> None:
    defense = plugin.create("defenses", "pure-noise", Defense, {"views": 4})
    scene = Scene(cohort, split_subjects(cohort.subjects, 0), defense, 0)
    image = as_tensor(scene.population[0].image)
    scheme = Unwrapped(defense, Chain(), scene.atlas)
    key = scheme.draw_key((28, 28, 28), scene.population, random.Random(0))
    assert torch.allclose(scheme.encode(image, key, 4).views[0, 0], defense.encode(image, key, 4).views.mean(dim=0)[0])
