"""Labels in an OME-Zarr of the user's: what is marked, listed, refused and removed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nucbatch.core.errors import StoreError
from nucbatch.core.plate import Field
from nucbatch.store import ngff
from nucbatch.store.images import write_group
from nucbatch.store.in_place import claim, describe_labels, remove_labels, require_free, write_labels

FIELD = Field("B02", 1, 0, "B/2/1", "x", (), 20, 30, "uint8")
LABELS = np.ones((20, 30), np.uint32)


@pytest.fixture(params=["0.5", "0.4"])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    write_group(tmp_path / "image", {}, request.param)
    return tmp_path / "image"


def listed(image: Path) -> object:
    if (image / "zarr.json").exists():
        return json.loads((image / "labels/zarr.json").read_bytes())["attributes"]["ome"]["labels"]
    return json.loads((image / "labels/.zattrs").read_bytes())["labels"]


def test_labels_are_listed_last_and_removed_with_their_mark_alone(image: Path) -> None:
    claim(image, "mine")
    assert not (image / "labels" / "zarr.json").exists()
    assert not (image / "labels" / ".zattrs").exists()
    written = write_labels(image, FIELD, LABELS, "mine")
    assert all(path.is_file() and image / "labels" / "nuclei" in path.parents for path in written)
    assert listed(image) == ["nuclei"]
    remove_labels(image, "another run's")
    assert listed(image) == ["nuclei"]
    remove_labels(image, "mine")
    assert listed(image) == []
    assert not (image / "labels" / "nuclei").exists()


def test_other_labels_and_attributes_stay_listed(image: Path) -> None:
    version: ngff.Version = "0.5" if (image / "zarr.json").exists() else "0.4"
    names = {"labels": ["cells"]}
    own = {"ome": {"version": "0.5"} | names} if version == "0.5" else names
    write_group(image / "labels", {"by": "hand"} | own, version)
    describe_labels(image, FIELD, "mine")
    describe_labels(image, FIELD, "mine")
    assert listed(image) == ["cells", "nuclei"]
    remove_labels(image, "mine")
    assert listed(image) == ["cells"]
    name = "zarr.json" if version == "0.5" else ".zattrs"
    document = json.loads((image / "labels" / name).read_bytes())
    assert document.get("attributes", document)["by"] == "hand"


def test_labels_that_are_not_this_runs_are_refused(image: Path) -> None:
    write_labels(image, FIELD, LABELS, "mine")
    require_free(image, "mine")
    with pytest.raises(StoreError, match="made by a run with other settings"):
        claim(image, "other")
    for path in (image / "labels" / "nuclei").glob("[z.]*"):
        path.unlink()
    with pytest.raises(StoreError, match="not made by a run in place"):
        claim(image, "mine")


@pytest.mark.parametrize("link", ["labels", "labels/nuclei"])
def test_labels_never_follow_a_link_out_of_the_image(image: Path, tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (image / link).parent.mkdir(exist_ok=True)
    (image / link).symlink_to(outside)
    with pytest.raises(StoreError, match="is a link"):
        write_labels(image, FIELD, LABELS, "mine")
    remove_labels(image, "mine")
    assert not list(outside.iterdir())
