"""A file that is slow to read by box is converted once, with a message, into an equal copy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from nucbatch.core.settings import RunSettings
from nucbatch.core.tiles import Box, TileGrid
from nucbatch.execution.large.image import LargeImage
from nucbatch.execution.large.survey import open_files, survey
from nucbatch.inference.scale import Fit
from nucbatch.planning.plan import Plan
from nucbatch.readers.find import open_plate
from nucbatch.readers.formats import plane_reader
from nucbatch.store.run_folder import RunFolder

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 4000, (1300, 2100)).astype(np.uint16)
COLOURS = RNG.integers(0, 256, (700, 900, 3)).astype(np.uint8)
STRIP = {"compression": "zlib", "predictor": True}
MEMORY_BYTES = 2 << 30


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lowers the limit so that the test's strips count as too large to read by window."""
    monkeypatch.setattr(plane_reader, "LARGEST_PIECE_BYTES", 600_000)


def large(source: Path, out: Path, resolution_um: float | None = None) -> LargeImage:
    """Returns the only image of an input, as the work queue builds it."""
    folder = RunFolder(out)
    folder.create()
    plate = open_plate(source, resolution_um=resolution_um)
    (field,) = plate.fields
    assert not field.problem
    channel = plate.channels[0].name if len(plate.channels) == 1 else ""
    plan = Plan(plate, RunSettings(channel=channel))
    sight = TileGrid(stride=16, halo=64, largest=512, whole=512), 3, Fit(), 512
    return LargeImage.of(plan, field, folder, "", *sight)


def surveyed(image: LargeImage) -> np.ndarray:
    """Reads the copy (C, Y, X) in the image's OME-Zarr."""
    rows, columns = image.units_of(0).shape
    for place in np.ndindex(rows, columns):
        survey(image, *place)
    return image.image().read(Box(0, 0, *image.shape))


def copies(image: LargeImage) -> dict[str, int]:
    """Returns the modification time of each converted file."""
    return {path.name: path.stat().st_mtime_ns for path in image.scratch.converted.glob("*.tif")}


def test_one_large_strip_is_converted_once_and_the_copy_is_the_picture(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "strip.tif", GREY, rowsperstrip=len(GREY), **STRIP)
    image = large(tmp_path / "strip.tif", tmp_path / "out")
    said = open_files(image, MEMORY_BYTES)
    (copy,) = copies(image)
    assert said == (
        "strip.tif: its 1,300 × 2,100 px are compressed in pieces of 5.2 MiB, too large to be read by "
        f"box; it is converted once to {image.scratch.converted / copy}."
    )
    np.testing.assert_array_equal(surveyed(image), GREY[np.newaxis])
    before = copies(image)
    assert open_files(image, MEMORY_BYTES) == ""
    assert copies(image) == before
    np.testing.assert_array_equal(surveyed(image), GREY[np.newaxis])


def test_colours_too(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", COLOURS, photometric="rgb", rowsperstrip=len(COLOURS), **STRIP)
    image = large(tmp_path / "a.tif", tmp_path / "out")
    assert "it is converted once" in open_files(image, MEMORY_BYTES)
    np.testing.assert_array_equal(surveyed(image), np.moveaxis(COLOURS, -1, 0))


def test_of_several_pages_each_has_its_own_copy(tmp_path: Path) -> None:
    stack = np.stack([GREY, GREY[::-1], GREY[:, ::-1]])
    options = {"photometric": "minisblack", "rowsperstrip": len(GREY), "metadata": {"axes": "ZYX"}}
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, **options, **STRIP)
    image = large(tmp_path / "a.ome.tif", tmp_path / "out")
    assert len(open_files(image, MEMORY_BYTES).splitlines()) == len(copies(image)) == 3
    np.testing.assert_array_equal(surveyed(image), stack.max(axis=0, keepdims=True))


def test_files_that_can_be_read_by_window_are_not_converted(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, rowsperstrip=16, **STRIP)
    image = large(tmp_path / "a.tif", tmp_path / "out")
    assert (open_files(image, MEMORY_BYTES), copies(image)) == ("", {})
    np.testing.assert_array_equal(surveyed(image), GREY[np.newaxis])


@pytest.mark.parametrize(("um", "step"), [(None, 1), (0.5, 2)])
def test_of_a_pyramid_only_the_level_that_is_read(tmp_path: Path, um: float | None, step: int) -> None:
    lower = GREY[::2, ::2]
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        described = {"axes": "YX", "PhysicalSizeX": 0.25}
        writer.write(GREY, subifds=1, metadata=described, rowsperstrip=len(GREY), **STRIP)
        writer.write(lower, subfiletype=1, metadata=None, rowsperstrip=len(lower), **STRIP)
    image = large(tmp_path / "a.ome.tif", tmp_path / "out", um)
    said = open_files(image, MEMORY_BYTES)
    assert f"its {len(GREY) // step:,} × {GREY.shape[1] // step:,} px are compressed" in said
    assert len(copies(image)) == 1
    np.testing.assert_array_equal(surveyed(image), GREY[np.newaxis, ::step, ::step])


def test_a_runs_folder_may_be_moved_between_conversion_and_copy(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "strip.tif", GREY, rowsperstrip=len(GREY), **STRIP)
    assert open_files(large(tmp_path / "strip.tif", tmp_path / "out"), MEMORY_BYTES)
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    image = large(tmp_path / "strip.tif", tmp_path / "elsewhere")
    np.testing.assert_array_equal(surveyed(image), GREY[np.newaxis])
