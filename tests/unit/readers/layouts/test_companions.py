"""Masks, outlines and previews beside their images are ignored by a named rule."""

import os

import imagecodecs
import numpy as np
import pytest
import tifffile

from nucbatch.readers.find import open_plate
from nucbatch.readers.layouts.companions import without_companions
from nucbatch.readers.listing import FoundFile, Listing


def rules(*paths: str) -> dict[str, str]:
    """The rule that leaves out each path, empty for what stays."""
    listing = without_companions(Listing("/nowhere", "x", tuple(FoundFile(path) for path in sorted(paths))))
    left_out = {record.path: record.reason.split(":")[0] for record in listing.settled}
    assert {file.path for file in listing.files} | set(left_out) == set(paths)
    return {path: left_out.get(path, "") for path in paths}


@pytest.mark.parametrize(
    "name",
    [
        "x_cp_masks.png",
        "x_cp_masks.tif",
        "x_cp_outlines.png",
        "x_cp_output.png",
        "x_seg.npy",
        "x_mask.tif",
        "x_Masks.TIF",
        "X_MASK.PNG",
        "x-labels.tiff",
        "x_label.png",
        "x_outlines.tif",
        "x.labels.ome.tif",
        "x_Simple Segmentation.tif",
        "x_Probabilities.tif",
        "x_overlay.jpg",
        "x_mask_12.png",
        "x_mask3.png",
        "x_gt.png",
        "mask_x.png",
        "masks/x.png",
        "masks/x_mask.png",
        "labels/x.tif",
        "Outlines/x.png",
        "segmentation/x_seg.tif",
        "masks/x/0001.png",
        "ignore/x.png",
    ],
)
def test_files_derived_from_an_image_beside_them_are_ignored(name):
    assert rules("x.tif", "y.tif", name) == {"x.tif": "", "y.tif": "", name: "mask"}
    assert rules("y.tif", name) == {"y.tif": "", name: ""}
    assert rules("sub/x.ome.tif", f"sub/{name}")[f"sub/{name}"] == "mask"


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("x.jpg", "preview"),
        ("X.PNG", "preview"),
        ("x.jpeg", "preview"),
        ("x_thumb.tif", "thumbnail"),
        ("MAX_x.tif", "derived-image"),
        ("sum_x.tif", "derived-image"),
        ("x-thumbnail.jpg", "thumbnail"),
        ("x_preview.png", "thumbnail"),
        ("thumb_x.png", "thumbnail"),
        ("thumbnails/x.jpg", "thumbnail"),
        ("thumbs/x_thumb.jpg", "thumbnail"),
    ],
)
def test_previews_are_ignored(name, rule):
    assert rules("x.tif", name) == {"x.tif": "", name: rule}
    assert rules("other.tif", name)[name] == ""


def test_masks_alone_are_images():
    masks = ("a_mask.tif", "b_cp_masks.png", "masks/c.png", "labels/d.tif", "e.png")
    assert set(rules(*masks).values()) == {""}


def test_a_mask_folder_is_ignored_as_a_whole_if_most_masks_belong_to_images():
    found = rules("images/a.png", "images/b.png", "labels/a.tif", "labels/b.tif", "labels/lost.tif")
    assert [path for path, rule in found.items() if rule] == [
        "labels/a.tif",
        "labels/b.tif",
        "labels/lost.tif",
    ]
    found = rules("a.png", "labels/a.tif", "labels/slide1.tif", "labels/slide2.tif")
    assert [path for path, rule in found.items() if rule] == ["labels/a.tif"]


def test_masks_of_an_undecodable_image_are_ignored():
    assert rules("x.vsi", "x_mask.tif", "x.jpg") == {"x.vsi": "", "x_mask.tif": "mask", "x.jpg": ""}


def test_a_picture_of_a_container_is_a_preview():
    assert rules("x.czi", "x_mask.tif", "x.jpg") == {"x.czi": "", "x_mask.tif": "mask", "x.jpg": "preview"}


def test_other_names_are_kept():
    names = (
        "x.tif",
        "x_2.tif",
        "x_roi1.tif",
        "x_nuclei.tif",
        "xmask.tif",
        "sub/x.png",
        "x_crop.png",
        "y.png",
    )
    assert set(rules(*names).values()) == {""}


def test_a_single_file_is_kept_whatever_its_name():
    listing = Listing("/nowhere", "x_mask.tif", (FoundFile("x_mask.tif"),), single=True)
    assert without_companions(listing) is listing


@pytest.mark.parametrize(
    "name",
    [
        "flatfield_DAPI.tif",
        "DAPI flat-field.tif",
        "IllumDAPI.tif",
        "P1_IllumDNA.tiff",
        "Channel1ILLUM.tif",
        "illumination_correction.png",
        "flat/Flatfield correction w1.tif",
        "darkframe.tif",
        "shading_image_1.tif",
    ],
)
def test_images_of_the_illumination_are_no_pictures(name):
    assert rules("x.tif", name) == {"x.tif": "", name: "illumination-correction"}
    assert rules(name, f"other/{name}", "x.tif") == {name: "", f"other/{name}": "", "x.tif": ""}


@pytest.mark.parametrize(
    "name",
    [
        "y_illumcorrected.tif",
        "y flatfield corrected.tif",
        "0_illum_corrected.tif",
        "darkfield.tif",
        "illuminated.tif",
    ],
)
def test_corrected_images_are_pictures(name):
    assert rules("x.tif", "z.tif", name)[name] == ""


def test_of_several_formats_of_an_image_the_one_with_most_metadata_is_used():
    assert rules("a.ome.tif", "a.tif", "a.png") == {"a.ome.tif": "", "a.tif": "preview", "a.png": "preview"}
    assert rules("a.png", "a.jpg", "b.jpg") == {"a.png": "", "a.jpg": "preview", "b.jpg": ""}
    assert rules("a.tif", "sub/a.png") == {"a.tif": "", "sub/a.png": ""}


def test_a_copy_of_a_damaged_image_is_ignored_with_the_name_of_the_image(tmp_path):
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros((64, 64), np.uint16))
        (tmp_path / f"{name}.png").write_bytes(imagecodecs.png_encode(np.zeros((64, 64), np.uint8)))
    os.truncate(tmp_path / "a.tif", 3000)
    files = {file.path: (file.status.value, file.reason) for file in open_plate(tmp_path).files}
    assert files["a.tif"][0] == "quarantined"
    assert files["a.png"] == (
        "ignored",
        "preview: a copy of a.tif, which is quarantined: move a.tif out of the input to read this one",
    )
    assert files["b.png"] == ("ignored", "preview: a copy of an image beside it, which is read instead")
