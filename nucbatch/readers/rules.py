"""Rules by which files are ignored; name and explanation of each are written to ``files.csv``.

*Ignored* files are recognised and of no use to a run. *Quarantined* files look like inputs but cannot be
used. An image that no rule covers is quarantined, never ignored, so that a lost well is always reported.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from nucbatch.core.plate import FileRecord, FileStatus
from nucbatch.readers import foreign_images
from nucbatch.readers.foreign_images import foreign_suffixes
from nucbatch.readers.formats.installed import image_suffixes

RULES = {
    "hidden": "its name starts with a dot",
    "system-file": "created by an operating system or a file server",
    "zarr-store": "a Zarr store beside images; give its own path to read it",
    "zarr-group": "a Zarr group that only lists images; each image counts as one file",
    "other-acquisition": "belongs to another acquisition than the one that is read",
    "derived-image": "computed from another image of its well, which is used",
    "unlisted": "an image group that its plate's metadata do not list",
    "beside-zarr": "an image beside Zarr stores; the stores are read",
    "earlier-run": "the output folder of a run",
    "linked-file": "a link to a file inside the input, which is listed there",
    "copy": "a copy, byte for byte, of an image beside it, which is used",
    "linked-folder": "a link to a folder inside the input, which is listed there",
    "not-an-image": "its name does not have the ending of an image",
    "archive": "an archive or compressed file, which is not read; unpack it if it holds images",
    "vendor-metadata": "read for names and settings only",
    "manifest": "the manifest itself",
    "illumination-correction": "an illumination correction; it is not applied (--illumination applies one)",
    "thumbnail": "a small preview of an image that is used",
    "z-step": "its channel has a projection, which is used",
    "projection": "its channel has z-steps, which are used",
    "mask": "a mask, label image, outline or overlay of an image beside it",
    "preview": "a copy of an image beside it, which is read instead",
    "annotation": "in a folder of masks or labels beside a folder of images",
    "incomplete-field": "readable, but another file of its field can't be used",
    "not-selected": "sound, but its field is not selected by --wells, --sites or --times",
    "no-mask": "readable, but there is no mask of its field to measure",
    "unmatched-mask": "a mask with the name of no image of the input, or of several",
    "failed-field": "its field failed; fields.parquet has the reason",
}

_SYSTEM_NAMES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
_SYSTEM_FOLDERS = frozenset({"$recycle.bin", "system volume information", "__macosx", "@eadir", "lost+found"})


_CORRECTION = re.compile(
    r"(?<![a-z])illum(?!inated|(?:ination)?[ _-]?correct)|illum$|illum(?:ination)?[ _-]?correction"
    r"|flat[ _-]?field(?![ _-]?correct)|flat[ _-]?field[ _-]?correction|dark[ _-]?frame"
    r"|shading[ _-]?(?:correction|image|reference)",
    re.IGNORECASE,
)
_CORRECTION_ARRAY = re.compile(r"illum|flat[ _-]?field|shading", re.IGNORECASE)
_ARRAYS = frozenset({".npy", ".npz", ".mat"})
_ARCHIVES = frozenset({".zip", ".7z", ".rar", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst"})


def is_correction_name(stem: str) -> bool:
    """Returns whether an image's name says that it is an illumination correction, not a corrected image.

    >>> is_correction_name("flatfield_DAPI"), is_correction_name("IllumDAPI"), is_correction_name("x_illum")
    (True, True, True)
    """
    return _CORRECTION.search(stem) is not None


def ignored(path: str, rule: str) -> FileRecord:
    """Returns the record of a file ignored by a rule of :data:`RULES`."""
    return FileRecord(path, FileStatus.IGNORED, f"{rule}: {RULES[rule]}")


def quarantined(path: str, reason: str) -> FileRecord:
    """Returns the record of an input file that cannot be used."""
    return FileRecord(path, FileStatus.QUARANTINED, reason)


def is_image_name(path: str) -> bool:
    """Returns whether a name has the suffix of an image that can be decoded."""
    name = path[path.rfind("/") + 1 :]
    dot = name.rfind(".")
    return dot > 0 and name[dot:].lower() in image_suffixes()


def junk_rule(name: str, *, folder: bool) -> str:
    """Returns the rule that ignores a file or folder by its bare name; empty if none does."""
    lowered = name.lower()
    if lowered in (_SYSTEM_FOLDERS if folder else _SYSTEM_NAMES):
        return "system-file"
    if name.startswith("."):
        return "system-file" if name in (".DS_Store", "._.DS_Store") else "hidden"
    if folder and lowered.endswith(".zarr"):
        return "zarr-store"
    return ""


def no_image(path: str) -> FileRecord:
    """Returns the record of a file without the suffix of a readable image."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in _ARRAYS and _CORRECTION_ARRAY.search(PurePosixPath(path).stem):
        return ignored(path, "illumination-correction")
    if suffix in foreign_suffixes():
        return quarantined(path, foreign_images.reason(path))
    return ignored(path, "archive" if is_archive(path) else "not-an-image")


def is_archive(path: str) -> bool:
    """Returns whether a name is that of an archive or a compressed file."""
    return PurePosixPath(path).suffix.lower() in _ARCHIVES
