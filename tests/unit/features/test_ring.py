"""The ring around nuclei: the nearest nucleus of each pixel, whatever the window."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter
from skimage.measure import label as connected

from nucbatch.core.errors import InputError
from nucbatch.core.measure_settings import MeasureSettings, Ring, ring_asked
from nucbatch.features import measure
from nucbatch.features.neighbors import CLOSEST
from nucbatch.features.surroundings import ring_of


def ring_image(labels, inner, outer):
    """Each pixel's owner in a label image, from the runs."""
    ring = ring_of(np.ascontiguousarray(labels, np.uint32), int(labels.max(initial=0)), inner, outer)
    image = np.zeros(labels.size, np.int64)
    for begin, end, owner in zip(ring.runs.begin, ring.runs.end, ring.owner, strict=True):
        assert not image[begin:end].any()
        image[begin:end] = owner + 1
    np.testing.assert_array_equal(np.bincount(image, minlength=len(ring.areas_px) + 1)[1:], ring.areas_px)
    return image.reshape(labels.shape)


def by_definition(labels, inner, outer):
    """The same by comparing each background pixel with every pixel of every nucleus."""
    ys, xs = np.nonzero(labels)
    owner = np.zeros(labels.shape, np.int64)
    for y, x in zip(*np.nonzero(labels == 0), strict=True):
        far = (ys - y) ** 2 + (xs - x) ** 2
        if len(far) and inner**2 < far.min() <= outer**2:
            owner[y, x] = labels[ys, xs][far == far.min()].min()
    return owner


@settings(max_examples=150, deadline=None)
@given(
    arrays(
        np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.sampled_from([0] * 9 + [1])
    ),
    st.sampled_from([(0, 1), (1, 3), (1.5, 4.3), (0, 12), (2, 181.5), (2, 254)]),
)
def test_equal_to_the_definition(mask, distances):
    labels = connected(mask, connectivity=1)
    np.testing.assert_array_equal(ring_image(labels, *distances), by_definition(labels, *distances))


def test_pixels_at_equal_distance_belong_to_the_lower_label():
    labels = np.array([[1, 0, 0, 0, 2]])
    assert ring_image(labels, 0, 3).tolist() == [[0, 1, 1, 2, 0]]
    assert ring_image(labels[:, ::-1], 0, 3).tolist() == [[0, 2, 1, 1, 0]]


def test_mean_ratio_and_correlation_by_hand():
    labels = np.zeros((7, 7), int)
    labels[3, 3] = 1
    green = np.full((7, 7), 10, np.uint8)
    green[3, 3] = 40
    green[3, 4] = 30  # within 1 px: not of the ring
    red = (2 * green + np.arange(7)).astype(np.uint8)
    row = measure(labels, np.stack([green, red]), ("G", "R"), settings=MeasureSettings(ring=Ring(outer=2)))
    assert row["Cytoplasm_AreaShape_Area"].tolist() == [8]  # four at √2, four at 2 px
    assert row["Cytoplasm_Intensity_MeanIntensity_G"].tolist() == [10.0]
    assert row["Nuclei_Math_NucleusCytoplasmRatio_G"].tolist() == [4.0]
    assert row["Nuclei_Math_Log2NucleusCytoplasmRatio_G"].tolist() == [2.0]
    assert row["Nuclei_Intensity_BackgroundCorrectedIntegratedIntensity_G"].tolist() == [30.0]
    assert np.isnan(row["Cytoplasm_Correlation_Correlation_G_R"]).all()  # G is constant


def test_a_nucleus_without_background_has_no_figures_of_the_ring():
    image = np.ones((2, 4, 4), np.uint16)
    row = measure(np.ones((4, 4), int), image, ("DNA", "GFP"))
    assert row["Cytoplasm_AreaShape_Area"].tolist() == [0]
    assert np.isnan(row["Cytoplasm_Intensity_MeanIntensity_GFP"]).all()
    assert np.isnan(row["Nuclei_Math_NucleusCytoplasmRatio_GFP"]).all()


def test_the_ring_is_there_with_a_second_channel_or_when_it_is_asked_for():
    labels = np.array([[1, 0, 0]])
    image = np.ones((2, 1, 3), np.uint8)

    def names(channels, ring):
        columns = measure(
            labels, image[:channels], ("A", "B")[:channels], settings=MeasureSettings(ring=ring)
        )
        return {name for name in columns if name.startswith("Cytoplasm_")}

    assert names(2, "auto")
    assert names(1, Ring())
    assert not names(1, "auto") | names(2, "none")


def blobs(seed=0, size=300):
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), 4)
    return connected(noise > 0.07)


@pytest.mark.parametrize("ring", [Ring(), Ring(inner=0.5, outer=5.5, unit="um")])
def test_windows_with_the_margin_give_the_bits_of_the_whole_image(ring):
    from nucbatch.features.measure import margin_px

    chosen, pixel_um = MeasureSettings(ring=ring), 0.5
    labels = blobs()
    image = np.random.default_rng(1).integers(0, 4000, (2, *labels.shape)).astype(np.uint16)
    options = {"settings": chosen, "pixel_size_um": pixel_um}
    whole = measure(labels, image, ("DNA", "GFP"), **options)
    margin = margin_px(chosen, pixel_um)
    wanted = np.array([5, 6, 7])
    ys, xs = np.nonzero(np.isin(labels, wanted))
    top, left = max(0, ys.min() - margin), max(0, xs.min() - margin)
    window = (slice(top, ys.max() + margin + 1), slice(left, xs.max() + margin + 1))
    numbers, local = np.unique(labels[window], return_inverse=True)
    assert numbers[0] == 0
    seen = measure(
        local.reshape(labels[window].shape),
        image[:, *window],
        ("DNA", "GFP"),
        origin_px=(int(top), int(left)),
        whole_px=labels.shape,
        own=np.isin(numbers[1:], wanted),
        **options,
    )
    del whole[CLOSEST]  # of a large image it is added at the end
    for name, values in whole.items():
        assert values[wanted - 1].tobytes() == seen[name].tobytes(), name


def test_a_ring_in_micrometres_needs_the_pixel_size():
    with pytest.raises(InputError, match="--pixel-size"):
        MeasureSettings(ring=Ring(unit="um")).ring_px(None)
    with pytest.raises(InputError, match="1 to 250 px"):
        MeasureSettings(ring=Ring(outer=100, unit="um")).ring_px(0.1)


@pytest.mark.parametrize("text", ["6", "1:", "a:b", "1um:6px", "1..2:6", ":", "6:1", "0:0", "1:300"])
def test_what_is_no_ring_is_refused(text):
    with pytest.raises(InputError, match="--ring"):
        ring_asked(text)
