"""Masks made elsewhere for the fields of a plate: pairs them by name, and reads the mask of one field.

A mask belongs to the field whose name (with or without the plate's), group, image file or well it is named
after, with or without an ending such as ``_cp_masks``. A name that fits several fields fits none. Every field
without a mask and every mask without a field is recorded with the reason.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import cc3d
import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import ImageUnavailable, InputError, NucbatchError, UnreadableImage
from nucbatch.core.escape import printable
from nucbatch.core.plate import Field, FileRecord, FileStatus, MaskFile, Plate, field_rows, file_rows
from nucbatch.core.rows import Rows
from nucbatch.core.selection import EVERYTHING, Selection
from nucbatch.labels.binary import kind_of
from nucbatch.labels.label_files import LABEL_ENDINGS
from nucbatch.labels.label_image import LabelImage
from nucbatch.labels.sides import open_side
from nucbatch.labels.sources import as_labels, some
from nucbatch.readers.names import plural, safe_name
from nucbatch.readers.read_timeout import within
from nucbatch.readers.rules import RULES, ignored

NO_MASK = "there is no mask of its name"
"""Problem of a field to be measured that has no mask."""
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class GivenMask:
    """Reads the mask of one field; picklable.

    ``file`` is the mask as planned and ``place`` its file or folder. ``shared`` tells that the file holds the
    masks of several fields, so that a fault of one is not one of the file. ``image`` reads its pixels.
    ``binary``: the connected
    components of the mask are the objects.
    """

    file: MaskFile
    place: Path
    image: LabelImage
    shared: bool
    binary: bool

    def read(self, shape: tuple[int, int], timeout_s: float) -> NDArray[np.uint32]:
        """Reads the labels (Y, X) uint32, numbered as in the mask; 0 is background.

        Args:
            shape: (Y, X) of the field.
            timeout_s: longest time to read the mask.

        Raises:
            UnreadableImage: the mask can't be read, is not a label image, has another size than the field, or
                has changed since the run was planned. The message begins with the mask's path, unless other
                fields' masks are in the same file.
        """
        shown = self.file.path
        try:
            self._require_unchanged()
            read = within(timeout_s, shown, lambda beat: self.image.read(shape))
            self._require_unchanged()
            labels = as_labels(read, shown)
            if labels.shape != shape:
                raise InputError(
                    f"{shown}: the mask is {labels.shape[1]} × {labels.shape[0]} px, and its image "
                    f"{shape[1]} × {shape[0]}; they must be of one size"
                )
            if self.binary:
                inside = labels > int(labels.max(initial=0)) // 2
                components = cc3d.connected_components(inside, connectivity=4, out_dtype=np.uint32)
                return np.asarray(components, np.uint32)
            if self.image.drawn is None and kind_of(labels) == "mask":
                raise InputError(
                    f"{shown}: all objects have the value {int(labels.max())}, so it is a binary mask and "
                    "not a label image: number the objects, or give --binary to measure connected components"
                )
        except ImageUnavailable:
            raise
        except NucbatchError as error:
            reason = str(error).removeprefix(f"{shown}: ").removeprefix(f"{self.place}: ").rstrip(".")
            raise UnreadableImage(
                f"the mask in {shown}: {reason}" if self.shared else f"{shown}: {reason}"
            ) from error
        return labels.astype(np.uint32)

    def _require_unchanged(self) -> None:
        try:
            found = _stamp(self.place)
        except OSError as error:
            raise ImageUnavailable(
                f"{self.file.path}: can't be opened ({error.strerror or error})"
            ) from error
        if found != (self.file.size_bytes, self.file.mtime_ns):
            raise ImageUnavailable(
                f"{self.file.path}: has changed since the run was planned: give the same command again once "
                "nothing writes to it any more"
            )


@dataclass(frozen=True, slots=True)
class PlateMasks:
    """A plate with masks for its fields.

    ``plate``: fields have a ``mask``, or a ``problem`` if there is none; its files include the masks.
    ``masks``: by the field's key. ``unmatched``: masks that belong to no field.
    """

    source: Path
    plate: Plate
    masks: Mapping[str, GivenMask]
    unmatched: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What was found, for the user: how many fields have a mask, and what is left over."""
        lacking = [field.name for field in self.plate.fields if field.problem == NO_MASK]
        parts = [
            f"masks from {self.source} for {len(self.masks):,} of {plural(len(self.plate.fields), 'field')}"
        ]
        if lacking:
            parts.append(f"no mask for {plural(len(lacking), 'field')}: {some(lacking, _SHOWN)}")
        if self.unmatched:
            parts.append(f"masks of no image: {some(list(self.unmatched), _SHOWN)}")
        return "; ".join(parts)


