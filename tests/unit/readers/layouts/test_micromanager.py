"""Micro-Manager's stacks and folders: each file's own position, and all that is lost."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
from golden import write_images
from golden.micromanager import POSITIONS, stacks, write_folders
from golden.ome_tiff import SCHEMA, value, write_set, write_tiff

from nucbatch.core.errors import InputError
from nucbatch.readers.contract import NotThisLayout, ReadOptions
from nucbatch.readers.find import open_plate
from nucbatch.readers.layouts.micromanager import MicroManagerReader
from nucbatch.readers.listing import scan
from nucbatch.readers.pixels import field_channels, read_field

UNDESCRIBED = "its metadata do not say where it is: not acquired, or lost"


def fates(plate):
    return {record.path: f"{record.status.value} {record.reason}".strip() for record in plate.files}


def problems(plate):
    return {(field.well, field.site, field.t): field.problem for field in plate.fields if field.problem}


def means(plate):
    return {
        (field.well, field.site): [
            int(pixels.mean()) for pixels in read_field(plate.root, field, field_channels(plate, field))
        ]
        for field in plate.fields
        if not field.problem
    }


def stack(label, prefix="exp"):
    return f"{prefix}_MMStack_{label}.ome.tif"


def expected(label):
    """Channel varies fastest: the last z-step of each."""
    return [value(stack(label), 4), value(stack(label), 5)]


@pytest.mark.parametrize("uuids", [True, False])
def test_each_stack_gives_its_own_position(tmp_path, uuids):
    plate = open_plate(write_set(tmp_path, replace(stacks(), uuids=uuids)))
    assert means(plate) == {
        ("B02", 1): expected("B2-Site_0"),
        ("B02", 2): expected("B2-Site_1"),
        ("C12", 1): expected("C12-Site_0"),
        ("C12", 2): expected("C12-Site_1"),
    }
    assert [field.position_um for field in plate.fields] == [None] * 4
    assert all(field.stage_um for field in plate.fields)


def test_positions_whose_stack_is_not_there_are_gaps(tmp_path):
    write_set(tmp_path, stacks())
    (tmp_path / stack("B2-Site_0")).unlink()
    (tmp_path / stack("C12-Site_1")).unlink()
    plate = open_plate(tmp_path)
    assert set(means(plate)) == {("B02", 2), ("C12", 1)}
    assert problems(plate) == {
        ("B02", 1, 0): f"{stack('B2-Site_0')} is not there",
        ("C12", 2, 0): f"{stack('C12-Site_1')} is not there",
    }


def test_names_that_contradict_the_metadata_are_refused(tmp_path):
    metadata = stacks()
    for file, pages in metadata.files().items():
        text = metadata.xml(file).replace('<StageLabel Name="B2-Site_0"', '<StageLabel Name="D4-Site_0"')
        write_tiff(tmp_path / file, pages, text)
    reason = f"{stack('B2-Site_0')}: its metadata say position D4-Site_0, its name says B2-Site_0"
    plate = open_plate(tmp_path)
    assert problems(plate) == {("B02", 1, 0): reason}
    assert fates(plate)[stack("B2-Site_0")] == f"quarantined {reason}"


def test_one_label_for_all_positions_counts_less_than_the_names_of_stacks(tmp_path):
    metadata = stacks()
    for file, pages in metadata.files().items():
        text = metadata.xml(file)
        for label in POSITIONS:
            text = text.replace(f'<StageLabel Name="{label}"', '<StageLabel Name="B2-Site_0"')
        write_tiff(tmp_path / file, pages, text)
    plate = open_plate(tmp_path)
    assert problems(plate) == {}
    assert means(plate)["C12", 2] == expected("C12-Site_1")


def test_one_label_for_all_positions_in_one_stack_is_refused(tmp_path):
    images = [
        replace(
            image,
            pages=[("exp_MMStack.ome.tif", 6)],
            first_page=6 * number,
            name="exp_MMStack",
            before='<StageLabel Name="B2-Site_0"/>',
        )
        for number, image in enumerate(stacks().images)
    ]
    write_set(tmp_path, replace(stacks(), images=images))
    with pytest.raises(InputError, match=r"gives all of its 4 positions the label B2-Site_0"):
        open_plate(tmp_path)


def test_stacks_whose_metadata_are_in_the_first_of_them(tmp_path):
    metadata = stacks()
    write_set(tmp_path, metadata)
    first = stack(POSITIONS[0])
    for label in POSITIONS[1:]:
        text = (
            f'<OME xmlns="{SCHEMA}" UUID="urn:uuid:{stack(label)}"><BinaryOnly MetadataFile="{first}"/></OME>'
        )
        write_tiff(tmp_path / stack(label), 6, text)
    plate = open_plate(tmp_path)
    assert problems(plate) == {}
    assert means(plate)["C12", 2] == expected("C12-Site_1")
    (tmp_path / first).unlink()
    assert {fate.rpartition(": ")[2] for fate in fates(open_plate(tmp_path)).values()} == {
        "copy the whole set"
    }


def partial(tmp_path, unacquired):
    """Stacks of 2 channels × 3 z-steps, the channel fastest, without some planes of each."""
    images = []
    for image, gone in zip(stacks().images, unacquired, strict=True):
        pages = [(image.pages[0][0], 6 - len(gone))]
        images.append(replace(image, pages=pages, unacquired=gone))
    return open_plate(write_set(tmp_path, replace(stacks(), images=images)))


def test_a_channel_without_z_stack_is_used(tmp_path):
    plate = partial(tmp_path, [(3, 5)] * 4)  # GFP has its first z-step alone: pages D0 G0 D1 D2
    assert {field.lacking for field in plate.fields} == {()}
    assert means(plate)["C12", 2] == [value(stack("C12-Site_1"), 3), value(stack("C12-Site_1"), 1)]


def test_a_stopped_acquisition_lacks_what_other_positions_have(tmp_path):
    plate = partial(tmp_path, [(), (), (), (4, 5)])
    assert [field.lacking for field in plate.fields[:3]] == [()] * 3
    assert problems(plate) == {("C12", 2, 0): f"{UNDESCRIBED}; {UNDESCRIBED}"}


def test_a_channel_that_was_never_acquired_is_lacking(tmp_path):
    plate = partial(tmp_path, [(1, 3, 5)] * 4)
    assert {dict(field.lacking).get("GFP") for field in plate.fields} == {UNDESCRIBED}


def test_a_stack_continued_in_another_file(tmp_path):
    metadata = stacks(("B2-Site_0",))
    image = replace(
        metadata.images[0], pages=[(stack("B2-Site_0"), 4), ("exp_MMStack_B2-Site_0_1.ome.tif", 2)]
    )
    other = stacks(("B3-Site_0",)).images[0]
    plate = open_plate(write_set(tmp_path, replace(metadata, images=[image, other])))
    assert means(plate)["B02", 1] == [
        max(value(stack("B2-Site_0"), 2), value("exp_MMStack_B2-Site_0_1.ome.tif", 0)),
        max(value(stack("B2-Site_0"), 3), value("exp_MMStack_B2-Site_0_1.ome.tif", 1)),
    ]


def write_indexed(path, planes, description=b"", positions=(0,), summary=None):
    """A stack with Micro-Manager's header: planes (channel, z, t) of 16 × 16 px, each position in turn."""
    header = json.dumps(summary or {"ChNames": ["DAPI", "GFP"], "PixelSize_um": 0.65, "Slices": 3}).encode()
    content = bytearray(b"II*\0" + bytes(36) + header)
    rows, link = [], 4
    for position in positions:
        for channel, z, t in planes:
            pixels = np.full((16, 16), 1 + channel + 10 * z + 100 * t + 1000 * position, np.uint16).tobytes()
            entries = [
                (256, 16),
                (257, 16),
                (258, 16),
                (259, 1),
                (262, 1),
                (273, 0),
                (277, 1),
                (278, 16),
                (279, 512),
            ]
            if description and not rows:
                entries.insert(5, (270, len(description)))
            directory = len(content)
            begin = directory + 2 + 12 * len(entries) + 4
            values = {273: begin + len(description) * (270 in dict(entries)), 270: begin}
            content += struct.pack("<H", len(entries))
            for code, number in entries:
                kind, count = (2, number) if code == 270 else (4, 1)
                content += struct.pack("<HHII", code, kind, count, values.get(code, number))
            struct.pack_into("<I", content, link, directory)
            link = len(content)
            content += bytes(4) + (description if 270 in dict(entries) else b"") + pixels
            rows.append((channel, z, t, position, directory))
    struct.pack_into("<IIIIIIII", content, 8, 54_773_648, len(content), 0, 0, 0, 0, 2_355_492, len(header))
    content += struct.pack("<II", 3_453_623, len(rows))
    for row in rows:
        content += struct.pack("<IIIII", *row)
    path.write_bytes(content)


