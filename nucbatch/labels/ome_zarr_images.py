"""Reads images and label images of OME-Zarr by any writer, at full size (level 0).

An image is a group with ``multiscales``. Images are looked for in the group itself, a plate's wells, a
collection's series, a run's folder, and a folder of any of these. Versions 0.4 (Zarr 2) and 0.5 (Zarr 3) are
read; source: https://ngff.openmicroscopy.org/. Paths written in metadata that lead out of their group are
refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import InputError, InputNotFound, StoreError, UnreadableImage
from nucbatch.store.run_folder import RunFolder
from nucbatch.zarr_format import StoredArray
from nucbatch.zarr_format.ome import attributes, below, is_group, require_picture

_AXES = "tczyx"


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One image of an OME-Zarr; nothing is read before a method is called.

    ``group`` is its path below the opened one (``B/3/1``; empty if it is the opened path itself). ``name`` is
    its recorded name, or its group if names are missing or not unique. ``channels`` are the recorded names,
    empty if there are none; ``labels`` the names of its label images.
    """

    path: Path
    group: str
    name: str
    channels: tuple[str, ...]
    labels: tuple[str, ...]

    def count_channels(self) -> int:
        """The number of channels; no pixels are read.

        Raises:
            InputError: it has several z-planes or time points, or holds labels alone.
            StoreError: its metadata can't be read.
        """
        self._require_picture()
        array, axes = _level_0(self.path)
        return array.form.shape[axes.index("c")] if "c" in axes else 1

    def read_image(self, channel: int | None = None) -> NDArray[Any]:
        """All channels (C, Y, X), or one of them (Y, X), in the stored dtype.

        Raises:
            InputError: it has several z-planes or time points, or holds labels alone.
            StoreError: it can't be read.
        """
        self._require_picture()
        pixels = _read(self.path, channel)
        return pixels if pixels.ndim == 3 or channel is not None else pixels[np.newaxis]

    def _require_picture(self) -> None:
        try:
            require_picture(_first_multiscales(self.path, _ome(self.path)))
        except UnreadableImage as error:
            raise InputError(f"{self.path}: {error}.") from error

    def read_labels(self, name: str) -> NDArray[Any]:
        """A label image (Y, X) in the stored dtype; ``name`` is one of ``labels``.

        Raises:
            InputError: it has several z-planes, time points or channels.
            StoreError: it can't be read.
        """
        pixels = _read(_below(self.path / "labels", name), None)
        if pixels.ndim == 3 and len(pixels) == 1:
            pixels = pixels[0]
        if pixels.ndim != 2:
            raise InputError(f"{self.path}/labels/{name} has {len(pixels)} channels: labels have one.")
        return pixels


def is_ome_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr group, a run's folder, or holds folders named ``*.zarr``."""
    return is_group(path) or bool(_stores(path))


def open_images(path: Path) -> list[StoredImage]:
    """The images at or below a path, in the order of the metadata.

    Raises:
        InputNotFound: there is no such folder.
        InputError: there is no image in it.
        StoreError: metadata can't be read.
    """
    if not path.is_dir():
        raise InputNotFound(f"{path} is not a folder: name an OME-Zarr, a folder of them, or a run's folder.")
    found = list(_images(path))
    if not found:
        raise InputError(f"{path} has no image with OME-Zarr's multiscales: name an OME-Zarr image or plate.")
    described = [(group, _ome(group)) for group in found]
    titles = [str(_first_multiscales(group, ome).get("name") or "") for group, ome in described]
    groups = [group.relative_to(path).as_posix() if group != path else "" for group in found]
    if len(set(titles)) < len(titles) or "" in titles:
        titles = [group or path.name for group in groups]
    return [
        StoredImage(group, place, title, _channel_names(ome), _label_names(group))
        for (group, ome), place, title in zip(described, groups, titles, strict=True)
    ]


