"""``nb.measure`` and ``nb.score`` take arrays as people have them, and say what doesn't fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

import nucbatch as nb
from nucbatch.core.errors import InputError
from nucbatch.features.measure import measure as measure_window


def squares() -> np.ndarray:
    labels = np.zeros((40, 50), np.int64)
    labels[2:8, 3:13], labels[20:30, 20:30], labels[35:40, 45:50] = 9, 4, 70_000
    return labels


def test_the_measurements_are_a_runs_and_gaps_in_the_numbers_stay() -> None:
    image = np.random.default_rng(0).integers(0, 999, (2, 40, 50))
    table = nb.measure(squares(), image, ["DAPI", "GFP"])
    assert list(table["Metadata_ObjectNumber"]) == [4, 9, 70_000]
    compact = np.select([squares() == 4, squares() == 9, squares() == 70_000], [1, 2, 3])
    for name, values in measure_window(compact, image, ["DAPI", "GFP"]).items():
        np.testing.assert_array_equal(table[name], values)


def test_lengths_and_areas_are_in_micrometres_too_where_the_pixel_size_is_known() -> None:
    table = nb.measure(squares(), pixel_size=0.5)
    at = list(table).index("Nuclei_AreaShape_Area")
    assert list(table)[at + 1] == "Nuclei_AreaShape_Area_um2"
    assert list(table["Nuclei_AreaShape_Area_um2"]) == [25, 15, 6.25]
    assert not [name for name in nb.measure(squares()) if name.endswith(("_um", "_um2"))]


def test_the_ring_is_that_which_is_asked_for_and_wrong_values_are_refused() -> None:
    image = np.ones((2, 40, 50))
    wide, narrow = (
        nb.measure(squares(), image, ["A", "B"], ring=ring)["Cytoplasm_AreaShape_Area"]
        for ring in ("0:8", "0:2")
    )
    assert (wide > narrow).all()
    assert "Cytoplasm_AreaShape_Area" not in nb.measure(squares(), image, ["A", "B"], ring="none")
    for options, words in (
        ({"ring": "wide"}, "is no ring"),
        ({"ring": "1um:3um"}, "pixel size"),
        ({"pixel_size": 0}, "pixel_size = 0 must be above 0"),
        ({"features": "taste"}, "taste"),
    ):
        with pytest.raises(InputError, match=words):
            nb.measure(squares(), image, ["A", "B"], **options)


def test_shapes_alone_and_no_objects() -> None:
    shapes = nb.measure(squares())
    assert list(shapes["Nuclei_AreaShape_Area"]) == [100, 60, 25]
    assert not [name for name in shapes if "Intensity" in name]
    empty = nb.measure(np.zeros((40, 50), np.uint8), np.zeros((40, 50)), "DAPI")
    assert len(empty) == 0
    assert "Nuclei_Intensity_MeanIntensity_DAPI" in empty


@pytest.mark.parametrize(
    ("labels", "image", "channels", "words"),
    [
        (np.zeros((4, 5)), None, (), r"type float64 can't be measured: they must be \(Y, X\) integers"),
        (np.zeros((2, 4, 5), int), None, (), "must be"),
        (np.full((4, 5), -1), None, (), "negative"),
        (squares(), np.zeros((40, 50)), (), "does not fit labels"),
        (squares(), np.zeros((2, 40, 50)), "DAPI", "does not fit labels"),
        (squares(), np.zeros((40, 51)), "DAPI", "does not fit labels"),
        (squares(), np.zeros((2, 40, 50)), ["A", "A"], "must differ"),
    ],
)
def test_what_does_not_fit_is_refused(labels: object, image: object, channels: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        nb.measure(labels, image, channels)


def test_scores_of_folders_are_by_image_and_in_total(tmp_path: Path) -> None:
    for side in ("pred", "gt"):
        (tmp_path / side).mkdir()
        for name in ("a", "b"):
            shown = squares() if (side, name) != ("pred", "b") else np.where(squares() == 4, 4, 0)
            tifffile.imwrite(tmp_path / side / f"{name}.tif", shown.astype(np.uint32))
    scores = nb.score(tmp_path / "pred", str(tmp_path / "gt"))
    assert scores.images["nuclei_predicted"].to_dict() == {"a": 3, "b": 1}
    assert list(scores.totals.index) == ["pooled", "averaged", "median"]
    assert scores.totals.loc["pooled", "count_error"] == -2


def test_sides_of_two_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="both"):
        nb.score(squares(), tmp_path)
    with pytest.raises(InputError, match="ignore is for paths"):
        nb.score(squares(), squares(), ignore=tmp_path)
    with pytest.raises(InputError, match="contradict"):
        nb.score(tmp_path, tmp_path, ignore=tmp_path, count_ignored=True)
