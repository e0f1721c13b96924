"""Plates and sets of OME-TIFF are read by their metadata, and every file is accounted for."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from golden.ome_tiff import SCHEMA, Image, Metadata, Sample, plate_of, value, write_set, write_tiff

from nucbatch.core.errors import InputError
from nucbatch.readers.contract import NotThisLayout, ReadOptions
from nucbatch.readers.find import open_plate
from nucbatch.readers.layouts.ometiff import OmeTiffReader
from nucbatch.readers.listing import scan
from nucbatch.readers.pixels import field_channels, read_field

FILES = [f"f{number}.ome.tif" for number in range(4)]


def fates(plate):
    return {record.path: f"{record.status.value} {record.reason}".strip() for record in plate.files}


def problems(plate):
    return {(field.well, field.site, field.t): field.problem for field in plate.fields if field.problem}


def means(plate):
    """Value of each channel of each usable field; z-steps are projected by maximum."""
    return {
        (field.well, field.site, field.t): [
            int(pixels.mean()) for pixels in read_field(plate.root, field, field_channels(plate, field))
        ]
        for field in plate.fields
        if not field.problem
    }


def expected(file, c=2, z=3):
    """Values of the last z-step of each channel, the largest, in files whose z-steps follow one another."""
    return [value(file, z * channel + z - 1) for channel in range(c)]


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


def test_a_set_copied_partly_lists_what_is_not_there(tmp_path):
    images = [Image([(f"w{n}_c0.ome.tif", 1), (f"w{n}_c1.ome.tif", 1)], c=2) for n in range(3)]
    metadata = Metadata(images, {(0, n): [Sample(n)] for n in range(3)})
    write_set(tmp_path, metadata)
    for gone in ("w0_c1.ome.tif", "w2_c0.ome.tif", "w2_c1.ome.tif"):
        (tmp_path / gone).unlink()
    plate = open_plate(tmp_path)
    lacking = {field.well: field.lacking for field in plate.fields}
    assert lacking["A01"] == (("GFP", "w0_c1.ome.tif is not there"),)
    assert lacking["A02"] == ()
    assert problems(plate) == {("A03", 1, 0): "w2_c0.ome.tif is not there; w2_c1.ome.tif is not there"}


def test_a_missing_z_step_costs_the_channel(tmp_path):
    metadata = Metadata([Image([(f"z{n}.ome.tif", 1) for n in range(3)], z=3)], {(0, 0): [Sample(0)]})
    write_set(tmp_path, metadata)
    (tmp_path / "z1.ome.tif").unlink()
    plate = open_plate(tmp_path)
    assert problems(plate) == {("A01", 1, 0): "z1.ome.tif is not there"}
    assert {fate.split(":")[0] for fate in fates(plate).values()} == {"ignored incomplete-field"}


def test_renamed_files_are_found_by_their_uuid(tmp_path):
    write_set(tmp_path, plate_of(FILES))
    (tmp_path / FILES[1]).rename(tmp_path / "renamed.ome.tif")
    (tmp_path / FILES[2]).rename(tmp_path / "x")
    (tmp_path / FILES[3]).rename(tmp_path / FILES[2])  # two files with names swapped
    (tmp_path / "x").rename(tmp_path / FILES[3])
    plate = open_plate(tmp_path)
    assert means(plate) == {
        ("A01", 1, 0): expected(FILES[0]),
        ("A01", 2, 0): expected(FILES[1]),
        ("B12", 1, 0): expected(FILES[2]),
        ("B12", 2, 0): expected(FILES[3]),
    }
    assert set(fates(plate).values()) == {"used"}


def test_uuids_may_be_in_capital_letters(tmp_path):
    write_set(tmp_path, plate_of(FILES))
    renamed = tmp_path / FILES[1]
    text = plate_of(FILES).xml(FILES[1]).replace(f'"urn:uuid:{FILES[1]}"', f'"URN:UUID:{FILES[1].upper()}"')
    write_tiff(renamed, 6, text)
    renamed.rename(tmp_path / "renamed.ome.tif")
    assert means(open_plate(tmp_path))["A01", 2, 0] == expected("f1.ome.tif")


def test_a_renamed_file_without_uuid_is_refused(tmp_path):
    write_set(tmp_path, replace(plate_of(FILES), uuids=False))
    (tmp_path / FILES[1]).rename(tmp_path / "renamed.ome.tif")
    plate = open_plate(tmp_path)
    assert problems(plate) == {("A01", 2, 0): "f1.ome.tif is not there"}
    reason = "its OME metadata describe other files, not this one: restore its original name"
    assert fates(plate)["renamed.ome.tif"] == f"quarantined {reason}"


def test_a_file_of_another_acquisition_under_the_same_name_is_refused(tmp_path):
    write_set(tmp_path, plate_of(FILES))
    write_tiff(tmp_path / FILES[3], 6, plate_of(FILES).xml("another-uuid"))
    plate = open_plate(tmp_path)
    reason = "f3.ome.tif is another file than the one recorded (their UUIDs differ)"
    assert problems(plate) == {("B12", 2, 0): reason}
    assert fates(plate)[FILES[3]].startswith("quarantined ")


def test_invented_uuids_are_no_reason_to_refuse(tmp_path):
    metadata = plate_of(FILES)
    for file in FILES:
        write_tiff(tmp_path / file, 6, metadata.xml(f"invented for {file}"))
    plate = open_plate(tmp_path)
    assert problems(plate) == {}
    assert len(means(plate)) == 4


def test_one_uuid_for_all_files_is_no_reason_to_refuse(tmp_path):
    metadata = plate_of(FILES)
    for file in FILES:
        write_tiff(tmp_path / file, 6, metadata.xml(FILES[0]))
    whole = means(open_plate(tmp_path))
    assert whole["B12", 2, 0] == expected(FILES[3])
    assert len(whole) == 4
    for file in FILES[:3]:
        (tmp_path / file).unlink()
        plate = open_plate(tmp_path)
        assert means(plate).items() <= whole.items()
        assert means(plate)["B12", 2, 0] == expected(FILES[3])


def test_files_whose_names_are_all_swapped_are_told_by_their_uuids(tmp_path):
    write_set(tmp_path, plate_of(FILES))
    for number, file in enumerate(FILES):
        (tmp_path / file).rename(tmp_path / f"moved{number}")
    for number in range(4):
        (tmp_path / f"moved{number}").rename(tmp_path / FILES[3 - number])
    assert means(open_plate(tmp_path)) == {
        ("A01", 1, 0): expected(FILES[0]),
        ("A01", 2, 0): expected(FILES[1]),
        ("B12", 1, 0): expected(FILES[2]),
        ("B12", 2, 0): expected(FILES[3]),
    }


def test_a_copy_under_another_name_is_refused(tmp_path):
    write_set(tmp_path, plate_of(FILES))
    (tmp_path / "copy.ome.tif").write_bytes((tmp_path / FILES[1]).read_bytes())
    plate = open_plate(tmp_path)
    assert means(plate)["A01", 2, 0] == expected(FILES[1])
    assert fates(plate)["copy.ome.tif"].startswith("quarantined its OME metadata describe other files")


def test_two_sets_in_one_folder_are_both_read(tmp_path):
    for name in ("one", "two"):
        write_set(tmp_path, Metadata([Image([(f"{name}_{c}.ome.tif", 1) for c in range(2)], c=2, name=name)]))
    plate = open_plate(tmp_path)
    assert not plate.is_plate
    assert [(field.name, len(field.planes)) for field in plate.fields] == [("one", 2), ("two", 2)]
    assert set(fates(plate).values()) == {"used"}


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
    ("unit", "why"),
    [
        ("", "they are recorded without a unit of length"),
        (' PositionXUnit="reference frame"', "they are recorded without a unit of length"),
        (' PositionXUnit="µm"', "OME metadata do not say which way Y runs"),
        (' PositionXUnit="mm"', "OME metadata do not say which way Y runs"),
    ],
)
def test_stage_positions_whose_direction_is_unknown_are_not_used(tmp_path, unit, why):
    inside = f'<Plane TheT="0" TheC="0" TheZ="0" PositionX="3.5" PositionY="2"{unit}/>'
    plate = open_plate(write_set(tmp_path, plate_of(FILES, inside=inside)))
    assert [field.position_um for field in plate.fields] == [None] * 4
    assert plate.remarks == (f"stage positions are not used: {why}",)


def several(tmp_path, names, **options):
    """One file of several images, each of one page."""
    images = [
        Image([("scan.ome.tif", 1)], first_page=page, name=name, **options) for page, name in enumerate(names)
    ]
    write_set(tmp_path, Metadata(images))
    return tmp_path / "scan.ome.tif"


def test_several_images_in_one_file_are_fields_of_a_collection(tmp_path):
    plate = open_plate(several(tmp_path, ["region 1", "region 2", "region/3"]))
    assert not plate.is_plate
    assert [field.name for field in plate.fields] == ["scan_region_1", "scan_region_2", "scan_region_3"]
    assert means(plate) == {("", site, 0): [value("scan.ome.tif", site - 1)] for site in (1, 2, 3)}
    assert fates(plate) == {"scan.ome.tif": "used"}


def test_images_of_one_name_have_fields_of_different_names(tmp_path):
    plate = open_plate(several(tmp_path, ["scan", "scan", ""]))
    assert len({field.name for field in plate.fields}) == 3


def test_side_pictures_of_a_slide_scanner_are_left_out(tmp_path):
    path = several(tmp_path, ["region 1", "label image", "region 2", "macro"])
    plate = open_plate(path)
    assert [field.name for field in plate.fields] == ["scan_region_1", "scan_region_2"]
    assert plate.remarks == ("2 images left out, because they are side pictures: label image, macro",)


def test_one_picture_with_side_pictures_is_a_single_image(tmp_path):
    plate = open_plate(several(tmp_path, ["slide", "label", "macro"]))
    assert (plate.layout, len(plate.fields)) == ("single", 1)


def test_images_named_after_wells_without_a_plate_are_refused(tmp_path):
    path = several(tmp_path, ["Well B02, field 1", "Well B03, field 1"])
    with pytest.raises(
        InputError, match=r"named after wells \(B02, B03\), but its OME metadata describe no Plate"
    ):
        open_plate(path)
    assert len(open_plate(path, layout="ometiff").fields) == 2


def test_pyramids_of_several_images_in_one_file(tmp_path):
    path = tmp_path / "pyramids.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for number in (1, 2):
            pixels = np.full((256, 256), number, np.uint16)
            described = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm"}
            writer.write(pixels, subifds=1, tile=(64, 64), metadata=described)
            writer.write(pixels[::2, ::2], subfiletype=1, tile=(64, 64))
    plate = open_plate(path)
    assert [(field.height_px, field.pixel_size_um) for field in plate.fields] == [(256, 0.5)] * 2
    assert list(means(plate).values()) == [[1], [2]]
    half = open_plate(path, resolution_um=1.0)
    assert [(field.height_px, field.pixel_size_um) for field in half.fields] == [(128, 1.0)] * 2


def test_colour_images_in_one_file(tmp_path):
    path = tmp_path / "rgb.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for number in (1, 2):
            writer.write(np.full((16, 16, 3), number, np.uint8), photometric="rgb", metadata={"axes": "YXS"})
    plate = open_plate(path)
    assert [channel.name for channel in plate.channels] == ["Red", "Green", "Blue"]
    assert list(means(plate).values()) == [[1, 1, 1], [2, 2, 2]]


def test_a_file_of_a_set_given_alone_is_refused_or_read_as_one_image(tmp_path):
    write_set(tmp_path, plate_of(FILES))
    assert open_plate(tmp_path / FILES[0]).layout == "single"
    two = [Image([("a.ome.tif", 1)]), Image([("a.ome.tif", 1)], first_page=1), Image([("b.ome.tif", 1)])]
    write_set(tmp_path / "set", Metadata(two))
    with pytest.raises(InputError, match="holds 2 of 3 images of a set, the others are in other files"):
        open_plate(tmp_path / "set/a.ome.tif")


def test_a_folder_of_single_images_is_a_folder(tmp_path):
    for name in ("a", "b"):
        tifffile.imwrite(
            tmp_path / f"{name}.ome.tif", np.zeros((2, 16, 16), np.uint16), metadata={"axes": "ZYX"}
        )
    assert open_plate(tmp_path).layout == "folder"
    with pytest.raises(NotThisLayout, match="each OME-TIFF is an image of its own"):
        OmeTiffReader().read(scan(tmp_path), ReadOptions())


def test_single_images_beside_a_set_are_images_of_the_collection(tmp_path):
    write_set(tmp_path, Metadata([Image([("c0.ome.tif", 1), ("c1.ome.tif", 1)], c=2, name="set")]))
    tifffile.imwrite(tmp_path / "alone.ome.tif", np.zeros((16, 16), np.uint16))
    tifffile.imwrite(tmp_path / "plain.tif", np.zeros((16, 16), np.uint16))
    plate = open_plate(tmp_path)
    assert [field.name for field in plate.fields] == ["alone", "set"]
    assert fates(plate)["plain.tif"] == "quarantined an image, but no OME metadata describe it"


def test_files_whose_companion_is_not_there_are_refused(tmp_path):
    write_set(tmp_path, plate_of(FILES), "plate.companion.ome")
    (tmp_path / "plate.companion.ome").unlink()
    reason = "its metadata are in plate.companion.ome, which is not there: copy the whole set"
    assert set(fates(open_plate(tmp_path)).values()) == {f"quarantined {reason}"}


def test_a_damaged_companion_is_refused_with_its_reason(tmp_path):
    write_set(tmp_path, plate_of(FILES), "plate.companion.ome")
    companion = tmp_path / "plate.companion.ome"
    companion.write_text(companion.read_text()[:-100])
    seen = fates(open_plate(tmp_path))
    assert seen["plate.companion.ome"].startswith("quarantined it ends too early")
    assert all(fate.startswith("quarantined") for fate in seen.values())


def test_pages_that_no_image_claims_are_no_silent_loss(tmp_path):
    metadata = plate_of(FILES)
    write_set(tmp_path, metadata)
    write_tiff(tmp_path / FILES[0], 7, metadata.xml(FILES[0]))
    plate = open_plate(tmp_path)
    reason = "f0.ome.tif: its metadata describe 6 planes, 7 are there"
    assert problems(plate) == {("A01", 1, 0): reason}
    assert fates(plate)[FILES[0]] == f"quarantined {reason}"


def test_pages_that_are_not_there_are_no_silent_loss(tmp_path):
    metadata = plate_of(FILES)
    write_set(tmp_path, metadata)
    write_tiff(tmp_path / FILES[0], 5, metadata.xml(FILES[0]))
    plate = open_plate(tmp_path)
    assert problems(plate) == {("A01", 1, 0): "f0.ome.tif: it has no frame 5: its 5 are counted from 0"}


def test_a_page_that_two_images_claim_is_refused(tmp_path):
    images = [Image([("a.ome.tif", 1)]), Image([("a.ome.tif", 1)])]
    plate = open_plate(write_set(tmp_path, Metadata(images, {(0, n): [Sample(n)] for n in (0, 1)})))
    reason = "two images claim page 0 of a.ome.tif: Image:0 and Image:1"
    assert problems(plate) == {("A01", 1, 0): reason, ("A02", 1, 0): reason}


def test_planes_without_tiffdata_are_refused_unless_there_is_one_image(tmp_path):
    image = (
        '<Image ID="Image:{0}"><Pixels ID="P:{0}" DimensionOrder="XYCZT" Type="uint16" SizeX="16" SizeY="16" '
        'SizeZ="1" SizeC="1" SizeT="1"/></Image>'
    )
    images = image.format(0) + image.format(1)
    write_tiff(tmp_path / "a.ome.tif", 2, f'<OME xmlns="{SCHEMA}">{images}</OME>')
    plate = open_plate(tmp_path)
    reason = "its metadata do not say which of the file's pages are its planes"
    assert set(problems(plate).values()) == {reason}
    assert fates(plate) == {"a.ome.tif": f"quarantined {reason}"}


def test_files_named_outside_the_input_are_not_followed(tmp_path):
    write_tiff(tmp_path / "secret.ome.tif", 1, "")
    metadata = Metadata([Image([("../secret.ome.tif", 1)]), Image([("a.ome.tif", 1)])], uuids=False)
    (tmp_path / "in").mkdir()
    wells = {(0, 0): [Sample(0)], (0, 1): [Sample(1)]}
    write_tiff(tmp_path / "in/a.ome.tif", 1, replace(metadata, wells=wells).xml())
    plate = open_plate(tmp_path / "in")
    assert problems(plate) == {("A01", 1, 0): "../secret.ome.tif leads out of the input"}


def test_sets_in_folders_of_one_plate(tmp_path):
    metadata = plate_of([f"sub/f{n}.tif" for n in range(4)])
    plate = open_plate(write_set(tmp_path, metadata, "p.companion.ome"))
    assert problems(plate) == {}
    assert len(means(plate)) == 4


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('SizeC="2"', 'SizeC="two"', "damaged OME-XML"),
        ('SizeZ="3"', 'SizeZ="900000000"', "damaged header (its OME-XML describes 1,800,000,000 planes)"),
        ('IFD="0"', 'IFD="-1"', "damaged header (TiffData with IFD -1)"),
        ("XYZCT", "XYCCT", "damaged header (DimensionOrder 'XYCCT')"),
        ("<OME", '<!DOCTYPE x [<!ENTITY a "b">]><OME', "its XML declares a document type or entities"),
    ],
)
def test_damaged_and_hostile_metadata_are_refused_with_a_reason(tmp_path, old, new, reason):
    write_set(tmp_path, plate_of(FILES), "plate.companion.ome")
    companion = tmp_path / "plate.companion.ome"
    companion.write_text(companion.read_text().replace(old, new))
    assert fates(open_plate(tmp_path))["plate.companion.ome"].startswith(f"quarantined {reason}")


def test_a_smaller_image_in_the_file_is_no_level_of_the_first(tmp_path):
    path = tmp_path / "two.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for side, number in ((256, 1), (128, 2)):
            described = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm"}
            writer.write(np.full((side, side), number, np.uint16), tile=(64, 64), metadata=described)
    plate = open_plate(path, resolution_um=1.0)
    assert [field.height_px for field in plate.fields] == [256, 128]
    assert list(means(plate).values()) == [[1], [2]]


def test_a_file_of_several_fields_has_no_field_in_the_table_of_files(tmp_path):
    images = [replace(image, first_page=6 * n) for n, image in enumerate(plate_of(["p.ome.tif"] * 4).images)]
    write_set(tmp_path, replace(plate_of(["p.ome.tif"] * 4), images=images))
    (record,) = open_plate(tmp_path).files
    assert (record.status.value, record.well, record.site, record.channel, record.group) == (
        "used",
        "",
        None,
        "",
        "",
    )


def test_a_field_that_cannot_be_used_costs_no_other_field_of_its_file(tmp_path):
    path = tmp_path / "mixed.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for number in (1, 2):
            writer.write(
                np.full((2, 16, 16), number, np.uint16), metadata={"axes": "CYX"}, photometric="minisblack"
            )
        writer.write(np.full((16, 16, 3), 3, np.uint8), photometric="rgb", metadata={"axes": "YXS"})
    plate = open_plate(path)
    assert [bool(field.problem) for field in plate.fields] == [False, False, True]
    assert fates(plate) == {"mixed.ome.tif": "used"}


def test_names_that_tell_wells_are_read_where_the_metadata_describe_no_plate(tmp_path):
    for well in ("B02", "B03"):
        pages = [(f"plate_{well}_s1_w{channel}.ome.tif", 1) for channel in (1, 2)]
        write_set(tmp_path, Metadata([Image(pages, c=2)]))
    plate = open_plate(tmp_path)
    assert plate.layout != "ometiff"
    assert list(plate.wells()) == ["B02", "B03"]


def test_single_channels_of_different_names_are_one_grey_channel(tmp_path):
    images = [
        Image([("scan.ome.tif", 1)], first_page=page, channels=(name,))
        for page, name in enumerate(("a", "b"))
    ]
    write_set(tmp_path, Metadata(images))
    assert [channel.name for channel in open_plate(tmp_path).channels] == ["Grey"]


@pytest.mark.parametrize("folder", ["/data/run 7/", "D:\\data\\", "C:/data/"])
def test_absolute_paths_of_the_writing_machine_count_by_their_name(tmp_path, folder):
    metadata = replace(plate_of(FILES), uuids=False)
    for file in FILES:
        write_tiff(tmp_path / file, 6, metadata.xml().replace('FileName="', f'FileName="{folder}'))
    plate = open_plate(tmp_path)
    assert problems(plate) == {}
    assert means(plate)["B12", 2, 0] == expected(FILES[3])


def test_links_out_of_the_input_are_not_followed(tmp_path):
    write_set(tmp_path / "elsewhere", plate_of(FILES))
    write_set(tmp_path / "in", plate_of(FILES), "p.companion.ome")
    (tmp_path / "in" / FILES[0]).unlink()
    (tmp_path / "in" / FILES[0]).symlink_to(tmp_path / "elsewhere" / FILES[0])
    plate = open_plate(tmp_path / "in")
    assert problems(plate) == {("A01", 1, 0): "f0.ome.tif is not there"}
    plate = open_plate(tmp_path / "in/p.companion.ome")
    assert problems(plate) == {("A01", 1, 0): "f0.ome.tif is not there"}


@pytest.mark.parametrize("order", ["XYCZT", "XYZCT", "XYTZC"])
def test_tifffile_reads_the_same_pixels_of_a_set(tmp_path, order):
    files = [(f"part{number}.ome.tif", 4) for number in range(3)]
    write_set(tmp_path, Metadata([Image(files, c=2, z=3, t=2, order=order)]))
    with tifffile.TiffFile(tmp_path / "part0.ome.tif") as tiff:
        series = tiff.series[0]
        theirs = series.asarray().mean(axis=(-2, -1)).astype(int)
    axes = series.axes.removesuffix("YX")
    theirs = theirs.transpose([axes.index(axis) for axis in "TCZ"]).max(axis=2)
    assert [means(open_plate(tmp_path))["", 1, t] for t in (0, 1)] == theirs.tolist()


def test_several_images_by_tifffile_have_the_same_pixels_there(tmp_path):
    path = tmp_path / "several.ome.tif"
    rng = np.random.default_rng(0)
    written = [rng.integers(0, 99, (2, 3, 16, 16)).astype(np.uint16) for _ in range(3)]
    with tifffile.TiffWriter(path, ome=True) as writer:
        for pixels, axes in zip(written, ("CZYX", "ZCYX", "CTYX"), strict=True):
            writer.write(pixels if axes != "ZCYX" else pixels.transpose(1, 0, 2, 3), metadata={"axes": axes})
    plate = open_plate(path)
    assert [(field.site, field.t) for field in plate.fields] == [(1, 0), (2, 0), (3, 0), (3, 1), (3, 2)]
    for field in plate.fields:
        pixels = written[field.site - 1]
        wanted = pixels[:, field.t] if field.site == 3 else pixels.max(axis=1)
        np.testing.assert_array_equal(read_field(plate.root, field, field_channels(plate, field)), wanted)


def test_the_time_of_an_acquisition_is_kept_as_written(tmp_path):
    before = "<AcquisitionDate>2026-01-02T03:04:05</AcquisitionDate>"
    plate = open_plate(write_set(tmp_path, plate_of(FILES, before=before)))
    assert {field.time for field in plate.fields} == {"2026-01-02T03:04:05"}
