"""Pyramids are read at the requested level; other images are unchanged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from nucbatch.core.errors import InputError
from nucbatch.core.plate import FileStatus
from nucbatch.readers.find import open_plate
from nucbatch.readers.pixels import field_channels, read_field
from nucbatch.readers.plate_cache import cache_content, load_plate
from nucbatch.store.ledger import plate_digest
from nucbatch.store.receipt import field_digest

RNG = np.random.default_rng(0)
PLANES = RNG.integers(0, 900, (3, 2, 160, 240)).astype(np.uint16)  # C, Z, Y, X
COLOURS = RNG.integers(0, 256, (160, 240, 3)).astype(np.uint8)
APERIO = (
    "Aperio Image Library v12.0.15\r\n240x160 [0,0 240x160] (16x16) JPEG/RGB Q=70|AppMag = 20|MPP = 0.4990"
)


def write_ome_tiff(path: Path, planes: np.ndarray, axes: str = "YX", um: float | None = 0.25) -> Path:
    """Levels of 1, 1/2 and 1/4 in SubIFDs of each page."""
    described = {"axes": axes} | ({"PhysicalSizeX": um} if um else {})
    tiles = {"tile": (16, 16), "compression": "zstd", "photometric": "minisblack"}
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(planes, subifds=2, metadata=described, **tiles)
        for step in (2, 4):
            writer.write(planes[..., ::step, ::step], subfiletype=1, metadata=None, **tiles)
    return path


def write_slide(path: Path) -> Path:
    """Levels of 1 and 1/4 as pages, a thumbnail between them, as Aperio's scanners write them."""
    tiles = {"photometric": "rgb", "tile": (16, 16), "metadata": None, "compression": "deflate"}
    with tifffile.TiffWriter(path) as writer:
        writer.write(COLOURS, description=APERIO, **tiles)
        writer.write(COLOURS[::3, ::3], description=APERIO, photometric="rgb", metadata=None)
        writer.write(COLOURS[::4, ::4], description=APERIO, **tiles)
    return path


