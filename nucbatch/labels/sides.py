"""The two sides of a comparison: opens the label images of each, and pairs them by name.

A side is a run's folder, an OME-Zarr, Kaggle's masks, a data set, a folder of files, or an annotation file.
An image has several names, and two sides pair by the first kind of name under which both hold the same
images. No pixels are read before they are asked for. Masks of pixels to ignore come with the labels: from
``ignore/`` beside them, or from a folder that the user names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
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
from nucbatch.labels.ome_zarr_images import StoredImage, is_ome_zarr, open_images
from nucbatch.labels.paired_folders import find_folders
from nucbatch.labels.pairing import pair_names
from nucbatch.labels.run_images import RunImages, SourceGone
from nucbatch.labels.sources import Findings
from nucbatch.labels.zarr_pairs import choose_labels, recorded_channel
from nucbatch.object_store import ObjectPath
from nucbatch.readers.names import safe_name, unique_names
from nucbatch.readers.pixels import read_image
from nucbatch.store import stored_images as run_images
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stored_run import stored_run
from nucbatch.zarr_format.ome import is_group

Reader = Callable[[], NDArray[Any]]
_COLOURS = ("Red", "Green", "Blue")


@dataclass(frozen=True, slots=True)
class LabelImage:
    """One label image of a side, with functions that read its pixels.

    ``names`` are those it may be paired by, best first: a run makes names safe for files, an OME-Zarr has a
    title and a place, a file has a stem. ``place`` is the file or folder that holds the labels. ``labels``
    reads (Y, X), ``image`` (Y, X) or (Y, X, 3), ``ignore`` (Y, X), not 0 where pixels don't count. ``drawn``
    are the objects of an annotation file, which may not tell the size of the image.
    """

    names: tuple[str, ...]
    place: Path
    labels: Reader
    image: Reader | None = None
    ignore: Reader | None = None
    drawn: DrawnImage | None = None

    def read(self, shape: tuple[int, int]) -> NDArray[Any]:
        """Reads the labels (Y, X) of an image of this shape; only drawn objects need to know it."""
        return self.labels() if self.drawn is None else self.drawn.read(shape).labels

    def sized_like(self, other: LabelImage) -> LabelImage:
        """Returns the image with the size of another one, if it is drawn and its size isn't known."""
        if self.drawn is None or self.drawn.shape is not None or self.image is not None:
            return self
        return replace(self, labels=partial(_drawn_like, self, other))


def picture_of(*images: LabelImage) -> NDArray[Any] | None:
    """Reads the image (Y, X) or (Y, X, 3) of the first of these that has one.

    None if none has, or if the files of a run that copied no images are gone.
    """
    for one in images:
        try:
            if one.image is not None:
                return np.asarray(one.image())
        except SourceGone:
            continue
    return None


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


def pair_sides(pred: list[LabelImage], truth: list[LabelImage]) -> dict[str, tuple[LabelImage, LabelImage]]:
    """Prediction and truth of each true image by the name they share, in the order of the names.

    Predictions without truth are left out.

    Raises:
        InputError: true images have no prediction under any kind of name; the message lists the images
            without partner, under the names by which most have one.
    """
    ways = [(_by_name(pred, one), _by_name(truth, other)) for one, other in _kinds(pred, truth)]
    fitting = [(predicted, true) for predicted, true in ways if true and set(true) <= set(predicted)]
    for predicted, true in sorted(fitting, key=lambda way: len(way[0]) - len(way[1])):
        sides = [(name, predicted[name], true[name]) for name in pair_names(predicted, true)]
        return {name: (one.sized_like(other), other.sized_like(one)) for name, one, other in sides}
    closest = max(ways, key=lambda way: len(set(way[0]) & set(way[1])))
    if set(closest[0]) & set(closest[1]):
        pair_names(*closest)  # raises with the list of images without partner
    firsts = [[image.names[0] for image in side] for side in (pred, truth)]
    pair_names(*firsts)
    role, names = ("prediction", firsts[0]) if len(set(firsts[0])) < len(firsts[0]) else ("truth", firsts[1])
    twice = next(name for name in names if names.count(name) > 1)
    raise InputError(f"the {role} has {twice} twice: images are paired by name, so each name may occur once.")


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


def _drawn_like(image: LabelImage, other: LabelImage) -> NDArray[Any]:
    shape = other.labels().shape
    return image.read((shape[0], shape[1]))


