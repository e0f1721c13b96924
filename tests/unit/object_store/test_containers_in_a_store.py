"""Containers in an object store: those that a library must read from a disk are refused, TIFFs are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from container_pixels import plane
from golden import quarantined
from s3_server import Bucket
from write_czi import write_czi
from write_lif import write_lif
from write_nd2 import write_nd2

from nucbatch.core.plate import FileStatus
from nucbatch.object_store import ObjectPath
from nucbatch.readers.find import open_plate
from nucbatch.readers.pixels import FieldReader


@pytest.mark.parametrize(
    ("write", "title"), [(write_nd2, "Nikon's ND2"), (write_lif, "Leica's LIF"), (write_czi, "ZEISS' CZI")]
)
def test_a_container_that_needs_a_disk_is_refused_with_the_mend(
    bucket: Bucket, tmp_path: Path, write, title: str
) -> None:
    folder = tmp_path / title[-3:].lower()
    folder.mkdir()
    write(folder / f"a.{folder.name}")
    for address in (
        bucket.upload(folder, f"disk/{folder.name}"),
        f"{bucket.url}/disk/{folder.name}/a.{folder.name}",
    ):
        plate = open_plate(ObjectPath(address))
        assert quarantined(plate) == {
            f"a.{folder.name}": f"{title} files can't be read in an object store: copy it to a disk first"
        }
        assert not [one for one in plate.fields if not one.problem]


def test_a_container_that_is_a_tiff_is_read_in_a_store(bucket: Bucket, tmp_path: Path) -> None:
    folder = tmp_path / "stk"
    folder.mkdir()
    for well in ("A01", "B02"):
        tifffile.imwrite(folder / f"x_{well}.scn", plane(), tile=(16, 16), photometric="minisblack")
    here, there = open_plate(folder), open_plate(ObjectPath(bucket.upload(folder, "tiffs")))
    assert [record.status for record in there.files] == [FileStatus.USED] * 2
    assert [(one.well, one.key) for one in there.fields] == [(one.well, one.key) for one in here.fields]
    for one, other in zip(there.fields, here.fields, strict=True):
        np.testing.assert_array_equal(
            FieldReader.of(there).read_whole(one, there.channels),
            FieldReader.of(here).read_whole(other, here.channels),
        )
