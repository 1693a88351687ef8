"""Opening image files: defects become errors that name the file, and compressed files are read to their end."""

from __future__ import annotations

import bz2
import gzip
import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from privaudit.errors import DataError, PrivauditError, short

PART: Final = 2**20
SLACK: Final = 2**24
"""Bytes beside the voxels: extensions of a NIfTI header, tags behind MGH voxels."""


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what is wrong with an image file into one error.

    Raises:
        DataError: the file is missing, cannot be read, is damaged, or does not fit into memory.
    """
    from nibabel.imageglobals import logger

    talking, logger.disabled = logger.disabled, True  # its lines about headers do not say which file
    try:
        yield
    except PrivauditError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path} is missing", todo="restore it, or remove the scan's other files") from None
    except MemoryError:
        raise DataError(
            f"{path} does not fit into memory", todo="check the size in its header, or use a larger machine"
        ) from None
    except Exception as error:  # what a reader says of a broken file can be anything
        reason = short(error, 120) or type(error).__name__
        raise DataError(
            f"{path} is truncated or no readable NIfTI/MGZ file ({reason})", todo="copy or download it again"
        ) from error
    finally:
        logger.disabled = talking


def unpacked(image: Any) -> Any:
    """Return the same image with its compressed files read whole, into memory.

    The checksum of a gzip or bzip2 stream lies at its end. nibabel stops at the last voxel and never compares it: with
    one bit flipped, half of the voxels may be others.

    Args:
        image: nibabel's image, as loaded from a path.

    Returns:
        An image of the same class; the same one if none of its files is compressed.

    Raises:
        OSError: a checksum is wrong, or something follows the stream, or it holds more than its header tells of.
        EOFError: a stream is cut off.
        zlib.error: a stream is damaged.
    """
    from nibabel.fileholders import FileHolder

    most = _largest(image)
    holders = {
        name: FileHolder(fileobj=_content(Path(holder.filename), most)) for name, holder in image.file_map.items()
    }
    if all(holder.fileobj is None for holder in holders.values()):
        return image
    return type(image).from_file_map(
        {name: image.file_map[name] if holder.fileobj is None else holder for name, holder in holders.items()}
    )


def _largest(image: Any) -> int:
    """Bytes of the largest file that the header of an image tells of, with room for what formats put around voxels."""
    proxy = image.dataobj
    return int(proxy.offset) + math.prod(int(n) for n in proxy.shape) * int(proxy.dtype.itemsize) + SLACK


def _content(path: Path, most: int) -> io.BytesIO | None:
    """What a compressed file holds; None if it is not compressed, or an optional part that is not there."""
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        start = stream.read(3)
    if start[:2] == b"\x1f\x8b":
        with gzip.open(path) as packed:
            return _whole(packed, most)
    if start == b"BZh":
        with bz2.open(path) as packed:
            return _whole(packed, most)
    return None


def _whole(packed: gzip.GzipFile | bz2.BZ2File, most: int) -> io.BytesIO:
    """The rest of a stream: a small file can unpack to more than any memory holds."""
    content = io.BytesIO()
    while part := packed.read(PART):
        if content.tell() + len(part) > most:
            raise OSError("it holds more than its header tells of")
        content.write(part)
    content.seek(0)
    return content
