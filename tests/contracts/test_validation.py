"""What is wrong with a value, in plain words: never in those of the library that checks it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import torch
from pydantic import Field

from privaudit.contracts.options import PluginOptions, parse_options
from privaudit.errors import OptionError, PrivauditError
from privaudit.segmentation.weights import load_weights
from privaudit.serving.engine import load_engine
from privaudit.specs import PluginSpec, Section, validate_spec
from privaudit.wire.messages import WireError, read_answer, read_request

INNER = ("validation error", "Input should", "Field required", "type=", "input_value", "Extra inputs", "pydantic")
"""What the library says, and nobody else understands."""


class Part(Section):
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5


class Whole(Section):
    part: Part = Part()
    plugins: tuple[PluginSpec, ...] = ()
    seed: int = 0
    box: tuple[tuple[int, int], list[int]] | None = None


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
        ({"plugins": [{"nme": 1}]}, "f.yaml: 'plugins[0].name' is missing; got {'nme': 1}"),
        (
            {"plugins": [{"name": "x"}, {"name": 3}]},
            "f.yaml: 'plugins[1].name' must be text; got 3; put it in quotes, if it is meant as text",
        ),
        ({"plugins": 5}, "f.yaml: 'plugins' must be a list; got 5"),
        ({"box": [[1, 2], [3, "x"]]}, "f.yaml: 'box[1][1]' must be a whole number; got 'x'"),
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


def loaded_for_serving(folder: Path) -> object:
    return load_engine(folder, torch.device("cpu"))


@pytest.mark.parametrize("load", [load_weights, loaded_for_serving])
@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("{}", "'network' is missing"),
        ('{"network": 3}', "'network' must be a mapping"),
        ('{"network": {"size": 7, "classes": 4}}', "'network.size' must be"),
        ("[", "is no JSON: "),
    ],
)
def test_what_is_wrong_with_a_config_of_weights(
    load: Callable[[Path], object], config: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "segmentation.safetensors").write_bytes(b"")
    with pytest.raises(PrivauditError) as error:
        load(tmp_path)
    said = str(error.value)
    assert words in said
    assert not [word for word in INNER if word in said]


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ({"inputs": 5}, "inputs must be a list"),
        ({"inputs": [{"name": 5, "shape": [1], "datatype": "FP32"}]}, "inputs[0].name must be text"),
        ({"inputs": [{"name": "a", "shape": "x", "datatype": "FP32"}]}, "inputs[0].shape must be a list"),
    ],
)
def test_what_is_wrong_with_a_message_of_the_protocol(head: Any, words: str) -> None:
    with pytest.raises(WireError) as error:
        read_request(json.dumps(head).encode(), None)
    assert words in str(error.value)
    with pytest.raises(WireError) as error:
        read_answer(b"[", None)
    assert not [word for word in INNER if word in str(error.value)]