def write_ome_zarr(path: Path, levels: list[np.ndarray], axes: str, um: float = 0.25) -> Path:
    group = zarr.open_group(path, mode="w", zarr_format=3)
    datasets = []
    for number, pixels in enumerate(levels):
        group.create_array(str(number), data=np.ascontiguousarray(pixels))
        scale = [um * 2**number if axis in "yx" else 1.0 for axis in axes]
        datasets.append(
            {"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        )
    described = [{"name": axis, **({"unit": "micrometer"} if axis in "yx" else {})} for axis in axes]
    image = {"axes": described, "datasets": datasets}
    group.attrs.update({"ome": {"version": "0.5", "multiscales": [image]}})
    return path


def read(plate, number: int = 0) -> np.ndarray:
    field = plate.fields[number]
    return read_field(plate.root, field, field_channels(plate, field))


def form(field) -> tuple[object, ...]:
    return field.height_px, field.width_px, field.pixel_size_um, {plane.level for plane in field.planes}


@pytest.mark.parametrize(
    ("um", "level"), [(0.1, 0), (0.25, 0), (0.37, 0), (0.38, 1), (0.5, 1), (0.9, 2), (99, 2)]
)
def test_every_plane_of_an_ome_tiff_is_read_at_the_chosen_level(tmp_path, um, level):
    path = write_ome_tiff(tmp_path / "a.ome.tif", PLANES, "CZYX")
    plate = open_plate(path, resolution_um=um)
    step = 2**level
    assert form(plate.fields[0]) == (160 // step, 240 // step, 0.25 * step, {level})
    np.testing.assert_array_equal(read(plate), PLANES.max(axis=1)[:, ::step, ::step])
    assert [record.status for record in plate.files] == [FileStatus.USED]


def test_a_lower_level_of_a_slide_is_rgb(tmp_path):
    plate = open_plate(write_slide(tmp_path / "a.svs"), resolution_um=2)
    assert form(plate.fields[0]) == (40, 60, 4 * 0.499, {1})
    np.testing.assert_array_equal(read(plate), np.moveaxis(COLOURS[::4, ::4], -1, 0))


def test_every_plane_of_an_ome_zarr_is_read_at_the_chosen_level(tmp_path):
    levels = [PLANES, PLANES[..., ::2, ::2]]
    plate = open_plate(write_ome_zarr(tmp_path / "a.zarr", levels, "czyx"), resolution_um=0.5)
    assert form(plate.fields[0]) == (80, 120, 0.5, {1})
    np.testing.assert_array_equal(read(plate), PLANES.max(axis=1)[:, ::2, ::2])


def test_a_given_pixel_size_applies_to_the_full_resolution(tmp_path):
    path = write_ome_tiff(tmp_path / "a.ome.tif", PLANES[0, 0])
    plate = open_plate(path, pixel_size_um=0.1, resolution_um=0.4)
    assert form(plate.fields[0]) == (40, 60, 0.4, {2})


def test_a_resolution_without_effect_gives_a_remark(tmp_path):
    write_ome_tiff(tmp_path / "a.ome.tif", PLANES[0, 0])
    assert open_plate(tmp_path, resolution_um=0.5).remarks == ()
    assert open_plate(tmp_path, resolution_um=0.2).remarks == (
        "--resolution 0.2 changes nothing (1 field: the full resolution is the nearest, 0.25 µm).",
    )
    tifffile.imwrite(tmp_path / "flat.tif", PLANES[0, 0])
    mixed = "--resolution 0.5 changes nothing in 1 of 2 fields (1 field: a single resolution)."
    assert open_plate(tmp_path, resolution_um=0.5).remarks == (mixed,)
    plate = open_plate(tmp_path, resolution_um=0.5)
    kept = cache_content(plate)
    assert kept is not None
    (tmp_path / "kept").write_bytes(kept)
    recalled = load_plate(tmp_path / "kept", plate.listed, plate.root)
    assert recalled is not None
    assert recalled.remarks == (mixed,)


def test_files_without_a_pyramid_are_unchanged(tmp_path):
    tifffile.imwrite(tmp_path / "flat.tif", PLANES[0, 0])  # it tells no pixel size, and none is needed
    behind_one = {"imagej": True, "metadata": {"axes": "ZYX"}, "truncate": True}
    tifffile.imwrite(tmp_path / "stack.tif", PLANES[0], **behind_one)
    write_ome_tiff(tmp_path / "pyramid.ome.tif", PLANES[1, 0])
    plate = open_plate(tmp_path, resolution_um=0.5)
    assert {field.name: form(field) for field in plate.fields} == {
        "flat": (160, 240, None, {0}),
        "pyramid.ome": (80, 120, 0.5, {1}),
        "stack": (160, 240, None, {0}),
    }
    assert {field.problem for field in plate.fields} == {""}


def test_a_pyramid_of_unknown_pixel_size_is_named(tmp_path):
    write_ome_tiff(tmp_path / "a.ome.tif", PLANES[0, 0], um=None)
    with pytest.raises(InputError, match=r"a\.ome\.tif: a level for pixels of 0\.5 µm can't be chosen.*"):
        open_plate(tmp_path, resolution_um=0.5)
    plate = open_plate(tmp_path, pixel_size_um=0.25, resolution_um=0.5)
    assert form(plate.fields[0]) == (80, 120, 0.5, {1})


@pytest.mark.parametrize("um", [0, -1, float("nan"), float("inf")])
def test_a_resolution_must_be_a_positive_number(tmp_path, um):
    write_ome_tiff(tmp_path / "a.ome.tif", PLANES[0, 0])
    with pytest.raises(InputError, match=r"a resolution of .* µm is invalid: give a number above 0"):
        open_plate(tmp_path, resolution_um=um)


PLATE = r"(?P<well>[A-H]\d\d)_(?P<channel>\w)\.(ome\.)?tif"


def test_the_minority_of_a_fields_planes_is_at_fault(tmp_path):
    for name in ("A01_a", "A01_b", "B01_a", "B01_b", "B01_c"):
        write_ome_tiff(tmp_path / f"{name}.ome.tif", PLANES[0, 0])
    tifffile.imwrite(tmp_path / "A01_c.tif", PLANES[0, 0])
    plate = open_plate(tmp_path, pattern=PLATE, resolution_um=0.5)
    reason = (
        "at 0.5 µm it is 160 × 240 px (level 0), but the other planes of its field are 80 × 120 px "
        "(level 1). Leave out --resolution"
    )
    assert [(field.well, field.problem) for field in plate.fields] == [
        ("A01", f"A01_c.tif: {reason}"),
        ("B01", ""),
    ]
    fates = {record.path: f"{record.status.value} {record.reason}".strip() for record in plate.files}
    assert fates.pop("A01_c.tif") == f"quarantined {reason}"
    for well, fate in (("A01", "ignored incomplete-field"), ("B01", "used")):
        assert {one.split(":")[0] for path, one in fates.items() if path.startswith(well)} == {fate}


def test_two_planes_of_different_size_are_both_at_fault(tmp_path):
    write_ome_tiff(tmp_path / "A01_a.ome.tif", PLANES[0, 0])
    tifffile.imwrite(tmp_path / "A01_b.tif", PLANES[0, 0])
    plate = open_plate(tmp_path, pattern=PLATE, resolution_um=0.5)
    assert [record.status for record in plate.files] == [FileStatus.QUARANTINED] * 2
    assert plate.files[0].reason.startswith(
        "at 0.5 µm the planes of its field disagree: this one is 80 × 120"
    )


def test_inconsistent_levels_are_rejected_with_the_reason(tmp_path):
    write_ome_zarr(tmp_path / "shallow.zarr", [PLANES, PLANES[:, :1, ::2, ::2]], "czyx")
    write_ome_zarr(tmp_path / "typed.zarr", [PLANES[0, 0], PLANES[0, 0, ::2, ::2].astype(np.float32)], "yx")
    plate = open_plate(tmp_path, resolution_um=0.5)
    said = {record.path: record.reason for record in plate.files}
    assert said["shallow.zarr/"] == "a level with fewer planes than the full resolution: read the full one"
    assert said["typed.zarr/"].startswith("its level 1 is float32 (80, 120), but uint16 (80, 120) was meant")
    assert [record.status for record in plate.files] == [FileStatus.QUARANTINED] * 2
    assert all(field.problem for field in plate.fields)
    assert not any(field.problem for field in open_plate(tmp_path).fields)


def test_another_level_changes_the_plate_digest(tmp_path):
    path = write_ome_tiff(tmp_path / "a.ome.tif", PLANES[0, 0])
    digests = [plate_digest(open_plate(path, resolution_um=um)) for um in (None, 0.25, 0.5, 0.55, 1)]
    assert digests[0] == digests[1] != digests[2] == digests[3] != digests[4]
    plate = open_plate(path, resolution_um=0.5)
    planes = tuple(replace(plane, level=2) for plane in plate.fields[0].planes)
    assert field_digest(replace(plate.fields[0], planes=planes)) != field_digest(plate.fields[0])
    assert plate_digest(replace(plate, fields=(replace(plate.fields[0], planes=planes),))) != digests[2]
