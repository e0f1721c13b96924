"""Images and labels of a run as OME-Zarr 0.5; each field's group has a single writer.

The driver writes everything above the fields (plate, wells, or the list of a collection's images), before any
pixels and again once the failed fields are known. A field's task writes the field's group: pixels first, and
last the attributes that make it an image. No two writers share a file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Container, Sequence, Set
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError, StoreError, UnreadableImage
from nucbatch.core.plate import Channel, Field, Plate
from nucbatch.core.tiles import Box
from nucbatch.store import ngff
from nucbatch.store.atomic import cannot_write, write_bytes
from nucbatch.store.chunks import Array
from nucbatch.store.display import limits, window
from nucbatch.store.pyramid import image_pyramid, label_pyramid, level_count
from nucbatch.store.run_folder import RunFolder, inside
from nucbatch.zarr_format import StoredArray


def create_images(
    folder: RunFolder, plate: Plate, failed: Collection[str] = (), *, left_out: Container[str] = ()
) -> Path:
    """Writes all metadata above the fields, without touching pixels.

    Fields with a ``problem``, failed fields and those left out are not listed; files of failed ones are
    removed. Calling it again at the end, with the failed fields, gives the same result as a single call.

    Args:
        folder: the run's folder.
        plate: the input.
        failed: keys of failed fields.
        left_out: keys of fields that are not selected; what a killed session left of them stays.

    Returns:
        Path of the store.

    Raises:
        InputError: a field's group is not a valid path inside a plate.
        StoreError: a file cannot be written.
    """
    store = folder.store(plate.is_plate)
    shown = [
        field.group
        for field in plate.fields
        if not field.problem and field.key not in failed and field.key not in left_out
    ]
    try:
        for key in failed:
            if inside(store, key).exists():
                shutil.rmtree(inside(store, key))
        if plate.is_plate:
            _create_plate(store, plate, set(shown))
        else:
            _write_group(store, ngff.collection_attributes())
            _write_group(store / "OME", ngff.series_attributes(shown))
    except StoreError:
        raise
    except OSError as error:
        raise cannot_write(store, error) from error
    return store


def write_field(
    store: Path,
    field: Field,
    channels: Sequence[Channel],
    image: npt.NDArray[Any],
    labels: npt.NDArray[np.uint32],
    *,
    pixel_size_um: float | None,
    windows: Sequence[tuple[float, float]] | None = None,
) -> None:
    """Writes a field's image pyramid and its ``labels/nuclei`` pyramid; the same input gives the same bytes.

    Args:
        store: path returned by :func:`create_images`.
        field: the field.
        channels: channels of ``image``.
        image: (C, Y, X), as read: integers of up to 32 bits, or floats.
        labels: (Y, X) uint32, 0 is background.
        pixel_size_um: size of a pixel; None if unknown.
        windows: (start, end) grey levels to display per channel; None computes them from the image.

    Raises:
        InputError: image, labels and channels do not match.
        StoreError: a file cannot be written.
    """
    if image.ndim != 3 or image.shape != (len(channels), *labels.shape) or 0 in image.shape:
        raise InputError(
            f"field {field.name}: an image of shape {image.shape}, {len(channels)} channels and labels of "
            f"shape {labels.shape} do not match: they must be (C, Y, X), C and (Y, X)."
        )
    if labels.dtype != np.uint32:
        raise InputError(f"field {field.name}: labels are {labels.dtype}, they must be uint32.")
    group = inside(store, field.group)
    for level, pixels in enumerate(image_pyramid(image)):
        array = image_level(group, level, image.shape, image.dtype)
        array.describe()
        array.write(pixels)
    for level, pixels in enumerate(label_pyramid(labels)):
        array = label_level(group, level, labels.shape)
        array.describe()
        array.write(pixels)
    write_attributes(
        group,
        field,
        [channel.name for channel in channels],
        pixel_size_um,
        windows=[window(plane) for plane in image] if windows is None else windows,
        limits=[limits(plane) for plane in image],
    )


def image_level(group: Path, level: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Returns the array of one pyramid level of an image with full shape (C, Y, X)."""
    sides = (-(-side // 2**level) for side in shape[-2:])
    return Array.of_image(group / str(level), (shape[0], *sides), dtype, "image", ("c", "y", "x"))


def label_level(group: Path, level: int, shape: tuple[int, ...]) -> Array:
    """Returns the array of one pyramid level of labels with full shape (Y, X), uint32."""
    sides = tuple(-(-side // 2**level) for side in shape[-2:])
    return Array.of_image(labels_path(group) / str(level), sides, np.uint32, "labels", ("y", "x"))


def labels_path(group: Path) -> Path:
    """Returns the path of an image's labels."""
    return group / "labels" / ngff.LABELS_NAME


def field_files(store: Path, field: Field, shape: tuple[int, ...], dtype: npt.DTypeLike) -> list[Path]:
    """Lists the files that :func:`write_field` wrote for an image (C, Y, X) of this dtype."""
    group = inside(store, field.group)
    arrays = [
        array
        for level in range(level_count(*shape[-2:]))
        for array in (
            image_level(group, level, shape, dtype),
            label_level(group, level, (shape[-2], shape[-1])),
        )
    ]
    chunks = [path for array in arrays for path in array.files(Box(0, 0, *array.shape[-2:]))]
    described = [array.path / "zarr.json" for array in arrays]
    return [*described, *attribute_files(group), *(path for path in chunks if path.exists())]


def attribute_files(group: Path) -> list[Path]:
    """Lists the files that :func:`write_attributes` writes."""
    nuclei = labels_path(group)
    return [folder / "zarr.json" for folder in (group, nuclei.parent, nuclei)]


def write_attributes(
    group: Path,
    field: Field,
    channels: Sequence[str],
    pixel_size_um: float | None,
    *,
    windows: Sequence[tuple[float, float]],
    limits: Sequence[tuple[float, float]],
) -> None:
    """Writes the attributes that make a field's arrays an image with labels, after the pixels.

    Args:
        group: the image's group.
        field: the field.
        channels: names of its channels.
        pixel_size_um: size of a pixel; None if unknown.
        windows: (start, end) grey levels to display per channel.
        limits: (min, max) range of these windows per channel.

    Raises:
        StoreError: a file cannot be written.
    """
    nuclei, levels = labels_path(group), level_count(field.height_px, field.width_px)
    _write_group(nuclei, ngff.nuclei_attributes(levels, pixel_size_um))
    _write_group(nuclei.parent, ngff.labels_attributes())
    described = ngff.image_attributes(
        field.name, channels, levels, pixel_size_um, windows=windows, limits=limits
    )
    _write_group(group, described)


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


def open_labels_of(folder: RunFolder, group: str) -> Array:
    """Opens a field's full-resolution labels (Y, X) uint32 for reading by boxes.

    Raises:
        StoreError: the labels are missing.
    """
    path = labels_path(inside(_store(folder), group)) / "0"
    try:
        height, width = json.loads((path / "zarr.json").read_bytes())["shape"]
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(path, error) from error
    return label_level(path.parents[2], 0, (height, width))


def read_channels(folder: RunFolder, group: str) -> list[str]:
    """Reads the names of a field's channels, in the image's order.

    Raises:
        StoreError: the field's image is missing.
    """
    return [channel["label"] for channel in _ome(inside(_store(folder), group))["omero"]["channels"]]


def _create_plate(store: Path, plate: Plate, shown: Set[str]) -> None:
    images: dict[tuple[str, int], list[str]] = {}
    for field in plate.fields:
        row, column, image = ngff.image_place(field.group)
        images.setdefault((row, column), []).extend([image] if field.group in shown else [])
    # NGFF requires an image in each plate, so a plate without images is written as a plain group.
    _write_group(store, ngff.plate_attributes(plate.name, images) if shown else {})
    rows = {row for (row, _), paths in images.items() if paths}
    for (row, column), paths in images.items():
        if paths:
            _write_group(store / row, {})
            _write_group(store / row / str(column), ngff.well_attributes(paths))
        else:
            _remove_group(store / row / str(column))
            if row not in rows:
                _remove_group(store / row)


def _write_group(path: Path, attributes: ngff.Attributes) -> None:
    path.mkdir(parents=True, exist_ok=True)
    write_bytes(path / "zarr.json", ngff.group_document(attributes), durable=False)


def _remove_group(path: Path) -> None:
    """Removes a group's attributes, and the group itself if it is then empty."""
    (path / "zarr.json").unlink(missing_ok=True)
    if path.is_dir() and next(path.iterdir(), None) is None:
        path.rmdir()


def _store(folder: RunFolder) -> Path:
    for store in (folder.plate_zarr, folder.images_zarr):
        if (store / "zarr.json").is_file():
            return store
    raise StoreError(
        f"{folder.path} has neither plate.zarr nor images.zarr: nothing was segmented there. Give the folder "
        "that was the -o of nucbatch run."
    )


def _ome(group: Path) -> dict[str, Any]:
    path = group / "zarr.json"
    try:
        return cast("dict[str, Any]", json.loads(path.read_bytes())["attributes"].get("ome", {}))
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(path, error) from error


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
