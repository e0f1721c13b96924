"""Manifests that name objects of a store, as the LoadData files of the Cell Painting Gallery do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from s3_server import Bucket

from nucbatch.core.plate import FileStatus
from nucbatch.object_store import ObjectPath
from nucbatch.readers.find import open_plate
from nucbatch.readers.pixels import FieldReader

ROOT = "cpg0016-jump/source_4/images/2021_04_26_Batch1/images"
FOLDER = "BR00117035__2021-05-02T16_02_51-Measurement1/Images"
FILES = {"A01": "r01c01f01p01-ch5sk1fk1fl1.tiff", "B12": "r02c12f01p01-ch5sk1fk1fl1.tiff"}


@pytest.fixture(scope="module")
def gallery(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The layout of the gallery with other pixels; its address."""
    path = tmp_path_factory.mktemp("gallery") / "image.tiff"
    for value, name in enumerate(FILES.values(), start=1):
        tifffile.imwrite(path, np.full((50, 60), value, np.uint16))
        bucket.put(f"{ROOT}/{FOLDER}/{name}", path.read_bytes())
    bucket.put("private/secret.tiff", path.read_bytes())
    return f"{bucket.url}/{ROOT}"


def load_data(folder: str, *, by_url: bool = False) -> str:
    head = "URL_OrigDNA" if by_url else "PathName_OrigDNA,FileName_OrigDNA"
    lines = [f"{head},Metadata_Plate,Metadata_Well,Metadata_Site"]
    for well, name in FILES.items():
        image = f"{folder}/{name}" if by_url else f"{folder}/,{name}"
        lines.append(f"{image},BR00117035,{well},1")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("by_url", [False, True])
def test_a_local_manifest_names_objects_below_the_root(gallery: str, tmp_path: Path, by_url: bool) -> None:
    path = tmp_path / "load_data.csv"
    path.write_text(load_data(f"{gallery}/{FOLDER}", by_url=by_url), encoding="utf-8")
    plate = open_plate(path, root=ObjectPath(gallery))
    assert plate.name == "BR00117035"
    assert [(field.well, field.problem) for field in plate.fields] == [("A01", ""), ("B12", "")]
    assert [field.planes[0].path for field in plate.fields] == [f"{FOLDER}/{name}" for name in FILES.values()]
    pixels = [FieldReader.of(plate).read_whole(field, plate.channels) for field in plate.fields]
    assert [int(one.mean()) for one in pixels] == [1, 2]


def test_a_manifest_in_a_store_names_objects_beside_it(bucket: Bucket, gallery: str) -> None:
    bucket.put(f"{ROOT}/load_data.csv", load_data(FOLDER).encode())
    plate = open_plate(ObjectPath(f"{gallery}/load_data.csv"))
    assert [field.problem for field in plate.fields] == ["", ""]


@pytest.mark.parametrize("folder", ["s3://screens/private", "../../../../private", "s3://other/x"])
def test_an_object_outside_the_root_is_not_read(gallery: str, tmp_path: Path, folder: str) -> None:
    path = tmp_path / "load_data.csv"
    rows = (f"{folder},secret.tiff,A01", f"{gallery}/{FOLDER},{FILES['B12']},B12")
    path.write_text("\n".join(("PathName_D,FileName_D,Metadata_Well", *rows, "")), encoding="utf-8")
    plate = open_plate(path, root=ObjectPath(gallery))
    (refused,) = [file for file in plate.files if file.status is FileStatus.QUARANTINED]
    assert "lies outside" in refused.reason or "leads out of" in refused.reason
    assert [bool(field.problem) for field in plate.fields] == [True, False]
