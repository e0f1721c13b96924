"""ImageJ's ROI files: polygons with integer corners, and composite ROIs of several rings.

Source: ``ij/io/RoiEncoder.java`` and ``RoiDecoder.java`` of ImageJ 1.x. Numbers are big-endian. Bounds are
16-bit numbers that ImageJ reads as unsigned below -5000, so an image may have 60,535 px along a side.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError

LONGEST_SIDE_PX = 60_535

_HEADER_BYTES, _HEADER2_BYTES = 64, 64
_VERSION = 227
_POLYGON, _RECTANGLE, _OVAL, _FREEHAND, _TRACED = 0, 1, 2, 7, 8
_TYPES = {3: "line", 4: "freehand line", 5: "polyline", 6: "empty", 9: "angle", 10: "point"}
_SUB_PIXEL = 128
_MOST_CORNERS = 65_535
_MOVE, _LINE, _QUADRATIC, _CUBIC, _CLOSE = range(5)
_LENGTHS = {_MOVE: 2, _LINE: 2, _QUADRATIC: 4, _CUBIC: 6, _CLOSE: 0}
_OVAL_CORNERS = 360

Rings = Sequence[npt.NDArray[Any]]
"""Polygons (N, 2) of x, y; a pixel is inside if an odd number of them holds its centre."""


@dataclass(frozen=True, slots=True)
class Roi:
    """A ROI as read: its name, empty if it has none, and its polygons."""

    name: str
    rings: Rings


def encode(rings: Rings, name: str) -> bytes:
    """Writes an object's rings, with integer corners, as a ROI: traced if there is one, else composite."""
    corners = np.concatenate([np.asarray(ring, np.int64) for ring in rings])
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    if len(rings) == 1 and len(corners) <= _MOST_CORNERS:
        kind, count, shape_size = _TRACED, len(corners), 0
        data = (corners - (left, top)).T.astype(">u2").tobytes()
    else:
        path: list[float] = []
        for ring in rings:
            (x, y), *others = np.asarray(ring).tolist()
            path += [_MOVE, x, y]
            for x, y in others:
                path += [_LINE, x, y]
            path.append(_CLOSE)
        kind, count, shape_size = _RECTANGLE, 0, len(path)
        data = np.array(path, ">f4").tobytes()
    header = struct.pack(
        ">4sHBx4HH16xHi", b"Iout", _VERSION, kind, top, left, bottom, right, count, 0, shape_size
    ).ljust(60, b"\0")
    second = _HEADER_BYTES + len(data)
    name_at = second + _HEADER2_BYTES
    header2 = struct.pack(">16xii", name_at, len(name)).ljust(_HEADER2_BYTES, b"\0")
    return b"".join([header, struct.pack(">i", second), data, header2, name.encode("utf-16-be")])


def decode(content: bytes, place: str) -> Roi:
    """Reads a ROI that covers an area.

    Args:
        content: the file.
        place: name of the file for messages.

    Raises:
        InputError: it is no ROI, is damaged, or is a line, a point or text, which cover no area.
    """
    if len(content) < _HEADER_BYTES or content[:4] != b"Iout":
        raise InputError(f"{place}: it is no ImageJ ROI, or is cut short")
    try:
        return Roi(_name_of(content), _rings_of(content, place))
    except (struct.error, ValueError, IndexError) as error:
        raise InputError(f"{place}: the ROI is damaged ({error})") from error


def _name_of(content: bytes) -> str:
    (second,) = struct.unpack_from(">i", content, 60)
    if not _HEADER_BYTES <= second <= len(content) - _HEADER2_BYTES:
        return ""
    at, length = struct.unpack_from(">ii", content, second + 16)
    if at <= 0 or length <= 0 or at + 2 * length > len(content):
        return ""
    return content[at : at + 2 * length].decode("utf-16-be", errors="replace")


def _rings_of(content: bytes, place: str) -> Rings:
    version, kind = struct.unpack_from(">HB", content, 4)
    top, left, bottom, right = (_bound(value) for value in struct.unpack_from(">4h", content, 8))
    (count,) = struct.unpack_from(">H", content, 16)
    (shape_size,) = struct.unpack_from(">i", content, 36)
    (options,) = struct.unpack_from(">H", content, 50)
    if shape_size > 0:
        return _path_of(np.frombuffer(content, ">f4", shape_size, _HEADER_BYTES))
    precise = bool(options & _SUB_PIXEL) and version >= 222
    if kind in (_RECTANGLE, _OVAL):
        x, y, width, height = float(left), float(top), float(right - left), float(bottom - top)
        if precise:
            x, y, width, height = struct.unpack_from(">4f", content, 18)
        return [_rectangle(x, y, width, height) if kind == _RECTANGLE else _oval(x, y, width, height)]
    if kind not in (_POLYGON, _FREEHAND, _TRACED):
        raise InputError(f"{place}: a ROI of type {_TYPES.get(kind, kind)} covers no area")
    if precise:
        values = np.frombuffer(content, ">f4", 2 * count, _HEADER_BYTES + 4 * count)
        points = values.reshape(2, count).T.astype(np.float64)
    else:
        values = np.frombuffer(content, ">u2", 2 * count, _HEADER_BYTES)
        points = values.reshape(2, count).T.astype(np.float64) + np.array([left, top])
    if count < 3 or not np.isfinite(points).all():
        raise InputError(f"{place}: a ROI of {count} corners, or with some that are no numbers, has no area")
    return [points]


def _bound(value: int) -> int:
    return value + 65_536 if value < -5000 else value


def _rectangle(x: float, y: float, width: float, height: float) -> npt.NDArray[np.float64]:
    return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])


def _oval(x: float, y: float, width: float, height: float) -> npt.NDArray[np.float64]:
    angle = np.linspace(0, 2 * np.pi, _OVAL_CORNERS, endpoint=False)
    return np.stack([x + width / 2 * (1 + np.cos(angle)), y + height / 2 * (1 + np.sin(angle))], axis=1)


def _path_of(path: npt.NDArray[Any]) -> Rings:
    """The rings of a composite ROI; of curves the end points are taken."""
    rings: list[list[tuple[float, float]]] = []
    at = 0
    while at < len(path):
        segment = int(path[at])
        values = path[at + 1 : at + 1 + _LENGTHS[segment] if segment in _LENGTHS else at]
        if segment not in _LENGTHS or len(values) != _LENGTHS[segment] or not np.isfinite(values).all():
            raise ValueError(f"its path has a segment {path[at]:g} that is unknown or cut short")
        if segment == _MOVE:
            rings.append([])
        if len(values):
            if not rings:
                raise ValueError("its path has no beginning")
            rings[-1].append((float(values[-2]), float(values[-1])))
        at += 1 + len(values)
    found = [np.array(ring) for ring in rings if len(ring) >= 3]
    if not found:
        raise ValueError("its path has no ring")
    return found
