"""Rules by which files are ignored; name and explanation of each are written to ``files.csv``.

*Ignored* files are recognised and of no use to a run. *Quarantined* files look like inputs but cannot be
used. An image that no rule covers is quarantined, never ignored, so that a lost well is always reported.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from nucbatch.core.plate import FileRecord, FileStatus

RULES = {
    "hidden": "names that begin with a dot are not part of the input",
    "system-file": "left by an operating system or a file server",
    "zarr-store": "a Zarr store beside images is not read: give its own path",
    "zarr-group": "it only lists images; each of them, a Zarr group, counts as one file",
    "other-acquisition": "of another acquisition than the one that is read",
    "derived-image": "made from another image of its well, which is used",
    "unlisted": "an image's group on disk that its plate does not list",
    "beside-zarr": "an image beside Zarr stores, which are read instead",
    "earlier-run": "a run's folder inside the input holds results, not images",
    "linked-folder": "the folder it points to lies in the input and is listed there",
    "not-an-image": "no image by its name",
    "vendor-metadata": "read for names and settings only",
    "manifest": "the manifest itself",
    "illumination-correction": "an illumination correction, which is not applied: images are used as is",
    "thumbnail": "a small preview of an image that is used",
    "z-step": "the same channel has a projection, which is used instead",
    "mask": "made from an image that lies beside it: its masks, labels, outlines or an overlay",
    "preview": "another copy of an image that lies beside it, which is used",
    "annotation": "in a folder of masks or labels beside a folder of images",
    "incomplete-field": "sound, but another file of its field can't be used",
    "not-selected": "sound, but its field is not selected by --wells, --sites or --times",
    "failed-field": "its field could not be done, for a reason of its own that fields.parquet tells",
}

IMAGE_SUFFIXES = frozenset({".tif", ".tiff", ".btf", ".tf8", ".svs", ".png", ".jpg", ".jpeg"})

_FOREIGN = "bmp c01 czi dib dv flex gif ims jp2 jpx lif lsm mrc mrxs nd2 ndpi oib oif scn stk vsi webp"
FOREIGN_IMAGE_SUFFIXES = frozenset(f".{ending}" for ending in _FOREIGN.split())

_SYSTEM_NAMES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
_SYSTEM_FOLDERS = frozenset({"$recycle.bin", "system volume information", "__macosx", "@eadir", "lost+found"})


def ignored(path: str, rule: str) -> FileRecord:
    """Returns the record of a file ignored by a rule of :data:`RULES`."""
    return FileRecord(path, FileStatus.IGNORED, f"{rule}: {RULES[rule]}")


def quarantined(path: str, reason: str) -> FileRecord:
    """Returns the record of an input file that cannot be used."""
    return FileRecord(path, FileStatus.QUARANTINED, reason)


def is_image_name(path: str) -> bool:
    """Returns whether a name has the suffix of an image that can be decoded."""
    return PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES


def junk_rule(name: str, *, folder: bool) -> str:
    """Returns the rule that ignores a file or folder by its bare name; empty if none does."""
    lowered = name.lower()
    if lowered in (_SYSTEM_FOLDERS if folder else _SYSTEM_NAMES) or name in (".DS_Store", "._.DS_Store"):
        return "system-file"
    if name.startswith("."):
        return "hidden"
    if folder and lowered.endswith(".zarr"):
        return "zarr-store"
    return ""


def no_image(path: str) -> FileRecord:
    """Returns the record of a file without the suffix of a readable image."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in FOREIGN_IMAGE_SUFFIXES:
        return quarantined(path, f"{suffix} images can't be decoded: convert them to TIFF or PNG")
    return ignored(path, "not-an-image")
