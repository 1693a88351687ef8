"""Options and specifications: text, YAML, and mistakes."""

from pathlib import Path

import pytest

from privaudit.auditing.spec import AuditSpec, dump_spec, parse_spec, read_spec
from privaudit.cli.setup import TEMPLATE
from privaudit.contracts.options import PluginOptions, describe_options, parse_options
from privaudit.errors import OptionError
from privaudit_defenses.mixup import MixupDefense, MixupOptions


class Sample(PluginOptions):
    root: Path | None = None
    name: str = "x"
    sizes: list[int] = [1]
    ratio: float = 0.5


def test_text_is_read_by_type() -> None:
    options = parse_options(Sample, {"root": "/data/01", "name": "007", "sizes": "[2, 3]", "ratio": "1e-1"}, "sample")
    assert options == Sample(root=Path("/data/01"), name="007", sizes=[2, 3], ratio=0.1)


def test_an_unknown_option_offers_the_nearest() -> None:
    with pytest.raises(OptionError, match="sample has no option 'ratoi'; did you mean 'ratio'"):
        parse_options(Sample, {"ratoi": 1}, "sample")


def test_a_wrong_value_is_named() -> None:
    with pytest.raises(OptionError, match="option 'ratio' must be a number; got 'much'"):
        parse_options(Sample, {"ratio": "much"}, "sample")


def test_every_built_in_option_is_described() -> None:
    assert all(text for *_, text in describe_options(MixupOptions))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"alpha": [0.8, 0.2]}, "lower end is above"),
        ({"alpha": 0.0}, "nothing of the target is sent"),
        ({"alpha": 1.5}, "alpha"),
        ({"stride": 64}, "stride"),
        ({"views": 0}, "views"),
        ({"patch_size": None, "reference_position": "random"}, "random reference position"),
    ],
)
def test_mixup_options_that_make_no_sense(values: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        MixupDefense.from_values(**values)


def test_the_template_of_init_is_a_valid_specification(tmp_path: Path) -> None:
    path = tmp_path / "audit.yaml"
    path.write_text(TEMPLATE.format(name=path))
    assert read_spec(path).attacks == AuditSpec().attacks
    assert read_spec(path).battery == "standard-4, budget quick"


def test_a_specification_survives_its_text(tmp_path: Path) -> None:
    spec = parse_spec({"defense": {"name": "mixup", "views": 3}, "attacks": ["reid"], "seed": 4}, "test")
    path = tmp_path / "spec.yaml"
    path.write_text(dump_spec(spec))
    assert read_spec(path) == spec
    assert read_spec(path).digest == spec.digest != AuditSpec().digest


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"atacks": ["reid"]}, "unknown key 'atacks'; did you mean 'attacks'"),
        ({"scoring": {"margin": 1}}, "unknown key 'scoring.margin'; did you mean 'margin_"),
        ({"attacks": []}, "at least one"),
        ({"attacks": ["reid", "reid"]}, "listed twice"),
        ({"split": {"victims": 2.5}}, "split.victims"),
        ([1], "no audit specification"),
    ],
)
def test_mistakes_in_a_specification_are_named(data: object, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_spec(data, "audit.yaml")


def test_files_that_are_no_specification(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="privaudit init"):
        read_spec(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(OptionError, match="is not YAML"):
        read_spec(tmp_path / "bad.yaml")
