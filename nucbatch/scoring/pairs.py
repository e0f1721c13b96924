"""Which prediction belongs to which truth: by name, and all of them, or nothing is scored.

A label image's name is its file's stem. An image that only one side has would otherwise drop out of the
figures without a line, so it is an error, and the message lists every one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from nucbatch.core.errors import InputError, InputNotFound

SUFFIXES = (".png", ".tif", ".tiff")
_SHOWN = 10


def label_files(folder: Path) -> dict[str, Path]:
    """The label images of a folder by stem (``a.ome.tif`` is ``a``), in the order of their names.

    Only PNG and TIFF files right in the folder count; hidden files don't.

    Raises:
        InputNotFound: there is no such folder.
        InputError: it holds no label image, or two of one stem.
    """
    if not folder.exists():
        raise InputNotFound(f"{folder} does not exist: name a folder of label images, or a run's folder.")
    if not folder.is_dir():
        raise InputError(f"{folder} is a file: name the folder that holds the label images.")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith(".") or not path.is_file():
            continue
        stem = stem_of(path.name)
        if stem in files:
            raise InputError(
                f"{folder} has {files[stem].name} and {path.name}: images are paired by stem, so each may "
                "stand once. Remove one."
            )
        files[stem] = path
    if not files:
        raise InputError(f"{folder} has no label images: it must hold {', '.join(SUFFIXES)} files.")
    return files


def stem_of(name: str) -> str:
    """A name without the suffix of a label image: ``a.ome.tif`` and ``a`` → ``a``, ``plate.A01`` as it is."""
    stem, dot, suffix = name.rpartition(".")
    return stem.removesuffix(".ome") if stem and f"{dot}{suffix}".lower() in SUFFIXES else name


def paired(pred: Collection[str], truth: Collection[str]) -> list[str]:
    """The names both sides have, sorted, if they have the same.

    Raises:
        InputError: a name is on one side only; the message lists those.
    """
    without_truth = sorted(set(pred) - set(truth))
    without_pred = sorted(set(truth) - set(pred))
    if without_truth or without_pred:
        parts = ["predictions and truth don't pair up by name."]
        if without_truth:
            parts.append(f"{len(without_truth)} without truth:\n{listed(without_truth)}")
        if without_pred:
            parts.append(f"{len(without_pred)} without prediction:\n{listed(without_pred)}")
        parts.append("Give both sides the same images, under the same names.")
        raise InputError("\n".join(parts))
    return sorted(pred)


def listed(lines: Iterable[str]) -> str:
    """One line each, indented; beyond ten their number."""
    known = list(lines)
    shown = [f"  {line}" for line in known[:_SHOWN]]
    if len(known) > _SHOWN:
        shown.append(f"  … and {len(known) - _SHOWN} more")
    return "\n".join(shown)
