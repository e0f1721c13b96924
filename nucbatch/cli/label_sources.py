"""Where ``nucbatch score`` finds label images: a run, an OME-Zarr, Kaggle's masks, a data set, or files.

The decision owned here: what an image may be called. A run's names are made safe for files, an OME-Zarr has a
title and a place, a file has a stem; so each image has several names, and two sides pair by the first kind of
name under which they hold the same images. Nothing is read before it is asked for. Masks of pixels to ignore
come with the labels: from ``ignore/`` beside them, or from a folder that the user names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nucbatch.scoring.masks import MaskFolder
    from nucbatch.store.folder import RunFolder
    from nucbatch.store.open_labels import StoredImage

_PICTURES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
IGNORE = "ignore"
_COLOURS = ("Red", "Green", "Blue")


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a side: what it may be called (best first), its labels, and its pixels if it has them.

    ``labels`` gives (Y, X), ``image`` (Y, X) or (Y, X, 3), ``ignore`` (Y, X), not 0 where pixels don't count.
    """

    names: tuple[str, ...]
    labels: Callable[[], Any]
    image: Callable[[], Any] | None = None
    ignore: Callable[[], Any] | None = None


def open_side(path: Path) -> list[Entry]:
    """The label images of one side, whichever kind it is.

    Raises:
        InputNotFound: there is no such path, or the run there has not ended.
        InputError: it holds no label images, or it isn't clear which.
        StoreError: an OME-Zarr's metadata can't be read.
    """
    from nucbatch.readers.pixels import read_image
    from nucbatch.scoring import label_files, mask_folders
    from nucbatch.store.folder import RunFolder
    from nucbatch.store.open_labels import is_ome_zarr, open_images

    folder = RunFolder(path)
    if folder.is_run():
        return _of_run(folder)
    if path.is_dir() and is_ome_zarr(path):
        return [_of_zarr(image) for image in open_images(path)]
    if path.is_dir() and (entries := _of_data_set(path)):
        return entries
    if path.is_dir() and (masks := mask_folders(path)):
        return [
            Entry(
                names,
                partial(_merged, masks[names[0]]),
                _of_file(masks[names[0]].image),
                partial(_any, masks[names[0]].ignore) if masks[names[0]].ignore else None,
            )
            for names in _with_safe(masks)
        ]
    files = label_files(path)
    entries = [Entry(names, partial(read_image, files[names[0]])) for names in _with_safe(files)]
    beside = path.parent / IGNORE if path.name in ("labels", "masks") else path / IGNORE
    return ignoring(entries, beside) if beside.is_dir() else entries


def ignoring(entries: list[Entry], folder: Path) -> list[Entry]:
    """The entries with the masks of a folder, paired by name; an image without a mask counts as a whole.

    Raises:
        InputNotFound, InputError: there is no such folder, it holds no masks, or none of these images'.
    """
    from nucbatch.core.errors import InputError
    from nucbatch.scoring import label_files

    masks = {stem.removesuffix("_ignore"): path for stem, path in label_files(folder).items()}
    found = []
    for entry in entries:
        own = next((masks[name] for name in entry.names if name in masks), None)
        found.append(entry if own is None else replace(entry, ignore=partial(_any, (own,))))
    if all(entry.ignore is None for entry in found):
        raise InputError(
            f"{folder} has masks of ignored pixels of {', '.join(list(masks)[:3])}, and of none of the true "
            f"images, such as {entries[0].names[0]}: give the masks the names of the images."
        )
    return found


def pair_sides(pred: list[Entry], truth: list[Entry]) -> dict[str, tuple[Entry, Entry]]:
    """Prediction and truth of each image by the name they share, in the order of the names.

    Raises:
        InputError: under no kind of name do the two sides hold the same images; the message lists what has
            no partner under their first names.
    """
    from nucbatch.core.errors import InputError
    from nucbatch.scoring import paired

    ways = [(_by_name(pred, one), _by_name(truth, other)) for one, other in _kinds(pred, truth)]
    for mine, theirs in ways:
        if mine and set(mine) == set(theirs):
            return {name: (mine[name], theirs[name]) for name in paired(mine, theirs)}
    firsts = [[entry.names[0] for entry in side] for side in (pred, truth)]
    paired(*firsts)  # lists what has no partner
    role, names = ("prediction", firsts[0]) if len(set(firsts[0])) < len(firsts[0]) else ("truth", firsts[1])
    twice = next(name for name in names if names.count(name) > 1)
    raise InputError(f"the {role} has {twice} twice: images are paired by name, so each may stand once.")


def find_images(folder: Path) -> dict[str, Callable[[], Any]]:
    """The pictures right in a folder by stem, each read when called: (Y, X) or (Y, X, 3).

    Raises:
        InputNotFound: there is no such folder.
        InputError: it has no pictures.
    """
    from nucbatch.core.errors import InputError, InputNotFound
    from nucbatch.readers.pixels import read_image

    if not folder.is_dir():
        raise InputNotFound(f"{folder} is no folder: --images takes the folder of the images' files.")
    found: dict[str, Callable[[], Any]] = {
        path.stem.removesuffix(".ome"): partial(read_image, path)
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in _PICTURES and not path.name.startswith(".")
    }
    if not found:
        raise InputError(
            f"{folder} has no pictures: --images takes a folder of {', '.join(_PICTURES)} files."
        )
    return found


def _kinds(pred: list[Entry], truth: list[Entry]) -> Iterable[tuple[int, int]]:
    """Kinds of names to try, the ones that are best on both sides first."""
    every = [(one, other) for one in range(len(pred[0].names)) for other in range(len(truth[0].names))]
    return sorted(every, key=sum)


