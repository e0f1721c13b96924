"""RGB merges of fluorescence are detected; tissue, grey and blank pictures are not."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from nucbatch.readers.find import open_plate
from nucbatch.readers.merged_colours import detect_merged_colours, merged_channels

RNG = np.random.default_rng(0)


def discs(bright: float, dark: float = 10, count: int = 12) -> np.ndarray:
    """(Y, X) with round nuclei on a noisy ground."""
    y, x = np.mgrid[:128, :128]
    plane = RNG.normal(dark, 3, (128, 128))
    for middle in RNG.integers(10, 118, (count, 2)):
        plane[(y - middle[0]) ** 2 + (x - middle[1]) ** 2 < 64] = bright
    return plane.clip(0, 255)


def picture(red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> np.ndarray:
    return np.stack([red, green, blue]).astype(np.uint8)


NOTHING = np.zeros((128, 128))


@pytest.mark.parametrize(
    ("merged", "names"),
    [
        (picture(NOTHING, discs(150), discs(220)), ("Green", "Blue")),
        (picture(NOTHING, NOTHING, discs(220)), ("Blue",)),
        (picture(discs(200), NOTHING, NOTHING), ("Red",)),
        (picture(NOTHING, discs(200, 40, 60), discs(255, 20, 60)), ("Green", "Blue")),
        (np.stack([discs(90)] * 3).astype(np.uint8), ()),
        (picture(NOTHING, NOTHING, NOTHING), ()),
        (picture(255 - discs(150), 255 - discs(220), 255 - discs(80)), ()),  # purple on white
    ],
)
def test_a_merge_has_pure_colours_on_black(merged: np.ndarray, names: tuple[str, ...]) -> None:
    assert merged_channels(merged) == names


def save(path: Path, planes: np.ndarray) -> None:
    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(np.moveaxis(planes, 0, -1))))


def test_a_sample_of_the_pictures_is_examined(tmp_path: Path) -> None:
    for number in range(20):
        save(tmp_path / f"{number:02d}.png", picture(NOTHING, discs(150), discs(220)))
    save(tmp_path / "tissue.png", picture(255 - discs(150), 255 - discs(220), 255 - discs(80)))
    found = detect_merged_colours(open_plate(tmp_path))
    assert (found.looked_at, found.dark, found.channels) == (7, 7, ("Blue",))
    assert found.sentence.startswith("dark ground: --channel Blue? 7 of 7 RGB images looked at")


def test_tissue_and_grey_pictures_give_no_warning(tmp_path: Path) -> None:
    save(tmp_path / "tissue.png", picture(255 - discs(150), 255 - discs(220), 255 - discs(80)))
    (tmp_path / "grey.png").write_bytes(imagecodecs.png_encode(discs(90).astype(np.uint8)))
    assert detect_merged_colours(open_plate(tmp_path)).sentence == ""


@pytest.mark.real_data
def test_real_tissue_is_not_detected_as_a_merge(shared_data: Path) -> None:
    folder = shared_data / "dsb2018_kaggle_layout"
    found = detect_merged_colours(open_plate(folder))
    assert found.dark == 0