PLANES = [(c, z, t) for t in range(2) for z in range(3) for c in range(2)]


def test_stacks_whose_metadata_are_lost_are_read_by_their_own_lists(tmp_path):
    only = f'<OME xmlns="{SCHEMA}"><BinaryOnly MetadataFile="{stack("B2-Site_0")}"/></OME>'.encode() + b"\0"
    for label in POSITIONS[1:]:
        write_indexed(tmp_path / stack(label), PLANES, only)
    plate = open_plate(tmp_path)
    assert (plate.layout, list(plate.wells())) == ("micromanager", ["B02", "C12"])
    assert [channel.name for channel in plate.channels] == ["DAPI", "GFP"]
    assert {(field.pixel_size_um, field.problem, field.lacking) for field in plate.fields} == {(0.65, "", ())}
    last = plate.fields[-1]
    assert (last.well, last.site, last.t) == ("C12", 2, 1)
    assert read_field(plate.root, last, plate.channels).mean(axis=(1, 2)).tolist() == [121, 122]
    assert set(fates(plate).values()) == {"used"}


def test_stacks_without_ome_metadata_and_one_that_was_stopped(tmp_path):
    write_indexed(tmp_path / stack("B2-Site_0"), PLANES)
    write_indexed(tmp_path / stack("B2-Site_1"), PLANES[:10])
    plate = open_plate(tmp_path)
    reason = "not in its stack's list of images: not acquired, or lost"
    assert problems(plate) == {("B02", 2, 1): f"{reason}; {reason}"}