def _by_name(entries: list[Entry], kind: int) -> dict[str, Entry]:
    """Entries by one kind of name; none if two share one."""
    named = {entry.names[kind]: entry for entry in entries}
    return named if len(named) == len(entries) else {}


def _with_safe(names: Iterable[str]) -> list[tuple[str, str]]:
    """Each name, and what a run would call an image of that name."""
    from nucbatch.readers.names import unique_names

    # A suffix, so that what follows a dot in a name isn't taken for one.
    suffixed = {f"{name}.x": name for name in names}
    return [(suffixed[path], safe) for path, safe in unique_names(suffixed).items()]


def _of_data_set(path: Path) -> list[Entry]:
    """The images of a folder that holds images/ and labels/, or these inside train/, val/ and test/.

    Raises:
        InputError: images and labels there don't pair up.
    """
    from nucbatch.core.errors import InputError
    from nucbatch.readers.pixels import read_image
    from nucbatch.training.layouts.files import FilePair
    from nucbatch.training.layouts.folders import find_folders

    findings = find_folders(path)
    if findings is None:
        return []
    if findings.problems:
        raise InputError(f"{path}: {' '.join(findings.problems)}")
    pairs = {one.name: one.source for one in findings.found if isinstance(one.source, FilePair)}
    return [
        Entry(
            names,
            partial(read_image, pairs[names[0]].labels),
            partial(read_image, pairs[names[0]].image),
            partial(_any, (mask,)) if (mask := pairs[names[0]].ignore) else None,
        )
        for names in _with_safe(pairs)
    ]


def _any(paths: tuple[Path, ...]) -> Any:
    """Where any of these masks is not 0: (Y, X) bool."""
    import numpy as np

    from nucbatch.readers.pixels import read_image
    from nucbatch.training.layouts.contract import ignored

    masks = [(path, read_image(path)) for path in paths]
    shape = masks[0][1].shape[:2]
    return np.logical_or.reduce([ignored(mask, shape, str(path)) for path, mask in masks])


def _of_run(folder: RunFolder) -> list[Entry]:
    import pandas as pd

    from nucbatch.core.errors import InputError, InputNotFound
    from nucbatch.readers.pixels import read_image
    from nucbatch.store.images import read_labels

    if not folder.fields.is_file():
        raise InputNotFound(f"{folder.fields} does not exist: the run has not ended. Finish it first.")
    fields = pd.read_parquet(folder.fields, columns=["Name", "Metadata_Image", "Status"])
    done = fields[fields["Status"] == "done"]
    if done.empty:
        raise InputError(
            f"{folder.path} is a run in which no image was segmented: there is nothing to score."
        )
    in_zarr = folder.plate_zarr.is_dir() or folder.images_zarr.is_dir()
    return [
        Entry((name, group), partial(read_labels, folder, group), partial(_field_image, folder, group))
        if in_zarr
        else Entry((name, group), partial(read_image, folder.label_tiff(name)))
        for name, group in zip(done["Name"].astype(str), done["Metadata_Image"].astype(str), strict=True)
    ]


def _of_zarr(image: StoredImage) -> Entry:
    from nucbatch.core.errors import InputError
    from nucbatch.store.ngff import LABELS_NAME

    if not image.labels:
        raise InputError(f"{image.path} has no labels: score takes images with a group labels/{LABELS_NAME}.")
    names = [name for name in image.labels if name != IGNORE]
    if LABELS_NAME not in names and len(names) != 1:
        raise InputError(
            f"{image.path} has the labels {', '.join(image.labels)}: score takes {LABELS_NAME!r}, or the "
            "only one there is."
        )
    chosen = LABELS_NAME if LABELS_NAME in names else names[0]
    stem = image.path.name.removesuffix(".zarr").removesuffix(".ome")
    own = stem if image.path.name.endswith(".zarr") else image.group.replace("/", "_")
    return Entry(
        (image.name, own or stem, image.group or stem),
        partial(image.read_labels, chosen),
        partial(_stored_image, image),
        partial(image.read_labels, IGNORE) if IGNORE in image.labels else None,
    )


def _merged(folder: MaskFolder) -> Any:
    from nucbatch.readers.pixels import probe, read_image
    from nucbatch.scoring import labels_of_masks

    shape = None
    if folder.image is not None:
        header = probe(folder.image)
        shape = header.height_px, header.width_px
    return labels_of_masks(((path.name, read_image(path)) for path in folder.masks), shape)


def _of_file(path: Path | None) -> Callable[[], Any] | None:
    from nucbatch.readers.pixels import read_image

    return None if path is None else partial(read_image, path)


def _field_image(folder: RunFolder, group: str) -> Any:
    """The channel that a run segmented, or its three colours."""
    import json

    from nucbatch.store.images import read_channels, read_image

    run = json.loads(folder.run_json.read_text(encoding="utf-8")) if folder.run_json.is_file() else {}
    channel = run.get("settings", {}).get("channel", "")
    return _as_shown(read_image(folder, group), read_channels(folder, group), channel)


def _stored_image(image: StoredImage) -> Any:
    return _as_shown(image.read_image(), list(image.channels), "")


def _as_shown(pixels: Any, channels: list[str], channel: str) -> Any:
    """(Y, X, 3) of red, green and blue, else the (Y, X) of a channel, else of the first."""
    import numpy as np

    if len(pixels) == 3 and tuple(channels) == _COLOURS and channel not in channels:
        return np.moveaxis(pixels, 0, -1)
    return pixels[channels.index(channel) if channel in channels else 0]
