"""Harmony's index: images that are not here, damaged and foreign indexes, and where it may lie."""

import tracemalloc
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from golden import quarantined, write_images
from golden.harmony import ONE, STAINS, index, named, old_name, places, written

from nucbatch.core.errors import InputError
from nucbatch.readers.find import open_plate
from nucbatch.readers.layouts.harmony_index import read_index
from nucbatch.readers.listing import scan


def test_listed_images_that_are_not_there_are_gaps_with_the_reason(tmp_path):
    listed = named(places([(2, 3), (3, 7)], 2, planes=2))
    written(tmp_path, listed)
    for place, name in listed:
        if place[:3] == (2, 3, 2) or place[:5] == (3, 7, 1, 1, 2):
            (tmp_path / name).unlink()
    (tmp_path / "r05c05f01p01-ch1sk1fk1fl1.tiff").write_bytes((tmp_path / listed[0][1]).read_bytes())
    plate = open_plate(tmp_path)
    fields = {(field.well, field.site): field for field in plate.fields}
    assert list(fields) == [("B03", 1), ("B03", 2), ("C07", 1), ("C07", 2)]
    lost = "r02c03f02p01-ch1sk1fk1fl1.tiff, listed in Index.idx.xml, is not there (and 3 more images)"
    assert fields["B03", 2].problem == lost
    assert fields["B03", 2].position_um == (0, -640)
    # one of two planes is gone: a projection of the other would not be comparable
    gone = "r03c07f01p01-ch2sk1fk1fl1.tiff, listed in Index.idx.xml, is not there"
    assert fields["C07", 1].lacking == ((STAINS[1], gone),)
    assert quarantined(plate) == {"r05c05f01p01-ch1sk1fk1fl1.tiff": "Index.idx.xml does not list it"}


def test_an_image_whose_state_is_not_ok_is_not_used(tmp_path):
    bad = old_name((2, 3, 2, 1, 1, 1))
    plate = open_plate(written(tmp_path, ONE, states={bad: "Error"}))
    reason = "Index.idx.xml gives its state as Error"
    assert quarantined(plate) == {bad: reason}
    (record,) = [record for record in plate.files if record.path == bad]
    assert (record.well, record.site, record.channel, record.z, record.t) == ("B03", 2, STAINS[0], 0, 0)
    assert plate.fields[1].lacking == ((STAINS[0], reason),)


def test_a_well_that_was_measured_and_has_no_image_is_a_gap(tmp_path):
    plate = open_plate(written(tmp_path, ONE, ('<Well id="0203" />', '<Well id="0203" /><Well id="0415" />')))
    assert [(field.well, field.problem) for field in plate.fields][2:] == [
        ("D15", "Index.idx.xml lists the well as measured, but no image of it")
    ]


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (("</Images></EvaluationInputData>", ""), "it ends too early"),
        (("<Images>", "<Images"), "it is damaged"),
        (("<Row>2</Row>", "<Row>5</Row>"), "as well E03, field 1"),
        (("<FieldID>2</FieldID>", "<FieldID>1</FieldID>"), "as well B03, field 1"),
        (("<TimepointID>0</TimepointID>", "<TimepointID>4</TimepointID>"), "its TimepointID contradict"),
        (("<ChannelID>2</ChannelID>", ""), "has no usable place: Row 2, Col 3"),
        (("<Row>2</Row>", "<Row>99</Row>"), "has no usable place"),
        ((STAINS[1] + "</ChannelName>(.*)f02", r"GFP</ChannelName>\1f02"), "names channel 2 both"),
        (("f02p01-ch2", "f02p01-ch1"), "as well B03, field 2, plane 1, channel 2"),
        (("<Images>.*</Images>", "<Images/>"), "it lists no image"),
        (("EvaluationInputData", "Something"), None),
        (("r02c03f", "r04c04f"), "as well B03"),
        (('<\\?xml version="1.0" encoding="utf-8"\\?>', "<!DOCTYPE a>"), "declares a document type"),
    ],
)
def test_an_index_that_is_wrong_is_quarantined_and_names_are_used(tmp_path, edit, reason):
    plate = open_plate(written(tmp_path, ONE, (f"(?s){edit[0]}", edit[1])))
    if reason is None:  # the root's name does not matter
        assert plate.evidence == "side file"
        return
    assert reason in quarantined(plate)["Index.idx.xml"]
    assert (plate.evidence, len(plate.fields)) == ("names", 2)
    assert plate.remarks[0].startswith("Index.idx.xml is not used: ")


