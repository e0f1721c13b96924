"""Annotation files as truth: GeoJSON, COCO, LabelMe and ROIs as others write them, and damaged ones."""

from __future__ import annotations

import base64
import json
import zipfile
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
import roifile
import tifffile
from pycocotools import mask as judge

from nucbatch.core.errors import InputError, UnreadableImage
from nucbatch.labels import recognise
from nucbatch.labels.coco import mask_of, unpacked
from nucbatch.labels.drawn_files import images_in
from nucbatch.labels.given_masks import masks_for
from nucbatch.labels.pairing import pair_sides
from nucbatch.labels.sides import open_side
from nucbatch.masks.outlines import outlines_of
from nucbatch.readers.find import open_plate
from nucbatch.report.exports.geojson import write_geojson
from nucbatch.report.exports.roi_set import write_roi_set

SHAPE = (40, 50)
LABELS = np.zeros(SHAPE, np.uint32)
LABELS[2:12, 3:20], LABELS[5:8, 8:11] = 4, 0  # with a hole
LABELS[20:26, 0:9], LABELS[26:30, 9:12] = 2, 2  # in two parts that touch at a corner
LABELS[30:40, 30:50] = 7


def square(x: float, y: float, side: float) -> list[list[float]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]


def feature(ring: list[list[float]], **properties: object) -> dict[str, Any]:
    geometry = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def write(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


def packed(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """COCO's packed run lengths, by cocoapi."""
    runs = judge.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(runs["size"]), "counts": runs["counts"].decode()}


def counted(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """COCO's plain run lengths."""
    flat = np.concatenate([[False], mask.T.ravel(), [False]])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    edges = [0, *ends.tolist(), mask.size] if ends[-1:] != mask.size else [0, *ends.tolist()]
    return {"size": list(mask.shape), "counts": np.diff(edges).tolist()}


def coco(*segmentations: Any, crowd: int = -1) -> dict[str, Any]:
    annotations = [
        {"id": 10 + number, "image_id": 1, "segmentation": one, "iscrowd": int(number == crowd)}
        for number, one in enumerate(segmentations)
    ]
    images = [
        {"id": 1, "file_name": "day/a.png", "height": SHAPE[0], "width": SHAPE[1]},
        {"id": 2, "file_name": "b.png", "height": 8, "width": 9},
    ]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "nucleus"}]}


def labels_in(path: Path, shape: tuple[int, int] | None = SHAPE) -> npt.NDArray[np.uint32]:
    return images_in(path)[0].read(shape).labels


def test_exported_outlines_come_back_as_the_same_labels(tmp_path: Path) -> None:
    outlines = outlines_of(LABELS)
    write_geojson(tmp_path / "a.geojson", outlines, "P/a")
    write_roi_set(tmp_path / "a_RoiSet.zip", outlines, SHAPE)
    for name in ("a.geojson", "a_RoiSet.zip"):
        assert np.array_equal(labels_in(tmp_path / name), LABELS)
        assert images_in(tmp_path / name)[0].names[0] == "a"


def test_qupaths_features_are_numbered_in_order_and_cells_give_their_nucleus(tmp_path: Path) -> None:
    cell = feature(square(1, 1, 20), objectType="cell") | {
        "nucleusGeometry": feature(square(4, 4, 6))["geometry"]
    }
    listed = write(tmp_path / "a.json", [cell, feature(square(30, 2, 5), objectType="detection")])
    labels = labels_in(listed)
    assert [int((labels == number).sum()) for number in (1, 2)] == [36, 25]
    alone = labels_in(write(tmp_path / "b.geojson", feature(square(1.2, 1.2, 3))))
    assert np.argwhere(alone).tolist() == [[y, x] for y in (1, 2, 3) for x in (1, 2, 3)]


def test_later_objects_take_the_pixels_of_earlier_ones(tmp_path: Path) -> None:
    features = [feature(square(0, 0, 8)), feature(square(6, 0, 8))]
    path = write(tmp_path / "a.json", {"type": "FeatureCollection", "features": features})
    drawn = images_in(path)[0].read(SHAPE)
    assert drawn.overlap_px == 16
    assert (drawn.labels[0, 5], drawn.labels[0, 6]) == (1, 2)


