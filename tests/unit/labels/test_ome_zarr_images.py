from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from nucbatch.core.errors import InputError, InputNotFound, StoreError
from nucbatch.core.plate import Channel, Field, Plate
from nucbatch.labels.ome_zarr_images import is_ome_zarr, open_images
from nucbatch.store.images import create_images, write_field
from nucbatch.store.run_folder import RunFolder

LABELS = np.pad(np.full((4, 5), 7, np.uint32), ((3, 9), (2, 13)))  # (16, 20)


def image_of(channels: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
    return np.arange(channels * LABELS.size, dtype=np.uint16).reshape(channels, *LABELS.shape)


def write_04(
    path: Path, image: np.ndarray[Any, Any], axes: str, labels: np.ndarray[Any, Any], name: str = ""
) -> None:
    """An image of version 0.4 (Zarr 2) with labels/cells, written by zarr itself."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("s0", data=image)
    group.attrs["multiscales"] = [
        {
            "version": "0.4",
            "name": name,
            "axes": [{"name": axis} for axis in axes],
            "datasets": [{"path": "s0"}],
        }
    ]
    named = group.create_group("labels")
    named.attrs["labels"] = ["cells"]
    cells = named.create_group("cells")
    cells.create_array("0", data=labels)
    spare = axes[-labels.ndim :]
    cells.attrs["multiscales"] = [
        {"version": "0.4", "axes": [{"name": axis} for axis in spare], "datasets": [{"path": "0"}]}
    ]


def write_run(path: Path, is_plate: bool) -> RunFolder:
    """A run's folder with two fields of DAPI and GFP."""
    channels = (Channel("DAPI", 0), Channel("GFP", 1))
    places = (("B", 3, 1), ("C", 4, 1)) if is_plate else (("", 0, 1), ("", 0, 2))
    fields = tuple(
        Field(
            f"{row}{column:02}" if is_plate else "",
            site,
            0,
            f"{row}/{column}/{site}" if is_plate else f"im{site}",
            f"P_{row}{column}_{site}",
            (),
            16,
            20,
            "uint16",
            0.5,
        )
        for row, column, site in places
    )
    plate = Plate("P", str(path), "folder", channels, fields, (), is_plate)
    folder = RunFolder(path / "run")
    folder.create()
    store = create_images(folder, plate)
    for number, field in enumerate(fields):
        write_field(store, field, channels, image_of(2) + number, LABELS)
    return folder


@pytest.mark.parametrize("is_plate", [True, False])
def test_a_runs_images_are_found_from_its_folder_and_from_its_store(tmp_path: Path, is_plate: bool) -> None:
    run = write_run(tmp_path, is_plate)
    for path in (run.path, run.store(is_plate)):
        assert is_ome_zarr(path)
        images = open_images(path)
        assert [one.name for one in images] == (["P_B3_1", "P_C4_1"] if is_plate else ["P_0_1", "P_0_2"])
        assert images[0].channels == ("DAPI", "GFP")
        assert images[0].labels == ("nuclei",)
        assert images[0].count_channels() == 2
        np.testing.assert_array_equal(images[1].read_image(), image_of(2) + 1)
        np.testing.assert_array_equal(images[1].read_image(1), image_of(2)[1] + 1)
        np.testing.assert_array_equal(images[1].read_labels("nuclei"), LABELS)
    assert open_images(run.store(is_plate))[0].group == ("B/3/1" if is_plate else "im1")


def test_version_04_with_five_axes_gives_its_one_plane(tmp_path: Path) -> None:
    write_04(tmp_path / "a.zarr", image_of(2)[np.newaxis, :, np.newaxis], "tczyx", LABELS[np.newaxis], "a")
    (image,) = open_images(tmp_path / "a.zarr")
    assert (image.group, image.name, image.channels, image.labels) == ("", "a", (), ("cells",))
    np.testing.assert_array_equal(image.read_image(), image_of(2))
    np.testing.assert_array_equal(image.read_image(0), image_of(2)[0])
    np.testing.assert_array_equal(image.read_labels("cells"), LABELS)


def test_a_folder_of_images_is_listed_by_their_places_where_names_are_not_unique(tmp_path: Path) -> None:
    for name in ("b.zarr", "a.zarr"):
        write_04(tmp_path / name, image_of(1)[0], "yx", LABELS, "same")
    images = open_images(tmp_path)
    assert [(one.name, one.group) for one in images] == [("a.zarr", "a.zarr"), ("b.zarr", "b.zarr")]
    np.testing.assert_array_equal(images[0].read_image(), image_of(1))
    np.testing.assert_array_equal(images[0].read_image(0), image_of(1)[0])


def test_stacks_in_time_or_depth_are_refused_with_their_length(tmp_path: Path) -> None:
    write_04(tmp_path / "a.zarr", image_of(3), "zyx", LABELS)
    (image,) = open_images(tmp_path / "a.zarr")
    with pytest.raises(InputError, match="has 3 along z"):
        image.read_image()


def test_metadata_that_lead_out_of_the_store_are_refused(tmp_path: Path) -> None:
    write_04(tmp_path / "a.zarr", image_of(1)[0], "yx", LABELS)
    (image,) = open_images(tmp_path / "a.zarr")
    for name in ("../../secret", "/etc"):
        with pytest.raises(StoreError, match="leads out"):
            image.read_labels(name)


def test_folders_that_are_no_ome_zarr_are_reported(tmp_path: Path) -> None:
    assert not is_ome_zarr(tmp_path)
    with pytest.raises(InputError, match="no image with OME-Zarr's multiscales"):
        open_images(tmp_path)
    with pytest.raises(InputNotFound, match="is not a folder"):
        open_images(tmp_path / "nowhere")


def test_a_damaged_store_names_the_place(tmp_path: Path) -> None:
    run = write_run(tmp_path, is_plate=False)
    (image, _) = open_images(run.path)
    (image.path / "0" / "zarr.json").write_text("{")
    with pytest.raises(StoreError, match="im1/0 can't be opened"):
        image.read_image()
    (image.path / "zarr.json").write_text("[]")
    with pytest.raises(StoreError, match="attributes can't be read"):
        open_images(run.path)