def _drawn_ignore(image: DrawnImage) -> NDArray[Any]:
    drawn = image.read()
    return np.zeros(drawn.labels.shape, np.bool_) if drawn.ignore is None else drawn.ignore


def of_run(folder: RunFolder) -> list[LabelImage]:
    """The label images of a run in a folder, or of one in a store whose tables were fetched.

    Raises:
        InputNotFound: the run has not ended. InputError: it has no masks.
    """
    if not folder.fields.is_file():
        raise InputNotFound(f"{folder.fields} does not exist: the run has not ended. Finish it first.")
    import pandas as pd  # not at the top, because a run, which imports this module, starts without it

    columns = ["Metadata_Plate", "Metadata_Well", "Name", "Metadata_Image", "Status"]
    fields = pd.read_parquet(folder.fields, columns=columns).astype(str)
    done = fields[fields["Status"] == "done"]
    if done.empty:
        raise InputError(
            f"{folder.path} is a run in which no image was segmented: there is nothing to score."
        )
    in_zarr = folder.has_zarr
    if not in_zarr and not folder.label_tiff(str(done["Name"].iloc[0])).parent.is_dir():
        raise InputError(
            f"{folder.path} is a run without masks of its own. With --in-place they are in the images of its "
            "input: give that OME-Zarr."
        )
    images, shown, files = [], RunImages(folder), _channel_files(folder)
    places = done["Metadata_Plate"] + " " + done["Metadata_Well"]
    alone = ~places.duplicated(keep=False) & (done["Metadata_Well"] != "")
    for row, only in zip(done.to_dict("records"), alone, strict=True):
        name, group = row["Name"], row["Metadata_Image"]
        own = name.removeprefix(f"{safe_name(row['Metadata_Plate'])}_")
        # Where a kind of name is missing, the field's own takes its place.
        names = (name, group, own, files.get(group, name), row["Metadata_Well"] if only else name)
        if in_zarr:
            place = run_images.labels_of(folder, group)
            read = partial(run_images.read_labels, folder, group)
            images.append(LabelImage(names, place, read, partial(_run_image, shown, group, folder.path)))
        else:
            tiff = folder.label_tiff(name)
            images.append(LabelImage(names, tiff, partial(read_label_image, tiff)))
    return images


def _channel_files(folder: RunFolder) -> dict[str, str]:
    """The stem of the file with the segmented channel of each image of a run; of several z-steps the first.

    Images whose channels are in one file have that file's.
    """
    if not folder.files.is_file():
        return {}
    import pandas as pd

    columns = ["path", "status", "channel", "image"]
    files = pd.read_csv(folder.files, dtype=str, keep_default_na=False, usecols=columns)
    channel = recorded_channel(folder.path)
    mine = files[(files["image"] != "") & (files["status"] == "used")]
    chosen = mine[mine["channel"] == channel] if (mine["channel"] == channel).any() else mine
    first = chosen.drop_duplicates("image")
    return {image: stem_of(Path(path)) for image, path in zip(first["image"], first["path"], strict=True)}


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


def _run_image(images: RunImages, group: str, run: Path) -> NDArray[Any]:
    """The channel that a run segmented, or its three colours."""
    return _one_picture(images.read(group), images.channels(group), recorded_channel(run))


def _stored_image(image: StoredImage) -> NDArray[Any]:
    return _one_picture(image.read_image(), list(image.channels), "")


def _one_picture(pixels: NDArray[Any], channels: list[str], channel: str) -> NDArray[Any]:
    """(Y, X, 3) of red, green and blue; else (Y, X) of the named channel; else of the first."""
    if len(pixels) == 3 and tuple(channels) == _COLOURS and channel not in channels:
        return np.moveaxis(pixels, 0, -1)
    return np.asarray(pixels[channels.index(channel) if channel in channels else 0])


def _kinds(pred: list[LabelImage], truth: list[LabelImage]) -> Iterable[tuple[int, int]]:
    """Pairs of kinds of name, the best on both sides first."""
    every = [(one, other) for one in range(len(pred[0].names)) for other in range(len(truth[0].names))]
    return sorted(every, key=sum)


def _by_name(images: list[LabelImage], kind: int) -> dict[str, LabelImage]:
    """Images by one kind of name; none if two share one."""
    named = {image.names[kind]: image for image in images}
    return named if len(named) == len(images) else {}
