"""Every family of measurements that the entry points list: one schema, and no pixels beyond their margin."""

import numpy as np
import pytest

from nucbatch.core.measure_settings import DEFAULTS
from nucbatch.features import Family, installed_families, measure
from nucbatch.features.neighbors import CLOSEST

OPTIONAL = ("granularity", "radial_distribution", "texture")
FAMILIES = pytest.mark.parametrize("family", installed_families(OPTIONAL), ids=lambda family: family.name)


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
        assert name.startswith(("Nuclei_", "Cytoplasm_", "Metadata_Nuclei_"))
        assert values.shape == (3,)
        assert values.dtype in (np.int64, np.float64, bool)


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


@pytest.mark.parametrize(
    "family",
    # A run refuses the others for images in blocks.
    [family for family in installed_families(OPTIONAL) if not getattr(family, "needs_whole_image", False)],
    ids=lambda family: family.name,
)
def test_a_window_with_the_family_s_margin_changes_no_bit(family):
    small, _ = scene()
    labels = np.zeros((90, 90), np.int32)
    for number, (top, left) in enumerate([(0, 0), (0, 40), (35, 30), (60, 8), (60, 55)]):
        labels[top : top + 24, left : left + 30] += np.where(small, small + 3 * number, 0)
    image = (np.random.default_rng(0).random((2, *labels.shape)) * 250).astype(np.uint16)
    whole = measure(labels, image, ("DNA", "Actin"), families=[family])
    wanted, margin = np.array([7, 8, 9]), family.margin_px(DEFAULTS, None)
    ys, xs = np.nonzero(np.isin(labels, wanted))
    top, left = max(0, ys.min() - margin), max(0, xs.min() - margin)
    window = (slice(top, ys.max() + 1 + margin), slice(left, xs.max() + 1 + margin))
    numbers, local = np.unique(np.append(labels[window], 0), return_inverse=True)
    seen = measure(
        local[:-1].reshape(labels[window].shape),
        image[:, *window],
        ("DNA", "Actin"),
        origin_px=(int(top), int(left)),
        whole_px=labels.shape,
        own=np.isin(numbers[1:], wanted),
        families=[family],
    )
    whole.pop(CLOSEST, None)  # of a large image it is added at the end
    for name, values in whole.items():
        assert values[wanted - 1].tobytes() == seen[name].tobytes(), name


@FAMILIES
def test_the_same_input_gives_the_same_bytes(family):
    labels, image = scene(np.float32)
    first, second = (measure(labels, image, ("DNA", "Actin"), families=[family]) for _ in range(2))
    assert [values.tobytes() for values in first.values()] == [values.tobytes() for values in second.values()]
