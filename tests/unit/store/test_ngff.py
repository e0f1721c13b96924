"""OME-Zarr attributes of plates, wells and images."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucbatch.core.errors import InputError
from nucbatch.core.plate import Channel, Field
from nucbatch.store import ngff

CHANNELS = (Channel("a", 0), Channel("b", 1))


def test_wells_have_row_and_column_indices() -> None:
    plate = ngff.plate_attributes("P", {("AB", 7): {"1": None}, ("C", 12): {"1": None, "2t0": None}})["ome"][
        "plate"
    ]
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
    (described,) = ngff.nuclei_attributes(ngff.Space(3, 0.5))["ome"]["multiscales"]
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
            "x", CHANNELS, ngff.Space(2, size_um), windows=[(0.0, 1.0)] * 2, limits=[(0.0, 255.0)] * 2
        )["ome"]["multiscales"][0]
        for size_um in (0.5, None)
    )
    assert [axis.get("unit") for axis in known["axes"]] == [None, "micrometer", "micrometer"]
    assert known["datasets"][1]["coordinateTransformations"][0]["scale"] == [1.0, 1.0, 1.0]
    assert [axis.get("unit") for axis in unknown["axes"]] == [None, None, None]
    assert unknown["datasets"][1]["coordinateTransformations"][0]["scale"] == [1.0, 2.0, 2.0]


def test_every_channel_has_its_window_and_its_limits() -> None:
    described = ngff.image_attributes(
        "x", CHANNELS, ngff.Space(2), windows=[(3.0, 9.0), (1.0, 2.0)], limits=[(0.0, 255.0), (-1.0, 8.0)]
    )
    first, second = described["ome"]["omero"]["channels"]
    assert first["window"] == {"min": 0.0, "max": 255.0, "start": 3.0, "end": 9.0}
    assert second["window"] == {"min": -1.0, "max": 8.0, "start": 1.0, "end": 2.0}
    assert [first["label"], second["label"]] == ["a", "b"]


def test_a_position_is_that_of_the_corner_at_every_level() -> None:
    """A field of 4 x 6 px of 0.5 µm whose centre lies at (10, -20) µm begins at (9, -21.5)."""
    field = Field("B02", 1, 0, "B/2/1", "x", (), 4, 6, "uint8", 0.5, position_um=(10.0, -20.0))
    space = ngff.Space.of(field, 2)
    image = ngff.image_attributes("x", CHANNELS, space, windows=[(0.0, 1.0)] * 2, limits=[(0.0, 255.0)] * 2)
    for attributes, leading in ((image, [0.0]), (ngff.nuclei_attributes(space), [])):
        datasets = attributes["ome"]["multiscales"][0]["datasets"]
        shifts = [one["coordinateTransformations"][1]["translation"] for one in datasets]
        assert shifts == [[*leading, 9.0, -21.5], [*leading, 9.25, -21.25]]


def test_a_position_without_a_pixel_size_is_left_out() -> None:
    field = Field("B02", 1, 0, "B/2/1", "x", (), 4, 6, "uint8", None, position_um=(10.0, -20.0))
    assert ngff.Space.of(field, 2) == ngff.Space(2)


def test_channels_have_the_vendors_colours_and_else_their_stains() -> None:
    channels = [Channel("DAPI", 0, color="00ff7f"), Channel("GFP", 1), Channel("x", 2)]
    described = ngff.image_attributes(
        "x", channels, ngff.Space(1), windows=[(0.0, 1.0)] * 3, limits=[(0.0, 255.0)] * 3
    )
    colours = [channel["color"] for channel in described["ome"]["omero"]["channels"]]
    assert colours == ["00FF7F", "00FF00", "00FFFF"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [((8, 12), (8, 12)), ((3, 4), (3, 4)), ((0, 0), (3, 4)), ((2, 12), (3, 4)), ((16, 0), (3, 4))],
)
def test_a_plate_has_the_vendors_rows_and_columns_unless_wells_lie_outside(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    described = ngff.plate_attributes("P", {("B", 3): {"1": None}, ("C", 4): {"1": None}}, size=size)["ome"][
        "plate"
    ]
    assert (len(described["rows"]), len(described["columns"])) == expected


def test_version_0_4_has_its_version_in_each_part_and_no_ome_block() -> None:
    images = {("B", 3): {"1": 0}, ("B", 4): {"1": 0, "2": 0, "3": None}}
    plate = ngff.plate_attributes("P", images, acquisitions={"a": 0, "b": 1}, version="0.4")["plate"]
    assert plate["version"] == "0.4"
    assert plate["acquisitions"] == [{"id": 0, "maximumfieldcount": 2, "name": "a"}]
    well = ngff.well_attributes({"1": 0, "2": None}, "0.4")["well"]
    assert well == {"images": [{"acquisition": 0, "path": "1"}, {"path": "2"}], "version": "0.4"}
    labels = ngff.nuclei_attributes(ngff.Space(2), "0.4")
    assert labels["image-label"]["version"] == labels["multiscales"][0]["version"] == "0.4"


def test_a_groups_document_is_json_without_nan() -> None:
    document = json.loads(ngff.group_files({"name": "µ"}, "0.5")["zarr.json"])
    assert document == {"attributes": {"name": "µ"}, "zarr_format": 3, "node_type": "group"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        ngff.group_files({"x": float("nan")}, "0.4")


_TEXT = st.text(st.characters(codec="utf-8"))
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(_TEXT, _VALUES, max_size=4))
def test_attributes_are_written_as_json_with_an_indent(attributes: dict[str, object]) -> None:
    document = {"attributes": attributes, "zarr_format": 3, "node_type": "group"}
    expected = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False).encode()
    assert ngff.group_files(attributes, "0.5") == {"zarr.json": expected}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_attributes_without_a_number_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        ngff.group_files({"scale": [value]}, "0.5")
