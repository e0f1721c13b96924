"""NaN and infinity are found before the run."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from nucbatch.core.plate import FileStatus
from nucbatch.readers.find import open_plate
from nucbatch.readers.finite import values_checked


def write(path: Path, bad: float | None = None, dtype: str = "float32") -> None:
    pixels = np.ones((30, 40), dtype)
    if bad is not None:
        pixels[17, 3] = bad
    tifffile.imwrite(path, pixels)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_field_with_nan_or_infinity_is_quarantined(tmp_path: Path, bad: float) -> None:
    write(tmp_path / "a.tif")
    write(tmp_path / "b.tif", bad)
    write(tmp_path / "c.tif", dtype="uint16")
    plate = values_checked(open_plate(tmp_path))
    assert [field.problem for field in plate.fields] == [
        "",
        "b.tif: holds NaN or infinity: replace these pixels, or save it as integers",
        "",
    ]
    (refused,) = [record for record in plate.files if record.status is FileStatus.QUARANTINED]
    assert (refused.path, refused.reason) == (
        "b.tif",
        "holds NaN or infinity: replace these pixels, or save it as integers",
    )
    assert plate.remarks == ()


def test_large_collections_are_sampled_with_a_remark(tmp_path: Path) -> None:
    for number in range(6):
        write(tmp_path / f"{number}.tif", np.nan)
    plate = values_checked(open_plate(tmp_path), most_bytes=3 * 30 * 40 * 4)
    assert [bool(field.problem) for field in plate.fields] == [True, False] * 3
    assert plate.remarks == ("NaN and infinity were looked for in 3 of 6 floating-point images",)
