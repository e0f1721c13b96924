"""Masks made elsewhere find their fields by name, and are refused with a reason where they don't fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from nucbatch.core.errors import ImageUnavailable, InputError, UnreadableImage
from nucbatch.core.plate import Field, FileRecord, FileStatus, Plane, Plate
from nucbatch.core.selection import Selection
from nucbatch.features.renumber import renumbered
from nucbatch.labels.given_masks import masks_for

LABELS = np.zeros((8, 10), np.uint16)
LABELS[1:3, 1:3], LABELS[5:7, 4:9] = 7, 300


def plate_of(root: Path, *paths: str, wells: bool = False) -> Plate:
    """A plate with a field for each image file; fields are called F1, F2, …"""
    fields = tuple(
        Field(
            f"B0{site}" if wells else "",
            1 if wells else site,
            0,
            f"B/{site}/1" if wells else f"F{site}",
            f"F{site}",
            (Plane(path, "Grey"),),
            8,
            10,
            "uint8",
        )
        for site, path in enumerate(paths, 1)
    )
    files = tuple(FileRecord(path, FileStatus.USED) for path in paths)
    return Plate("P", str(root), "test", (), fields, files, wells)


def write(folder: Path, **masks: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    for name, labels in masks.items():
        tifffile.imwrite(folder / f"{name}.tif", labels, photometric="minisblack")
    return folder


@pytest.mark.parametrize("name", ["F1", "a_w1", "a_w1_masks", "A_W1_cp_masks", "a_w1_label", "B01", "B_1_1"])
def test_a_mask_belongs_to_the_field_that_it_is_named_after(tmp_path: Path, name: str) -> None:
    plate = plate_of(tmp_path, "day 1/a_w1.ome.tif", "day 1/b_w1.ome.tif", wells=True)
    found = masks_for(plate, write(tmp_path / "masks", **{name: LABELS}))
    assert list(found.masks) == ["B/1/1"]
    mask = found.masks["B/1/1"]
    assert np.array_equal(mask.read((8, 10), 60.0), LABELS)
    assert mask.file.path == f"masks/{name}.tif"


def test_the_name_of_the_plate_may_be_missing(tmp_path: Path) -> None:
    plate = plate_of(tmp_path, "a_w1.tif", "a_w2.tif")
    fields = tuple(replace(one, name=f"My_plate_B02_s{site}") for site, one in enumerate(plate.fields, 1))
    masks = write(tmp_path / "masks", B02_s1_masks=LABELS, My_plate_B02_s2=LABELS)
    assert set(masks_for(replace(plate, name="My plate", fields=fields), masks).masks) == {"F1", "F2"}


def test_what_has_no_partner_is_recorded_with_the_reason(tmp_path: Path) -> None:
    plate = plate_of(tmp_path / "images", "a.tif", "b.tif")
    found = masks_for(plate, write(tmp_path / "masks", a=LABELS, c=LABELS))
    with_mask, without = found.plate.fields
    assert with_mask.mask is not None
    assert without.problem == "there is no mask of its name"
    told = {Path(file.path).name: (file.status, file.reason.split(":")[0]) for file in found.plate.files[:2]}
    assert told == {"a.tif": (FileStatus.USED, ""), "b.tif": (FileStatus.IGNORED, "no-mask")}
    masks = {Path(file.path).name: file for file in found.plate.files[2:]}
    assert masks["a.tif"].status is FileStatus.USED
    assert masks["a.tif"].group == "F1"
    assert masks["c.tif"].reason.startswith("unmatched-mask")
    assert found.unmatched == ("c",)
    assert "for 1 of 2 fields" in found.sentence


def test_fields_that_are_not_selected_need_no_mask(tmp_path: Path) -> None:
    plate = plate_of(tmp_path, "a.tif", "b.tif", wells=True)
    masks = write(tmp_path / "m", a=LABELS)
    found = masks_for(plate, masks, selection=Selection.parse("B01", "", ""))
    assert [field.problem for field in found.plate.fields] == ["", ""]
    assert [file.status.value for file in found.plate.files] == ["used"] * 3
    assert "no mask" not in found.sentence


def test_masks_that_a_reader_ignored_beside_the_images_count_once(tmp_path: Path) -> None:
    plate = plate_of(tmp_path, "images/a.tif")
    ignored = FileRecord("masks/a.tif", FileStatus.IGNORED, "annotation: …")
    found = masks_for(replace(plate, files=(*plate.files, ignored)), write(tmp_path / "masks", a=LABELS))
    assert [(file.path, file.status.value) for file in found.plate.files] == [
        ("images/a.tif", "used"),
        ("masks/a.tif", "used"),
    ]


def test_an_image_in_two_folders_needs_the_mask_of_its_whole_name(tmp_path: Path) -> None:
    plate = plate_of(tmp_path / "in", "x/a.tif", "y/a.tif")
    with pytest.raises(InputError, match="none of the 1 masks"):
        masks_for(plate, write(tmp_path / "masks", a=LABELS))
    deep = tmp_path / "deep"
    for folder in ("x", "y"):
        write(tmp_path / "deep", **{})
        write(deep / folder, a_masks=LABELS)
    assert set(masks_for(plate, deep).masks) == {"F1", "F2"}


def test_two_masks_of_one_field_are_refused(tmp_path: Path) -> None:
    plate = plate_of(tmp_path / "in", "a.tif")
    with pytest.raises(InputError, match="are both masks of F1"):
        masks_for(plate, write(tmp_path / "masks", F1=LABELS, a_masks=LABELS))


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (LABELS[:, :9], "the mask is 9 × 8 px, and its image 10 × 8"),
        (LABELS.astype(np.float32) / 65_535, "labels are one channel of integers"),
        (np.where(LABELS, np.nan, 0).astype(np.float32), "holds NaN or infinity"),
        (LABELS.astype(np.float32) * 2**20, "labels are one channel of integers"),
        (-LABELS.astype(np.int16), "labels from -300 to 0"),
        (np.where(LABELS, 255, 0).astype(np.uint8), "it is a binary mask .* give --binary"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused_with_its_path(
    tmp_path: Path, labels: np.ndarray, reason: str
) -> None:
    mask = masks_for(plate_of(tmp_path, "a.tif"), write(tmp_path / "m", a=labels)).masks["F1"]
    with pytest.raises(UnreadableImage, match=rf"^m/a\.tif: .*{reason}"):
        mask.read((8, 10), 60.0)


def test_damage_and_change_are_told_apart(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", a=LABELS)
    (folder / "b.png").write_bytes(imagecodecs.png_encode(LABELS)[:60])
    masks = masks_for(plate_of(tmp_path, "a.tif", "b.tif"), folder).masks
    with pytest.raises(UnreadableImage, match=r"^m/b\.png: "):
        masks["F2"].read((8, 10), 60.0)
    write(folder, a=LABELS[::-1])
    with pytest.raises(ImageUnavailable, match=r"^m/a\.tif: has changed"):
        masks["F1"].read((8, 10), 60.0)


def test_components_of_binary_masks_are_numbered(tmp_path: Path) -> None:
    binary = np.where(LABELS, 255, 0).astype(np.uint8)
    mask = masks_for(plate_of(tmp_path, "a.tif"), write(tmp_path / "m", a=binary), binary=True).masks["F1"]
    assert np.array_equal(mask.read((8, 10), 60.0), np.where(LABELS == 7, 1, np.where(LABELS, 2, 0)))


def test_labels_of_32_bits_in_floats_are_labels(tmp_path: Path) -> None:
    floats = write(tmp_path / "m", a=LABELS.astype(np.float32))
    mask = masks_for(plate_of(tmp_path, "a.tif"), floats).masks["F1"]
    assert np.array_equal(mask.read((8, 10), 60.0), LABELS)


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_labels_of_64_bits_are_labels(tmp_path: Path, dtype: type[np.integer]) -> None:
    wide = write(tmp_path / "m", a=LABELS.astype(dtype))
    mask = masks_for(plate_of(tmp_path, "a.tif"), wide).masks["F1"]
    assert np.array_equal(mask.read((8, 10), 60.0), LABELS)


def test_an_empty_mask_has_no_objects(tmp_path: Path) -> None:
    mask = masks_for(plate_of(tmp_path, "a.tif"), write(tmp_path / "m", a=0 * LABELS)).masks["F1"]
    assert not mask.read((8, 10), 60.0).any()


@pytest.mark.parametrize("scale", [1, 1000, 14_000_000])
def test_labels_with_gaps_are_renumbered_in_their_order(scale: int) -> None:
    labels = LABELS.astype(np.uint32) * scale
    compact, numbers = renumbered(labels)
    assert numbers.tolist() == [7 * scale, 300 * scale]
    assert np.array_equal(np.append(0, numbers)[compact], labels)
    assert np.array_equal(compact > 0, labels > 0)
