"""The layout of image and mask side by side in one folder: ``a.png`` with ``a_mask.png``.

Images may end in ``_img`` or ``_image``, masks in ``_mask``, ``_masks``, ``_label`` or ``_labels``.
``a_ignore.png`` beside them marks pixels to leave out.
"""

from __future__ import annotations

from pathlib import Path

from nucbatch.labels.label_files import (
    IMAGE_ENDINGS,
    LABEL_ENDINGS,
    LABEL_SUFFIXES,
    FilePair,
    pictures,
    stem_of,
)
from nucbatch.labels.sources import Findings, LabelledImage, some

IGNORED = ("_ignore",)


def find_beside(folder: Path) -> Findings | None:
    """The pairs in a folder; None if no file in it has a partner."""
    images: dict[str, Path] = {}
    labels: dict[str, Path] = {}
    ignore: dict[str, Path] = {}
    twice = []
    for path in pictures(folder):
        masks_of = ((ignore, IGNORED), (labels, LABEL_ENDINGS))
        files, endings = next(
            (known for known in masks_of if stem_of(path).endswith(known[1])), (images, IMAGE_ENDINGS)
        )
        stem = stem_of(path, endings)
        if stem in files:
            twice.append(f"{files[stem].name} and {path.name}")
        files[stem] = path
    both = sorted(images.keys() & labels.keys())
    if not both:
        return None
    problems = []
    if twice:
        problems.append(f"{folder} has files that mean the same image: {some(twice)}. Keep one of each.")
    alone = sorted(
        path.name for kind in (images, labels, ignore) for stem, path in kind.items() if stem not in both
    )
    if alone:
        problems.append(f"{len(alone)} files in {folder} have no partner such as a_mask.png: {some(alone)}.")
    masks = [*(labels[stem] for stem in both), *ignore.values()]
    lossy = [path.name for path in masks if path.suffix.lower() not in LABEL_SUFFIXES]
    if lossy:
        problems.append(
            f"{len(lossy)} masks in {folder} are JPEG, which does not keep labels: {some(lossy)}. "
            "Save them anew, from their source, as PNG or TIFF."
        )
    found = [LabelledImage(stem, FilePair(images[stem], labels[stem], ignore.get(stem))) for stem in both]
    return Findings(folder, tuple(found), tuple(problems))
