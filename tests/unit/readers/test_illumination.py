"""Illumination images of the user's: found by channel, checked before the run, applied to every box alike."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from nucbatch.core.errors import ImageUnavailable, InputError, InputNotFound
from nucbatch.core.plate import Plate
from nucbatch.core.settings import RunSettings
from nucbatch.core.tiles import Box
from nucbatch.execution.prepared import prepare
from nucbatch.readers.find import open_plate
from nucbatch.readers.flat_fields import illumination_text
from nucbatch.readers.pixels import FieldReader
from nucbatch.readers.plate_cache import cache_content, load_plate
from nucbatch.readers.plate_summary import summarise
from nucbatch.readers.summary_text import facts

HIGH, WIDE = 40, 56
_Y, _X = np.mgrid[0:HIGH, 0:WIDE] / (HIGH, WIDE)[0]
VIGNETTE = 1.2 - 0.5 * (_X - 0.7) ** 2 - 0.4 * (_Y - 0.5) ** 2
TRUTH = np.random.default_rng(0).integers(800, 3000, (2, HIGH, WIDE))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A plate of one field and two channels whose pixels were multiplied by a vignette."""
    folder = tmp_path / "plate"
    folder.mkdir()
    for channel, pixels in zip(("DAPI", "GFP 488"), TRUTH, strict=True):
        dimmed = np.rint(pixels * VIGNETTE).astype(np.uint16)
        tifffile.imwrite(folder / f"p_A01_s1_{channel}.tif", dimmed)
    return folder


@pytest.fixture
def illumination(tmp_path: Path) -> Path:
    folder = tmp_path / "illumination"
    folder.mkdir()
    np.save(folder / "Plate1_IllumDAPI.npy", VIGNETTE)
    tifffile.imwrite(folder / "GFP_488.tif", VIGNETTE.astype(np.float32))
    return folder


PATTERN = r"p_(?P<well>A01)_s(?P<site>1)_(?P<channel>.+)\.tif"


def opened(images: Path, **options: Any) -> Plate:
    return open_plate(images, pattern=PATTERN, **options)


def pixels_of(plate: Plate, box: Box | None = None) -> Any:
    reader = FieldReader.of(plate)
    return reader.read_box(plate.fields[0], plate.channels, box or Box(0, 0, HIGH, WIDE))


def test_division_restores_the_known_intensities(images: Path, illumination: Path) -> None:
    plate = opened(images, illumination=illumination)
    assert np.abs(pixels_of(plate) / TRUTH - 1).max() < 0.002
    assert np.abs(pixels_of(opened(images)) / TRUTH - 1).max() > 0.1


def test_an_average_of_raw_images_keeps_the_scale_of_grey_levels(images: Path, illumination: Path) -> None:
    for name in ("Plate1_IllumDAPI.npy", "GFP_488.tif"):
        (illumination / name).unlink()
    average = np.rint(VIGNETTE * 5000).astype(np.uint16)
    tifffile.imwrite(illumination / "dapi.tif", average)
    np.save(illumination / "gfp-488_average.npy", VIGNETTE * 5000.0)
    found = pixels_of(opened(images, illumination=illumination))
    assert np.abs(found / (TRUTH * VIGNETTE.mean()) - 1).max() < 0.002


def test_subtraction_removes_a_background_and_stops_at_zero(images: Path, illumination: Path) -> None:
    for name in ("Plate1_IllumDAPI.npy", "GFP_488.tif"):
        (illumination / name).unlink()
    background = np.rint(700 * VIGNETTE)
    np.save(illumination / "DAPI.npy", background)
    np.save(illumination / "GFP_488_illum.npy", np.full((HIGH, WIDE), 9999.0))
    plate = opened(images, illumination=illumination, illumination_method="subtract")
    found, raw = pixels_of(plate), pixels_of(opened(images))
    np.testing.assert_array_equal(found[0], raw[0] - background)
    assert not found[1].any()


def test_no_box_changes_a_pixel_and_saturated_ones_stay(images: Path, illumination: Path) -> None:
    path = images / "p_A01_s1_DAPI.tif"
    pixels = tifffile.imread(path)
    pixels[3, 5] = 65535
    tifffile.imwrite(path, pixels)
    plate = opened(images, illumination=illumination)
    whole = pixels_of(plate)
    assert whole[0, 3, 5] == 65535
    box = Box(2, 7, 31, 50)
    np.testing.assert_array_equal(pixels_of(plate, box), whole[:, 2:31, 7:50])


