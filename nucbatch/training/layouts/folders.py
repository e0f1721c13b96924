"""``images/`` and ``labels/`` (or ``masks/``) with files of the same stem, perhaps once for each split.

Decisions owned here: a label file may end in ``_mask`` or ``_label`` where its image does not; a folder that
holds ``train/``, ``val/`` or ``test/`` with such pairs has its splits from them.
"""

from __future__ import annotations

from pathlib import Path

from nucbatch.training.layouts.contract import Findings, Found, some
from nucbatch.training.layouts.files import (
    IMAGE_SUFFIXES,
    LABEL_ENDINGS,
    LABEL_SUFFIXES,
    FilePair,
    pictures,
    stem_of,
)

SPLIT_FOLDERS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def find_folders(folder: Path) -> Findings | None:
    """The pairs of a folder, None if it has no such layout."""
    if _labels_of(folder) is not None:
        return _pairs(folder, "", "")
    parts = [child for child in sorted(folder.iterdir()) if child.name.lower() in SPLIT_FOLDERS]
    parts = [part for part in parts if _labels_of(part) is not None]
    if not parts:
        return None
    each = [_pairs(part, f"{part.name}/", SPLIT_FOLDERS[part.name.lower()]) for part in parts]
    return Findings(
        folder,
        tuple(found for one in each for found in one.found),
        tuple(problem for one in each for problem in one.problems),
        tuple(warning for one in each for warning in one.warnings),
    )


def _labels_of(folder: Path) -> Path | None:
    """The folder of labels beside ``images/``."""
    if not (folder / "images").is_dir():
        return None
    return next((folder / name for name in ("labels", "masks") if (folder / name).is_dir()), None)


def _pairs(folder: Path, prefix: str, split: str) -> Findings:
    label_folder = _labels_of(folder) or folder / "labels"
    problems: list[str] = []
    images: dict[str, Path] = {}
    labels: dict[str, Path] = {}
    for path in pictures(folder / "images"):
        _take(images, stem_of(path), path, problems)
    for path in pictures(label_folder):
        stem = stem_of(path)
        _take(labels, stem if stem in images else stem_of(path, LABEL_ENDINGS), path, problems)
    for have, lack, where in ((images, labels, label_folder), (labels, images, folder / "images")):
        alone = [path.name for stem, path in have.items() if stem not in lack]
        if alone:
            problems.append(f"{len(alone)} files have no partner of the same stem in {where}: {some(alone)}.")
    lossy = [path.name for path in labels.values() if path.suffix.lower() not in LABEL_SUFFIXES]
    if lossy:
        problems.append(
            f"{len(lossy)} files in {label_folder} are JPEG, which does not keep labels: {some(lossy)}. "
            "Save them anew, from their source, as PNG or TIFF."
        )
    found = [
        Found(prefix + stem, FilePair(images[stem], labels[stem]), split)
        for stem in sorted(images.keys() & labels.keys())
    ]
    return Findings(folder, tuple(found), tuple(problems), tuple(_left_out(folder / "images", label_folder)))


def _take(files: dict[str, Path], stem: str, path: Path, problems: list[str]) -> None:
    if stem in files:
        problems.append(f"{path.parent} has {files[stem].name} and {path.name}: keep one of that stem.")
    files[stem] = path


def _left_out(*folders: Path) -> list[str]:
    warnings = []
    for folder in folders:
        others = [
            path.name
            for path in sorted(folder.iterdir())
            if path.suffix.lower() not in IMAGE_SUFFIXES and not path.name.startswith(".")
        ]
        if others:
            warnings.append(f"{len(others)} files in {folder} are no PNG, TIFF or JPEG: {some(others, 5)}.")
    return warnings
