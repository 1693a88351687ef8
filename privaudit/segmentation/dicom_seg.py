"""Label maps as DICOM segmentation objects (DICOM-SEG). Needs highdicom (extra 'dicom')."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from privaudit._version import __version__
from privaudit.cohorts.dicom_series import ordered_slices
from privaudit.errors import OptionError
from privaudit.files import atomic_path

CODES: Final[dict[str, tuple[str, str, str]]] = {
    "CSF": ("65216001", "SCT", "Cerebrospinal fluid"),
    "GM": ("389080008", "SCT", "Gray matter"),
    "WM": ("389081007", "SCT", "White matter"),
}
"""SNOMED CT codes of structures; any other is written as a tissue with its own name."""


def write_seg(path: Path, series: Path, labels: NDArray[np.uint8], names: Mapping[int, str]) -> None:
    """Write a label map that lies on the grid of a DICOM series.

    Args:
        path: to write, ending in .dcm.
        series: folder of the series.
        labels: [X, Y, Z] on its grid, as :func:`privaudit.cohorts.dicom_series.read_series` reads it.
        names: of labels, background included.

    Raises:
        OptionError: highdicom is not installed, or there is nothing in the label map.
        DataError: the series cannot be read.
        WriteError: the file cannot be written.
    """
    try:
        import highdicom as hd
        from pydicom.sr.codedict import codes
        from pydicom.uid import ExplicitVRLittleEndian
    except ModuleNotFoundError as missing:
        raise OptionError(f"DICOM needs the package {missing.name}", todo="pip install 'privaudit[dicom]'") from None
    there = [value for value in sorted(names) if value and (labels == value).any()]
    if not there:
        raise OptionError("the label map is empty, and DICOM has no word for that", todo="write NIfTI: .nii.gz")
    tissue: Any = codes.SCT.Tissue
    described = [
        hd.seg.SegmentDescription(
            segment_number=number, segment_label=names[value], segmented_property_category=tissue,
            segmented_property_type=hd.sr.CodedConcept(*_code(names[value])),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=hd.AlgorithmIdentificationSequence(
                name="privaudit", version=__version__, family=codes.DCM.ArtificialIntelligence
            ),
        )
        for number, value in enumerate(there, start=1)
    ]  # fmt: skip
    frames = np.zeros((labels.shape[2], labels.shape[1], labels.shape[0]), np.uint8)
    for number, value in enumerate(there, start=1):
        frames[labels.transpose(2, 1, 0) == value] = number
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a pseudonym is an unlikely name of a person, it says
        made = hd.seg.Segmentation(
            source_images=ordered_slices(series), pixel_array=frames,
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY, segment_descriptions=described,
            series_instance_uid=hd.UID(), series_number=1, sop_instance_uid=hd.UID(), instance_number=1,
            manufacturer="privaudit", manufacturer_model_name="privaudit", software_versions=__version__,
            device_serial_number="0", transfer_syntax_uid=ExplicitVRLittleEndian,
        )  # fmt: skip
    with atomic_path(path) as temporary:
        made.save_as(temporary)


def _code(name: str) -> tuple[str, str, str]:
    return CODES.get(name, (name, "99PRIVAUDIT", name))
