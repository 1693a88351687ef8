"""What is wrong with a value, in plain words: never in those of the library that checks it."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from privaudit.contracts.options import PluginOptions, parse_options
from privaudit.errors import OptionError
from privaudit.specs import PluginSpec, Section, validate_spec


class Part(Section):
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5


class Whole(Section):
    part: Part = Part()
    plugins: tuple[PluginSpec, ...] = ()
    seed: int = 0


class Options(PluginOptions):
    patch_size: int | None = None
    alpha: float | tuple[float, float] = 0.5
    per: Literal["patch", "volume"] = "volume"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"seed": "x"}, "f.yaml: 'seed' must be a whole number; got 'x'"),
        ({"seed": 1.5}, "f.yaml: 'seed' must be a whole number; got 1.5"),
        ({"part": {"share": 2}}, "f.yaml: 'part.share' must be below 1.0; got 2"),
        ({"part": 3}, "f.yaml: 'part' must be a mapping, key: value; got 3"),
        ({"plugins": [{"nme": 1}]}, "f.yaml: 'plugins.0.name' is missing; got {'nme': 1}"),
        ({"plugins": 5}, "f.yaml: 'plugins' must be a list; got 5"),
    ],
)
def test_specifications(data: Any, message: str) -> None:
    with pytest.raises(OptionError) as error:
        validate_spec(Whole, {"part": Part}, data, "f.yaml")
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("per", "x", "'o' option 'per' must be 'patch' or 'volume'; got 'x'"),
        ("alpha", "[a, b]", "'o' option 'alpha' must be a number; got ['a', 'b']; allowed: float or [float, float]"),
        ("patch_size", "x", "'o' option 'patch_size' must be a whole number; got 'x'; allowed: int or null"),
    ],
)
def test_options_are_written_as_the_user_wrote_them(name: str, value: str, message: str) -> None:
    with pytest.raises(OptionError) as error:
        parse_options(Options, {name: value}, "'o'")
    assert str(error.value) == message
    with pytest.raises(OptionError, match=f"option '--{name.replace('_', '-')}' must be"):
        parse_options(Options, {name: value}, "'o'", typed=[name])
