"""List of the images that a store written by nucbatch lacks, because their files could not be used.

OME-Zarr has no place for it. It stands in the attributes of the store's root, beside those of OME-Zarr, under
the name of the program: ``{"nucbatch": {"lost_images": {"B/3/1": "reason"}}}``. So a field that was lost in a
conversion is missed when the copy is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nucbatch.zarr_format import damage, read_json_if_there

_PROGRAM, _LIST = "nucbatch", "lost_images"
_LONGEST_REASON = 1000


def with_lost_images(attributes: dict[str, Any], lost: Mapping[str, str]) -> dict[str, Any]:
    """Adds the list to a root's attributes; ``lost``: the reason by the image's path below the root."""
    return attributes | {_PROGRAM: {_LIST: dict(lost)}} if lost else attributes


def lost_images(root: Path) -> dict[str, str]:
    """Reads the list: the reason by the image's path; {} without a list, or if it is not a valid one.

    Raises:
        UnreadableImage: the attributes cannot be read.
    """
    with damage():
        if (document := read_json_if_there(root / "zarr.json")) is not None:
            found = document.get("attributes", {})
        elif (document := read_json_if_there(root / ".zattrs")) is not None:
            found = document
        else:
            return {}
    own = found.get(_PROGRAM) if isinstance(found, dict) else None
    lost = own.get(_LIST) if isinstance(own, dict) else None
    if not isinstance(lost, dict):
        return {}
    return {path: reason[:_LONGEST_REASON] for path, reason in lost.items() if isinstance(reason, str)}