def test_a_stack_without_metadata_that_goes_on_in_another_file(tmp_path):
    write_indexed(tmp_path / stack("B2-Site_0"), PLANES[:7])
    write_indexed(tmp_path / stack("B2-Site_0_1"), PLANES[7:])
    plate = open_plate(tmp_path)
    assert problems(plate) == {}
    assert [field.lacking for field in plate.fields] == [(), ()]


def test_all_positions_in_one_stack_without_ome_metadata(tmp_path):
    summary = {"ChNames": ["DAPI", "GFP"], "StagePositions": [{"Label": label} for label in POSITIONS[:2]]}
    write_indexed(tmp_path / "exp_MMStack.ome.tif", PLANES, positions=(0, 1), summary=summary)
    plate = open_plate(tmp_path)
    assert {(field.well, field.site) for field in plate.fields} == {("B02", 1), ("B02", 2)}
    assert means(plate)["B02", 2] == [1121, 1122]


def test_stacks_with_neither_are_not_guessed(tmp_path):
    for label in POSITIONS:
        write_tiff(tmp_path / stack(label), 2, "")
    with pytest.raises(NotThisLayout, match="OME metadata or a list of its images"):
        MicroManagerReader().read(scan(tmp_path), ReadOptions())


def test_two_acquisitions_in_one_folder_are_refused(tmp_path):
    write_set(tmp_path, stacks(prefix="exp"))
    write_set(tmp_path, stacks(prefix="exp_1"))
    with pytest.raises(InputError, match=r"2 acquisitions of Micro-Manager \(exp, exp_1\)"):
        open_plate(tmp_path)


