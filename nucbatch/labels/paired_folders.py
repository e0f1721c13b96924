"""The layout of ``images/`` and ``labels/`` (or ``masks/``) with files of the same stem.

``ignore/`` beside them may hold masks of pixels to leave out. Files may lie in sub-folders that ``images/``
and ``labels/`` have in common; an image's name then includes its sub-folder. Splits come from folders named
train, val or test, either around ``images/`` and ``labels/`` or directly inside them. A label file may end in
``_mask`` or ``_label`` where its image does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nucbatch.labels.label_files import (
    IGNORE,
    IGNORE_ENDINGS,
    IMAGE_SUFFIXES,
    LABEL_ENDINGS,
    LABEL_SUFFIXES,
    FilePair,
    pictures_below,
    stem_of,
)
from nucbatch.labels.sources import Findings, LabelledImage, some

SPLIT_FOLDERS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def find_folders(folder: Path) -> Findings | None:
    """The pairs in a folder; None if it has another layout."""
    if labels_folder(folder) is not None:
        return _pairs(folder, "", "")
    parts = [child for child in sorted(folder.iterdir()) if child.name.lower() in SPLIT_FOLDERS]
    parts = [part for part in parts if labels_folder(part) is not None]
    if not parts:
        return None
    each = [_pairs(part, f"{part.name}/", SPLIT_FOLDERS[part.name.lower()]) for part in parts]
    return Findings(
        folder,
        tuple(found for one in each for found in one.found),
        tuple(problem for one in each for problem in one.problems),
        tuple(warning for one in each for warning in one.warnings),
    )


def labels_folder(folder: Path) -> Path | None:
    """The folder of labels beside ``images/``; None if there is none."""
    if not (folder / "images").is_dir():
        return None
    return next((folder / name for name in ("labels", "masks") if (folder / name).is_dir()), None)


def _pairs(folder: Path, prefix: str, split: str) -> Findings:
    label_folder = labels_folder(folder) or folder / "labels"
    problems: list[str] = []
    images: dict[str, Path] = {}
    for path in pictures_below(folder / "images"):
        _take(images, _name(folder / "images", path), path, problems)
    labels = _partners(label_folder, LABEL_ENDINGS, images, problems)
    ignore = _partners(folder / IGNORE, IGNORE_ENDINGS, images, problems)
    for have, lack, where in (
        (images, labels, label_folder),
        (labels, images, folder / "images"),
        (ignore, images, folder / "images"),
    ):
        alone = [path.name for stem, path in have.items() if stem not in lack]
        if alone:
            problems.append(f"{len(alone)} files have no partner of the same stem in {where}: {some(alone)}.")
    for place, masks in ((label_folder, labels), (folder / IGNORE, ignore)):
        lossy = [path.name for path in masks.values() if path.suffix.lower() not in LABEL_SUFFIXES]
        if lossy:
            problems.append(
                f"{len(lossy)} files in {place} are JPEG, which does not keep labels: {some(lossy)}. "
                "Save them anew, from their source, as PNG or TIFF."
            )
    found = [
        LabelledImage(
            prefix + name, FilePair(images[name], labels[name], ignore.get(name)), split or _split_of(name)
        )
        for name in sorted(images.keys() & labels.keys())
    ]
    return Findings(folder, tuple(found), tuple(problems), tuple(_left_out(folder / "images", label_folder)))


def _partners(
    folder: Path, endings: Iterable[str], images: dict[str, Path], problems: list[str]
) -> dict[str, Path]:
    """The masks in a folder by the name of their image; none if there is no folder."""
    partners: dict[str, Path] = {}
    for path in pictures_below(folder) if folder.is_dir() else ():
        name = _name(folder, path)
        _take(partners, name if name in images else _name(folder, path, endings), path, problems)
    return partners


def _name(folder: Path, path: Path, endings: Iterable[str] = ()) -> str:
    """A file's stem with its sub-folders: ``s1/a``."""
    return (path.parent.relative_to(folder) / stem_of(path, endings)).as_posix()


def _split_of(name: str) -> str:
    """The split that an image's first sub-folder names; empty if none."""
    first, slash, _ = name.partition("/")
    return SPLIT_FOLDERS.get(first.lower(), "") if slash else ""


def _take(files: dict[str, Path], name: str, path: Path, problems: list[str]) -> None:
    if name in files:
        problems.append(f"{path.parent} has {files[name].name} and {path.name}: keep one of that stem.")
    files[name] = path


def _left_out(*folders: Path) -> list[str]:
    warnings = []
    for folder in folders:
        others = [
            path.name
            for path in sorted(folder.iterdir())
            if path.suffix.lower() not in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
        ]
        if others:
            warnings.append(f"{len(others)} files in {folder} are no PNG, TIFF or JPEG: {some(others, 5)}.")
    return warnings
