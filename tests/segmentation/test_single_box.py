"""A scheme that mixes nothing in is segmented in a box of the image's own."""

from pathlib import Path

import numpy as np
import pytest

from privaudit.errors import OptionError
from privaudit.segmentation.single import conform, segment_file
from privaudit.segmentation.weights import SHIPPED, load_weights, read_config


def test_the_box_has_room_for_the_brain_and_a_patch() -> None:
    config = read_config(SHIPPED / "brains-none")
    image = np.zeros((50, 60, 40), np.float32)
    image[5:45, 5:57, 10:20] = 1 + np.random.default_rng(0).random((40, 52, 10))
    volume, (shape, _) = conform(image, np.diag([config.voxel_mm] * 3 + [1.0]), config, Path("scan.nii"))
    assert shape == (50, 60, 40)
    assert volume.image.shape == (48, 64, 32)
    assert np.count_nonzero(volume.image) == np.count_nonzero(image)


def test_a_scheme_that_mixes_needs_references(tmp_path: Path) -> None:
    weights = load_weights(SHIPPED / "brains-mixup")
    (tmp_path / "scan.nii").touch()
    with pytest.raises(OptionError, match="'mixup' mixes references in; say whose: --dataset"):
        segment_file(tmp_path / "scan.nii", tmp_path / "labels.nii", weights, None)
