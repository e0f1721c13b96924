"""Opens one side of a comparison: its label images, of whichever kind they are.

A side is a run's folder, an OME-Zarr, Kaggle's masks, a data set, a folder of files, or an annotation file.
No pixels are read before they are asked for. Masks of pixels to ignore come with the labels: from ``ignore/``
beside them, or from a folder that the user names. :mod:`nucbatch.labels.pairing` pairs two sides.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import InputError, InputNotFound
from nucbatch.labels.beside import find_beside
from nucbatch.labels.drawing import DrawnImage
from nucbatch.labels.drawn_files import FORMATS, SUFFIXES, drawn_images
from nucbatch.labels.drawn_pairs import DrawnPair, annotation_files, find_drawn
from nucbatch.labels.kaggle import MaskFolder, find_kaggle
from nucbatch.labels.label_files import (
    IGNORE,
    IMAGE_SUFFIXES,
    LABEL_ENDINGS,
    FilePair,
    label_files,
    pictures,
    read_ignored,
    read_label_image,
    stem_of,
)
from nucbatch.labels.label_image import LabelImage, Reader, one_picture
from nucbatch.labels.ome_zarr_images import StoredImage, is_ome_zarr, open_images
from nucbatch.labels.paired_folders import find_folders
from nucbatch.labels.run_side import of_run
from nucbatch.labels.sources import Findings
from nucbatch.labels.zarr_pairs import choose_labels
from nucbatch.object_store import ObjectPath
from nucbatch.readers.names import unique_names
from nucbatch.readers.pixels import read_image
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stored_run import stored_run
from nucbatch.zarr_format.ome import is_group


def open_side(path: Path) -> list[LabelImage]:
    """The label images of one side, whichever kind it is.

    Raises:
        InputNotFound: there is no such path, or the run there has not ended.
        InputError: it holds no label images, or it isn't clear which.
        StoreError: an OME-Zarr's metadata can't be read.
    """
    folder = RunFolder(path)
    if folder.is_run():
        return of_run(folder)
    if path.is_dir() and is_ome_zarr(path):
        return [_of_zarr(image) for image in open_images(path)]
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return _of_drawn(path, [path])
    if path.is_dir():
        findings = find_drawn(path)
        if findings is not None and not findings.found:  # no images are there
            images = _of_drawn(path, annotation_files(path))
            if images:
                return images
        findings = findings or find_folders(path) or find_kaggle(path, need_images=False) or find_beside(path)
        if findings is not None and (findings.found or findings.problems):
            return _of_findings(path, findings)
    files = label_files(path)
    images = [
        LabelImage(
            (*names, stem_of(Path(f"{names[0]}.x"), LABEL_ENDINGS)),
            files[names[0]],
            partial(read_label_image, files[names[0]]),
        )
        for names in _with_safe(files)
    ]
    beside = path.parent / IGNORE if path.name in ("labels", "masks") else path / IGNORE
    return ignoring(images, beside) if beside.is_dir() else images


def open_side_at(path: Path, opened: ExitStack) -> list[LabelImage]:
    """The label images of one side, which may also be the address of a run or of an OME-Zarr in a store.

    Args:
        path: folder, file or address.
        opened: keeps what was fetched of a run until the pixels are read.

    Raises:
        As :func:`open_side`. InputError: the store refuses, or does not answer.
    """
    if not isinstance(path, ObjectPath):
        return open_side(path)
    if is_group(path):
        return [_of_zarr(image) for image in open_images(path)]
    return of_run(opened.enter_context(stored_run(path)).folder)


def ignoring(images: list[LabelImage], folder: Path) -> list[LabelImage]:
    """The label images with the masks in a folder, paired by name; an image without a mask counts as a whole.

    Raises:
        InputNotFound, InputError: there is no such folder, it holds no masks, or none of these images'.
    """
    masks = {stem.removesuffix("_ignore"): path for stem, path in label_files(folder).items()}
    found = []
    for image in images:
        own = next((masks[name] for name in image.names if name in masks), None)
        found.append(image if own is None else replace(image, ignore=partial(read_ignored, (own,))))
    if all(image.ignore is None for image in found):
        raise InputError(
            f"{folder} has masks of ignored pixels of {', '.join(list(masks)[:3])}, and of none of the true "
            f"images, such as {images[0].names[0]}: give the masks the names of the images."
        )
    return found


def find_images(folder: Path) -> dict[str, Reader]:
    """The pictures right in a folder by stem, each read when called: (Y, X) or (Y, X, 3).

    Raises:
        InputNotFound: there is no such folder.
        InputError: it has no pictures.
    """
    if not folder.is_dir():
        raise InputNotFound(f"{folder} is not a folder: --images takes the folder of the images' files.")
    found: dict[str, Reader] = {stem_of(path): partial(read_image, path) for path in pictures(folder)}
    if not found:
        raise InputError(
            f"{folder} has no pictures: --images takes a folder of {', '.join(IMAGE_SUFFIXES)} files."
        )
    return found


def _with_safe(names: Iterable[str]) -> list[tuple[str, str]]:
    """Each name, with the name that a run would give to an image so called."""
    # With a suffix added, the part of a name after its last dot isn't taken for one.
    suffixed = {f"{name}.x": name for name in names}
    return [(suffixed[path], safe) for path, safe in unique_names(suffixed).items()]


def _of_findings(path: Path, findings: Findings) -> list[LabelImage]:
    """The images of a data set or of Kaggle's layout.

    Raises:
        InputError: images and labels there don't pair up.
    """
    if findings.problems:
        raise InputError(f"{path}: {' '.join(findings.problems)}")
    sources = {
        one.name: one.source
        for one in findings.found
        if isinstance(one.source, FilePair | MaskFolder | DrawnPair)
    }
    return [
        LabelImage(
            names,
            _place_of(source),
            source.read_labels,
            source.read_image if source.image is not None else None,
            source.read_ignore if source.ignore else None,
            source.drawn if isinstance(source, DrawnPair) else None,
        )
        for names in _with_safe(sources)
        for source in (sources[names[0]],)
    ]


def _place_of(source: FilePair | MaskFolder | DrawnPair) -> Path:
    if isinstance(source, DrawnPair):
        return source.place
    return source.labels if isinstance(source, FilePair) else source.folder / "masks"


def _of_drawn(path: Path, files: list[Path]) -> list[LabelImage]:
    """The images that annotation files describe; none if no file is one.

    Raises:
        InputError: a file is damaged, or the one that is named is none.
    """
    images = drawn_images(files)
    if path.is_file() and not images:
        raise InputError(f"{path} is no annotation file: give {FORMATS}, or a folder of label images.")
    most = max((len(image.names) for _, image in images), default=0)
    return [
        LabelImage(
            (*image.names, *image.names[-1:] * (most - len(image.names))),  # as many kinds for all
            place,
            partial(_drawn_labels, image),
            ignore=partial(_drawn_ignore, image) if image.has_ignored else None,
            drawn=image,
        )
        for place, image in images
    ]


def _drawn_labels(image: DrawnImage) -> NDArray[Any]:
    return image.read().labels


def _drawn_ignore(image: DrawnImage) -> NDArray[Any]:
    drawn = image.read()
    return np.zeros(drawn.labels.shape, np.bool_) if drawn.ignore is None else drawn.ignore


def _of_zarr(image: StoredImage) -> LabelImage:
    try:
        chosen = choose_labels(image.labels)
    except InputError as error:
        raise InputError(f"{image.path}: {error}.") from error
    stem = image.path.name.removesuffix(".zarr").removesuffix(".ome")
    own = stem if image.path.name.endswith(".zarr") else image.group.replace("/", "_")
    return LabelImage(
        (image.name, own or stem, image.group or stem),
        image.path / "labels" / chosen,
        partial(image.read_labels, chosen),
        partial(_stored_image, image),
        partial(image.read_labels, IGNORE) if IGNORE in image.labels else None,
    )


def _stored_image(image: StoredImage) -> NDArray[Any]:
    return one_picture(image.read_image(), list(image.channels), "")
