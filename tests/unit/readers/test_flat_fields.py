"""Flat fields of a plate: applied where asked for, and said to be missing where not."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from golden import write_images
from golden.harmony import IDENTITY, PROFILE, STAINS, index, old_name, places

from nucbatch.core.errors import InputError, UnreadableImage
from nucbatch.core.settings import RunSettings
from nucbatch.core.tiles import Box
from nucbatch.execution.prepared import prepare
from nucbatch.readers.find import open_plate
from nucbatch.readers.pixels import FieldReader, read_field
from nucbatch.readers.plate_cache import cache_content, load_plate

LISTED = [(place, old_name(place)) for place in places([(2, 3)], 2, planes=2)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two fields of two channels, of which the second has a profile."""
    generator = np.random.default_rng(1)
    for _, name in LISTED:
        tifffile.imwrite(tmp_path / name, generator.integers(100, 4000, (16, 16)).astype(np.uint16))
    (tmp_path / "Index.idx.xml").write_text(index(LISTED))
    return tmp_path


def test_without_the_option_pixels_are_as_stored_and_it_is_said(folder):
    plate = open_plate(folder)
    assert plate.remarks == (
        f"Uncorrected: the plate has flat-field profiles ({STAINS[1]}), and --flatfield applies them.",
    )
    pixels = FieldReader.of(plate).read_whole(plate.fields[0], plate.channels)
    stored = [tifffile.imread(folder / name) for place, name in LISTED if place[2] == 1]
    np.testing.assert_array_equal(pixels, [np.maximum(*stored[::2]), np.maximum(*stored[1::2])])
    np.testing.assert_array_equal(pixels, read_field(plate.root, plate.fields[0], plate.channels))


def test_with_it_a_channel_is_divided_by_its_own_profile_after_the_projection(folder):
    raw, plate = open_plate(folder), open_plate(folder, flatfield=True)
    assert plate.remarks == (f"Uncorrected, for lack of a flat-field profile: {STAINS[0]}.",)
    field, whole = plate.fields[0], Box(0, 0, 16, 16)
    expected = FieldReader.of(raw).read_whole(raw.fields[0], raw.channels)
    expected[1] = np.rint(expected[1] / plate.channels[1].flat_field.gain(whole))
    np.testing.assert_array_equal(FieldReader.of(plate).read_whole(field, plate.channels), expected)
    box = Box(3, 5, 11, 16)
    for channels, planes in ((plate.channels, [0, 1]), (plate.channels[::-1], [1, 0])):
        part = FieldReader.of(plate).read_box(field, channels, box)
        np.testing.assert_array_equal(part, expected[planes, 3:11, 5:16])


def test_it_is_part_of_the_settings_and_their_hash(folder):
    settings = RunSettings(channel=STAINS[1])
    raw, corrected = (prepare(open_plate(folder, flatfield=wanted), settings) for wanted in (False, True))
    assert raw.plan.settings.flat_field == {STAINS[1]: "uncorrected"}
    assert raw.warnings == raw.plan.plate.remarks
    digest = corrected.plan.plate.channels[1].flat_field.digest()
    assert corrected.plan.settings.flat_field == {STAINS[1]: digest}
    assert corrected.plan.settings.differences(raw.plan.settings) == [
        f"flat_field.{STAINS[1]}: uncorrected → {digest}"
    ]


def test_a_cached_plate_keeps_it(folder, tmp_path):
    for wanted in (False, True):
        plate = open_plate(folder, flatfield=wanted)
        (tmp_path / "cache").write_bytes(cache_content(plate))
        assert load_plate(tmp_path / "cache", plate.listed, plate.root) == plate
    assert open_plate(folder).listed != plate.listed


def test_without_a_profile_the_option_is_refused(tmp_path):
    write_images(tmp_path, (name for _, name in LISTED))
    with pytest.raises(InputError, match="no usable flat-field profile was found"):
        open_plate(tmp_path, flatfield=True)
    (tmp_path / "Index.idx.xml").write_text(index(LISTED, profiles=(IDENTITY, IDENTITY)))
    assert open_plate(tmp_path).remarks == ()
    with pytest.raises(InputError, match="leave it out"):
        open_plate(tmp_path, flatfield=True)
    broken = PROFILE.replace("Polynomial", "Spline")
    (tmp_path / "Index.idx.xml").write_text(index(LISTED, profiles=(IDENTITY, broken)))
    with pytest.raises(InputError, match=r"leave it out\. The .* can't be used: it is of type Spline"):
        open_plate(tmp_path, flatfield=True)


def test_a_profile_that_cant_be_used_is_reported(folder):
    broken = PROFILE.replace("Polynomial", "Spline")
    (folder / "Index.idx.xml").write_text(index(LISTED, profiles=(PROFILE, broken)))
    plate = open_plate(folder, flatfield=True)
    assert plate.remarks == (
        f"The flat-field profile of {STAINS[1]} in Index.idx.xml can't be used: it is of type Spline, and "
        "not a polynomial.",
        f"Uncorrected, for lack of a flat-field profile: {STAINS[1]}.",
    )


def test_a_profile_of_another_size_is_refused(folder):
    other = PROFILE.replace("Dims: [16, 16]", "Dims: [16, 14]")
    (folder / "Index.idx.xml").write_text(index(LISTED, profiles=(IDENTITY, other)))
    with pytest.raises(InputError, match=r"is for 14 × 16 px, and .* has 16 × 16 px: leave it out"):
        open_plate(folder, flatfield=True)
    plate = open_plate(folder)
    with pytest.raises(UnreadableImage, match="the flat field of channel"):
        FieldReader(plate.root, corrects=True).read_whole(plate.fields[0], plate.channels)
