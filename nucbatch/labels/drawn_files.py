"""Annotation files of drawn objects: GeoJSON, COCO, LabelMe and ImageJ's ROIs, recognised by their content.

The objects of a file are read when they are asked for; of a file of many images, the parsed document is kept
for the next image. A JSON file of another kind is no annotation file; one that can't be parsed is refused.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

from nucbatch.core.errors import InputError, UnreadableImage
from nucbatch.labels import coco, geojson, labelme
from nucbatch.labels.drawing import DrawnImage, DrawnObject, number_in
from nucbatch.labels.imagej_roi import Roi, decode

SUFFIXES = (".geojson", ".json", ".zip", ".roi")
ENDINGS = ("_RoiSet", "-RoiSet", "_rois", "_roi", "_annotations", "_masks", "_mask", "_labels", "_label")
FORMATS = "GeoJSON, COCO, LabelMe, or ImageJ's RoiSet.zip and .roi"

_MOST_ROI_BYTES = 64 << 20
_MOST_SET_BYTES = 4 << 30
_DAMAGE = (OSError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error)
"""Errors of a ZIP that is damaged, encrypted or packed in an unknown way."""


def drawn_files(folder: Path) -> list[Path]:
    """The files right in a folder that may be annotation files, by name; hidden ones are left out."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def drawn_images(paths: Iterable[Path]) -> list[tuple[Path, DrawnImage]]:
    """The images that annotation files describe, each with its file; other files are left out.

    Raises:
        InputError: a file is damaged.
        UnreadableImage: a file can't be read.
    """
    return [(path, image) for path in paths for image in images_in(path)]


def images_in(path: Path) -> list[DrawnImage]:
    """The images that an annotation file describes; none if it is another kind of file.

    Raises:
        InputError: the file is damaged.
        UnreadableImage: it can't be read.
    """
    names = _names(path.name)
    if path.suffix.lower() == ".zip":
        return [DrawnImage(names, str(path), partial(_of_roi_set, path))] if _is_roi_set(path) else []
    if path.suffix.lower() == ".roi":
        return [DrawnImage(names, str(path), partial(_of_roi, path))]
    document = _document(path)
    if geojson.is_geojson(document):
        return [DrawnImage(names, str(path), partial(_of_geojson, path))]
    if labelme.is_labelme(document):
        named = _names(PurePosixPath(str(document["imagePath"]).replace("\\", "/")).name)
        both = tuple(dict.fromkeys((*names, *named)))
        return [DrawnImage(both, str(path), partial(_of_labelme, path), labelme.shape_of(document))]
    if coco.is_coco(document):
        annotations = _annotations(path, *_stamp(path))
        return [
            DrawnImage(
                _coco_names(name),
                f"{name} in {path}",
                partial(_of_coco, path, identity, shape),
                shape,
                shared=True,
                has_ignored=coco.has_crowd(annotations.get(identity, [])),
            )
            for identity, name, shape in coco.images_of(document, annotations, str(path))
        ]
    return []


def _names(name: str) -> tuple[str, ...]:
    """A file's stem without an ending such as ``_RoiSet``, and as it is."""
    stem = PurePosixPath(name).stem.removesuffix(".ome")
    cut = [stem[: -len(one)] for one in ENDINGS if stem.lower().endswith(one.lower()) and stem != one]
    stems = [*cut, stem]
    with_image_suffix = [PurePosixPath(one).stem for one in stems if _is_picture(one)]  # a.tif.geojson
    return tuple(dict.fromkeys([*stems, *with_image_suffix]))


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".svs", ".ndpi")


def _coco_names(name: str) -> tuple[str, ...]:
    """The file name with folders and without, each without its suffix."""
    path = PurePosixPath(name.replace("\\", "/"))
    stem = path.stem.removesuffix(".ome")
    return tuple(dict.fromkeys([path.with_name(stem or path.name).as_posix(), stem]))


def _document(path: Path) -> Any:
    return _parsed(path, *_stamp(path))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        info = path.stat()
    except OSError as error:
        raise UnreadableImage(f"{path}: can't be read ({error.strerror or error})") from error
    return info.st_mtime_ns, info.st_size


@lru_cache(maxsize=4)
def _parsed(path: Path, mtime_ns: int, size_bytes: int) -> Any:
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise UnreadableImage(f"{path}: can't be read ({error.strerror or error})") from error
    except RecursionError as error:
        raise InputError(f"{path}: it is nested too deeply to be an annotation file") from error
    except ValueError as error:
        raise InputError(f"{path}: it is no JSON ({error})") from error


@lru_cache(maxsize=4)
def _annotations(path: Path, mtime_ns: int, size_bytes: int) -> dict[object, list[Mapping[str, Any]]]:
    """COCO's annotations by image."""
    return coco.by_image(_parsed(path, mtime_ns, size_bytes), str(path))


def _of_geojson(path: Path) -> list[DrawnObject]:
    return geojson.objects_of(_document(path), str(path))


def _of_labelme(path: Path) -> list[DrawnObject]:
    return labelme.objects_of(_document(path), str(path))


def _of_coco(path: Path, image: int | str, shape: tuple[int, int]) -> list[DrawnObject]:
    return coco.objects_of(_annotations(path, *_stamp(path)).get(image, []), shape, str(path))


def _is_roi_set(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except _DAMAGE as error:
        raise InputError(f"{path}: it is no ZIP, or is damaged ({error})") from error
    return not names or any(name.lower().endswith(".roi") for name in names)


def _of_roi_set(path: Path) -> list[DrawnObject]:
    return [_drawn(roi, name) for name, roi in _rois(path)]


def _rois(path: Path) -> Iterator[tuple[str, Roi]]:
    """Yields the ROIs of a set with their names in the ZIP, each and all within a limit of bytes."""
    total = 0
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if not info.filename.lower().endswith(".roi"):
                    continue
                total += info.file_size
                if info.file_size > _MOST_ROI_BYTES or total > _MOST_SET_BYTES:
                    raise InputError(
                        f"{path}: {info.filename} has {info.file_size:,} bytes, too many for a ROI"
                    )
                with archive.open(info) as file:
                    content = file.read(_MOST_ROI_BYTES + 1)
                yield info.filename, decode(content, f"{path}: {info.filename}")
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(f"{path}: it is damaged ({error})") from error


def _of_roi(path: Path) -> list[DrawnObject]:
    try:
        return [_drawn(decode(path.read_bytes(), str(path)), path.name)]
    except OSError as error:
        raise UnreadableImage(f"{path}: can't be read ({error.strerror or error})") from error


def _drawn(roi: Roi, name: str) -> DrawnObject:
    number = number_in(PurePosixPath(name).stem) or number_in(roi.name)
    return DrawnObject(name, [roi.rings], number=number)
