"""Exports of a run, read back by other programs: the same masks, the same numbers, every field listed."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import imagecodecs
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import roifile
import tifffile
from skimage.draw import polygon2mask

from nucbatch.core.errors import InputError, InputNotFound, StoreError
from nucbatch.core.plate import Channel, Field, Plate
from nucbatch.core.selection import Selection
from nucbatch.core.settings import RunSettings
from nucbatch.features.measure import measure
from nucbatch.features.renumber import renumbered
from nucbatch.readers.plate_cache import cache_content
from nucbatch.report.exports.export import Exported, Formats, export
from nucbatch.report.exports.run_fields import fields_of
from nucbatch.store.fragments import write_fragment
from nucbatch.store.images import create_images, write_field
from nucbatch.store.label_tiff import write_label_tiff
from nucbatch.store.ledger import Ledger, plate_digest
from nucbatch.store.receipt import Receipt
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.tables import identity_columns
from tests.run_tables import join_fragments

Labels = npt.NDArray[np.uint32]


def drawn() -> Labels:
    labels = np.zeros((60, 50), np.uint32)
    labels[2:14, 3:20], labels[6:9, 8:11] = 1, 0  # with a hole
    labels[20:26, 0:9], labels[26:30, 9:12] = 2, 2  # in two parts that touch at a corner
    labels[40:60, 30:50] = 70_001
    return labels


def run_of(
    path: Path, given: dict[str, Labels | None], *, finished: bool = True, zarr: bool = True
) -> RunFolder:
    """A run's folder with these labels by well; None for a field that failed."""
    folder = RunFolder(path)
    folder.create()
    fields = []
    for well, labels in given.items():
        height, width = (60, 50) if labels is None else labels.shape
        fields.append(
            Field(well, 1, 0, f"{well[0]}/{int(well[1:])}/1", f"P_{well}", (), height, width, "uint8")
        )
    channel = Channel("DNA", 0)
    plate = Plate("P", str(path), "test", (channel,), tuple(fields), (), listed="0" * 64)
    store = create_images(folder, plate)
    receipts, rows = [], []
    for field, labels in zip(fields, given.values(), strict=True):
        status, reason, nuclei = ("failed", "a.tif: gone", 0) if labels is None else ("done", "", 0)
        if labels is not None:
            compact, numbers = renumbered(labels)
            image = np.zeros((1, *labels.shape), np.uint8)
            if zarr:
                write_field(store, field, (channel,), image, labels)
            else:
                write_label_tiff(folder.label_tiff(field.name), labels)
            columns = identity_columns("P", field, len(numbers)) | {"Metadata_ObjectNumber": numbers}
            write_fragment(folder.fragment(field.key), columns | measure(compact, image, ["DNA"]))
            nuclei = len(numbers)
        receipts.append(Receipt(field.key, status, reason, nuclei, "", {}, {}, ""))
        rows.append(
            (field.name, field.group, field.well, 1, 0, status, reason, None if labels is None else nuclei)
        )
    with Ledger(folder, RunSettings(), plate_digest(plate), about={"plate": "P"}) as ledger:
        ledger.append(*receipts)
    folder.plate.write_bytes(cache_content(plate) or b"")
    if finished:
        names = ["Name", "Metadata_Image", "Metadata_Well", "Metadata_Site", "Metadata_Time"]
        pd.DataFrame(rows, columns=[*names, "Status", "Reason", "Count_Nuclei"]).to_parquet(folder.fields)
        join_fragments(
            [
                folder.fragment(f.key)
                for f, one in zip(fields, given.values(), strict=True)
                if one is not None
            ],
            folder.nuclei,
        )
    if not zarr:
        (store / "zarr.json").unlink()
        for part in sorted(store.rglob("*"), reverse=True):
            part.rmdir() if part.is_dir() else part.unlink()
        store.rmdir()
    return folder