def test_the_index_of_another_measurement_is_not_used(tmp_path):
    written(tmp_path, ONE)
    (tmp_path / "Index.idx.xml").write_text(index(named(places([(5, 5)], 2))))
    plate = open_plate(tmp_path)
    assert quarantined(plate) == {"Index.idx.xml": "it lists 4 images, and none of those that are here"}
    assert {field.well for field in plate.fields} == {"B03"}


@pytest.mark.parametrize(
    "to", ["../outside/", "..\\\\outside\\\\", "{outside}/", "file://{outside}/", "//host/"]
)
def test_an_index_never_leads_out_of_the_input(tmp_path, to):
    (tmp_path / "in").mkdir()
    written(tmp_path / "in", ONE, ("<URL>", f"<URL>{to.format(outside=tmp_path / 'outside')}"))
    (tmp_path / "outside").mkdir()
    gone = ONE[0][1]
    (tmp_path / "in" / gone).rename(tmp_path / "outside" / gone)
    plate = open_plate(tmp_path / "in")
    assert gone not in {plane.path.rpartition("/")[2] for field in plate.fields for plane in field.planes}
    assert sum(len(field.planes) for field in plate.fields) == 3
    assert plate.fields[0].lacking[0][1].endswith("is not there")


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_converted_images_belong_to_their_records(tmp_path, suffix):
    written(tmp_path, ONE)
    for _, name in ONE:
        (tmp_path / name).unlink()
        write_picture(tmp_path / Path(name).with_suffix(suffix))
    plate = open_plate(tmp_path)
    assert (plate.evidence, quarantined(plate), len(plate.fields)) == ("side file", {}, 2)
    assert all(len(field.planes) == 2 for field in plate.fields)


def test_beside_the_image_of_the_index_a_converted_one_is_not_used(tmp_path):
    written(tmp_path, ONE)
    (tmp_path / ONE[0][1]).with_suffix(".tif").write_bytes((tmp_path / ONE[0][1]).read_bytes())
    plate = open_plate(tmp_path)
    assert list(quarantined(plate).values()) == ["Index.idx.xml does not list it"]
    assert all(len(field.planes) == 2 for field in plate.fields)


def write_picture(path: Path) -> None:
    pixels = np.zeros((16, 16), np.uint16)
    if path.suffix == ".png":
        path.write_bytes(imagecodecs.png_encode(pixels))
    else:
        tifffile.imwrite(path, pixels)


def test_an_index_above_the_input_is_pointed_out(tmp_path):
    written(tmp_path, ONE)
    (tmp_path / "r02c03").mkdir()
    for _, name in ONE:
        (tmp_path / name).rename(tmp_path / "r02c03" / name)
    assert open_plate(tmp_path).evidence == "side file"
    plate = open_plate(tmp_path / "r02c03")
    assert plate.evidence == "names"
    assert plate.remarks[-1] == f"Index.idx.xml lies above the input: give {tmp_path} to have it read."


def test_the_next_index_is_used_if_the_first_is_damaged(tmp_path):
    written(tmp_path, ONE, name="Index.xml")
    (tmp_path / "Index.idx.xml").write_text("<EvaluationInputData>")
    plate = open_plate(tmp_path)
    assert plate.evidence == "side file"
    assert list(quarantined(plate)) == ["Index.idx.xml"]


def test_names_that_say_nothing_beside_a_damaged_index_are_refused(tmp_path):
    write_images(tmp_path, ["1.tif", "2.tif"])
    (tmp_path / "Index.idx.xml").write_text("<EvaluationInputData>")
    with pytest.raises(InputError, match=r"Index\.idx\.xml is not used: it ends too early.*export"):
        open_plate(tmp_path)


def test_several_measurements_are_refused_with_the_commands(tmp_path):
    for number in (1, 2):
        folder = tmp_path / f"P__2022-12-19T10_18_52-Measurement {number}" / "Images"
        folder.mkdir(parents=True)
        written(folder, ONE)
    with pytest.raises(InputError, match="2 measurements of Harmony") as caught:
        open_plate(tmp_path)
    for number in (1, 2):
        assert f"/P__2022-12-19T10_18_52-Measurement {number}' -o out/P__2022" in str(caught.value)


