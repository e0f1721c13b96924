"""OME-Zarr attributes of plates, wells and images."""

import json

import pytest

from nucbatch.core.errors import InputError
from nucbatch.store import ngff


def test_wells_have_row_and_column_indices() -> None:
    plate = ngff.plate_attributes("P", {("AB", 7): ["1"], ("C", 12): ["1", "2t0"]})["ome"]["plate"]
    for well in plate["wells"]:
        row, column = well["path"].split("/")
        assert plate["rows"][well["rowIndex"]]["name"] == row
        assert plate["columns"][well["columnIndex"]]["name"] == column
    assert plate["field_count"] == 2
    assert plate["name"] == "P"


@pytest.mark.parametrize("group", ["B/3", "B/3/1/0", "B/x/1", "B/3/a-b", "B//1", "../3/1"])
def test_invalid_image_paths_in_a_plate_are_rejected(group: str) -> None:
    with pytest.raises(InputError, match="it must be row/column/image"):
        ngff.image_place(group)


def test_all_levels_cover_the_same_area() -> None:
    (described,) = ngff.nuclei_attributes(3, 0.5)["ome"]["multiscales"]
    for level, dataset in enumerate(described["datasets"]):
        scale, translation = (
            transform[transform["type"]] for transform in dataset["coordinateTransformations"]
        )
        # The outer edge of the first pixel is where that of the full image is.
        assert [shift - size / 2 for shift, size in zip(translation, scale, strict=True)] == [-0.25, -0.25]
        assert scale == [0.5 * 2**level] * 2


def test_units_need_a_pixel_size() -> None:
    known, unknown = (
        ngff.image_attributes(
            "x", ["a", "b"], 2, size_um, windows=[(0.0, 1.0)] * 2, limits=[(0.0, 255.0)] * 2
        )["ome"]["multiscales"][0]
        for size_um in (0.5, None)
    )
    assert [axis.get("unit") for axis in known["axes"]] == [None, "micrometer", "micrometer"]
    assert known["datasets"][1]["coordinateTransformations"][0]["scale"] == [1.0, 1.0, 1.0]
    assert [axis.get("unit") for axis in unknown["axes"]] == [None, None, None]
    assert unknown["datasets"][1]["coordinateTransformations"][0]["scale"] == [1.0, 2.0, 2.0]


def test_every_channel_has_its_window_and_its_limits() -> None:
    described = ngff.image_attributes(
        "x", ["a", "b"], 2, None, windows=[(3.0, 9.0), (1.0, 2.0)], limits=[(0.0, 255.0), (-1.0, 8.0)]
    )
    first, second = described["ome"]["omero"]["channels"]
    assert first["window"] == {"min": 0.0, "max": 255.0, "start": 3.0, "end": 9.0}
    assert second["window"] == {"min": -1.0, "max": 8.0, "start": 1.0, "end": 2.0}
    assert [first["label"], second["label"]] == ["a", "b"]


def test_a_groups_document_is_json_without_nan() -> None:
    document = json.loads(ngff.group_document({"name": "µ"}))
    assert document == {"attributes": {"name": "µ"}, "zarr_format": 3, "node_type": "group"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        ngff.group_document({"x": float("nan")})
