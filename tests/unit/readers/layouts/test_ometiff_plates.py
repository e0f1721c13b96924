"""OME-TIFF plates: wells, fields, acquisitions, channels, pixel sizes and positions of the metadata."""

from dataclasses import replace

import pytest
from golden import fates, problems
from golden.ome_tiff import (
    FILES,
    Image,
    Metadata,
    Sample,
    expected,
    means,
    plate_of,
    value,
    write_set,
    write_tiff,
)

from nucbatch.core.errors import InputError
from nucbatch.readers.find import open_plate


@pytest.mark.parametrize("companion", ["", "plate.companion.ome"])
def test_each_plane_comes_from_its_file_and_page(tmp_path, companion):
    plate = open_plate(write_set(tmp_path, plate_of(FILES), companion))
    assert (plate.name, plate.rows, plate.columns, plate.is_plate) == ("P7", 8, 12, True)
    assert means(plate) == {
        ("A01", 1, 0): expected(FILES[0]),
        ("A01", 2, 0): expected(FILES[1]),
        ("B12", 1, 0): expected(FILES[2]),
        ("B12", 2, 0): expected(FILES[3]),
    }
    assert problems(plate) == {}


def test_a_companion_can_be_given_itself(tmp_path):
    write_set(tmp_path, plate_of(FILES), "plate.companion.ome")
    write_tiff(tmp_path / "another.tif", 1, "")
    plate = open_plate(tmp_path / "plate.companion.ome")
    assert [field.well for field in plate.fields] == ["A01", "A01", "B12", "B12"]
    assert set(fates(plate)) == {*FILES, "plate.companion.ome"}


@pytest.mark.parametrize("order", ["XYCZT", "XYZCT", "XYTZC", "XYZTC"])
def test_the_order_of_dimensions_and_time_series_in_one_file_of_a_plate(tmp_path, order):
    image = Image([("a.ome.tif", 12)], c=2, z=3, t=2, order=order)
    other = Image([("b.ome.tif", 12)], c=2, z=3, t=2, order=order)
    metadata = Metadata([image, other], {(0, 0): [Sample(0)], (0, 1): [Sample(1)]})
    plate = open_plate(write_set(tmp_path, metadata))
    places = [Metadata.place(image, page) for page in range(12)]
    wanted = {
        (well, 1, t): [
            value(file, max(page for page, place in enumerate(places) if place[:2] == (t, c))) for c in (0, 1)
        ]
        for well, file in (("A01", "a.ome.tif"), ("A02", "b.ome.tif"))
        for t in (0, 1)
    }
    assert means(plate) == wanted


def test_two_plates_in_one_folder_are_refused(tmp_path):
    write_set(tmp_path, plate_of(FILES[:4]))
    other = replace(plate_of([f"g{n}.ome.tif" for n in range(4)]), plate='ID="Plate:0" Name="P8"')
    write_set(tmp_path, other)
    with pytest.raises(InputError, match=r"holds 2 plates \(P7, P8\): put the files of each into a folder"):
        open_plate(tmp_path)


def test_plates_in_one_file_each_are_listed_with_their_commands(tmp_path):
    for name in ("one", "two"):
        images = [
            replace(image, first_page=6 * n)
            for n, image in enumerate(plate_of([f"{name}.ome.tif"] * 4).images)
        ]
        write_set(tmp_path, replace(plate_of([""] * 4), images=images, plate=f'ID="Plate:0" Name="{name}"'))
    with pytest.raises(InputError, match=r"(?s)holds 2 plates.*one\.ome\.tif -o .*two\.ome\.tif -o "):
        open_plate(tmp_path)
    assert open_plate(tmp_path / "two.ome.tif").name == "two"


def test_plates_with_a_companion_each_are_listed_with_their_commands(tmp_path):
    for name in ("one", "two"):
        files = [f"{name}{n}.tif" for n in range(4)]
        metadata = replace(plate_of(files), plate=f'ID="Plate:0" Name="{name}"')
        write_set(tmp_path, metadata, f"{name}.companion.ome")
    with pytest.raises(
        InputError, match=r"(?s)holds 2 plates.*one\.companion\.ome -o .*two\.companion\.ome -o "
    ):
        open_plate(tmp_path)
    assert open_plate(tmp_path / "two.companion.ome").name == "two"