def made(folder: RunFolder, out: Path, selection: str = "", **formats: str | bool) -> Exported:
    return export(
        fields_of(folder.path).selected(Selection.parse(selection, "", "")),
        out,
        Formats(**formats),
        threads=2,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    empty = np.zeros((60, 50), np.uint32)
    return run_of(tmp_path_factory.mktemp("run") / "out", {"B03": drawn(), "B04": None, "C03": empty})


def from_rois(path: Path, shape: tuple[int, int]) -> Labels:
    """Labels from a RoiSet, read by roifile and filled by scikit-image."""
    labels = np.zeros(shape, np.uint32)
    for roi in roifile.roiread(path):
        rings = roi.coordinates(multi=True) if roi.composite else [roi.coordinates()]
        inside = np.zeros(shape, bool)
        for ring in rings:
            inside ^= polygon2mask(shape, ring[:, ::-1] - 0.5)
        labels[inside] = int(roi.name.removesuffix(".roi"))
    return labels


def from_geojson(path: Path, shape: tuple[int, int]) -> Labels:
    """Labels from GeoJSON, checked by RFC 7946, section 3.1.6, and filled by scikit-image."""
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["type"] == "FeatureCollection"
    labels = np.zeros(shape, np.uint32)
    for feature in document["features"]:
        assert feature["type"] == "Feature"
        assert feature["properties"]["objectType"] == "detection"
        assert feature["properties"]["classification"]["name"] == "Nucleus"
        geometry = feature["geometry"]
        parts = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
        inside = np.zeros(shape, bool)
        for part in parts:
            for number, ring in enumerate(part):
                assert len(ring) >= 4
                assert ring[0] == ring[-1]
                x, y = np.array(ring[:-1]).T
                area = (x * np.roll(y, -1) - np.roll(x, -1) * y).sum()
                assert (area > 0) == (number == 0)  # outer rings counterclockwise, holes clockwise
                inside ^= polygon2mask(shape, np.stack([y, x], axis=1) - 0.5)
        labels[inside] = int(feature["properties"]["name"])
    ids = {feature["id"] for feature in document["features"]}
    assert len(ids) == len(document["features"])
    return labels


def test_masks_and_outlines_are_the_runs(run: RunFolder, tmp_path: Path) -> None:
    result = made(run, tmp_path, labels="tiff", outlines="geojson", table=True)
    assert (result.done, len(result.failed), result.without, result.rows) == (2, 0, 1, 3)
    assert np.array_equal(tifffile.imread(tmp_path / "labels/P_B03.tif"), drawn())
    assert np.array_equal(from_geojson(tmp_path / "outlines/P_B03.geojson", (60, 50)), drawn())
    assert from_geojson(tmp_path / "outlines/P_C03.geojson", (60, 50)).max() == 0
    listed = pd.read_csv(tmp_path / "export.csv", keep_default_na=False).set_index("well")
    assert listed["status"].to_dict() == {"B03": "exported", "B04": "failed", "C03": "exported"}
    assert listed.loc["B04", "reason"] == "a.tif: gone"
    assert listed.loc["B03", "outlines"] == "outlines/P_B03.geojson"
    table = pd.read_csv(tmp_path / "nuclei.csv")
    pd.testing.assert_frame_equal(table, pd.read_parquet(run.nuclei), check_dtype=False)


def test_a_set_of_rois_is_read_by_roifile(run: RunFolder, tmp_path: Path) -> None:
    made(run, tmp_path, outlines="imagej")
    assert np.array_equal(from_rois(tmp_path / "outlines/P_B03_RoiSet.zip", (60, 50)), drawn())
    assert [path.name for path in (tmp_path / "outlines").iterdir()] == ["P_B03_RoiSet.zip"]
    listed = pd.read_csv(tmp_path / "export.csv", keep_default_na=False).set_index("well")
    assert listed.loc["C03", "status"] == "exported"
    assert "no nuclei" in listed.loc["C03", "reason"]


def test_a_png_holds_labels_of_16_bits_alone(run: RunFolder, tmp_path: Path) -> None:
    result = made(run, tmp_path, labels="png")
    assert [one.source.field.well for one in result.failed] == ["B03"]
    assert "70,001 don't fit in a PNG" in result.failed[0].reason
    few = np.where(drawn() > 2, 3, drawn())
    folder = run_of(tmp_path / "few", {"B03": few.astype(np.uint32)})
    made(folder, tmp_path / "out", labels="png")
    read = imagecodecs.png_decode((tmp_path / "out/labels/P_B03.png").read_bytes())
    assert read.dtype == np.uint16
    assert np.array_equal(read, few)


@pytest.mark.parametrize("zarr", [True, False])
def test_a_large_image_is_exported_in_parts(tmp_path: Path, zarr: bool) -> None:
    labels = np.zeros((4200, 90), np.uint32)
    for number in range(1, 101):
        top = 41 * number
        labels[top : top + 30, 10 + number % 30 : 40 + number % 30] = 3 * number
    labels[5:4195, 0:4] = 1  # longer than a window
    folder = run_of(tmp_path / "run", {"B03": labels}, zarr=zarr)
    for formats in ({"labels": "tiff", "outlines": "geojson"}, {"labels": "png", "outlines": "imagej"}):
        result = made(folder, tmp_path / "out", **formats)
        assert result.done == 1, result.failed
    out = tmp_path / "out"
    assert np.array_equal(tifffile.imread(out / "labels/P_B03.tif"), labels)
    assert np.array_equal(imagecodecs.png_decode((out / "labels/P_B03.png").read_bytes()), labels)
    assert np.array_equal(from_geojson(out / "outlines/P_B03.geojson", labels.shape), labels)
    assert np.array_equal(from_rois(out / "outlines/P_B03_RoiSet.zip", labels.shape), labels)


def test_an_unfinished_run_gives_what_is_done(tmp_path: Path) -> None:
    folder = run_of(tmp_path / "run", {"B03": drawn(), "B04": None}, finished=False)
    result = made(folder, tmp_path / "out", labels="tiff", table=True)
    assert (result.done, result.without, result.rows) == (1, 1, 3)
    assert len(pd.read_csv(tmp_path / "out/nuclei.csv")) == 3
    folder.plate.unlink()
    with pytest.raises(StoreError, match="finish the run first"):
        fields_of(folder.path)


def test_wells_are_selected_in_masks_and_table(run: RunFolder, tmp_path: Path) -> None:
    result = made(run, tmp_path, "C03", labels="tiff", table=True)
    assert (result.done, result.without, result.rows) == (1, 0, 0)
    assert [path.name for path in (tmp_path / "labels").iterdir()] == ["P_C03.tif"]
    with pytest.raises(InputError, match="H12"):
        made(run, tmp_path, "H12", labels="tiff")


def test_a_runs_own_folder_is_not_written_to(run: RunFolder, tmp_path: Path) -> None:
    for place in (run.path, run.plate_zarr / "B", run.labels):
        with pytest.raises(InputError, match="own folder"):
            made(run, place, labels="tiff")
    with pytest.raises(InputNotFound):
        fields_of(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="no run"):
        fields_of(tmp_path)


def test_the_same_outlines_give_the_same_bytes(run: RunFolder, tmp_path: Path) -> None:
    for name in ("one", "two"):
        for outlines in ("geojson", "imagej"):
            made(run, tmp_path / name, outlines=outlines)
    for name in ("P_B03.geojson", "P_B03_RoiSet.zip"):
        one, two = (tmp_path / place / "outlines" / name for place in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
    assert zipfile.ZipFile(tmp_path / "one/outlines/P_B03_RoiSet.zip").namelist() == [
        "00001.roi", "00002.roi", "70001.roi"
    ]  # fmt: skip
