"""Containers through the command line: converted and segmented like plates; damaged ones are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from container_pixels import field
from write_czi import write_czi
from write_nd2 import write_nd2

from nucbatch.cli.main import nucbatch
from nucbatch.readers.find import open_plate
from nucbatch.readers.pixels import read_field

pytestmark = pytest.mark.slow


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(nucbatch, [*map(str, arguments), "--workers", "1"], catch_exceptions=False)


def test_a_container_is_converted_with_its_wells_channels_and_planes(tmp_path: Path) -> None:
    """Its store may lie beside it: the input is the file alone."""
    write_nd2(tmp_path / "a.nd2", points=["x_A02_0", "x_A02_1", "x_B03_0"], depth=2)
    done = run("convert", tmp_path / "a.nd2", "-o", tmp_path / "a.zarr")
    assert done.exit_code == 0, done.output
    before, after = open_plate(tmp_path / "a.nd2"), open_plate(tmp_path / "a.zarr")
    places = [("A02", 1), ("A02", 2), ("B03", 1)]
    for plate in (before, after):
        assert [(one.well, one.site) for one in plate.fields] == places
        assert [channel.name for channel in plate.channels] == ["DAPI", "GFP"]
        for number, one in enumerate(plate.fields):
            assert one.pixel_size_um == pytest.approx(0.65)
            np.testing.assert_array_equal(
                read_field(plate.root, one, plate.channels), field(number, 0, depth=2)
            )


def test_a_folder_of_a_container_per_well_is_run_without_the_damaged_one(tmp_path: Path) -> None:
    plate, out = tmp_path / "plate", tmp_path / "out"
    plate.mkdir()
    for well in ("B02", "B03", "C04"):
        write_czi(plate / f"{well}.czi", tiles=2)
    whole = (plate / "B03.czi").read_bytes()
    (plate / "B03.czi").write_bytes(whole[: len(whole) // 2])
    done = run("run", plate, "-o", out, "--model", "otsu-watershed", "--channel", "DAPI")
    assert done.exit_code == 3, done.output
    files = pd.read_csv(out / "files.csv").set_index("path")["status"]
    assert dict(files) == {"B02.czi": "used", "B03.czi": "quarantined", "C04.czi": "used"}
    wells = pd.read_csv(out / "wells.csv").set_index("Metadata_Well")["Count_Nuclei"]
    assert list(wells.index) == ["B02", "B03", "C04"]
    assert list(wells.isna()) == [False, True, False]
