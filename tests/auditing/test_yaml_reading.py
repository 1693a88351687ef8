"""YAML as specifications use it: what explodes, repeats itself or is lost is refused."""

import time
from pathlib import Path
from typing import Any

import pytest

from privaudit.auditing.planning import all_attacks
from privaudit.auditing.spec import AuditSpec, parse_spec, read_spec
from privaudit.cli.audit import build_spec
from privaudit.cli.options import Chosen
from privaudit.contracts.options import PluginOptions, parse_options
from privaudit.errors import OptionError, PrivauditError, short
from privaudit.files import parse_json
from privaudit.yaml_reading import load_value, load_yaml

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "holds more values than any use of it needs"),
        ("a: &a [*a]", "nested too deep, or holds itself"),
        ("[" * 200 + "]" * 200, "nested too deep"),
        ("a: 1\nb: 2\na: 3", "the key 'a' is given twice, in line 3"),
        ("a: {b: 1, b: 1}", "the key 'b' is given twice"),
        ("a: !!timestamp 2001-01-01", "is not YAML"),
        ("a: !!binary aGk=", "is not YAML"),
        ("a: !!set {x}", "is not YAML"),
        ("a: !!python/object:os.system x", "is not YAML"),
        ("a: " + "9" * 5000, "is not YAML"),
        ("a: 1\n---\nb: 2", "is not YAML"),
        ("a: \x00", "is not YAML"),
        ("a: [1, .inf]", "'.inf' is no finite number"),
        ("a: 1.0e+999", "is no finite number"),
        ("a: !!float x", "is not YAML"),
    ],
    ids=lambda value: value[:20],
)
def test_yaml_that_is_not_what_it_looks_like_is_refused_at_once(text: str, message: str) -> None:
    started = time.process_time()
    with pytest.raises(OptionError, match=message) as caught:
        load_yaml(text, "audit.yaml")
    assert time.process_time() - started < 2
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


def test_yaml_that_people_write_is_read() -> None:
    assert load_yaml("a: &x {b: [1, 2.5, null, true]}\nc: *x\nd: 2001-01-01\n", "a") == {
        "a": {"b": [1, 2.5, None, True]}, "c": {"b": [1, 2.5, None, True]}, "d": "2001-01-01",
    }  # fmt: skip
    assert load_yaml("", "a") is None
    assert load_yaml("base: &b {a: 1}\nmore:\n  <<: *b\n  c: 2\n", "a")["more"] == {"a": 1, "c": 2}


@pytest.mark.parametrize("text", ["#a", "p99 #x", "[1, 2] # two", "1 #"])
def test_what_would_be_lost_as_a_comment_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="'#', which begins a comment"):
        load_value(text, "--intensity")


@pytest.mark.parametrize(
    ("text", "value"), [("a#b", "a#b"), ("'a #b'", "a #b"), ('"#"', "#"), ("", None), ("[1]", [1])]
)
def test_other_values_are_read(text: str, value: Any) -> None:
    assert load_value(text, "x") == value


class Typed(PluginOptions):
    name: str = "a"
    path: Path | None = None
    number: float = 1.0


def test_text_is_taken_as_typed() -> None:
    """Values with '#', and such as look like numbers, dates or nothing."""
    for text in ("a #b", "#1", "01", "1e3", "2001-01-01", "null", "yes", ""):
        assert parse_options(Typed, {"name": text}, "x").name == text
    assert parse_options(Typed, {"path": "run #3"}, "x").path == Path("run #3")
    spec = build_spec(["--utility.weights", "2023", "--scoring.profile", "a #b"], None, Chosen(), ["reid"], None)
    assert (spec.utility.weights, spec.scoring.profile) == ("2023", "a #b")


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan"])
def test_no_option_is_infinite(value: str) -> None:
    with pytest.raises(OptionError, match="finite number"):
        parse_options(Typed, {"number": value}, "x")
    for section, key in (("scoring", "margin_image"), ("scoring", "confidence"), ("split", "victims")):
        with pytest.raises(OptionError, match=key):
            parse_spec({section: {key: float(value.replace(".", ""))}}, "x")


def test_an_option_given_twice_is_refused() -> None:
    with pytest.raises(OptionError, match="'a_b' is given twice"):
        parse_options(Dashed, {"a_b": 1, "a-b": 2}, "x")


class Dashed(PluginOptions):
    a_b: int = 0


@pytest.mark.parametrize(
    "data",
    [
        {"scoring": {"resamples": 1e11}}, {"scoring": {"resamples": 10**11}}, {"seed": 10**30}, {"seed": -(10**30)},
        {"seed": "2001-01-01"}, {"seconds_per_job": float("inf")}, {"utility": {"weights": 2023}},
        {"x" * 5000: 1}, {"scoring": {"x" * 5000: 1}}, {"dataset": {"name": ["a"] * 5000}}, {"attacks": "x" * 5000},
    ],
    ids=range(11),
)  # fmt: skip
def test_values_beyond_all_use_are_one_short_line(data: dict[str, Any]) -> None:
    with pytest.raises(PrivauditError) as caught:
        all_attacks(parse_spec(data, "audit.yaml"))
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)


def test_a_number_where_text_belongs_says_how_to_write_it() -> None:
    with pytest.raises(OptionError, match="'utility.weights'.*got 2023; put it in quotes"):
        parse_spec({"utility": {"weights": 2023}}, "audit.yaml")


def test_a_file_with_a_name_that_is_too_long_is_missing() -> None:
    with pytest.raises(OptionError, match="no audit specification there"):
        read_spec(Path("x" * 5000))


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": 1e999}', '{"a": 1, "a": 2}', '["\\ud800"]', "[-Infinity]"])
def test_json_that_no_record_has_is_refused(text: str) -> None:
    with pytest.raises(PrivauditError, match="record.json is not JSON"):
        parse_json(text, "record.json", PrivauditError)


def test_messages_are_one_short_line() -> None:
    error = PrivauditError("a\nb", got="x" * 10_000, allowed=["y" * 10_000], todo="c\n\nd")
    assert "\n" not in str(error)
    assert len(str(error)) < 1500
    assert short("a\n b") == "a b"


def test_the_default_specification_is_what_it_was() -> None:
    assert AuditSpec().digest == parse_spec({}, "x").digest