def masks_for(
    plate: Plate, source: Path, *, binary: bool = False, selection: Selection = EVERYTHING
) -> PlateMasks:
    """Finds the masks of a plate's fields.

    Args:
        plate: the input.
        source: a folder of label images, an OME-Zarr with labels, a run's folder, or another source that
            :func:`nucbatch.labels.sides.open_side` opens.
        binary: the masks are binary, and their connected components are the objects.
        selection: the part of the plate to process; other fields need no mask.

    Raises:
        InputNotFound, InputError: there are no masks, none of them fits, or two belong to one field.
        StoreError: metadata can't be read.
    """
    images = open_side(source)
    places = [image.place for image in images]
    owners = _owners(plate)
    found: dict[str, GivenMask] = {}
    unmatched: list[LabelImage] = []
    for image in images:
        field = _field_of(image, owners)
        if field is None:
            unmatched.append(image)
            continue
        mask = GivenMask(
            _described(image.place, source, plate),
            image.place,
            replace(image, image=None, ignore=None),
            places.count(image.place) > 1,
            binary,
        )
        if field.key in found:
            raise InputError(
                f"{found[field.key].file.path} and {mask.file.path} are both masks of {field.name}: keep one "
                "of them."
            )
        found[field.key] = mask
    if not found:
        raise InputError(
            f"none of the {len(images):,} masks in {source} is named after an image of {plate.name}: the "
            f"masks are {some([image.names[0] for image in images], _SHOWN)}, the images "
            f"{some([field.name for field in plate.fields], _SHOWN)}. Give the masks the names of the "
            "images, perhaps with _masks at the end."
        )
    fields = field_rows(
        _with_mask(field, found.get(field.key), needed=selection.includes(field)) for field in plate.fields
    )
    leftover = {_described(image.place, source, plate).path for image in unmatched}
    records = _records(plate, fields, leftover - {mask.file.path for mask in found.values()})
    return PlateMasks(
        source, replace(plate, fields=fields, files=records), found, tuple(one.names[0] for one in unmatched)
    )


def _with_mask(field: Field, mask: GivenMask | None, *, needed: bool) -> Field:
    if mask is not None:
        return replace(field, mask=mask.file)
    return replace(field, problem=NO_MASK) if needed and not field.problem else field


def _records(plate: Plate, fields: Rows[Field], leftover: set[str]) -> Rows[FileRecord]:
    """The plate's files, with masks, and images whose field has no mask as ignored ones."""
    needed = {plane.path for field in fields if not field.problem for plane in field.planes}
    before = {field.key: field.problem for field in plate.fields}
    lacking = {
        plane.path
        for field in fields
        if field.problem and not before[field.key]
        for plane in field.planes
        if plane.path not in needed
    }
    masks: dict[str, FileRecord] = {path: ignored(path, "unmatched-mask") for path in leftover}
    for field in fields:
        if field.mask is not None and field.mask.path not in masks:
            masks[field.mask.path] = ignored(field.mask.path, "failed-field")
    for field in fields:
        if field.mask is not None and not field.problem:
            masks[field.mask.path] = FileRecord(
                field.mask.path,
                FileStatus.USED,
                well=field.well,
                site=field.site,
                t=field.t,
                group=field.group,
            )
    records = [
        replace(file, status=FileStatus.IGNORED, reason=f"no-mask: {RULES['no-mask']}")
        if file.path in lacking and file.status is FileStatus.USED
        else file
        for file in plate.files
        if file.path not in masks
    ]
    return file_rows((*records, *(masks[path] for path in sorted(masks))))


def _described(place: Path, source: Path, plate: Plate) -> MaskFile:
    """The mask's names and stamp."""
    folder = "/" if place.is_dir() else ""
    below, root = place.absolute(), Path(plate.root)
    path = below.relative_to(root).as_posix() if below.is_relative_to(root) else below.as_posix()
    within = place != source and place.is_relative_to(source)
    name = place.relative_to(source).as_posix() if within else place.name
    try:
        size_bytes, mtime_ns = _stamp(place)
    except OSError:
        size_bytes, mtime_ns = 0, 0  # reading it gives the reason
    return MaskFile(printable(name), printable(path) + folder, size_bytes, mtime_ns)


def _stamp(place: Path) -> tuple[int, int]:
    """(Bytes, latest modification time in ns) of a file, or of all files below a folder.

    Raises:
        OSError: it can't be accessed.
    """
    if not place.is_dir():
        info = place.stat()
        return info.st_size, info.st_mtime_ns
    sizes, times = [0], [0]
    for folder, _, names in os.walk(place, onerror=_raise):
        for name in names:
            info = Path(folder, name).stat()
            sizes.append(info.st_size)
            times.append(info.st_mtime_ns)
    return sum(sizes), max(times)


def _raise(error: OSError) -> None:
    raise error


def _owners(plate: Plate) -> list[dict[str, Field]]:
    """Fields by each kind of name that fits one field alone, the best kind first."""
    kinds: list[dict[str, list[Field]]] = [{} for _ in range(6)]
    for field in plate.fields:
        paths = [PurePosixPath(plane.path) for plane in field.planes]
        names = (
            {field.name},
            {field.group, field.group.replace("/", "_")},
            {path.with_name(_stem(path.name)).as_posix() for path in paths},
            {_stem(path.name) for path in paths},
            {field.name.removeprefix(f"{safe_name(plate.name)}_")} - {field.name},
            {field.well} - {""},
        )
        for kind, own in zip(kinds, names, strict=True):
            for name in own:
                kind.setdefault(name.casefold(), []).append(field)
    return [{name: some[0] for name, some in kind.items() if len(some) == 1} for kind in kinds]


def _field_of(image: LabelImage, owners: list[dict[str, Field]]) -> Field | None:
    for name in _names_of(image):
        for known in owners:
            if name.casefold() in known:
                return known[name.casefold()]
    return None


def _names_of(image: LabelImage) -> Iterator[str]:
    """The names under which a mask's image may be found, as they are and without a mask's ending."""
    names = list(dict.fromkeys([*image.names, *(name.rpartition("/")[2] for name in image.names)]))
    yield from names
    for name in names:
        for ending in LABEL_ENDINGS:
            if name.lower().endswith(ending):
                yield name[: -len(ending)]


def _stem(name: str) -> str:
    """A file's name without ``.tif`` or ``.ome.tif``."""
    return PurePosixPath(name).stem.removesuffix(".ome")
