"""Defects drawn into synthetic fields are flagged by their names, and clean fields are not."""

import statistics
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from nucbatch.core.tiles import Box
from nucbatch.features.quality import FLAGS, field_quality
from nucbatch.features.quality_figures import sampled_figures
from nucbatch.features.quality_limits import FEWEST_FIELDS, JudgedField, JudgedFields, Judgement, median
from nucbatch.features.quality_limits import judge as judge_columns
from nucbatch.features.quality_sample import labels_at_corners, sample_of
from nucbatch.synthetic.field import make_field

SIDE, NUCLEI, FIELDS = 512, 60, 16
Picture = tuple[np.ndarray, np.ndarray]  # pixels (Y, X) uint16, labels (Y, X)


def figures_of(pixels: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    whole = Box(0, 0, *pixels.shape)
    mean = float(pixels[labels > 0].mean()) if labels.any() else None
    sample = sample_of(pixels, whole, whole, pixels.shape)
    return field_quality(pixels) | sampled_figures(sample, labels_at_corners(labels), mean)


def judge(fields: list[JudgedField]) -> Judgement:
    return judge_columns(JudgedFields.of(fields))


def judged(picture: Picture, t: int = 0) -> JudgedField:
    pixels, labels = picture
    nuclei = len(np.unique(labels)) - 1
    return JudgedField(t, pixels.size, nuclei, figures_of(pixels, labels))


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    made = []
    for seed in range(FIELDS):
        images, labels = make_field(SIDE, np.random.default_rng(seed), nuclei=NUCLEI, channels=1)
        made.append((images[0], labels))
    return made


@pytest.fixture(scope="module")
def fields(pictures: list[Picture]) -> list[JudgedField]:
    return [judged(picture) for picture in pictures]


def noisy(pixels: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(9).normal(0, 1, pixels.shape) * np.sqrt(np.maximum(pixels, 1))
    return (pixels + noise).clip(0, 65535).astype(np.uint16)


def blurred(pixels: np.ndarray, labels: np.ndarray) -> Picture:
    return noisy(gaussian_filter(pixels.astype(float), 3)), labels


def saturated(pixels: np.ndarray, labels: np.ndarray) -> Picture:
    bright = np.quantile(pixels, 0.95)
    return (pixels * (4095 / bright)).clip(0, 4095).astype(np.uint16), labels


def with_gradient(pixels: np.ndarray, labels: np.ndarray) -> Picture:
    contrast = pixels[labels > 0].mean() - np.median(pixels)
    slope = np.linspace(0, contrast / 2 + 2 * np.median(pixels), SIDE)
    return noisy(pixels + slope), labels


def brighter(pixels: np.ndarray, labels: np.ndarray) -> Picture:
    return pixels + np.uint16(pixels[labels > 0].mean() - np.median(pixels)), labels


def hazy(pixels: np.ndarray, labels: np.ndarray) -> Picture:
    above = pixels.astype(float) - np.median(pixels)
    return noisy(pixels + 1.5 * gaussian_filter(np.roll(above, (130, 70), (0, 1)), 14)), labels


def littered(pixels: np.ndarray, labels: np.ndarray) -> Picture:
    dirty = pixels.copy()
    dirty[180:300, 100:260][labels[180:300, 100:260] == 0] = int(pixels[labels > 0].mean())
    return dirty, labels


def emptied(pixels: np.ndarray, labels: np.ndarray) -> Picture:
    return noisy(np.full(pixels.shape, np.median(pixels))), np.zeros_like(labels)


def sparse(pixels: np.ndarray, labels: np.ndarray) -> Picture:
    gone = labels > 4
    return np.where(gone, np.uint16(np.median(pixels)), pixels), np.where(gone, 0, labels)


def crowded(pixels: np.ndarray, labels: np.ndarray) -> Picture:
    """Three nuclei, of every third row each, in place of one."""
    third = np.arange(len(labels))[:, None] % 3
    return pixels, np.where(labels > 0, 3 * labels + third, 0)


DEFECTS: dict[str, tuple[Callable[[np.ndarray, np.ndarray], Picture], str, set[str]]] = {
    "blur": (blurred, "blurred", set()),
    "saturation": (saturated, "saturated", {"background"}),
    "gradient": (with_gradient, "shading", {"background", "haze"}),
    "background": (brighter, "background", set()),
    "haze": (hazy, "haze", {"shading", "background", "debris"}),
    "debris": (littered, "debris", set()),
    "no nuclei": (emptied, "few-nuclei", set()),
    "few nuclei": (sparse, "few-nuclei", set()),
    "three times the count": (crowded, "count-outlier", set()),
}
"""Each defect with its flag, and the flags that it may have besides."""


def flags_with(fields: list[JudgedField], picture: Picture) -> Judgement:
    return judge([*fields[:-1], judged(picture)])


def test_clean_fields_have_no_flag(fields: list[JudgedField]) -> None:
    found = judge(fields)
    assert not any(found.flags.values())
    assert found.quality["limits"] == "from the fields of this run"
    assert found.quality["fields"] == FIELDS


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_flagged_and_its_neighbours_are_not(
    defect: str, fields: list[JudgedField], pictures: list[Picture]
) -> None:
    make, flag, besides = DEFECTS[defect]
    found = flags_with(fields, make(*pictures[-1]))
    last = set(found.flags[FIELDS - 1])
    assert flag in last <= besides | {flag}
    assert not any(flags for key, flags in found.flags.items() if key != FIELDS - 1)
    assert last <= set(FLAGS)


def test_the_order_of_fields_changes_nothing(fields: list[JudgedField], pictures: list[Picture]) -> None:
    mixed = [*fields[:-1], judged(hazy(*pictures[-1]))]
    one, other = judge(mixed), judge(mixed[::-1])
    assert one.quality == other.quality
    assert one.flags == {FIELDS - 1 - place: flags for place, flags in other.flags.items()}
    assert (one.count_z == other.count_z[::-1]).all()


def test_few_fields_are_judged_by_absolute_limits_alone(
    fields: list[JudgedField], pictures: list[Picture]
) -> None:
    few = fields[: FEWEST_FIELDS - 2]
    found = judge(few)
    assert not any(found.flags.values())
    assert found.quality["limits"] == "absolute, because there are fewer than 8 fields"
    assert found.quality["thresholds"]["QC_Background"] == {"flag": "background", "low": None, "high": None}
    assert found.quality["thresholds"]["QC_CountZ"]["high"] is None
    assert np.isnan(found.count_z).all()
    wrong = {
        "saturated": saturated(*pictures[-1]),
        "debris": littered(*pictures[-1]),
        "few-nuclei": emptied(*pictures[-1]),
    }
    for flag, picture in wrong.items():
        assert flag in judge([*few, judged(picture)]).flags[len(few)]
    assert judge([]).flags == {}


def test_white_in_colour_and_around_dark_nuclei_is_not_saturation() -> None:
    one = JudgedField(0, 10_000, 9, {"QC_Saturated": 0.5, "QC_Contrast": 30.0})
    assert judge([one]).flags[0] == ["saturated"]
    assert judge([replace(one, colour=True)]).flags == {}
    assert judge([replace(one, figures={"QC_Saturated": 0.5, "QC_Contrast": -30.0})]).flags == {}


def test_another_channels_saturation_names_the_channel() -> None:
    figures = {"QC_Saturated": 0.0, "QC_Saturated_GFP; a": 0.02, "QC_Saturated_RFP": 0.001}
    assert judge([JudgedField(0, 10_000, 9, figures)]).flags[0] == ["saturated GFP, a"]


def test_counts_are_compared_within_a_time_point_and_per_area() -> None:
    early = [JudgedField(0, 10_000, 40 + i, {}) for i in range(10)]
    late = [JudgedField(1, 10_000, 400 + 9 * i, {}) for i in range(10)]
    assert not any(judge([*early, *late]).flags.values())
    large = JudgedField(0, 40_000, 180, {})
    assert judge([*early, large]).flags == {}
    assert judge([*early, replace(large, pixels=10_000)]).flags[len(early)] == ["count-outlier"]


def test_a_field_with_hardly_any_nuclei_is_not_judged_by_its_structure(fields: list[JudgedField]) -> None:
    odd = fields[0].figures | {"QC_PowerSlope_Fine": -9.0, "QC_Haze": 5.0, "QC_Debris": 0.5}
    found = judge([replace(fields[0], nuclei=2, figures=odd), *fields[1:]])
    assert found.flags[0] == ["few-nuclei"]


def test_backgrounds_of_other_kinds_of_images_are_not_compared(fields: list[JudgedField]) -> None:
    others = [
        replace(one, kind="8 bits", figures=one.figures | {"QC_Background": 3.0 + index / 10})
        for index, one in enumerate(fields[:9])
    ]
    assert not any(judge([*fields, *others]).flags.values())
    mixed = judge([*fields, *(replace(one, kind="") for one in others)])
    assert mixed.flags[len(fields)] == ["background"]


@pytest.mark.parametrize("count", [1, 2, 7, 8, 1001, 1002])
def test_the_median_is_that_of_pythons_statistics(count: int) -> None:
    rng = np.random.default_rng(count)
    for values in (rng.normal(300, 1e-3, count), rng.lognormal(-3, 4, count), rng.integers(0, 9, count)):
        assert median(values) == statistics.median(values.tolist())