def test_plates_without_a_name_in_folders_are_not_joined(tmp_path):
    for column, name in enumerate(("one", "two")):
        metadata = Metadata([Image([("a.ome.tif", 1)])], {(0, column): [Sample(0)]}, plate='ID="Plate:0"')
        write_set(tmp_path / name, metadata)
    with pytest.raises(InputError, match=r"(?s)holds 2 plates.*/one -o .*/two -o "):
        open_plate(tmp_path)


def test_two_plates_of_one_name_are_refused(tmp_path):
    write_set(tmp_path, plate_of(FILES))
    write_set(tmp_path, plate_of([f"g{n}.ome.tif" for n in range(4)]))
    with pytest.raises(InputError, match=r"plate P7 has two images for one field, described in f0.* and g0"):
        open_plate(tmp_path)


def test_a_plate_whose_files_describe_each_their_own_well(tmp_path):
    for number, file in enumerate(FILES):
        wells = {(0, number): [Sample(0, 0)]}
        write_set(tmp_path, replace(Metadata([Image([(file, 2)], c=2)], wells), plate='ID="P" Name="P7"'))
    # an identifier of a field that occurs in every file is one of its own well
    plate = open_plate(tmp_path)
    assert list(plate.wells()) == ["A01", "A02", "A03", "A04"]
    assert set(fates(plate).values()) == {"used"}


def test_fields_that_were_not_acquired_are_gaps(tmp_path):
    metadata = plate_of(FILES)
    wells = {**metadata.wells, (2, 2): [Sample(None)], (7, 11): [], (3, 3): [Sample(17)]}
    plate = open_plate(write_set(tmp_path, replace(metadata, wells=wells)))
    assert problems(plate) == {
        ("C03", 1, 0): "its metadata list this field without an image: it was not acquired",
        ("D04", 1, 0): "its metadata refer to Image:17, which they do not describe",
    }


@pytest.mark.parametrize("place", [(32, 0), (0, 48), (-1, 0)])
def test_wells_beyond_plates_are_refused(tmp_path, place):
    write_set(tmp_path, Metadata([Image([("a.ome.tif", 1)])], {place: [Sample(0)]}))
    with pytest.raises(InputError, match=rf"a well at Row {place[0]} and Column {place[1]}, counted from 0"):
        open_plate(tmp_path)


def test_rows_beyond_the_alphabet_have_two_letters(tmp_path):
    wells = {(26, 47): [Sample(0)], (31, 0): [Sample(1)]}
    plate = open_plate(write_set(tmp_path, Metadata([Image([(f, 1)]) for f in FILES[:2]], wells)))
    assert list(plate.wells()) == ["AA48", "AF01"]


def test_naming_conventions_change_no_well(tmp_path):
    naming = 'ID="Plate:0" Name="P" RowNamingConvention="number" ColumnNamingConvention="letter"'
    plate = open_plate(write_set(tmp_path, replace(plate_of(FILES), plate=naming)))
    assert list(plate.wells()) == ["A01", "B12"]


@pytest.mark.parametrize(("indices", "sites"), [((7, 3), (2, 1)), ((None, None), (1, 2)), ((0, 0), (1, 2))])
def test_sites_follow_the_index_of_the_fields(tmp_path, indices, sites):
    images = [Image([(file, 1)]) for file in FILES[:2]]
    samples = [Sample(number, index) for number, index in enumerate(indices)]
    plate = open_plate(write_set(tmp_path, Metadata(images, {(0, 0): samples})))
    wanted = {("A01", site, 0): [value(file, 0)] for site, file in zip(sites, FILES, strict=False)}
    assert means(plate) == wanted


def test_one_of_several_acquisitions_is_read(tmp_path):
    acquisitions = "".join(
        f'<PlateAcquisition ID="PlateAcquisition:{n}" Name="{name}">'
        f'<WellSampleRef ID="WellSample:{n}"/><WellSampleRef ID="WellSample:{n + 2}"/></PlateAcquisition>'
        for n, name in enumerate(("live", "fixed"))
    )
    write_set(tmp_path, replace(plate_of(FILES), in_plate=acquisitions))
    with pytest.raises(InputError, match=r"(?s)2 acquisitions.*live: 2 fields.*fixed: 2 fields"):
        open_plate(tmp_path)
    with pytest.raises(InputError, match=r"(?s)no acquisition 'dead'. It has:.*live"):
        open_plate(tmp_path, acquisition="dead")
    plate = open_plate(tmp_path, acquisition="fixed")
    assert [(field.well, field.site, field.acquisition) for field in plate.fields] == [
        ("A01", 1, "fixed"),
        ("B12", 1, "fixed"),
    ]
    assert means(plate)["A01", 1, 0] == expected(FILES[1])
    assert fates(plate)[FILES[0]].startswith("ignored other-acquisition")