def test_coco_in_polygons_and_in_runs_of_both_kinds(tmp_path: Path) -> None:
    mask = LABELS == 4
    polygons = [np.ravel(square(1, 20, 4)).tolist(), np.ravel(square(10, 20, 4)).tolist()]
    path = write(tmp_path / "instances_val.json", coco(packed(mask), counted(LABELS == 7), polygons))
    first, second = images_in(path)
    labels = first.read().labels
    assert np.array_equal(labels == 1, mask)
    assert np.array_equal(labels == 2, LABELS == 7)
    assert (labels == 3).sum() == 32
    assert (first.names, first.shape) == (("day/a", "a"), SHAPE)
    assert second.read().labels.shape == (8, 9)
    assert not second.read().labels.any()


def test_runs_agree_with_cocoapi_on_any_mask() -> None:
    generator = np.random.default_rng(0)
    for _ in range(40):
        shape = tuple(generator.integers(1, 60, 2).tolist())
        mask = generator.random(shape) < generator.random()
        runs = packed(mask)
        assert np.array_equal(mask_of(unpacked(runs["counts"]), shape), mask)


def test_crowds_are_pixels_to_ignore(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", coco(packed(LABELS == 4), packed(LABELS == 7), crowd=1))
    (side, _) = open_side(path)
    assert side.labels().max() == 1
    assert side.ignore is not None
    assert np.array_equal(side.ignore(), LABELS == 7)


def test_labelme_in_polygons_circles_masks_and_groups(tmp_path: Path) -> None:
    png = imagecodecs.png_encode(np.full((3, 4), 255, np.uint8))
    shapes = [
        {"label": "n", "points": square(2, 2, 5), "shape_type": "polygon", "group_id": None},
        {"label": "n", "points": [[30, 10], [36, 20]], "shape_type": "rectangle", "group_id": 1},
        {"label": "n", "points": [[40, 10], [44, 20]], "shape_type": "rectangle", "group_id": 1},
        {"label": "n", "points": [[20, 30], [25, 30]], "shape_type": "circle"},
        {
            "label": "n",
            "points": [[0, 35], [3, 37]],
            "shape_type": "mask",
            "mask": base64.b64encode(png).decode(),
        },
    ]
    document = {"shapes": shapes, "imagePath": "..\\a.png", "imageHeight": SHAPE[0], "imageWidth": SHAPE[1]}
    path = write(tmp_path / "x.json", document)
    image = images_in(path)[0]
    labels = image.read().labels
    assert np.bincount(labels.ravel())[1:].tolist() == [25, 100, pytest.approx(np.pi * 25, abs=4), 12]
    assert image.names == ("x", "a")
    with pytest.raises(InputError, match="are for 50 × 40 px, and the image is 50 × 41"):
        image.read((41, 50))


DAMAGED: dict[str, tuple[object, str]] = {
    "empty.json": (b"", "it is no JSON"),
    "cut.geojson": (b'{"type": "FeatureCollection", "features": [', "it is no JSON"),
    "deep.json": (b"[" * 100_000, "nested too deeply|no JSON"),
    "binary.json": (b"\xff\xfe\x00junk", "it is no JSON"),
    "point.geojson": (
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {}},
        "feature 1 can't be used: it is a Point, which has no area",
    ),
    "null.geojson": ({"type": "Feature", "geometry": None, "properties": None}, "it is a None"),
    "no-list.geojson": ({"type": "FeatureCollection"}, "feature 1 can't be used"),
    "nan.geojson": (feature([[0, 0], [4, 0], [float("nan"), 4]]), "finite numbers"),
    "text.geojson": (feature([["a", 0], [4, 0], [4, 4]]), "no pairs of numbers"),
    "outside.geojson": (feature(square(200, 200, 5)), "feature 1 of 1 objects: no pixel's centre"),
    "mixed.geojson": (
        [feature(square(0, 0, 9), objectType="annotation"), feature(square(1, 1, 3), objectType="detection")],
        "holds 1 annotations and 1 detections",
    ),
    "covered.geojson": ([feature(square(1, 1, 3)), feature(square(0, 0, 9))], "feature 1 of 2 objects"),
    "box.json": (coco([]), "annotation 10 can't be used: it has no segmentation"),
    "lost.json": (coco() | {"annotations": [{"image_id": 7, "segmentation": []}]}, "doesn't list: ids 7"),
    "no-image.json": (coco() | {"annotations": [{"segmentation": []}]}, "annotation 1 .* no image_id"),
    "no-size.json": (coco() | {"images": [{"id": 1, "file_name": "a"}]}, "image 1 lacks its id"),
    "twice.json": (coco() | {"images": coco()["images"][:1] * 2}, "image 2 has no id of its own"),
    "short.json": (coco({"size": list(SHAPE), "counts": [5, 3]}), "runs fill 8 pixels of 2,000"),
    "size.json": (coco({"size": [3, 3], "counts": [9]}), "its mask is 3 × 3 px, and its image 50 × 40"),
    "packed.json": (coco({"size": list(SHAPE), "counts": "oo"}), "cut short|damaged|fill"),
    "odd.json": (coco([[1, 2, 3]]), "annotation 10 can't be used"),
    "line.json": (
        {"shapes": [{"points": [[0, 0], [1, 1]], "shape_type": "line"}], "imagePath": "a.png"},
        "shape 1 can't be used: it is a line of 2 points",
    ),
    "mask.json": (
        {"shapes": [{"points": [[0, 0]], "shape_type": "mask", "mask": "!!"}], "imagePath": "a.png"},
        "shape 1 can't be used",
    ),
    "junk.zip": (b"PK junk", "it is no ZIP, or is damaged"),
    "junk.roi": (b"Iout", "no ImageJ ROI"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_refused_with_their_name(tmp_path: Path, name: str) -> None:
    content, reason = DAMAGED[name]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(InputError, match=rf"{name}.*({reason})"):
        labels_in(path)


def test_damage_within_a_set_of_rois_is_named(tmp_path: Path) -> None:
    write_roi_set(tmp_path / "a.zip", outlines_of(LABELS), SHAPE)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[60] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.zip: "):
        labels_in(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("1.roi", roifile.ImagejRoi(roitype=roifile.ROI_TYPE.POINT).tobytes())
    with pytest.raises(InputError, match=r"b\.zip: 1\.roi: a ROI of type point covers no area"):
        labels_in(tmp_path / "b.zip")
    with pytest.raises(UnreadableImage, match="can't be read"):
        images_in(tmp_path / "gone.json")


def test_other_json_and_zip_files_are_no_annotations(tmp_path: Path) -> None:
    assert images_in(write(tmp_path / "a.json", {"name": "data set"})) == []
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("readme.txt", "x")
    assert images_in(tmp_path / "b.zip") == []
    with pytest.raises(InputError, match="is no annotation file: give GeoJSON"):
        open_side(tmp_path / "a.json")


def annotate(folder: Path, kind: str) -> None:
    """Writes the annotations of the image "a"."""
    folder.mkdir(exist_ok=True)
    outlines = outlines_of(LABELS)
    if kind == "geojson":
        write_geojson(folder / "a.geojson", outlines, "a")
    elif kind == "rois":
        write_roi_set(folder / "a_RoiSet.zip", outlines, SHAPE)
    elif kind == "coco":
        document = coco(*(packed(number == LABELS) for number in (2, 4, 7)))
        document["images"] = [document["images"][0] | {"file_name": "a.tif"}]
        write(folder / "instances.json", document)
    else:
        shapes = [
            {"label": "n", "points": part[0].tolist(), "shape_type": "polygon", "group_id": one.label}
            for one in outlines
            for part in one.parts
        ]
        write(
            folder / "a.json", {"shapes": shapes, "imagePath": "a.tif", "imageHeight": 40, "imageWidth": 50}
        )


@pytest.fixture(params=["geojson", "rois", "coco", "labelme"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(
    ("of_images", "of_labels"), [("images", "labels"), ("images", "annotations"), (".", ".")]
)
def test_each_format_is_a_layout_for_training_and_truth_for_scoring(
    tmp_path: Path, kind: str, of_images: str, of_labels: str
) -> None:
    (tmp_path / of_images).mkdir(exist_ok=True)
    image = np.arange(2000, dtype=np.uint16).reshape(SHAPE)
    tifffile.imwrite(tmp_path / of_images / "a.tif", image)
    annotate(tmp_path / of_labels, kind)
    findings = recognise(tmp_path)
    assert not findings.problems
    (found,) = findings.found
    pixels = found.source.read()
    assert np.array_equal(pixels.image, image)
    inside = LABELS > 0
    if kind != "labelme":  # whose polygons have no holes
        assert np.array_equal(pixels.labels > 0, inside)
    assert len(np.unique(pixels.labels)) == 4
    pred = tmp_path / "pred"
    pred.mkdir()
    tifffile.imwrite(pred / "a.tif", LABELS)
    for truth in (tmp_path, tmp_path / of_labels):
        (pair,) = pair_sides(open_side(pred), open_side(truth)).values()
        assert np.array_equal(pair[1].labels() > 0, pixels.labels > 0)


def test_each_format_gives_the_masks_to_measure(tmp_path: Path, kind: str) -> None:
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in/a.tif", np.zeros(SHAPE, np.uint8))
    annotate(tmp_path / "truth", kind)
    (mask,) = masks_for(open_plate(tmp_path / "in"), tmp_path / "truth").masks.values()
    labels = mask.read(SHAPE, 60.0)
    assert labels.max() == (3 if kind in ("coco", "labelme") else 7)
    with pytest.raises(UnreadableImage, match=r"px, and the image is 50 × 20|no pixel's centre"):
        mask.read((20, 50), 60.0)


def test_images_without_annotations_and_annotations_without_images_are_problems(tmp_path: Path) -> None:
    annotate(tmp_path / "labels", "geojson")
    annotate(tmp_path / "labels", "rois")
    (tmp_path / "images").mkdir()
    for name in "ab":
        tifffile.imwrite(tmp_path / f"images/{name}.tif", np.zeros(SHAPE, np.uint8))
    write(tmp_path / "labels/c.geojson", feature(square(0, 0, 5)))
    problems = " ".join(recognise(tmp_path).problems)
    assert "a.tif has several annotations" in problems
    assert "1 images in" in problems
    assert "b.tif" in problems
    assert "1 annotations in" in problems
    assert "c (c.geojson)" in problems


def test_splits_come_from_folders_and_from_the_names_of_coco_files(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        (tmp_path / "one" / split).mkdir(parents=True)
        tifffile.imwrite(tmp_path / "one" / split / "a.tif", np.zeros(SHAPE, np.uint8))
        annotate(tmp_path / "one" / split, "coco")
    assert [(one.name, one.split) for one in recognise(tmp_path / "one").found] == [
        ("train/a", "train"),
        ("valid/a", "val"),
    ]
    two = tmp_path / "two"
    (two / "images").mkdir(parents=True)
    tifffile.imwrite(two / "images/a.tif", np.zeros(SHAPE, np.uint8))
    annotate(two, "coco")
    (two / "instances.json").rename(two / "instances_val2017.json")
    assert [one.split for one in recognise(two).found] == ["val"]


def test_label_pictures_beside_images_stay_the_labels(tmp_path: Path) -> None:
    for name in ("a", "a_cp_masks"):
        tifffile.imwrite(tmp_path / f"{name}.tif", LABELS.astype(np.uint16))
    (tmp_path / "a.json").write_text("not JSON")
    (found,) = recognise(tmp_path).found
    assert found.name == "a"


def test_paths_in_annotations_are_names_alone_and_pickles_are_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    tifffile.imwrite(secret / "a.tif", np.full(SHAPE, 9, np.uint8))
    data = tmp_path / "data"
    data.mkdir()
    document = {"shapes": [], "imagePath": str(secret / "a.tif"), "imageHeight": 40, "imageWidth": 50}
    write(data / "x.json", document)
    (data / "a_seg.npy").write_bytes(b"\x80\x04a pickle")
    tifffile.imwrite(data / "a.tif", np.zeros(SHAPE, np.uint8))
    (found,) = recognise(data).found
    assert not found.source.read().image.any()


def test_a_roi_that_unpacks_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.roi", b"Iout" + bytes((64 << 20) + 1))
    with pytest.raises(InputError, match=r"1\.roi has 67,108,869 bytes, too many for a ROI"):
        labels_in(tmp_path / "a.zip")
