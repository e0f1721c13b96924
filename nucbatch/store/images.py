"""Images and labels of a run as OME-Zarr; each field's group has a single writer.

The driver writes everything above the fields (plate, wells, or the list of a collection's images), before any
pixels and again once the failed fields are known. A field's task writes the field's group: pixels first, and
last the attributes that make it an image. No two writers share a file.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError, StoreError
from nucbatch.core.plate import Channel, Field, Plate
from nucbatch.store import ngff
from nucbatch.store.atomic import cannot_write, write_bytes
from nucbatch.store.chunks import Array
from nucbatch.store.display import limits, window
from nucbatch.store.pyramid import image_pyramid, label_pyramid, level_count
from nucbatch.store.run_folder import RunFolder, inside
from nucbatch.store.stamps import Written, stamp_of_bytes
from nucbatch.zarr_format.lost_images import with_lost_images


def create_images(
    folder: RunFolder,
    plate: Plate,
    failed: Collection[str] = (),
    *,
    left_out: Container[str] = (),
    reasons: Mapping[str, str] | None = None,
    version: ngff.Version = "0.5",
) -> Path:
    """Writes all metadata above the fields, without touching pixels.

    Fields with a ``problem``, failed fields and those left out are not listed as images; files of failed ones
    are removed. The first two are listed as lost, with the reason, so that a reader of the copy misses them.
    Calling it again at the end, with the failed fields, gives the same result as a single call.

    Args:
        folder: the run's folder.
        plate: the input.
        failed: keys of failed fields.
        left_out: keys of fields that are not selected; what a killed session left of them stays.
        reasons: why fields failed, by key.
        version: of OME-Zarr.

    Returns:
        Path of the store.

    Raises:
        InputError: a field's group is not a valid path inside a plate.
        StoreError: a file cannot be written.
    """
    store = folder.store(plate.is_plate)
    each = zip(plate.fields.values("group"), plate.fields.values("problem"), strict=True)
    lost = {
        group: problem or (reasons or {}).get(group, "failed")
        for group, problem in each
        if (problem or group in failed) and group not in left_out
    }
    try:
        for key in failed:
            if inside(store, key).exists():
                shutil.rmtree(inside(store, key))
        if plate.is_plate:
            _create_plate(store, plate, left_out, lost, version)
        else:
            write_group(store, with_lost_images(ngff.collection_attributes(version), lost), version)
            groups = plate.fields.values("group")
            shown = [group for group in groups if group not in lost and group not in left_out]
            write_group(store / "OME", ngff.series_attributes(shown, version), version)
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
    windows: Sequence[tuple[float, float]] | None = None,
    version: ngff.Version = "0.5",
) -> Written:
    """Writes a field's image pyramid and its ``labels/nuclei`` pyramid; the same input gives the same bytes.

    Args:
        store: path returned by :func:`create_images`.
        field: the field.
        channels: channels of ``image``.
        image: (C, Y, X), as read: integers of up to 32 bits, or floats.
        labels: (Y, X) uint32, 0 is background.
        windows: (start, end) grey levels to display per channel; None computes them from the image.
        version: of OME-Zarr.

    Returns:
        The files.

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
    written: Written = {}
    for level, pixels in enumerate(image_pyramid(image)):
        array = image_level(group, level, image.shape, image.dtype, version)
        written |= array.describe() | array.write(pixels)
    written |= write_label_pyramid(group, labels, version)
    return written | write_attributes(
        group,
        field,
        channels,
        windows=[window(plane) for plane in image] if windows is None else windows,
        limits=[limits(plane) for plane in image],
        version=version,
    )