def test_it_is_said_and_hashed(images: Path, illumination: Path) -> None:
    raw, corrected = opened(images), opened(images, illumination=illumination)
    assert dict(facts(summarise(raw)))["correction"] == "illumination not corrected"
    assert illumination_text(corrected) == f"divided by the images in {illumination}"
    assert summarise(corrected).as_dict()["illumination"] == illumination_text(corrected)
    settings = RunSettings(channel="DAPI")
    before, after = (prepare(plate, settings).plan.settings for plate in (raw, corrected))
    assert before.flat_field == {}
    assert set(after.flat_field) == {"DAPI", "GFP 488"}
    np.save(illumination / "Plate1_IllumDAPI.npy", VIGNETTE * 1.01)
    other = prepare(opened(images, illumination=illumination), settings).plan.settings
    subtracted = opened(images, illumination=grey_levels(illumination), illumination_method="subtract")
    digests = {settings.digest() for settings in (before, after, other)}
    assert len(digests | {prepare(subtracted, settings).plan.settings.digest()}) == 4


def grey_levels(folder: Path) -> Path:
    for name in ("DAPI.npy", "GFP 488.npy"):
        np.save(folder / name, VIGNETTE * 100)
    for name in ("Plate1_IllumDAPI.npy", "GFP_488.tif"):
        (folder / name).unlink()
    return folder


def test_a_cached_plate_keeps_it_until_an_image_changes(
    images: Path, illumination: Path, tmp_path: Path
) -> None:
    plate = opened(images, illumination=illumination)
    (tmp_path / "cache").write_bytes(cache_content(plate) or b"")
    assert load_plate(tmp_path / "cache", plate.listed, plate.root) == plate
    np.save(illumination / "Plate1_IllumDAPI.npy", VIGNETTE + 0.1)
    assert opened(images, illumination=illumination).listed != plate.listed
    with pytest.raises(ImageUnavailable, match="has changed since the run was planned"):
        pixels_of(plate)


def test_names_of_other_channels_are_not_taken(images: Path, illumination: Path) -> None:
    np.save(illumination / "DAPI2.npy", VIGNETTE)
    np.save(illumination / "Plate1_IllumGFP.npy", VIGNETTE)
    np.save(illumination / "notes_DAPI.npy", VIGNETTE)
    plate = opened(images, illumination=illumination)
    assert plate.channels[0].flat_field.path.endswith("Plate1_IllumDAPI.npy")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            np.ones((HIGH, WIDE + 1)),
            "is of 40 × 57 px, and plate_A01_s1 of 40 × 56 px",
        ),
        (np.where(VIGNETTE > 1.19, np.nan, 1), "has values that are NaN or infinite"),
        (np.where(VIGNETTE > 1.19, 0, 1.0), "values down to 0, by which pixels can't be divided"),
        (VIGNETTE - 1.1, "values down to -"),
        (np.where(VIGNETTE > 1.19, 0.001, 1.0), "it is no illumination"),
        (np.ones((2, HIGH, WIDE)), "must be one plane"),
        (np.array([["a"] * WIDE] * HIGH), "must be one plane"),
        (np.array([{}], object), "it is no .npy file of numbers"),
    ],
)
def test_what_cant_be_used_is_refused_before_the_run(
    images: Path, illumination: Path, values: Any, message: str
) -> None:
    np.save(illumination / "Plate1_IllumDAPI.npy", values)
    with pytest.raises(InputError, match=message) as error:
        opened(images, illumination=illumination)
    assert "Plate1_IllumDAPI.npy, the image of channel DAPI," in str(error.value)


def test_files_that_are_missing_several_or_damaged_are_refused(images: Path, illumination: Path) -> None:
    with pytest.raises(InputNotFound, match="is no folder"):
        opened(images, illumination=illumination / "none")
    with pytest.raises(InputError, match="exclude each other"):
        opened(images, illumination=illumination, flatfield=True)
    np.save(illumination / "Plate1_IllumDAPI.npy", VIGNETTE / 2)
    with pytest.raises(InputError, match="to be subtracted they must be grey levels"):
        opened(images, illumination=illumination, illumination_method="subtract")
    (illumination / "Plate1_IllumDAPI.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr': '<f8'}")
    with pytest.raises(InputError, match=r"it is no .npy file of numbers"):
        opened(images, illumination=illumination)
    (illumination / "Plate1_IllumDAPI.npy").unlink()
    with pytest.raises(InputError, match=r"no image for channel DAPI in .* \(GFP_488.tif\)\. Name it after"):
        opened(images, illumination=illumination)
    for name in ("DAPI.npy", "DAPI_illum.npy"):
        np.save(illumination / name, VIGNETTE)
    with pytest.raises(InputError, match=r"channel DAPI has 2 images .*\(DAPI.npy, DAPI_illum.npy\)"):
        opened(images, illumination=illumination)


def test_pages_of_a_stack_are_refused(images: Path, illumination: Path) -> None:
    tifffile.imwrite(illumination / "GFP_488.tif", np.ones((5, HIGH, WIDE), np.uint8))
    with pytest.raises(InputError, match="5 pages instead of one plane"):
        opened(images, illumination=illumination)
