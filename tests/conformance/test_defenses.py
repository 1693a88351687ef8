"""Every defense, built-in or third-party, is held to the same contract."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from privaudit.auditing.conformance import check_scene
from privaudit.auditing.scene import Scene
from privaudit.auditing.volumes import LazyVolumes
from privaudit.contracts import plugin
from privaudit.contracts.cohort import Dataset, split_subjects
from privaudit.contracts.defense import Defense, Key
from privaudit.errors import OptionError
from privaudit.imaging.mixing import unmix
from privaudit.imaging.patches import as_tensor, one_hot, stitch
from privaudit_zoo import BROKEN, PRIVATE

MIXUP: list[dict[str, Any]] = [
    {},
    {"patch_size": 16, "stride": 9, "views": 3, "references": 2, "reference_weights": "simplex"},
    {"patch_size": None, "alpha": 0.3, "views": 2},
    {"patch_size": 20, "alpha_per": "request", "reference_per": "patch", "views": 2},
    {
        "patch_size": 16,
        "alpha_per": "patch",
        "fresh_alpha": True,
        "reference_position": "random",
        "views": 2,
        "alpha": [0.2, 0.9],
    },
]
CASES: list[tuple[str, dict[str, Any]]] = [
    ("none", {}),
    ("pure-noise", {}),
    ("deformation", {"strength": 2.0, "weights": "none"}),
    ("deformation", {"weights": "trained"}),
    ("privacy-net", {"weights": "trained"}),
    *(("mixup", case) for case in MIXUP),
    ("dp-pix", {"block": 5}),
    ("etc", {"block": 4}),
    ("instahide", {"others": 2}),
    ("noise", {}),
    ("orthogonal", {"block": 4}),
    *((name, {}) for name in (*BROKEN, *PRIVATE)),
]

BROUGHT = {"command", "recorded"}
"""What does nothing without a command or a folder: tests/ways."""

pytestmark = pytest.mark.usefixtures("thirdparty", "zoo")


@pytest.fixture(params=CASES, ids=[f"{name}-{number}" for number, (name, _) in enumerate(CASES)])
def scene(request: pytest.FixtureRequest, thirdparty: Path, rivals: dict[str, str]) -> Scene:
    name, values = request.param
    if values.get("weights") == "trained":
        values = {**values, "weights": rivals[name]}
    cohort = plugin.create("datasets", "blobs", Dataset, {"subjects": 32, "side": 36}).open()
    defense = plugin.create("defenses", name, Defense, values)
    return Scene(cohort, split_subjects(cohort.subjects, 0), defense, seed=3)


def sent(scene: Scene, seed: int = 0) -> tuple[Key, torch.Tensor, np.ndarray[Any, np.dtype[np.int64]]]:
    key = scene.defense.draw_key(scene.cohort.shape, scene.pool, random.Random(seed))
    image = as_tensor(scene.truth(scene.requests[0]).image)
    encoded = scene.defense.encode(image, key, scene.defense.views)
    return key, encoded.views, encoded.positions


def test_every_installed_defense_is_covered(thirdparty: Path) -> None:
    assert set(plugin.points("defenses")) - BROUGHT == {name for name, _ in CASES}


def test_the_checks_that_users_run_pass_too(scene: Scene) -> None:
    assert [check for check in check_scene(scene) if check.passed is False] == []


def test_shapes_and_affines_are_kept(scene: Scene) -> None:
    transcript = scene.transcript(scene.requests[0], views=scene.defense.views)
    volume = scene.truth(scene.requests[0])
    assert transcript.shape == volume.image.shape == tuple(transcript.stitched().shape)
    assert (transcript.affine == volume.affine).all()
    assert transcript.views.dtype == torch.float32
    assert transcript.views.shape[:2] == (scene.defense.views, len(transcript.positions))
    assert bool(torch.isfinite(transcript.views).all())


def test_a_perfect_server_gives_the_labels_back(scene: Scene) -> None:
    if not scene.defense.answers:
        pytest.skip("it does not say what a server sends back")
    key, views, _ = sent(scene)
    labels = scene.truth(scene.requests[0]).labels
    maps = one_hot(labels, 4)
    returned = scene.defense.respond(maps, key, scene.defense.views)
    assert returned.shape == (*views.shape[:2], 4, *views.shape[2:])
    decoded = scene.defense.decode(returned, key)
    assert decoded.shape == maps.shape
    weights = scene.defense.weights(key)
    smallest = 1.0 if weights is None else float(weights.min())
    if not scene.defense.lossless:
        # Borders between labels are interpolated twice; what is not a border must come back.
        assert (decoded.argmax(dim=0).numpy() == labels).mean() > 0.97
        return
    # One rounding of a float32 map, divided by the smallest mixing weight.
    assert (decoded - maps).abs().max().item() <= 2e-7 / smallest + 1e-6
    assert (decoded.argmax(dim=0).numpy() == labels).all()


def test_equal_seeds_give_equal_transcripts(scene: Scene) -> None:
    again = Scene(scene.cohort, scene.split, scene.defense, scene.seed)
    other = Scene(scene.cohort, scene.split, scene.defense, scene.seed + 1)
    request = scene.requests[0]
    views = scene.defense.views
    digest = scene.transcript(request, views=views, returned=scene.defense.answers).digest()
    assert again.transcript(request, views=views, returned=scene.defense.answers).digest() == digest
    # Whatever was asked in between must not matter.
    again.transcript(scene.requests[1])
    assert again.transcript(request, views=views, returned=scene.defense.answers).digest() == digest
    if scene.defense.keyed:
        assert other.transcript(request, views=views, returned=scene.defense.answers).digest() != digest


def test_the_first_views_are_the_same_however_many_are_handed_over(scene: Scene) -> None:
    request = scene.requests[0]
    assert torch.equal(
        scene.transcript(request).views[0], scene.transcript(request, views=scene.defense.views).views[0]
    )


def test_the_transcript_holds_no_key_and_no_header_text(scene: Scene) -> None:
    transcript = scene.transcript(scene.requests[0], views=scene.defense.views, returned=scene.defense.answers)
    fields = {name: type(value) for name, value in vars(transcript).items()}
    assert {n for n, t in fields.items() if t is str} == {"request"}
    assert transcript.request.removeprefix("r").isdigit()
    assert not any(issubclass(kind, Key) for kind in fields.values())
    for subject in scene.cohort.subjects:
        assert subject not in repr(transcript.request)


def test_a_key_never_prints_its_secret(scene: Scene) -> None:
    key, *_ = sent(scene)
    assert repr(key) == f"<{type(key).__name__}: secret>"
    assert str(key) == f"{key}" == repr(key)


def test_encoding_depends_on_the_key_alone_and_leaves_the_image(scene: Scene) -> None:
    image = as_tensor(scene.truth(scene.requests[0]).image)
    before = image.clone()
    _, one, _ = sent(scene, 5)
    _, two, _ = sent(scene, 5)
    assert torch.equal(one, two)
    assert torch.equal(image, before)


def test_operating_system_keys_differ(scene: Scene) -> None:
    if not scene.defense.keyed:
        pytest.skip("there is no key to draw")
    image = as_tensor(scene.truth(scene.requests[0]).image)
    source = random.SystemRandom()
    first, *others = [
        scene.defense.encode(image, scene.defense.draw_key(scene.cohort.shape, scene.pool, source), 1).views
        for _ in range(8)  # where α is fixed and the pool small, two may well draw the same reference
    ]
    assert not all(torch.equal(first, other) for other in others)


def test_bystanders_and_weights_explain_the_encoding(scene: Scene) -> None:
    key, views, positions = sent(scene)
    others, weights = scene.defense.bystanders(key, scene.defense.views), scene.defense.weights(key)
    if others is None or weights is None:
        pytest.skip("the scheme mixes nobody in")
    image = as_tensor(scene.truth(scene.requests[0]).image)
    alpha = torch.from_numpy(weights).float()[..., None, None, None]
    target = (views - (1 - alpha) * others) / alpha
    assert torch.allclose(
        stitch(target[0], positions, scene.cohort.shape), image, atol=2e-7 / float(weights.min()) + 1e-6
    )


def test_mixup_refuses_an_empty_pool(scene: Scene) -> None:
    if scene.defense.needs_pool:
        with pytest.raises(OptionError, match="pool"):
            scene.defense.draw_key(scene.cohort.shape, LazyVolumes(scene.cohort, []), random.Random(0))


def test_what_a_learned_decoder_is_given_explains_the_returned_maps(scene: Scene) -> None:
    if not scene.defense.answers:
        pytest.skip("it does not say what a server sends back")
    views, classes = scene.defense.views, max(scene.cohort.label_names) + 1
    key, _, _ = sent(scene)
    labels = one_hot(scene.truth(scene.requests[0]).labels, classes)
    returned = scene.defense.respond(labels, key, views)
    side = scene.defense.side_information(key, views, classes)
    if side is None:
        assert scene.defense.training_recipe(32).alpha is None
        return
    reference, alpha = side
    assert reference.shape == returned.shape
    assert alpha.shape == returned.shape[:2]
    target = unmix(returned, reference, alpha).mean(dim=0)
    torch.testing.assert_close(scene.defense.assemble(target, key), scene.defense.decode(returned, key))
    recipe = scene.defense.training_recipe(32)
    assert recipe.alpha is not None
    assert recipe.alpha[0] <= float(alpha.min())
    assert float(alpha.max()) <= recipe.alpha[1]
