"""Every family of measurements that the entry points list: one schema, and own pixels only."""

import numpy as np
import pytest

from nucbatch.features import Family, installed_families, measure

FAMILIES = pytest.mark.parametrize("family", installed_families(), ids=lambda family: family.name)


def scene(dtype=np.uint16):
    """Two squares and a bar, apart from one another and from the border, and two channels."""
    labels = np.zeros((24, 30), np.int32)
    labels[2:8, 3:9] = 1
    labels[4:9, 14:20] = 2
    labels[14:17, 4:22] = 3
    image = (np.random.default_rng(0).random((2, 24, 30)) * 250).astype(dtype)
    return labels, image


@FAMILIES
def test_it_keeps_the_contract(family):
    labels, image = scene()
    assert isinstance(family, Family)
    columns = measure(labels, image, ("DNA", "Actin"), families=[family])
    assert columns
    for name, values in columns.items():
        assert name.startswith((f"Nuclei_{family.name}_", "Metadata_Nuclei_"))
        assert values.shape == (3,)
        assert values.dtype in (np.int64, np.float64)


@FAMILIES
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_no_objects_give_the_same_columns_and_types(family, dtype):
    labels, image = scene(dtype)
    none = measure(np.zeros_like(labels), image, ("DNA", "Actin"), families=[family])
    some = measure(labels, scene()[1], ("DNA", "Actin"), families=[family])
    assert {name: values.dtype for name, values in none.items()} == {
        name: values.dtype for name, values in some.items()
    }
    assert all(len(values) == 0 for values in none.values())


@FAMILIES
def test_the_window_and_the_numbering_change_no_bit(family):
    labels, image = scene()
    whole = measure(labels, image, ("DNA", "Actin"), families=[family])
    order = np.array([0, 3, 1, 2])
    window = (slice(1, 20), slice(2, 25))
    seen = measure(
        order[labels][window], image[:, *window], ("DNA", "Actin"), origin_px=(1, 2), families=[family]
    )
    for name, values in whole.items():
        assert values.tobytes() == seen[name][order[1:] - 1].tobytes(), name


@FAMILIES
def test_the_same_input_gives_the_same_bytes(family):
    labels, image = scene(np.float32)
    first, second = (measure(labels, image, ("DNA", "Actin"), families=[family]) for _ in range(2))
    assert [values.tobytes() for values in first.values()] == [values.tobytes() for values in second.values()]
