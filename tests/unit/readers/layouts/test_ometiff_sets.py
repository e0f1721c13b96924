"""OME-TIFF sets without a plate: several images in one file, sets beside single images."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from golden import fates, problems
from golden.ome_tiff import (
    FILES,
    Image,
    Metadata,
    means,
    plate_of,
    value,
    write_set,
)

from nucbatch.core.errors import InputError
from nucbatch.readers.contract import NotThisLayout, ReadOptions
from nucbatch.readers.find import open_plate
from nucbatch.readers.layouts.ometiff import OmeTiffReader
from nucbatch.readers.listing import scan
from nucbatch.readers.pixels import field_channels, read_field


def test_two_sets_in_one_folder_are_both_read(tmp_path):
    for name in ("one", "two"):
        write_set(tmp_path, Metadata([Image([(f"{name}_{c}.ome.tif", 1) for c in range(2)], c=2, name=name)]))
    plate = open_plate(tmp_path)
    assert not plate.is_plate
    assert [(field.name, len(field.planes)) for field in plate.fields] == [("one", 2), ("two", 2)]
    assert set(fates(plate).values()) == {"used"}


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
    fate = fates(plate)["plain.tif"]
    assert fate.startswith(
        "quarantined an image, but no OME metadata describe it, and OME-TIFF files lie beside it"
    )
    assert fate.endswith("put it into another folder")


def test_sets_in_folders_of_one_plate(tmp_path):
    metadata = plate_of([f"sub/f{n}.tif" for n in range(4)])
    plate = open_plate(write_set(tmp_path, metadata, "p.companion.ome"))
    assert problems(plate) == {}
    assert len(means(plate)) == 4


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
