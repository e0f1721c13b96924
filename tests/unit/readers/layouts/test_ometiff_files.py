"""OME-TIFF files that are missing, renamed, swapped, damaged or hostile."""

from dataclasses import replace

import pytest
from golden import fates, problems
from golden.ome_tiff import (
    FILES,
    SCHEMA,
    Image,
    Metadata,
    Sample,
    expected,
    means,
    plate_of,
    write_set,
    write_tiff,
)

from nucbatch.readers.find import open_plate
from nucbatch.readers.formats.ome_files import read_companion


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


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('SizeC="2"', 'SizeC="two"', "damaged OME-XML"),
        ('SizeZ="3"', 'SizeZ="900000000"', "damaged header (its OME-XML describes 1,800,000,000 planes)"),
        (
            'SizeZ="3"',
            'SizeZ="400000"',
            "damaged header (its OME-XML describes 800,000 planes, but a file of",
        ),
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


@pytest.mark.parametrize("axis", ["Z", "T", "C"])
def test_pages_that_a_small_file_cant_hold_are_refused_at_once(tmp_path, axis):
    binary = f'<OME xmlns="{SCHEMA}"><BinaryOnly MetadataFile="x.companion.ome"/></OME>'
    write_tiff(tmp_path / "a.ome.tif", 1, binary)
    sizes = " ".join(f'Size{one}="{40_000 if one == axis else 1}"' for one in "TCZ")
    (tmp_path / "x.companion.ome").write_text(
        f'<OME xmlns="{SCHEMA}"><Image ID="Image:0"><Pixels DimensionOrder="XYZCT" {sizes}>'
        '<TiffData IFD="0" PlaneCount="40000"><UUID FileName="a.ome.tif">urn:uuid:1</UUID></TiffData>'
        "</Pixels></Image></OME>"
    )
    plate = open_plate(tmp_path)
    said = fates(plate)
    assert said["x.companion.ome"].startswith(
        "quarantined damaged header (its OME-XML gives a.ome.tif a page 40,000, but a file of"
    )
    assert said["a.ome.tif"] == "quarantined its metadata are in x.companion.ome, which can't be used"
    assert not plate.fields


def test_a_small_companion_describes_the_many_planes_of_its_files(tmp_path):
    """Each file's planes are one element, so the companion's size says nothing of their number."""
    images = "".join(
        f'<Image ID="Image:{number}"><Pixels ID="Pixels:{number}" DimensionOrder="XYZCT" Type="uint16" '
        'SizeX="64" SizeY="64" SizeZ="50" SizeC="4" SizeT="100"><TiffData PlaneCount="20000">'
        f'<UUID FileName="p{number}.ome.tif">urn:uuid:{number}</UUID></TiffData></Pixels></Image>'
        for number in range(6)
    )
    path = tmp_path / "set.companion.ome"
    path.write_text(f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{images}</OME>')
    document = read_companion(path, lambda: None)
    assert [len(image.planes) for image in document.images] == [20_000] * 6