def test_two_acquisitions_in_folders_are_listed(tmp_path):
    write_set(tmp_path / "one", stacks())
    write_set(tmp_path / "two", stacks())
    with pytest.raises(
        InputError, match=r"(?s)2 acquisitions of Micro-Manager.*one -o out/one.*two -o out/two"
    ):
        open_plate(tmp_path)


def test_positions_without_wells_are_a_collection(tmp_path):
    plate = open_plate(write_set(tmp_path, stacks(("Pos0", "Pos1"))))
    assert (plate.layout, plate.is_plate) == ("micromanager", False)
    assert [field.name for field in plate.fields] == ["exp_Pos0", "exp_Pos1"]


def test_a_position_without_well_on_a_plate_is_refused(tmp_path):
    plate = open_plate(write_set(tmp_path, stacks(("B2-Site_0", "B3-Site_0", "Pos0"))))
    assert set(plate.wells()) == {"B02", "B03"}
    assert fates(plate)[stack("Pos0")] == "quarantined its position names no well"


def test_one_stack_alone_is_a_single_image(tmp_path):
    write_set(tmp_path, stacks())
    assert open_plate(tmp_path / stack("B2-Site_0")).layout == "single"


def test_all_positions_in_one_stack(tmp_path):
    images = [
        replace(image, pages=[("exp_MMStack.ome.tif", 6)], first_page=6 * number)
        for number, image in enumerate(stacks().images)
    ]
    write_set(tmp_path, replace(stacks(), images=images))
    plate = open_plate(tmp_path / "exp_MMStack.ome.tif")
    assert list(plate.wells()) == ["B02", "C12"]
    assert means(plate)["C12", 2] == [value("exp_MMStack.ome.tif", 22), value("exp_MMStack.ome.tif", 23)]


def test_folders_have_the_channels_and_pixel_size_of_their_metadata(tmp_path):
    plate = open_plate(write_folders(tmp_path))
    assert [(one.name, one.aliases, one.color) for one in plate.channels] == [
        ("DAPI", ("channel000",), "0000FF"),
        ("GFP", ("channel001",), "00FF00"),
    ]
    assert {(field.well, field.site, field.t, field.pixel_size_um) for field in plate.fields} == {
        (well, site, t, 0.65) for well in ("B02", "C12") for site in (1, 2) for t in (0, 1)
    }
    assert [field.stage_um for field in plate.fields if field.t] == [(20, 10 * number) for number in range(4)]
    assert {field.position_um for field in plate.fields} == {None}


def test_unfinished_metadata_are_quarantined_and_names_read(tmp_path):
    write_folders(tmp_path)
    for label in POSITIONS:
        path = tmp_path / label / "metadata.txt"
        path.write_text(path.read_text()[:-20])
    plate = open_plate(tmp_path)
    assert [channel.name for channel in plate.channels] == ["channel000", "channel001"]
    assert len(plate.fields) == 8
    assert plate.evidence == "names"
    assert plate.remarks[1:] == ("4 metadata.txt can't be used: names alone tell the images there",)
    assert "damaged, as after a stopped acquisition" in fates(plate)["B2-Site_0/metadata.txt"]


def test_one_readable_metadata_names_the_channels_of_all(tmp_path):
    write_folders(tmp_path)
    for label in POSITIONS[1:]:
        (tmp_path / label / "metadata.txt").unlink()
    assert [channel.name for channel in open_plate(tmp_path).channels] == ["DAPI", "GFP"]


def test_lost_images_and_positions_are_listed(tmp_path):
    write_folders(tmp_path)
    (tmp_path / "B2-Site_0/img_channel001_position000_time000000000_z001.tif").unlink()
    for path in (tmp_path / "C12-Site_1").iterdir():
        path.unlink()
    plate = open_plate(tmp_path)
    assert problems(plate) == {("C12", 2, 0): "the folder of its position, C12-Site_1, is not there"}
    lacking = {(field.well, field.site, field.t): field.lacking for field in plate.fields if field.lacking}
    name = "img_channel001_position000_time000000000_z001.tif"
    assert lacking == {("B02", 1, 0): (("GFP", f"{name} is not there"),)}


