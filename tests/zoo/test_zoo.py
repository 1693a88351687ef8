"""The zoo is what it says: who knows how reads people from every broken encoder, and from no private one.

Each proof reads something from an encoding without its key, reads the same from images, and compares. A scheme with one
key for everything is in the attacker's hands: then images are encoded, and encodings compared.
"""

import random
import tomllib
from pathlib import Path

import pytest
import torch
from scipy import stats
from torch import Tensor

from privaudit.auditing.volumes import LazyVolumes
from privaudit.contracts import plugin
from privaudit.contracts.cohort import Cohort, Dataset
from privaudit.contracts.defense import Defense
from privaudit.errors import OptionError
from privaudit.imaging.cubes import from_blocks, symmetries, to_blocks
from privaudit.imaging.patches import as_tensor
from privaudit_zoo import BROKEN, PRIVATE
from privaudit_zoo.base import FIXED_SEED, ZooKey
from privaudit_zoo.grey import levels
from privaudit_zoo.linear import kernel_spectrum, orthogonal
from privaudit_zoo.readings import READINGS, contours, values

PEOPLE = 10


@pytest.fixture(scope="module")
def cohort(thirdparty: Path) -> Cohort:
    return plugin.create("datasets", "blobs", Dataset, {"subjects": PEOPLE + 8}).open()


@pytest.fixture(scope="module")
def sessions(cohort: Cohort) -> tuple[list[Tensor], list[Tensor]]:
    """Two scans of each person."""
    first, second = (
        [as_tensor(cohort.load(cohort.sessions_of(s)[number]).image) for s in cohort.subjects[:PEOPLE]]
        for number in (0, 1)
    )
    return first, second


@pytest.fixture(scope="module")
def pool(cohort: Cohort) -> LazyVolumes:
    return LazyVolumes(cohort, [cohort.sessions_of(s)[0] for s in cohort.subjects[PEOPLE:]])


def encoder(name: str) -> Defense:
    return plugin.create("defenses", name, Defense)


def encoded(name: str, image: Tensor, pool: LazyVolumes, seed: int) -> Tensor:
    defense = encoder(name)
    x, y, z = image.shape
    return defense.encode(image, defense.draw_key((x, y, z), pool, random.Random(seed)), 1).views[0, 0]


# people found again ---------------------------------------------------------------------------------------------


def found(sent: list[Tensor], gallery: list[Tensor]) -> int:
    """How many people's encodings, as read, are most correlated with their own image, as read."""
    readings = torch.stack([one.flatten().double() for one in sent])
    known = torch.stack([one.flatten().double() for one in gallery])
    common = known.mean(dim=0)
    alike = torch.corrcoef(torch.cat([readings - readings.mean(dim=0), known - common]))[: len(sent), len(sent) :]
    return int((alike.argmax(dim=1) == torch.arange(len(sent))).sum())


@pytest.mark.parametrize("name", BROKEN)
def test_people_are_found_again_in_what_a_broken_encoder_sends(
    name: str, zoo: Path, sessions: tuple[list[Tensor], list[Tensor]], pool: LazyVolumes
) -> None:
    first, second = sessions
    sent = [encoded(name, image, pool, seed) for seed, image in enumerate(second)]
    if name in READINGS:
        of_sent, of_image = READINGS[name]
        assert found([of_sent(one) for one in sent], [of_image(image) for image in first]) == PEOPLE
    else:
        assert not encoder(name).keyed, "whoever has the scheme encodes for themselves"
        assert found(sent, [encoded(name, image, pool, 1000) for image in first]) == PEOPLE


@pytest.mark.parametrize("name", PRIVATE)
def test_nobody_is_found_again_by_any_of_these_in_what_a_private_encoder_sends(
    name: str, zoo: Path, sessions: tuple[list[Tensor], list[Tensor]], pool: LazyVolumes
) -> None:
    first, second = sessions
    sent = [encoded(name, image, pool, seed) for seed, image in enumerate(second)]
    for of_sent, of_image in READINGS.values():
        assert found([of_sent(one) for one in sent], [of_image(image) for image in first]) <= PEOPLE // 2


# exact proofs --------------------------------------------------------------------------------------------------


@pytest.fixture
def image() -> Tensor:
    return torch.rand((16, 24, 16), generator=torch.Generator().manual_seed(0))


def test_the_absolute_value_undoes_signs(zoo: Path, image: Tensor, pool: LazyVolumes) -> None:
    for name in ("zoo-signs", "zoo-signs-fixed"):
        assert torch.equal(encoded(name, image, pool, 1).abs(), image)


def test_grey_tables_keep_ranks_and_contours(zoo: Path, image: Tensor, pool: LazyVolumes) -> None:
    rising = encoded("zoo-monotone", image, pool, 1).flatten()[image.flatten().argsort()]
    assert bool((rising.diff() >= 0).all())
    sent = encoded("zoo-grey-permutation", image, pool, 1)
    assert torch.equal(contours(sent), contours(image))
    assert len(set(sent.flatten().tolist())) == len(set(levels(image).flatten().tolist()))


