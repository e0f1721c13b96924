"""A plate's nuclear diameter: from a sample of fields, independent of their order, kept on resuming."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from nucbatch.core.settings import RunSettings, validated
from nucbatch.execution.done_fields import _doubtful_sizes
from nucbatch.execution.plate_scale import with_plate_scale
from nucbatch.execution.prepared import Prepared, prepare
from nucbatch.inference.scale import Scale
from nucbatch.readers.find import open_plate
from nucbatch.store.receipt import Receipt
from nucbatch.synthetic import make_field

NAMES = r"(?P<well>[A-H]\d+)_s(?P<site>\d)_(?P<channel>\w+)\.tif"


def write_wells(folder: Path, enlarged: int, wells: range) -> None:
    """Builds wells with enlarged drawn nuclei of 25 px."""
    for number in wells:
        images, _ = make_field(512 // enlarged, np.random.default_rng(number), nuclei=24 // enlarged)
        plane = images[0].repeat(enlarged, axis=0).repeat(enlarged, axis=1).astype(np.float32)
        smooth = gaussian_filter(plane, 0.6 * (enlarged - 1))
        tifffile.imwrite(folder / f"A{number:02d}_s1_DAPI.tif", smooth.astype(np.uint16))


def prepared(folder: Path, **settings: object) -> Prepared:
    return prepare(open_plate(folder, pattern=NAMES), validated(settings))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("P")
    write_wells(folder, 4, range(1, 5))
    return folder


@pytest.mark.slow
def test_large_nuclei_are_measured_once_for_the_whole_plate(large: Path) -> None:
    run, sentence = with_plate_scale(prepared(large), None, threads=2)
    diameter_px = run.plan.settings.plate_diameter_px
    assert diameter_px == pytest.approx(100, abs=15)
    assert run.scale.of_plate
    assert run.scale.zoom == run.network.zoom == pytest.approx(18.9 / diameter_px, rel=0.1)
    assert f"about {diameter_px:.0f} px" in sentence
    assert "in the middle of 4 of 4 fields" in sentence
    turned = prepared(large)
    turned = replace(
        turned,
        plan=replace(turned.plan, plate=replace(turned.plan.plate, fields=turned.plan.plate.fields[::-1])),
    )
    assert with_plate_scale(turned, None)[0].plan.settings == run.plan.settings


@pytest.mark.slow
def test_the_blocks_decide_nothing(large: Path) -> None:
    blocks = prepare(open_plate(large, pattern=NAMES), block_px=128)
    assert all(blocks.plan.is_large(field) for field in blocks.plan.usable)
    measured = with_plate_scale(blocks, None)[0].plan.settings
    assert measured == with_plate_scale(prepared(large), None)[0].plan.settings


def test_a_run_that_goes_on_keeps_its_diameter_also_with_other_fields(large: Path) -> None:
    begun = prepared(large).plan.settings.model_copy(update={"plate_diameter_px": 77.0})
    run, sentence = with_plate_scale(prepared(large), begun)
    assert (run.plan.settings, sentence) == (begun, "")
    other = begun.model_copy(update={"diameter_px": 60.0, "plate_diameter_px": None})
    assert with_plate_scale(prepared(large), other)[0].plan.settings.plate_diameter_px != 60.0


@pytest.mark.parametrize("asked", [60.0, "none"])
def test_a_diameter_that_is_given_stays(large: Path, asked: object) -> None:
    run = prepared(large, diameter_px=asked)
    assert with_plate_scale(run, None) == (run, "")


def test_ordinary_nuclei_leave_the_images_as_they_are(tmp_path: Path) -> None:
    write_wells(tmp_path, 1, range(1, 4))
    run, sentence = with_plate_scale(prepared(tmp_path), None)
    assert run.plan.settings.plate_diameter_px == pytest.approx(25, abs=6)
    assert run.scale.zoom == 1.0
    assert "seen as they are" in sentence


def test_a_plate_without_nuclei_is_seen_as_it_is(tmp_path: Path) -> None:
    for number in range(1, 4):
        tifffile.imwrite(tmp_path / f"A0{number}_s1_DAPI.tif", np.full((64, 64), 100, np.uint16))
    run, sentence = with_plate_scale(prepared(tmp_path), None)
    assert (run.plan.settings.plate_diameter_px, run.scale.zoom) == (0.0, 1.0)
    assert "No nuclei" in sentence


@pytest.mark.parametrize(
    ("plate_px", "field_px", "flagged"),
    [
        (25, 30, False),
        (25, 90, True),
        (100, 90, False),
        (100, 30, True),
        (25, 0, False),
        (100, 0, False),
        (25, 8, True),
        (8, 6, False),
        (8, 14, False),
        (8, 90, True),
    ],
)
def test_a_field_that_alone_would_be_seen_otherwise_is_flagged(
    plate_px: float, field_px: float, flagged: bool
) -> None:
    typical = Scale(None, 20.0)
    scale = replace(typical, zoom=typical.zoom_for(plate_px), of_plate=True)
    qc = {"QC_NuclearDiameter": float(field_px), "QC_Zoom": scale.zoom or 1.0}
    receipt = Receipt("A/1/1", "done", "", 5, "", qc, {}, "")
    assert ("other-scale" in _doubtful_sizes(scale, receipt)) == flagged
    assert "other-scale" not in _doubtful_sizes(replace(scale, of_plate=False), receipt)


def test_a_field_of_which_most_objects_were_left_out_is_flagged() -> None:
    scale = Scale(1.0, 20.0, of_plate=True, diameter_px=60.0)
    qc = {"QC_NuclearDiameter": 0.0, "QC_Zoom": 1.0}
    assert _doubtful_sizes(
        scale, Receipt("A/1/1", "done", "", 0, "", qc | {"QC_Micronuclei": 3}, {}, "")
    ) == ["other-scale"]
    assert not _doubtful_sizes(scale, Receipt("A/1/1", "done", "", 5, "", qc | {"QC_Micronuclei": 3}, {}, ""))


@pytest.mark.parametrize(
    ("diameter_px", "zoom", "flagged"),
    [
        (0, 1, False),
        (7, 1, True),
        (9, 1, False),
        (56, 1, False),
        (60, 1, True),
        (120, 0.2, False),
        (30, 0.2, True),
        (6, 2, True),
        (9, 2, False),
    ],
)
def test_objects_of_implausible_sizes_are_flagged(diameter_px: float, zoom: float, flagged: bool) -> None:
    receipt = Receipt("a", "done", "", 5, "", {"QC_NuclearDiameter": diameter_px, "QC_Zoom": zoom}, {}, "")
    assert _doubtful_sizes(Scale(None, 20.0), receipt) == (["implausible-size"] if flagged else [])
    if zoom == 2:  # the user has given their diameter
        assert not _doubtful_sizes(Scale(2.0, 20.0, diameter_px=10.0), receipt)


def test_settings_of_a_plate_have_their_own_digest() -> None:
    auto = RunSettings()
    assert auto.digest() != auto.model_copy(update={"plate_diameter_px": 80.0}).digest()
