"""Positions, plate size, acquisitions and colours of OME-Zarr plates, some written by ome-zarr-py."""

import json

import numpy as np
import pytest
import zarr

from nucbatch.core.errors import InputError
from nucbatch.readers.find import open_plate

PIXELS = np.arange(2 * 40 * 60, dtype=np.uint16).reshape(2, 40, 60)


def write_attributes(group, values, version):
    group.attrs.update({"ome": {"version": "0.5", **values}} if version == "0.5" else values)


def write_plate(
    path, translations, *, version="0.5", unit="micrometer", overall=(), rows="ABCDEFGH", acquisitions=()
):
    """One well B/3 with an image for each translation (y, x); None leaves it out."""
    kind = 3 if version == "0.5" else 2
    root = zarr.open_group(path, mode="w", zarr_format=kind)
    plate = {
        "name": "P",
        "rows": [{"name": name} for name in rows],
        "columns": [{"name": str(number)} for number in range(1, 13)],
        "wells": [{"path": "B/3", "rowIndex": 1, "columnIndex": 2}],
        "acquisitions": [{"id": number, "name": name} for number, name in acquisitions],
    }
    write_attributes(root, {"plate": plate}, version)
    numbers = [number for number, _ in acquisitions] or [None]
    images = [
        {"path": str(index)} | ({} if numbers[0] is None else {"acquisition": numbers[index % len(numbers)]})
        for index in range(len(translations))
    ]
    write_attributes(root.require_group("B/3"), {"well": {"images": images}}, version)
    for index, translation in enumerate(translations):
        group = root.require_group(f"B/3/{index}")
        group.create_array("0", data=PIXELS)
        steps = [{"type": "scale", "scale": [1.0, 0.25, 0.5]}]
        if translation is not None:
            steps.append({"type": "translation", "translation": [0.0, *translation]})
        axes = [{"name": "c", "type": "channel"}]
        axes += [{"name": name, "type": "space"} | ({"unit": unit} if unit else {}) for name in "yx"]
        described = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
        if overall:
            described["coordinateTransformations"] = list(overall)
        channels = [
            {"label": "DAPI", "color": "0000ff", "wavelength_id": "A01_C01"},
            {"label": "GFP", "color": "no colour"},
        ]
        values = {"multiscales": [described], "omero": {"channels": channels}}
        write_attributes(group, values, version)
    return path


def positions(path, **options):
    return [field.position_um for field in open_plate(path, **options).fields]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_position_is_the_centre_of_the_field(tmp_path, version):
    path = write_plate(tmp_path / "p.zarr", [(0.0, 0.0), (9.0, -27.0)], version=version)
    # 40 × 60 px of 0.25 × 0.5 µm: half a field is 5 × 15 µm
    assert positions(path) == [(5.0, 15.0), (14.0, -12.0)]


@pytest.mark.parametrize(("unit", "um"), [("nanometer", 1e-3), ("millimeter", 1e3), ("meter", 1e6)])
def test_positions_in_other_units_of_length(tmp_path, unit, um):
    path = write_plate(tmp_path / "p.zarr", [(0.0, 0.0), (9.0, 0.0)], unit=unit)
    np.testing.assert_allclose(positions(path), np.array([(5, 15), (14, 15)]) * um)


def test_transformations_of_the_whole_image_come_after_those_of_the_level(tmp_path):
    overall = [
        {"type": "scale", "scale": [1.0, 2.0, 2.0]},
        {"type": "translation", "translation": [0.0, 100.0, 200.0]},
    ]
    path = write_plate(tmp_path / "p.zarr", [(0.0, 0.0), (9.0, 0.0)], overall=overall)
    assert positions(path) == [(110.0, 230.0), (128.0, 230.0)]
    assert "1 µm across and 0.5 µm down" in open_plate(path).remarks[-1]


