"""Reads the images and labels of a run's OME-Zarr, of either version."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import StoreError, UnreadableImage
from nucbatch.core.tiles import Box
from nucbatch.object_store import ObjectPath
from nucbatch.store import ngff
from nucbatch.store.chunks import Array
from nucbatch.store.images import label_level, labels_path
from nucbatch.store.run_folder import RunFolder, inside
from nucbatch.zarr_format import StoredArray


def field_groups(folder: RunFolder) -> list[str]:
    """Lists the groups of all images in a run's OME-Zarr, in the plate's order.

    Raises:
        StoreError: there is no OME-Zarr, or a well's list cannot be read.
    """
    store = _store(folder)
    if store == folder.images_zarr:
        return list(_ome(store / "OME").get("series", ()))
    groups = []
    for well in _ome(store).get("plate", {}).get("wells", ()):
        images = _ome(inside(store, well["path"]))["well"]["images"]
        groups += [f"{well['path']}/{image['path']}" for image in images]
    return groups


def read_image(folder: RunFolder, group: str, level: int = 0, box: Box | None = None) -> npt.NDArray[Any]:
    """Reads a field's image (C, Y, X), or a box of it, at one pyramid level, in its original dtype.

    Raises:
        StoreError: the image is missing or cannot be read.
    """
    return _read(inside(_store(folder), group) / str(level), box)


def read_labels(
    folder: RunFolder, group: str, level: int = 0, box: Box | None = None
) -> npt.NDArray[np.uint32]:
    """Reads a field's labels (Y, X) uint32, or a box of them, at one pyramid level.

    Raises:
        StoreError: the labels are missing or cannot be read.
    """
    return _read(inside(_store(folder), group) / "labels" / ngff.LABELS_NAME / str(level), box)


def labels_of(folder: RunFolder, group: str) -> Path:
    """Returns the group of a field's labels in a run's OME-Zarr.

    Raises:
        StoreError: there is no OME-Zarr, or the group would lie outside it.
    """
    return labels_path(inside(_store(folder), group))


def image_array(folder: RunFolder, group: str, level: int = 0) -> StoredArray:
    """Opens a field's image (C, Y, X) at one pyramid level for reading by boxes.

    Raises:
        StoreError: the image or the level is missing or cannot be read.
    """
    return _opened(inside(_store(folder), group), level)


def labels_array(folder: RunFolder, group: str, level: int = 0) -> StoredArray:
    """Opens a field's labels (Y, X) uint32 at one pyramid level for reading by boxes.

    Raises:
        StoreError: the labels or the level are missing or cannot be read.
    """
    return _opened(labels_of(folder, group), level)


def _opened(group: Path, level: int) -> StoredArray:
    path = group / str(level)
    if not path.is_dir() and (group / "0").is_dir():
        levels = sum(one.name.isdigit() for one in group.iterdir())
        raise StoreError(f"{group} has no level {level}: it has {levels}, from 0.")
    try:
        return StoredArray(path)
    except (UnreadableImage, ValueError) as error:
        raise _unreadable(path, error) from error


@dataclass(frozen=True, slots=True)
class LabelsInStore:
    """Full-resolution labels (Y, X) uint32 in an object store, read by boxes."""

    array: StoredArray

    @property
    def shape(self) -> tuple[int, ...]:
        """(Y, X) in px."""
        return self.array.form.shape

    def read(self, box: Box) -> npt.NDArray[np.uint32]:
        """Reads the labels (Y, X) of a box.

        Raises:
            UnreadableImage: they are missing or can't be read.
        """
        return self.array.read((box.y0, box.x0), (box.y1, box.x1))[0]


def open_labels_of(folder: RunFolder, group: str) -> Array | LabelsInStore:
    """Opens a field's full-resolution labels (Y, X) uint32 for reading by boxes.

    Raises:
        StoreError: the labels are missing.
    """
    path = labels_path(inside(_store(folder), group)) / "0"
    try:
        array = StoredArray(path)
        height, width = array.form.shape
    except (UnreadableImage, ValueError) as error:
        raise _unreadable(path, error) from error
    if isinstance(path, ObjectPath):
        return LabelsInStore(array)
    return label_level(path.parents[2], 0, (height, width), "0.4" if _is_zarr_2(path.parent) else "0.5")


def read_channels(folder: RunFolder, group: str) -> list[str]:
    """Reads the names of a field's channels, in the image's order.

    Raises:
        StoreError: the field's image is missing.
    """
    return [channel["label"] for channel in _ome(inside(_store(folder), group))["omero"]["channels"]]


def _store(folder: RunFolder) -> Path:
    if folder.zarr is not None:
        return folder.zarr
    for store in (folder.plate_zarr, folder.images_zarr):
        if (store / "zarr.json").is_file() or _is_zarr_2(store):
            return store
    raise StoreError(
        f"{folder.path} has neither plate.zarr nor images.zarr: nothing was segmented there. Give the folder "
        "that was the -o of nucbatch run."
    )


def _ome(group: Path) -> dict[str, Any]:
    path = group / (".zattrs" if _is_zarr_2(group) else "zarr.json")
    try:
        document = json.loads(path.read_bytes())
        ome = document if _is_zarr_2(group) else document["attributes"].get("ome", {})
        return cast("dict[str, Any]", ome)
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(path, error) from error


def _is_zarr_2(group: Path) -> bool:
    return (group / ".zgroup").is_file()


def _read(path: Path, box: Box | None) -> npt.NDArray[Any]:
    try:
        array = StoredArray(path)
        *leading, height, width = array.form.shape
        whole = Box(0, 0, height, width)
        place = box.clipped(whole) if box else whole
        begin, end = (*(0 for _ in leading), place.y0, place.x0), (*leading, place.y1, place.x1)
        return array.read(begin, end)[0]
    except UnreadableImage as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"{path} can't be read ({type(error).__name__}: {error}). Remove its image's folder and run the "
        "same command again: it rebuilds missing files."
    )
