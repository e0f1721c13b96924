"""How a label image becomes a TIFF that ImageJ, CellProfiler and napari open: one page, grey, unsigned.

16 bits where all numbers fit, because more programs read that; 32 bits otherwise.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile

from nucbatch.store.atomic import cannot_write, write_bytes

_SOFTWARE = "nucbatch"  # so that a run's own files can be told from others in the same folder


def write_label_tiff(path: Path, labels: npt.NDArray[np.uint32]) -> None:
    """Writes labels (Y, X) uint32 as one deflated page, uint16 if the largest label is below 65,536.

    The same labels give the same bytes. The folder is made if it is absent.

    Raises:
        StoreError: the file can't be written.
    """
    narrow = labels.size == 0 or int(labels.max()) < 2**16
    content = io.BytesIO()
    tifffile.imwrite(
        content,
        labels.astype(np.uint16 if narrow else np.uint32),
        photometric="minisblack",
        compression="zlib",
        software=_SOFTWARE,
        metadata=None,
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path.parent, error) from error
    write_bytes(path, content.getbuffer(), durable=False)


def is_label_tiff(path: Path) -> bool:
    """Whether this file was written by :func:`write_label_tiff`, as its Software tag says."""
    try:
        with tifffile.TiffFile(path) as tiff:
            return bool(tiff.pages.first.software == _SOFTWARE)
    except tifffile.TiffFileError:
        return False
