from __future__ import annotations

import pytest

from privaudit.errors import OptionError
from privaudit.msssim import PROFILES, Profile, profile_for


def test_named_profiles() -> None:
    assert {name: (p.levels, p.window) for name, p in PROFILES.items()} == {
        "volume": (5, 9),
        "volume-small": (4, 9),
        "patch64": (4, 7),
        "patch32": (3, 7),
    }


def test_weights_are_the_published_ones_at_five_levels_and_renormalised_below() -> None:
    assert PROFILES["volume"].weights == (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    for levels in range(1, 5):
        weights = Profile("test", levels, 3).weights
        assert len(weights) == levels
        assert sum(weights) == pytest.approx(1)
        assert weights[-1] / weights[0] == pytest.approx(PROFILES["volume"].weights[levels - 1] / 0.0448)


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ((144, 192, 160), "volume"),
        ((143, 192, 160), "volume-small"),
        ((72, 96, 80), "volume-small"),
        ((64, 64, 64), "patch64"),
        ((56, 300, 300), "patch64"),
        ((55, 300, 300), "patch32"),
        ((28, 28, 28), "patch32"),
    ],
)
def test_profile_for_shape(shape: tuple[int, int, int], name: str) -> None:
    assert profile_for(shape).name == name
    assert profile_for(shape).fits(shape)


@pytest.mark.parametrize("shape", [(27, 64, 64), (64, 64), (1, 64, 64, 64), ()])
def test_no_profile_fits(shape: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match="at least 28 voxels"):
        profile_for(shape)


def test_fits_is_the_floor_rule() -> None:
    profile = Profile("test", 3, 5)
    for side in range(12, 30):
        assert profile.fits((side, 40, 40)) == (side // 4 >= 5)
        assert profile.fits((40, 40, side)) == (side // 4 >= 5)


def test_describe_is_one_line_with_every_choice() -> None:
    text = Profile("mine", 2, 5, sigma=2.0, data_range=255).describe()
    assert text == "MS-SSIM mine: 2 levels, window 5, sigma 2, weights 0.1356 0.8644, K 0.01 0.03, range 255"


@pytest.mark.parametrize(
    "bad",
    [{"levels": 0}, {"levels": 6}, {"window": 4}, {"window": 1}, {"sigma": 0.0}, {"k2": 0.0}, {"data_range": -1.0}],
)
def test_bad_fields(bad: dict[str, float]) -> None:
    fields = {"levels": 3, "window": 7} | bad
    with pytest.raises(OptionError, match=next(iter(bad))):
        Profile("test", **fields)  # type: ignore[arg-type]
