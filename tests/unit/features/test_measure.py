"""All families together: one schema for every image, and inputs that don't fit are refused."""

import numpy as np
import pytest

from nucbatch.core.errors import InputError, SettingsConflict
from nucbatch.core.measure_settings import MeasureSettings
from nucbatch.features import installed_families, measure
from nucbatch.features.intensity import Intensity
from nucbatch.features.measure import families_in_effect, require_families
from nucbatch.features.shape import Shape

LABELS = np.array([[1, 1, 0], [0, 2, 2]], np.int32)


def test_columns_are_in_the_style_of_cellprofiler():
    columns = measure(LABELS, np.ones((2, 2, 3), np.uint8), ("DNA", "Actin"), families=[Shape(), Intensity()])
    assert next(name for name in columns if name.startswith("Nuclei_")) == "Nuclei_AreaShape_Area"
    assert {"Nuclei_Intensity_MeanIntensity_DNA", "Nuclei_Intensity_MedianIntensity_Actin"} <= set(columns)


def test_where_a_nucleus_lies_is_metadata_and_comes_first():
    columns = measure(LABELS, np.ones((1, 2, 3), np.uint8), ("DNA",), families=[Intensity(), Shape()])
    metadata = [name for name in columns if name.startswith("Metadata_Nuclei_")]
    assert list(columns)[: len(metadata)] == metadata
    words = {
        word
        for name in metadata
        for word in ("BoundingBox", "Orientation", "Center_X", "Border")
        if word in name
    }
    assert len(words) == 4
    features = list(columns)[len(metadata) :]
    assert not [name for name in features if any(word in name for word in (*words, "Location"))]


def test_no_nuclei_give_the_same_columns_and_types():
    image = np.ones((1, 2, 3), np.uint16)
    some = measure(LABELS, image, ("DNA",))
    none = measure(np.zeros_like(LABELS), image, ("DNA",))
    assert [(name, values.dtype) for name, values in none.items()] == [
        (name, values.dtype) for name, values in some.items()
    ]
    assert {values.shape for values in none.values()} == {(0,)}


def test_types_do_not_depend_on_the_pixels():
    types = [
        [values.dtype for values in measure(LABELS, np.ones((1, 2, 3), dtype), ("DNA",)).values()]
        for dtype in (np.uint8, np.uint16, np.float32)
    ]
    assert types[0] == types[1] == types[2]


def test_no_channel_leaves_the_shapes():
    columns = measure(LABELS, np.zeros((0, 2, 3), np.uint8), (), families=[Shape(), Intensity()])
    assert "Nuclei_AreaShape_Area" in columns
    assert not [name for name in columns if "Intensity" in name]


def test_arrays_of_any_layout_give_the_same_bits():
    image = np.random.default_rng(0).integers(0, 65536, (1, 2, 3), dtype=np.uint16)
    plain = measure(LABELS, image, ("DNA",))
    turned = measure(np.asfortranarray(LABELS), np.asfortranarray(image), ("DNA",))
    assert [values.tobytes() for values in plain.values()] == [values.tobytes() for values in turned.values()]


def test_families_are_in_alphabetical_order():
    names = [family.name for family in installed_families()]
    assert names == sorted(names)
    assert {"AreaShape", "Intensity"} <= set(names)


@pytest.mark.parametrize(
    ("labels", "image", "channels", "message"),
    [
        (LABELS, np.ones((1, 3, 3), np.uint8), ("DNA",), r"\(1, 3, 3\).*\(2, 3\)"),
        (LABELS, np.ones((2, 2, 3), np.uint8), ("DNA",), "one name per channel"),
        (LABELS, np.ones((2, 2, 3), np.uint8), ("DNA", "DNA"), "names must differ"),
        (LABELS, np.ones((1, 2, 3), bool), ("DNA",), "type bool"),
        (LABELS * 1.0, np.ones((1, 2, 3), np.uint8), ("DNA",), "float64"),
        (LABELS * 2, np.ones((1, 2, 3), np.uint8), ("DNA",), "label 1 of 4"),
        (LABELS * 9, np.ones((1, 2, 3), np.uint8), ("DNA",), "from 0 to 18"),
        (-LABELS, np.ones((1, 2, 3), np.uint8), ("DNA",), "from -2 to 0"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(labels, image, channels, message):
    with pytest.raises(InputError, match=message):
        measure(labels, image, channels)


def test_two_families_may_not_make_one_column():
    family = installed_families()[0]
    with pytest.raises(InputError, match="no other family"):
        measure(LABELS, np.zeros((0, 2, 3), np.uint8), (), families=(family, family))


def test_other_measurements_than_at_the_runs_start_are_refused_with_the_difference() -> None:
    here = families_in_effect()
    assert set(here) >= {"intensity", "shape"}
    assert here["shape"].endswith("(nucbatch.features.shape:Shape)")
    require_families(None)
    require_families(here)
    with pytest.raises(SettingsConflict, match=r"other measurements .*texture: other 2 → none"):
        require_families(here | {"texture": "other 2"})
    fewer = {name: value for name, value in here.items() if name != "shape"}
    with pytest.raises(SettingsConflict, match=r"shape: none → nucbatch"):
        require_families(fewer)


def test_optional_families_are_measured_when_they_are_asked_for():
    labels = np.pad(np.ones((12, 12), int), 4)
    image = np.random.default_rng(0).integers(0, 255, (1, 20, 20), dtype=np.uint8)
    plain = measure(labels, image, ("DNA",))
    more = measure(
        labels, image, ("DNA",), settings=MeasureSettings(features=("radial_distribution", "texture"))
    )
    added = set(more) - set(plain)
    assert {"Nuclei_Texture_Contrast_DNA_3_00_256", "Nuclei_RadialDistribution_FracAtD_DNA_1of4"} <= added
    assert "cp_measure" in families_in_effect(("texture",))["texture"]
    assert MeasureSettings(features=("texture",)) != MeasureSettings()
    with pytest.raises(InputError, match="named colour: --features takes granularity, radial_distribution"):
        measure(labels, image, ("DNA",), settings=MeasureSettings(features=("colour",)))
