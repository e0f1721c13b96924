from pathlib import Path

import numpy as np
import pytest

from nucbatch.core.settings import NormaliseSettings
from nucbatch.training.data import find_data, read_entry
from nucbatch.training.sample import Sample, load_sample, make_sample, micronuclei, sampling_weights


def drawn(count: int, modality: str, side: int = 64) -> Sample:
    labels = np.zeros((side, side), np.uint16)
    for number in range(count):
        y, x = divmod(number, side // 8)
        labels[8 * y + 1 : 8 * y + 6, 8 * x + 1 : 8 * x + 6] = number + 1
    return make_sample("drawn", modality, (labels > 0).astype(np.uint8), labels, NormaliseSettings())


def test_a_sample_knows_its_nuclei(small_data: Path) -> None:
    entry = find_data(small_data).entries[0]
    image, labels = read_entry(entry)
    sample = load_sample(entry, NormaliseSettings())
    assert sample.image.shape == (3, *image.shape[:2])
    assert (sample.image.amin(), sample.image.amax()) == (0, 255)
    np.testing.assert_array_equal(sample.labels > 0, labels > 0)
    assert len(sample.nuclei.radius_px) == len(np.unique(labels))
    areas = np.bincount(labels.ravel())[1:]
    assert sample.diameter_px == pytest.approx(np.median(2 * np.sqrt(areas[areas > 0] / np.pi)))


def test_micronuclei_are_ignored_unless_the_image_shows_tissue() -> None:
    labels = np.zeros((64, 64), np.int32)
    labels[4:34, 4:34], labels[40:48, 40:48], labels[40:52, 4:16] = 1, 2, 3  # 30, 8 and 12 px wide
    bright = (labels > 0).astype(np.uint8) * 200
    assert np.array_equal(micronuclei(bright, labels), labels == 2)
    assert not micronuclei(200 - bright, labels).any()
    assert not micronuclei(np.stack([bright] * 3, axis=2), labels).any()
    assert not micronuclei(bright, labels * 0).any()


def test_labels_of_any_numbers_become_1_to_n() -> None:
    labels = np.zeros((8, 8), np.uint32)
    labels[:2], labels[5:] = 70_000, 12
    sample = make_sample("gaps", "", np.zeros((8, 8), np.uint8), labels, NormaliseSettings())
    assert sorted(np.unique(sample.labels)) == [0, 1, 2]
    everywhere = make_sample("one", "", np.zeros((8, 8), np.uint8), np.full((8, 8), 9), NormaliseSettings())
    assert (everywhere.labels == 1).all()


def test_an_image_without_nuclei_is_a_sample_too() -> None:
    sample = drawn(0, "")
    assert np.isnan(sample.diameter_px)
    assert sampling_weights([sample]).tolist() == [1.0]


def test_rare_kinds_and_crowds_are_drawn_more_often_but_less_than_in_proportion() -> None:
    samples = [drawn(5, "common")] * 9 + [drawn(5, "rare")]
    weights = sampling_weights(samples)
    assert weights.sum() == pytest.approx(1)
    assert weights[9] / weights[0] == pytest.approx(3)  # a tenth of the images, a quarter of the draws
    one, crowd = sampling_weights([drawn(5, ""), drawn(60, "")])
    assert 1 < crowd / one < 60 / 5