def test_a_copy_of_the_images_below_the_measurement_is_refused(tmp_path):
    written(tmp_path, ONE)
    write_images(tmp_path / "copy", (name for _, name in ONE))
    with pytest.raises(InputError, match="copy -o out/copy"):
        open_plate(tmp_path)


def test_an_index_finds_images_in_folders_below_it_and_by_other_case(tmp_path):
    written(tmp_path, ONE)
    (tmp_path / "day 1").mkdir()
    for _, name in ONE:
        (tmp_path / name).rename(tmp_path / "day 1" / name.upper())
    plate = open_plate(tmp_path)
    assert [field.problem for field in plate.fields] == ["", ""]
    assert (plate.evidence, quarantined(plate)) == ("side file", {})


@pytest.mark.slow
@pytest.mark.parametrize("images", [1_800, 18_000])
def test_the_memory_of_an_index_is_a_fraction_of_the_file(tmp_path, images):
    measured = [(1 + n // 48, 1 + n % 48) for n in range(images // 90)]
    listed = named(places(measured, 9, channels=5, planes=2))
    text = index(listed, stains=(*STAINS, "4", "5"), profiles=("%d %s",) * 5)
    (tmp_path / "Index.idx.xml").write_text(text)
    tracemalloc.start()
    try:
        found = read_index(scan(tmp_path), "Index.idx.xml")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found.images) == len(listed) == images
    assert peak < 0.6 * len(text) + 2**20  # a real index is twice as long for the same records


def test_images_of_a_format_that_cant_be_decoded_are_quarantined(tmp_path):
    written(tmp_path, ONE, (r"ch2sk1fk1fl1\.tiff", "ch2sk1fk1fl1.tiff.gz"))
    for place, name in ONE:
        if place[4] == 2:
            (tmp_path / name).rename(tmp_path / f"{name}.gz")
    plate = open_plate(tmp_path)
    assert set(quarantined(plate).values()) == {
        "Index.idx.xml lists it as an image, but it can't be decoded: convert it to TIFF"
    }
    assert plate.fields[0].lacking == ((STAINS[1], "r02c03f01p01-ch2sk1fk1fl1.tiff.gz can't be decoded"),)


@pytest.mark.parametrize(("of_image", "said"), [("m-1", 0), ("m-2", 1), (None, 0)])
def test_an_index_of_another_measurement_with_the_same_names_is_reported(tmp_path, of_image, said):
    written(tmp_path, ONE, ("<PlateID>", "<MeasurementID>m-1</MeasurementID><PlateID>"))
    xml = f"<TiffImageDescription><MeasurementID>{of_image}</MeasurementID></TiffImageDescription>".encode()
    tags = [] if of_image is None else [(65500, 7, len(xml), xml, True)]
    for _, name in ONE:
        tifffile.imwrite(tmp_path / name, np.zeros((16, 16), np.uint16), extratags=tags)
    remarks = [remark for remark in open_plate(tmp_path).remarks if "belongs to measurement m-1" in remark]
    assert len(remarks) == said


def test_a_damaged_first_image_says_nothing_about_the_measurement(tmp_path):
    written(tmp_path, ONE, ("<PlateID>", "<MeasurementID>m-1</MeasurementID><PlateID>"))
    (tmp_path / ONE[0][1]).write_bytes(b"II*\0 damaged")
    assert not [remark for remark in open_plate(tmp_path).remarks if "belongs" in remark]


def test_overlong_names_are_refused(tmp_path):
    plate = open_plate(written(tmp_path, ONE, (STAINS[1], "x" * 1000)))
    assert quarantined(plate) == {"Index.idx.xml": "the name of channel 2 has 1,000 characters"}


def test_an_index_without_any_image_here_lists_every_field_as_lost(tmp_path):
    (tmp_path / "Index.ref.xml").write_text(index(ONE))
    plate = open_plate(tmp_path)
    assert [field.problem for field in plate.fields] == [
        f"r02c03f0{site}p01-ch1sk1fk1fl1.tiff, listed in Index.ref.xml, is not there (and 1 more image)"
        for site in (1, 2)
    ]