def test_a_channel_with_fewer_z_steps_than_elsewhere_is_lacking_without_metadata(tmp_path):
    write_folders(tmp_path)
    for label in POSITIONS:
        (tmp_path / label / "metadata.txt").unlink()
    (tmp_path / "B2-Site_0/img_channel001_position000_time000000000_z001.tif").unlink()
    lacking = [field.lacking for field in open_plate(tmp_path).fields if field.lacking]
    assert lacking == [(("channel001", "2 of 3 z-steps are there"),)]


def test_images_that_the_metadata_do_not_list_are_refused(tmp_path):
    write_folders(tmp_path)
    extra = "B2-Site_0/img_channel000_position000_time000000007_z000.tif"
    write_images(tmp_path, [extra, "B2-Site_0/snap.tif"])
    seen = fates(open_plate(tmp_path))
    assert seen[extra] == "quarantined metadata.txt beside it does not list it"
    assert seen["B2-Site_0/snap.tif"].startswith("quarantined an image, but its name does not fit")


def test_metadata_of_another_position_are_refused(tmp_path):
    write_folders(tmp_path)
    (tmp_path / "B2-Site_0/metadata.txt").write_text((tmp_path / "C12-Site_0/metadata.txt").read_text())
    plate = open_plate(tmp_path)
    reason = "it is of position C12-Site_0, but lies in the folder of B2-Site_0"
    assert fates(plate)["B2-Site_0/metadata.txt"] == f"quarantined {reason}"
    assert problems(plate) == {}


def test_positions_with_other_channels_are_refused(tmp_path):
    write_folders(tmp_path)
    path = tmp_path / "B2-Site_0/metadata.txt"
    found = json.loads(path.read_text())
    found["Summary"]["ChNames"] = ["Cy5", "DAPI"]
    path.write_text(json.dumps(found))
    with pytest.raises(InputError, match=r"other channels \(Cy5, DAPI; DAPI, GFP\): these are several"):
        open_plate(tmp_path)


def test_acquisitions_in_folders_are_listed(tmp_path):
    write_folders(tmp_path / "exp_1")
    write_folders(tmp_path / "exp_2")
    with pytest.raises(InputError, match=r"(?s)2 acquisitions of Micro-Manager.*exp_1.*exp_2"):
        open_plate(tmp_path)


def test_positions_that_were_acquired_alone_have_a_folder_inside(tmp_path):
    for position in ("B2-Site_0", "C3-Site_1"):
        write_images(tmp_path, [f"{position}/Default/img_channel000_position000_time000000000_z000.tif"])
    plate = open_plate(tmp_path)
    assert [(field.well, field.site) for field in plate.fields] == [("B02", 1), ("C03", 2)]


def test_folders_without_wells_are_a_collection(tmp_path):
    plate = open_plate(write_folders(tmp_path, ("Pos0", "Pos1")))
    assert not plate.is_plate
    assert [field.name for field in plate.fields] == ["Pos0_t0", "Pos0_t1", "Pos1_t0", "Pos1_t1"]


def test_the_folder_of_one_position_can_be_given(tmp_path):
    plate = open_plate(write_folders(tmp_path) / "B2-Site_1")
    assert {(field.well, field.site) for field in plate.fields} == {("B02", 2)}


@pytest.mark.parametrize(
    "content", [b"", b"[1, 2]", b'{"Summary": 3, "Metadata-": 4}', b"\xff\xfe", b"[" * 10**5]
)
def test_hostile_metadata_are_no_reason_to_fail(tmp_path, content):
    write_folders(tmp_path)
    (tmp_path / "B2-Site_0/metadata.txt").write_bytes(content)
    assert len(means(open_plate(tmp_path))) == 4
