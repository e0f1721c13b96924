"""Ignores files derived from an image beside them (masks, labels, outlines, previews), and corrections.

Such a file is ignored only if its image exists: a folder that holds only masks is a folder of images. Images
of the illumination (``flatfield_DAPI.tif``) are ignored beside at least as many other images.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace

from nucbatch.core.plate import FileRecord, FileStatus, file_rows
from nucbatch.core.rows import Rows
from nucbatch.readers.foreign_images import foreign_suffixes
from nucbatch.readers.formats.installed import image_suffixes
from nucbatch.readers.listing import Listing
from nucbatch.readers.rules import ignored, is_correction_name

_DERIVED = (
    r"cp[ _-]?(?:masks?|outlines?|output|flows?)|masks?|labels?|labell?ed|label[ _-]image|seg|segm|"
    r"segmentations?|segmented|simple[ _-]segmentation|outlines?|overlays?|annotations?|annotated|"
    r"probabilit(?:y|ies)|predictions?|flows?|gt|ground[ _-]?truth"
)
_SMALL = r"thumb|thumbs|thumbnails?|previews?"
_ENDS = re.compile(rf"(.+?)[ _.-](?:({_SMALL})|{_DERIVED}|masks?[ _-]?[0-9]{{1,4}})", re.IGNORECASE)
_COMPUTED = re.compile(r"(?:max|min|avg|sum|std|med)_(.+)", re.IGNORECASE)  # ImageJ's z-projections
_BEGINS = re.compile(rf"(?:({_SMALL})|{_DERIVED})[ _.-](.+)", re.IGNORECASE)
_FOLDER = re.compile(rf"(?:({_SMALL})|{_DERIVED}|ignore)", re.IGNORECASE)
_IMAGE_FOLDERS = ("images", "image")

_RANKS = {".png": 2, ".jpg": 3, ".jpeg": 3}
_LAST = 9


def without_companions(listing: Listing) -> Listing:
    """Returns the listing with every file derived from an image beside it ignored by a named rule."""
    if listing.single:
        return listing
    readable = image_suffixes()
    stems: dict[str, set[str]] = defaultdict(set)  # of images by folder, in lower case
    best: dict[tuple[str, str], int] = {}  # of the images with one stem, the rank of the one that is used
    parts = [_parts(file.path) for file in listing.files]
    for file, (folder, stem, suffix) in zip(listing.files, parts, strict=True):
        if suffix in readable or suffix in foreign_suffixes():
            stems[folder].add(stem)
        if suffix in readable:
            best[folder, stem] = min(_rank(file.path), best.get((folder, stem), _LAST))
    settled: dict[str, FileRecord] = {}
    images = [file.path for file in listing.images()]
    corrections = [path for path in images if is_correction_name(_parts(path)[1])]
    if 2 * len(corrections) <= len(images):
        settled |= {path: ignored(path, "illumination-correction") for path in corrections}
    in_folders: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for file, (folder, stem, suffix) in zip(listing.files, parts, strict=True):
        if file.path in settled:
            continue
        if suffix in readable and _rank(file.path) > best[folder, stem]:
            settled[file.path] = ignored(file.path, "preview")
            continue
        image, rule = _image_of(stem)
        if image in stems[folder]:
            settled[file.path] = ignored(file.path, rule)
        elif suffix in readable:
            above = _annotation_folder(file.path)
            if above:
                in_folders[above].append((file.path, _is_known(file.path, above, stem, image, stems)))
    for above, members in in_folders.items():
        known = Counter(belongs for _, belongs in members)
        small = _FOLDER.fullmatch(above.rpartition("/")[2])
        rule = "thumbnail" if small and small[1] else "mask"
        for path, belongs in members:
            if belongs or known[True] >= known[False]:
                settled[path] = ignored(path, rule)
    return _without(listing, settled) if settled else listing


def name_lost_originals(files: Rows[FileRecord], later: Iterable[str] = ()) -> Rows[FileRecord]:
    """Names, in the reasons of copies ignored by ``preview``, the image read instead if it is quarantined.

    Args:
        files: all files of the input.
        later: paths of further quarantined files.
    """
    statuses = zip(files.values("path"), files.values("status"), strict=True)
    lost = [*later, *(path for path, status in statuses if status is FileStatus.QUARANTINED)]
    if not lost or not any(reason.startswith("preview:") for reason in files.values("reason")):
        return files
    originals = {_parts(path)[:2]: path for path in lost}

    def named(file: FileRecord) -> FileRecord:
        original = originals.get(_parts(file.path)[:2]) if file.reason.startswith("preview:") else None
        if original is None:
            return file
        reason = (
            f"preview: a copy of {original}, which is quarantined: move {original} out of the input to read "
            "this one"
        )
        return replace(file, reason=reason)

    return file_rows(map(named, files))


def _without(listing: Listing, settled: dict[str, FileRecord]) -> Listing:
    files = tuple(file for file in listing.files if file.path not in settled)
    records = sorted((*listing.settled, *settled.values()), key=lambda record: record.path)
    return replace(listing, files=files, settled=tuple(records))


def _parts(path: str) -> tuple[str, str, str]:
    """Returns (folder, stem in lower case without ``.ome``, suffix in lower case)."""
    folder, _, name = path.rpartition("/")
    stem, dot, suffix = name.casefold().rpartition(".")
    return folder, stem.removesuffix(".ome") if dot else name.casefold(), f".{suffix}" if dot else ""


def _rank(path: str) -> int:
    """Returns the place of an image's format where several have one stem; the lowest holds most metadata."""
    name = path.casefold()
    suffix = name[name.rfind(".") :]
    return _RANKS.get(suffix, 0 if name[: -len(suffix)].endswith(".ome") else 1)


def _image_of(stem: str) -> tuple[str, str]:
    """Returns (stem of the image that a name like ``x_mask`` belongs to, rule); empty for other names."""
    match = _ENDS.fullmatch(stem)
    if match:
        return match[1], "thumbnail" if match[2] else "mask"
    match = _COMPUTED.fullmatch(stem)
    if match:
        return match[1], "derived-image"
    match = _BEGINS.fullmatch(stem)
    return (match[2], "thumbnail" if match[1] else "mask") if match else ("", "")


def _annotation_folder(path: str) -> str:
    """Returns the innermost folder of masks or previews around a file, as a path; empty if there is none."""
    folders = path.split("/")[:-1]
    for i in range(len(folders), 0, -1):
        if _FOLDER.fullmatch(folders[i - 1]):
            return "/".join(folders[:i])
    return ""


def _is_known(path: str, above: str, stem: str, image: str, stems: dict[str, set[str]]) -> bool:
    """Returns whether an image beside the folder, or in an image folder there, has a matching name."""
    parent = above.rpartition("/")[0]
    beside = [parent, *(f"{parent}/{name}".lstrip("/") for name in _IMAGE_FOLDERS)]
    inner: Iterable[str] = path[len(above) + 1 :].casefold().split("/")[:-1]
    return any(name in stems.get(folder, ()) for folder in beside for name in (stem, image, *inner) if name)
