"""Options typed on the command line find their plugin."""

import pytest

from privaudit.cli.routing import read_pairs, route
from privaudit.errors import OptionError

OWNERS = {"phantom": ["subjects", "voxel_mm"], "mixup": ["views", "alpha"], "average": ["views"]}


def test_each_option_goes_to_the_plugin_that_declares_it() -> None:
    routed = route(read_pairs(["--voxel-mm", "2", "--alpha=[0, 1]", "--average.views", "5"]), OWNERS, ())
    assert routed == {"phantom": {"voxel_mm": "2"}, "mixup": {"alpha": "[0, 1]"}, "average": {"views": "5"}}


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["--apha", "1"], "no such option: --apha; did you mean '--alpha'"),
        (["--seed", "1"], "this command has no option --seed; see --help for those it has"),
        (["--sed", "1"], "no such option: --sed; did you mean '--seed'"),
        (["--voxl-mm", "3"], "no such option: --voxl-mm; did you mean '--voxel-mm'"),
        (["--views", "3"], "several plugins; write --mixup.views or --average.views"),
        (["--mixpu.views", "3"], "'mixpu' takes no part in this audit; did you mean 'mixup'"),
        (["--mixup.vews", "3"], "no such option: --mixup.vews; did you mean '--mixup.views'"),
        (["--alpha", "1", "--mixup.alpha", "2"], "given twice"),
        (["stray"], "unexpected argument; got 'stray'"),
    ],
)
def test_mistakes_are_named(tokens: list[str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        route(read_pairs(tokens), OWNERS, ("seed", "out"))


def test_a_flag_means_true_and_negative_numbers_are_values() -> None:
    assert read_pairs(["--lesions", "--shift", "-3"]) == [("lesions", "true"), ("shift", "-3")]