def _images(path: Path) -> Iterator[Path]:
    """Groups with multiscales at or below a path, as listed by the metadata if they list any."""
    if not is_group(path):
        for store in _stores(path):
            yield from _images(store)
        return
    ome = _ome(path)
    if "multiscales" in ome:
        yield path
    elif "plate" in ome:
        for well in ome["plate"].get("wells", ()):
            place = _below(path, str(well["path"]))
            for image in _ome(place).get("well", {}).get("images", ()):
                yield _below(place, str(image["path"]))
    elif is_group(path / "OME") and (series := _ome(path / "OME").get("series")):
        for name in series:
            yield _below(path, str(name))
    else:
        for child in sorted(path.iterdir()):
            if is_group(child) and "multiscales" in _ome(child):
                yield child


def _stores(path: Path) -> list[Path]:
    """The Zarr groups in a plain folder: a run's own, or all named ``*.zarr``."""
    run = RunFolder(path)
    own = [store for store in (run.plate_zarr, run.images_zarr) if is_group(store)]
    return own[:1] or sorted(child for child in path.glob("*.zarr") if is_group(child))


def _ome(group: Path) -> dict[str, Any]:
    """OME-Zarr's attributes of a group, {} if it has none."""
    try:
        return attributes(group)
    except UnreadableImage as error:
        raise StoreError(f"{group}: its attributes can't be read: {error}.") from error


def _first_multiscales(group: Path, ome: dict[str, Any]) -> dict[str, Any]:
    try:
        described: dict[str, Any] = dict(ome["multiscales"][0])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise StoreError(f"{group} is listed as an image, but its attributes have no multiscales.") from error
    return described


def _channel_names(ome: dict[str, Any]) -> tuple[str, ...]:
    listed = (ome.get("omero") or {}).get("channels") or ()
    names = tuple(str(channel.get("label", "")) for channel in listed)
    return names if all(names) else ()


def _label_names(group: Path) -> tuple[str, ...]:
    labels = group / "labels"
    return tuple(str(name) for name in _ome(labels).get("labels", ())) if is_group(labels) else ()


def _level_0(group: Path) -> tuple[StoredArray, list[str]]:
    """The full-size array of an image or label group, and the names of its axes; z and t have length 1."""
    described = _first_multiscales(group, _ome(group))
    try:
        level = str(described["datasets"][0]["path"])
    except (KeyError, IndexError, TypeError) as error:
        raise StoreError(f"{group}: its multiscales name no dataset.") from error
    place = _below(group, level)
    try:
        array = StoredArray(place)
    except UnreadableImage as error:
        raise StoreError(f"{place} can't be opened: {error}.") from error
    shape = array.form.shape
    named = described.get("axes") or _AXES[-len(shape) :]
    axes = [axis["name"] if isinstance(axis, dict) else str(axis) for axis in named]
    if len(axes) != len(shape) or axes[-2:] != ["y", "x"]:
        raise InputError(
            f"{group} has the axes {', '.join(axes)} for {len(shape)} dimensions: y, x come last."
        )
    for axis, length in zip(axes, shape, strict=True):
        if axis not in ("c", "y", "x") and length != 1:
            raise InputError(
                f"{group} has {length} along {axis}: images of one plane are needed. Project it."
            )
    return array, axes


def _read(group: Path, channel: int | None) -> NDArray[Any]:
    """(C, Y, X), or (Y, X) if there is no channel axis or one channel is requested."""
    array, axes = _level_0(group)
    shape = array.form.shape
    channels = (0, shape[axes.index("c")]) if "c" in axes and channel is None else None
    spans = [
        {"c": channels or (channel or 0, (channel or 0) + 1), "y": (0, length), "x": (0, length)}.get(
            axis, (0, 1)
        )
        for axis, length in zip(axes, shape, strict=True)
    ]
    begin, end = zip(*spans, strict=True)
    try:
        pixels, _ = array.read(begin, end)
    except UnreadableImage as error:
        raise StoreError(f"{group} can't be read: {error}.") from error
    # Of the axes only c, y and x are longer than 1; c may stand anywhere before y.
    return pixels.reshape(*((channels[1],) if channels else ()), *shape[-2:])


def _below(group: Path, path: str) -> Path:
    """A path named by metadata, which must lie inside the group."""
    try:
        return below(group, path)
    except UnreadableImage as error:
        raise StoreError(f"{group}: {error}.") from error