def test_moves_keep_what_they_move(zoo: Path, image: Tensor, pool: LazyVolumes) -> None:
    assert torch.equal(values(encoded("zoo-turns", image, pool, 1)), values(image))
    rolled = encoded("zoo-roll", image, pool, 1)
    place = torch.fft.ifftn(torch.fft.fftn(rolled) * torch.fft.fftn(image).conj()).real.argmax()
    shifts = [int(shift) for shift in torch.unravel_index(place, image.shape)]
    assert torch.equal(torch.roll(image, shifts, (0, 1, 2)), rolled), "phase correlation finds the key"


def test_a_transposed_matrix_undoes_an_orthogonal_map(zoo: Path, image: Tensor, pool: LazyVolumes) -> None:
    sent = encoded("zoo-orthogonal", image, pool, 1)
    back = from_blocks(to_blocks(sent, 8) @ orthogonal(FIXED_SEED).T, 8, image.shape)
    assert torch.allclose(back, image, atol=1e-5)


def test_a_kernel_is_divided_out(zoo: Path, image: Tensor, pool: LazyVolumes) -> None:
    sent = torch.fft.rfftn(encoded("zoo-convolution", image, pool, 1).double())
    kernel = kernel_spectrum(FIXED_SEED, (16, 24, 16))
    back = torch.fft.irfftn(sent / kernel, s=image.shape)
    assert torch.allclose(back.float(), image, atol=1e-3)


def test_known_images_give_fixed_scrambling_away(zoo: Path, image: Tensor, pool: LazyVolumes) -> None:
    """Two images tell where each voxel went and whether it was inverted; then others are put right."""
    for name in ("zoo-etc-fixed", "zoo-learnable"):
        count = image.numel()
        known = torch.arange(1, count + 1).reshape(image.shape) / (2 * count + 2)  # all different, all below .5
        sent = encoded(name, known, pool, 1).flatten()
        negative = sent > 0.5
        source = (torch.where(negative, 1 - sent, sent).double() * (2 * count + 2)).round().long() - 1
        other = encoded(name, image, pool, 2).flatten()
        back = torch.empty_like(other)
        back[source] = torch.where(negative, 1 - other, other)
        assert torch.allclose(back.reshape(image.shape), image, atol=1e-6), name


def test_blocks_turn_in_48_ways() -> None:
    ways = symmetries(3)
    assert len({tuple(way) for way in ways.tolist()}) == 48
    assert bool((ways.sort(dim=1).values == torch.arange(27)).all())


# private encoders ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRIVATE)
def test_private_encodings_of_different_images_are_distributed_alike(
    name: str, zoo: Path, sessions: tuple[list[Tensor], list[Tensor]], pool: LazyVolumes
) -> None:
    brain = sessions[0][0]
    images = [torch.zeros_like(brain), torch.ones_like(brain), brain]
    sent = [encoded(name, image, pool, seed).flatten() for seed, image in enumerate(images)]
    for one in sent:
        counts = torch.histc(one, bins=256, min=0, max=1)
        assert stats.chisquare(counts.numpy()).pvalue > 1e-3, "uniform"
        assert abs(float(torch.corrcoef(torch.stack([one, brain.flatten()]))[0, 1])) < 4 / one.numel() ** 0.5
        by_value = one[brain.flatten() > 0.5], one[brain.flatten() <= 0.5]
        assert stats.ks_2samp(*(part.numpy() for part in by_value)).pvalue > 1e-3
    for other in sent[1:]:
        assert stats.ks_2samp(sent[0].numpy(), other.numpy()).pvalue > 1e-3


def test_no_rounding_of_the_pad_tells_the_background(zoo: Path, pool: LazyVolumes) -> None:
    for image in (torch.zeros((8, 8, 8)), torch.full((8, 8, 8), 1 / 3)):
        grid = encoded("zoo-one-time-pad", image, pool, 0) * 2**16
        assert torch.equal(grid, grid.round())


# the package ---------------------------------------------------------------------------------------------------


def test_every_encoder_is_listed_once(zoo: Path) -> None:
    project = tomllib.loads((Path(__file__).parent / "pyproject.toml").read_text())["project"]
    declared = set(project["entry-points"]["privaudit.defenses"])
    assert sorted((*BROKEN, *PRIVATE)) == sorted(declared)
    assert {name for name in plugin.points("defenses") if name.startswith("zoo-")} == declared
    for name in declared:
        strength = "broken" if name in BROKEN else "private"
        assert encoder(name).summary.startswith(f"zoo, {strength}: ")


def test_a_fresh_key_changes_what_is_sent_and_a_fixed_one_does_not(zoo: Path, image: Tensor, pool: LazyVolumes) -> None:
    for name in (*BROKEN, *PRIVATE):
        big = torch.nn.functional.pad(image, (8, 8, 4, 4, 8, 8))  # the shape of the pool's scans
        differ = {encoded(name, big, pool, seed).numpy().tobytes() for seed in range(6)}
        assert (len(differ) > 1) == encoder(name).keyed, name


def test_a_mixture_needs_three_others(zoo: Path, cohort: Cohort) -> None:
    few = LazyVolumes(cohort, cohort.scans[:2])
    with pytest.raises(OptionError, match="pool"):
        encoder("zoo-instahide").draw_key((32, 32, 32), few, random.Random(0))


def test_equal_keys_give_equal_encodings(zoo: Path, image: Tensor) -> None:
    for name in (*BROKEN, *PRIVATE):
        if name != "zoo-instahide":
            defense = encoder(name)
            one, two = (defense.encode(image, ZooKey(7), 1).views for _ in range(2))
            assert torch.equal(one, two), name
