"""Reads ``metadata.txt`` of a Micro-Manager position: channels, pixel size, and which images were acquired.

Version 2 has keys ``Metadata-<folder>/<file>``, version 1.4 ``FrameKey-<time>-<channel>-<z>`` with
``FileName``. The list of positions is ``StagePositions`` or ``InitialPositionList``. If an acquisition is
stopped, the file may end too early; it then counts as damaged.
"""

from __future__ import annotations

import json
import math
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.escape import printable
from nucbatch.readers.listing import Listing

_MOST_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class PositionMetadata:
    """Metadata of one position.

    Attributes:
        channels: names by index.
        colors: RRGGBB by index; fewer than channels if not recorded.
        pixel_size_um: None if unknown.
        label: of the position; empty if not recorded.
        files: names of the images that were acquired; empty if none are recorded.
        stage_um: (y, x) as the stage counts, of the first image at each time point where it is recorded.
        positions: labels of all positions of the acquisition; empty if not recorded.
    """

    channels: tuple[str, ...] = ()
    colors: tuple[str, ...] = ()
    pixel_size_um: float | None = None
    label: str = ""
    files: frozenset[str] = frozenset()
    stage_um: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    positions: tuple[str, ...] = ()


def read_metadata(listing: Listing, path: str) -> PositionMetadata | str:
    """Reads the metadata of a position, or returns the reason why they cannot be used."""

    try:
        content = listing.read_bytes(path, _MOST_BYTES)
    except UnreadableImage as error:
        return str(error).removeprefix(f"{path}: ")
    except OSError as error:
        return f"it can't be opened ({error.strerror or error})"
    if len(content) > _MOST_BYTES:
        return f"it has more than {_MOST_BYTES:,} bytes: no position has"
    try:
        found = json.loads(content.decode("utf-8-sig", errors="replace"))
    except (ValueError, RecursionError) as error:
        return f"it is damaged, as after a stopped acquisition ({error})"
    return interpreted(found) if isinstance(found, dict) else "it is no JSON object"


def interpreted(found: dict[str, Any]) -> PositionMetadata:
    """Interprets the content of ``metadata.txt``, or a summary alone."""
    summary = found.get("Summary")
    summary = summary if isinstance(summary, dict) else {}
    files: set[str] = set()
    labels: set[str] = set()
    sizes = [_size(summary.get("PixelSize_um"))]
    stage_um: dict[int, tuple[float, float]] = {}
    for key, values in found.items():
        if not isinstance(values, dict) or not key.startswith(("Metadata-", "Coords-", "FrameKey-")):
            continue
        name = str(values.get("FileName", "")) if key.startswith("FrameKey-") else key.partition("-")[2]
        if name:
            files.add(posixpath.basename(name))
        if values.get("PositionName"):
            labels.add(printable(str(values["PositionName"])))
        sizes.append(_size(values.get("PixelSizeUm")))
        place, time = _place(values), values.get("FrameIndex", values.get("Frame", 0))
        if place is not None and isinstance(time, int):
            stage_um.setdefault(time, place)
    names, colors = summary.get("ChNames"), summary.get("ChColors")
    return PositionMetadata(
        tuple(printable(str(name).strip()) for name in names) if isinstance(names, list) else (),
        tuple(f"{color & 0xFFFFFF:06X}" for color in colors)
        if isinstance(colors, list) and all(isinstance(color, int) for color in colors)
        else (),
        next((size for size in reversed(sizes) if size), None),
        labels.pop() if len(labels) == 1 else "",
        frozenset(files),
        stage_um,
        _positions(summary.get("StagePositions") or summary.get("InitialPositionList")),
    )


def _positions(listed: Any) -> tuple[str, ...]:
    labels = [one.get("Label") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    # version 2 may write a value with its type
    plain = (label.get("scalar") if isinstance(label, dict) else label for label in labels)
    return tuple(printable(str(label)) for label in plain if label)


def _place(values: dict[str, Any]) -> tuple[float, float] | None:
    y, x = (_finite(values.get(f"{axis}PositionUm")) for axis in "YX")
    return None if y is None or x is None else (y, x)


def _size(value: Any) -> float | None:
    number = _finite(value)
    return number if number is not None and number > 0 else None


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