@pytest.mark.parametrize(
    ("translations", "unit"),
    [
        ([(0.0, 0.0), (9.0, 0.0)], ""),
        ([(0.0, 0.0), (9.0, 0.0)], "pixel"),
        ([None, None], "micrometer"),
        ([(0.0, 0.0), (0.0, 0.0)], "micrometer"),  # a writer without positions
        ([(float("nan"), 0.0), (float("inf"), 0.0)], "micrometer"),
    ],
    ids=["no unit", "no unit of length", "no translation", "all equal", "not finite"],
)
def test_what_is_no_position_is_none(tmp_path, translations, unit):
    assert positions(write_plate(tmp_path / "p.zarr", translations, unit=unit)) == [None, None]


def test_some_fields_may_lack_a_position(tmp_path):
    path = write_plate(tmp_path / "p.zarr", [(0.0, 0.0), None, (9.0, 0.0)])
    assert positions(path) == [(5.0, 15.0), None, (14.0, 15.0)]


def test_colours_and_other_names_of_channels(tmp_path):
    plate = open_plate(write_plate(tmp_path / "p.zarr", [None]))
    assert [(one.name, one.index, one.aliases, one.color) for one in plate.channels] == [
        ("DAPI", 0, ("A01_C01",), "0000FF"),
        ("GFP", 1, (), ""),
    ]
    assert plate.channel("a01_c01").name == "DAPI"


@pytest.mark.parametrize(("rows", "size"), [("ABCDEFGH", (8, 12)), ("BC", (0, 12)), ("", (0, 12))])
def test_the_size_of_the_plate_is_that_of_its_metadata(tmp_path, rows, size):
    plate = open_plate(write_plate(tmp_path / "p.zarr", [None], rows=rows))
    assert (plate.rows, plate.columns) == size


def test_one_of_several_acquisitions_is_read_with_its_positions(tmp_path):
    path = write_plate(
        tmp_path / "p.zarr",
        [(0.0, 0.0), (1.0, 0.0), (9.0, 0.0), (8.0, 0.0)],
        acquisitions=[(0, "live"), (1, "fixed")],
    )
    with pytest.raises(InputError, match=r"(?s)2 acquisitions.*0 \(live\): 2 images.*1 \(fixed\): 2 images"):
        open_plate(path)
    plate = open_plate(path, acquisition="1")
    assert [(field.position_um, field.acquisition) for field in plate.fields] == [
        ((6.0, 15.0), "1 (fixed)"),
        ((13.0, 15.0), "1 (fixed)"),
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of ome-zarr's own, on import
def test_a_plate_written_by_ome_zarr_py(tmp_path):
    from ome_zarr.writer import write_image, write_plate_metadata, write_well_metadata

    root = zarr.open_group(tmp_path / "p.zarr", mode="w")
    write_plate_metadata(root, rows=["A", "B"], columns=["1", "2", "3"], wells=["A/2"])
    well = root.require_group("A/2")
    write_well_metadata(well, ["0", "1"])
    for name in "01":
        write_image(
            PIXELS,
            well.require_group(name),
            axes="cyx",
            axes_units=dict.fromkeys("yx", "micrometer"),
            scale={"c": 1.0, "y": 0.5, "x": 0.5},
            scale_factors=[],
        )
    plate = open_plate(tmp_path / "p.zarr")
    assert [(field.well, field.site, field.pixel_size_um) for field in plate.fields] == [
        ("A02", 1, 0.5),
        ("A02", 2, 0.5),
    ]
    assert (plate.rows, plate.columns) == (2, 3)
    # it writes the same translation for all images
    assert [field.position_um for field in plate.fields] == [None, None]
    values = json.loads(json.dumps(well["1"].attrs["ome"]))
    transformations = values["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    transformations[1]["translation"] = [0.0, 18.0, 0.0]
    well["1"].attrs["ome"] = values
    assert positions(tmp_path / "p.zarr") == [(10.0, 15.0), (28.0, 15.0)]


@pytest.mark.parametrize("rows", [[3], 7, ["A"], None])
def test_a_plate_with_damaged_rows_has_an_unknown_number_of_rows(tmp_path, rows):
    path = write_plate(tmp_path / "p.zarr", [None])
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"]["ome"]["plate"]["rows"] = rows
    (path / "zarr.json").write_text(json.dumps(document))
    assert open_plate(path).rows == 0
