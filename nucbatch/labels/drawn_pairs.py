"""The layout of images with annotation files: GeoJSON, COCO, LabelMe or ImageJ's ROIs.

Annotations lie beside the images, or in a folder ``labels``, ``annotations``, ``masks`` or ``outlines``;
images lie there or in ``images``. A file is named after its image, perhaps with an ending such as
``_RoiSet``; LabelMe and COCO name their images. Splits come from folders named train, val or test, or from
such a word in the name of a COCO file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.labels.drawing import DrawnImage
from nucbatch.labels.drawn_files import drawn_files, drawn_images
from nucbatch.labels.label_files import LABEL_ENDINGS, LABEL_SUFFIXES, pictures, pictures_below, stem_of
from nucbatch.labels.paired_folders import SPLIT_FOLDERS
from nucbatch.labels.sources import Findings, LabelledImage, Pixels, ignored, paired, some
from nucbatch.readers.pixels import probe, read_image

_FOLDERS = ("labels", "annotations", "masks", "outlines")
_SPLIT_WORD = re.compile(rf"(?<![a-z])({'|'.join(SPLIT_FOLDERS)})(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DrawnPair:
    """An image file and the annotations of its objects; ``place`` is the file of these."""

    image: Path
    drawn: DrawnImage
    place: Path

    def read(self) -> Pixels:
        """Reads the image, and draws its labels.

        Raises:
            InputError: they don't fit one another, or the annotations are damaged.
            UnreadableImage: a file can't be read.
        """
        image = self.read_image()
        drawn = self.drawn.read((image.shape[0], image.shape[1]))
        pixels = paired(image, drawn.labels, str(self.place), drawn.overlap_px)
        if drawn.ignore is None:
            return pixels
        return replace(pixels, ignore=ignored(drawn.ignore, pixels.labels.shape, str(self.place)))

    def read_image(self) -> NDArray[Any]:
        """Reads the image (Y, X) or (Y, X, 3) as stored."""
        return read_image(self.image)

    @property
    def ignore(self) -> bool:
        """Whether pixels are marked where the truth is unknown."""
        return self.drawn.has_ignored

    def read_ignore(self) -> NDArray[np.bool_]:
        """Draws where the truth is unknown (Y, X)."""
        header = probe(self.image)
        drawn = self.drawn.read((header.height_px, header.width_px))
        return np.zeros(drawn.labels.shape, np.bool_) if drawn.ignore is None else drawn.ignore

    def read_labels(self) -> NDArray[np.uint32]:
        """Draws the labels (Y, X) in the size of the image, whose header alone is read."""
        header = probe(self.image)
        return self.drawn.read((header.height_px, header.width_px)).labels


def find_drawn(folder: Path) -> Findings | None:
    """The annotated images in a folder; None if it has no annotation file.

    Raises:
        InputError: an annotation file is damaged. UnreadableImage: one can't be read.
    """
    alone = _pairs(folder, "", "")
    if alone is not None:
        return alone
    children = [child for child in sorted(folder.iterdir()) if child.is_dir()]
    parts = [child for child in children if child.name.lower() in SPLIT_FOLDERS]
    each = [_pairs(part, f"{part.name}/", SPLIT_FOLDERS[part.name.lower()]) for part in parts]
    found = [one for one in each if one is not None]
    if not found:
        return None
    return Findings(
        folder,
        tuple(image for one in found for image in one.found),
        tuple(problem for one in found for problem in one.problems),
    )


def annotation_files(folder: Path) -> list[Path]:
    """The files in a folder, and in those for labels in it, that may be annotation files.

    There are none if there are label images: in a folder for labels, or beside images.
    """
    within = [folder / name for name in _FOLDERS if (folder / name).is_dir()]
    stems = {stem_of(path) for path in pictures(folder)}
    beside = any(stem_of(Path(stem), LABEL_ENDINGS) in stems - {stem} for stem in stems)
    if beside or any(pictures_below(one, LABEL_SUFFIXES) for one in within if one.name != "outlines"):
        return []
    return [path for one in (folder, *within) for path in drawn_files(one)]


def _pairs(folder: Path, prefix: str, split: str) -> Findings | None:
    annotated = drawn_images(annotation_files(folder))
    if not annotated:
        return None
    place_of_images = folder / "images" if (folder / "images").is_dir() else folder
    images = _by_name(place_of_images)
    found: dict[Path, LabelledImage] = {}
    problems: list[str] = []
    without = []
    for place, drawn in annotated:
        image = next((images[name] for name in drawn.names if name in images), None)
        if image is None:
            without.append(f"{drawn.names[0]} ({place.name})")
            continue
        if image in found:
            problems.append(f"{image.name} has several annotations, in {place.name} among others: keep one.")
        name = prefix + (image.parent.relative_to(place_of_images) / stem_of(image)).as_posix()
        word = _SPLIT_WORD.search(place.stem) if drawn.shared else None
        of_file = SPLIT_FOLDERS[word[1].lower()] if word else ""
        found[image] = LabelledImage(name, DrawnPair(image, drawn, place), split or of_file)
    if without:
        problems.append(f"{len(without)} annotations in {folder} have no image: {some(without)}.")
    bare = sorted(path.name for path in set(images.values()) - set(found))
    if bare:
        problems.append(
            f"{len(bare)} images in {folder} have no annotations: {some(bare)}. Remove them, or give an "
            "image without nuclei an empty annotation file."
        )
    return Findings(folder, tuple(sorted(found.values(), key=lambda one: one.name)), tuple(problems))


def _by_name(folder: Path) -> dict[str, Path]:
    """Pictures by their stem with sub-folders, and by the stem alone where it is unique."""
    paths = pictures_below(folder) if folder.name == "images" else pictures(folder)
    stems = [stem_of(path) for path in paths]
    named = {path: (path.parent.relative_to(folder) / stem_of(path)).as_posix() for path in paths}
    unique = {stem: path for stem, path in zip(stems, paths, strict=True) if stems.count(stem) == 1}
    return unique | {name: path for path, name in named.items()}