def test_channels_have_their_colours_and_wavelengths(tmp_path):
    metadata = plate_of(FILES)
    text = metadata.xml(FILES[0])
    for index, facts in enumerate(
        (
            'Color="65535" ExcitationWavelength="405" EmissionWavelength="0.46" EmissionWavelengthUnit="µm"',
            'Color="-16776961" Fluor="Alexa 488"',
        )
    ):
        old = f'ID="Channel:0:{index}"'
        text = text.replace(old, f"{old} {facts}")
    write_set(tmp_path, metadata)
    write_tiff(tmp_path / FILES[0], 6, text)
    dapi, gfp = open_plate(tmp_path).channels
    assert (dapi.name, dapi.color, dapi.excitation_nm, dapi.emission_nm) == ("DAPI", "0000FF", 405, 460)
    assert (gfp.name, gfp.color, gfp.aliases) == ("GFP", "FF0000", ("Alexa 488",))


@pytest.mark.parametrize(
    ("c", "names", "shown"),
    [
        (2, (), ["C1", "C2"]),
        (2, ("DAPI", "DAPI"), ["C1", "C2"]),
        (2, ("DAPI", ""), ["C1", "C2"]),
        (1, (), ["Grey"]),
        (1, ("DAPI",), ["DAPI"]),
    ],
)
def test_channels_without_a_name(tmp_path, c, names, shown):
    images = [Image([(file, c)], c=c, channels=names) for file in FILES[:2]]
    plate = open_plate(write_set(tmp_path, Metadata(images, {(0, n): [Sample(n)] for n in (0, 1)})))
    assert [channel.name for channel in plate.channels] == shown
    assert len(means(plate)["A02", 1, 0]) == c


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ('PhysicalSizeX="0.65"', 0.65),
        ('PhysicalSizeX="650" PhysicalSizeXUnit="nm"', 0.65),
        ('PhysicalSizeX="0.00000065" PhysicalSizeXUnit="m"', 0.65),
        ('PhysicalSizeX="1" PhysicalSizeXUnit="pixel"', None),
        ('PhysicalSizeX="0"', None),
        ("", None),
    ],
)
def test_the_pixel_size_has_a_unit(tmp_path, attributes, size):
    plate = open_plate(write_set(tmp_path, plate_of(FILES, extra=attributes)))
    for field in plate.fields:
        assert field.pixel_size_um == (size and pytest.approx(size))


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        ("", 1),
        (' PositionXUnit="reference frame"', 1),
        (' PositionXUnit="µm"', 1),
        (' PositionXUnit="mm" PositionYUnit="mm"', 1000),
        (' PositionXUnit="pixel"', 0),
    ],
)
def test_stage_positions_have_no_direction(tmp_path, unit, um):
    metadata = plate_of(FILES)
    for number, image in enumerate(metadata.images):
        place = f'PositionX="{number}" PositionY="-2"{unit}'
        metadata.images[number] = replace(image, inside=f'<Plane TheT="0" TheC="0" TheZ="0" {place}/>')
    write_set(tmp_path, metadata)
    plate = open_plate(tmp_path)
    assert [field.position_um for field in plate.fields] == [None] * 4
    assert {field.stage_um and field.stage_um[0] for field in plate.fields} == {-2 * um or None}
    unused = "stage positions are not used: they are recorded in a unit that is none of length"
    assert plate.remarks == (() if um else (unused,))


def test_the_time_of_an_acquisition_is_kept_as_written(tmp_path):
    before = "<AcquisitionDate>2026-01-02T03:04:05</AcquisitionDate>"
    plate = open_plate(write_set(tmp_path, plate_of(FILES, before=before)))
    assert {field.time for field in plate.fields} == {"2026-01-02T03:04:05"}