def image_level(
    group: Path, level: int, shape: tuple[int, ...], dtype: npt.DTypeLike, version: ngff.Version = "0.5"
) -> Array:
    """Returns the array of one pyramid level of an image with full shape (C, Y, X)."""
    whole = shape[0], *(-(-side // 2**level) for side in shape[-2:])
    path, names = group / str(level), ("c", "y", "x")
    return Array.of_image(path, whole, dtype, "image", names, ngff.zarr_format(version))


def label_level(group: Path, level: int, shape: tuple[int, ...], version: ngff.Version = "0.5") -> Array:
    """Returns the array of one pyramid level of labels with full shape (Y, X), uint32."""
    sides = tuple(-(-side // 2**level) for side in shape[-2:])
    path, names = labels_path(group) / str(level), ("y", "x")
    return Array.of_image(path, sides, np.uint32, "labels", names, ngff.zarr_format(version))


def write_label_pyramid(
    group: Path, labels: npt.NDArray[np.uint32], version: ngff.Version = "0.5"
) -> Written:
    """Writes the pyramid of labels (Y, X), without the attributes of their group, and returns its files.

    Raises:
        StoreError: a file cannot be written.
    """
    written: Written = {}
    for level, pixels in enumerate(label_pyramid(labels)):
        array = label_level(group, level, labels.shape, version)
        written |= array.describe() | array.write(pixels)
    return written


def labels_path(group: Path) -> Path:
    """Returns the path of an image's labels."""
    return group / "labels" / ngff.LABELS_NAME


def write_attributes(
    group: Path,
    field: Field,
    channels: Sequence[Channel],
    *,
    windows: Sequence[tuple[float, float]],
    limits: Sequence[tuple[float, float]],
    version: ngff.Version = "0.5",
) -> Written:
    """Writes the attributes that make a field's arrays an image with labels, after the pixels.

    Returns the files.

    Args:
        group: the image's group.
        field: the field.
        channels: its channels.
        windows: (start, end) grey levels to display per channel.
        limits: (min, max) range of these windows per channel.
        version: of OME-Zarr.

    Raises:
        StoreError: a file cannot be written.
    """
    nuclei = labels_path(group)
    space = ngff.Space.of(field, level_count(field.height_px, field.width_px))
    written = write_group(nuclei, ngff.nuclei_attributes(space, version), version)
    written |= write_group(nuclei.parent, ngff.labels_attributes(version), version)
    described = ngff.image_attributes(
        field.name, channels, space, windows=windows, limits=limits, version=version
    )
    return written | write_group(group, described, version)


def _create_plate(
    store: Path, plate: Plate, left_out: Container[str], lost: Mapping[str, str], version: ngff.Version
) -> None:
    numbers = ngff.acquisition_ids(plate.fields.values("acquisition"))
    images: dict[tuple[str, int], dict[str, int | None]] = {}
    for group, acquisition in zip(*map(plate.fields.values, ("group", "acquisition")), strict=True):
        row, column, image = ngff.image_place(group)
        listed = images.setdefault((row, column), {})
        if group not in lost and group not in left_out:
            listed[image] = numbers.get(acquisition)
    shown = any(images.values())
    size = plate.rows, plate.columns
    described = ngff.plate_attributes(plate.name, images, size=size, acquisitions=numbers, version=version)
    # NGFF requires an image in each plate, so a plate without images is written as a plain group.
    _update_group(store, with_lost_images(described, lost) if shown else {}, version)
    rows = {row for (row, _), listed in images.items() if listed}
    for row in sorted(rows):
        _update_group(store / row, {}, version)
    for (row, column), listed in images.items():
        if listed:
            _update_group(store / row / str(column), ngff.well_attributes(listed, version), version)
        else:
            _remove_group(store / row / str(column))
            if row not in rows:
                _remove_group(store / row)


def write_group(path: Path, attributes: ngff.Attributes, version: ngff.Version) -> Written:
    """Makes a folder a group with these attributes, and returns its files; missing folders are created.

    Raises:
        StoreError: a file cannot be written.
    """
    written: Written = {}
    for name, content in ngff.group_files(attributes, version).items():
        write_bytes(path / name, content, durable=False, folders=True)
        written[path / name] = stamp_of_bytes(content)
    return written


def _update_group(path: Path, attributes: ngff.Attributes, version: ngff.Version) -> None:
    """Writes a group as :func:`write_group`, without its files that are there already and are the same.

    Most are, at the end of a run, and writing takes five times as long as comparing.
    """
    path.mkdir(parents=True, exist_ok=True)
    for name, content in ngff.group_files(attributes, version).items():
        try:
            same = (path / name).read_bytes() == content
        except FileNotFoundError:
            same = False
        if not same:
            write_bytes(path / name, content, durable=False)


def _remove_group(path: Path) -> None:
    """Removes a group's attributes, and the group itself if it is then empty."""
    for version in ngff.VERSIONS:
        for name in ngff.group_files({}, version):
            (path / name).unlink(missing_ok=True)
    if path.is_dir() and next(path.iterdir(), None) is None:
        path.rmdir()
