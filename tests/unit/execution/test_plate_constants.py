"""A plate's constants: from a sample of fields, independent of their order, kept on resuming."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from nucbatch.core.errors import InputError
from nucbatch.core.grey_levels import GreyLevels
from nucbatch.core.settings import NormaliseSettings, validated
from nucbatch.execution.plate_constants import sample_of, with_plate_constants
from nucbatch.execution.plate_sample import SAMPLE
from nucbatch.execution.prepared import prepare
from nucbatch.inference.normalise import constants_of
from nucbatch.planning.plan import Plan
from nucbatch.readers.find import open_plate

NAMES = r"(?P<well>[A-H]\d+)_s(?P<site>\d)_(?P<channel>\w+)\.tif"


def planned(folder: Path, **normalise: Any) -> Plan:
    settings = validated({"normalise": {"over": "plate"} | normalise})
    return prepare(open_plate(folder, pattern=NAMES), settings).plan


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds a plate of 80 wells, one of them twenty times as bright."""
    folder, rng = tmp_path_factory.mktemp("P"), np.random.default_rng(0)
    for number in range(80):
        well = f"{'ABCDEFGH'[number // 10]}{number % 10 + 1:02d}"
        image = rng.normal(300, 10, (32, 32))
        image[8:20, 8:20] += 4000 if number == 7 else 200
        tifffile.imwrite(folder / f"{well}_s1_DAPI.tif", image.astype(np.uint16))
    return folder


def test_each_field_has_its_own_unless_one_for_all_is_asked_for(plate: Path) -> None:
    plan = planned(plate, over="field")
    assert with_plate_constants(plan, None) == (plan, "")


def test_they_are_those_of_all_pixels_of_the_sample(plate: Path) -> None:
    plan = planned(plate)
    sample = sample_of(plan)
    assert len(sample) == SAMPLE
    pixels = np.stack([tifffile.imread(plate / field.planes[0].path) for field in sample])
    expected = constants_of(GreyLevels.of(pixels), NormaliseSettings())
    settled, sentence = with_plate_constants(plan, None, threads=2)
    found = settled.settings.normalise
    assert (found.over, found.method) == ("plate", "foreground")
    assert (found.low, found.high) == (expected.low, expected.high)
    assert f"from 64 of {len(plan.usable)} fields" in sentence
    assert 300 + 200 < expected.high < 300 + 2000


def test_the_sample_is_the_same_in_any_order_of_the_fields(plate: Path) -> None:
    plan = planned(plate)
    turned = replace(plan.plate, fields=plan.plate.fields[::-1])
    assert sample_of(replace(plan, plate=turned)) == sample_of(plan)


def test_a_run_that_goes_on_keeps_those_it_was_begun_with(plate: Path) -> None:
    plan = planned(plate)
    begun = plan.settings.model_copy(
        update={"normalise": plan.settings.normalise.model_copy(update={"low": 1.0, "high": 2.0})}
    )
    settled, sentence = with_plate_constants(plan, begun)
    assert settled.settings == begun
    assert sentence == ""
    other = planned(plate, method="percentiles")
    assert with_plate_constants(other, begun)[0].settings.normalise.low not in (None, 1.0)


def test_constants_that_are_given_stay(plate: Path) -> None:
    plan = planned(plate, method="fixed", low=0, high=9)
    assert with_plate_constants(plan, None) == (plan, "")


def test_fields_of_two_pixel_types_are_refused(tmp_path: Path) -> None:
    for well, dtype in (("A01", np.uint8), ("A02", np.uint16)):
        tifffile.imwrite(tmp_path / f"{well}_s1_DAPI.tif", np.eye(32, dtype=dtype) * 200)
    with pytest.raises(InputError, match=r"uint16, grey; uint8, grey|uint8, grey; uint16, grey"):
        with_plate_constants(planned(tmp_path), None)


def test_a_plate_of_one_grey_level_is_refused(tmp_path: Path) -> None:
    for well in ("A01", "A02"):
        tifffile.imwrite(tmp_path / f"{well}_s1_DAPI.tif", np.full((32, 32), 5, np.uint8))
    with pytest.raises(InputError, match="one grey level"):
        with_plate_constants(planned(tmp_path), None)
