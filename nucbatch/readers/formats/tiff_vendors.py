"""Planes of vendors' TIFF files that private tags describe: MetaMorph's STK, Zeiss' LSM, Opera's FLEX.

- STK holds all planes behind one directory. They are z-steps if each has a distance from the one before, and
  time points if their times differ; other stacks are rejected.
- LSM holds a thumbnail after each plane. Its samples are channels. Several positions in a file are rejected.
- FLEX holds a page for each array (exposure and camera), which is a channel. Other pages, and values that are
  scaled, are rejected.

Sources: MetaMorph Stack (STK), Zeiss LSM 5, Opera's FLEX as in Bio-Formats.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from nucbatch.core.errors import UnreadableImage
from nucbatch.readers.formats.stack import Stack, stacked, wrong_plane_count
from nucbatch.readers.formats.xml_stream import text_elements

UIC1, UIC2, LSM, FLEX = 33628, 33629, 34412, 65200
_LSM_IMAGES = {0: "z", 3: "t", 6: "tz"}
"""LSM's types of scan that are images in x and y, with the axes of their pages."""
_MOST_FLEX_CHARACTERS = 1 << 24


def is_stk(tiff: Any) -> bool:
    """Returns whether a file is a MetaMorph stack."""
    return UIC2 in tiff.pages[0].tags


def stk_planes(tiff: Any) -> int:
    """Returns the number of planes that a MetaMorph stack describes."""
    return int(tiff.pages[0].tags[UIC2].count)


def stk_stack(tiff: Any) -> Stack | None:
    """Returns the planes of a MetaMorph stack behind one directory; None if each has its own.

    Raises:
        UnreadableImage: there are fewer planes than it describes.
    """
    planes, pages = stk_planes(tiff), len(tiff.pages)
    if planes == pages:
        return None
    if pages > 1:
        raise wrong_plane_count(planes, pages)
    tags = tiff.pages[0].tags.valueof(UIC2) or {}
    distances, times = list(tags.get("ZDistance", ())), list(tags.get("TimeCreated", ()))
    if len(distances) == planes and all(distance != 0 for distance in distances):
        return stacked("z", [planes])
    if len(times) == planes and all(one != other for one, other in pairwise(times)):
        return stacked("t", [planes])
    raise UnreadableImage(
        f"a MetaMorph stack of {planes:,} planes that does not say whether they are z-steps or time points: "
        "save it as OME-TIFF"
    )


def stk_sides_um(tiff: Any) -> tuple[float | None, float | None]:
    """Returns width and height of a pixel of a MetaMorph stack in micrometres; None where unknown."""
    found = tiff.pages[0].tags.valueof(UIC1) or {}
    unit = str(found.get("CalibrationUnits", "")).strip("\0 ")
    if not found.get("SpatialCalibration") or unit not in ("um", "µm", "microns"):
        return None, None
    sides = [float(found.get(f"{axis}Calibration") or 0) for axis in "XY"]
    return (sides[0], sides[1]) if min(sides) > 0 else (None, None)


def lsm_stack(tiff: Any, names: tuple[str, ...]) -> Stack:
    """Returns the planes of a Zeiss LSM file, without its thumbnails.

    Args:
        tiff: the open file.
        names: names of the channels side by side in a page; empty for a single one.

    Raises:
        UnreadableImage: it holds fewer planes than it describes, positions, or a scan that is no image.
    """
    described = tiff.lsm_metadata or {}
    axes = _LSM_IMAGES.get(int(described.get("ScanType", 0)))
    places = max(1, int(described.get("DimensionP", 1))) * max(1, int(described.get("DimensionM", 1)))
    if axes is None:
        kind = described["ScanType"]
        raise UnreadableImage(f"a Zeiss LSM scan of type {kind}, which is no image in x and y")
    if places > 1:
        raise UnreadableImage(f"a Zeiss LSM file of {places:,} positions or tiles: export each to a file")
    lengths = {"z": int(described.get("DimensionZ", 1)), "t": int(described.get("DimensionTime", 1))}
    count = len(tiff.pages)
    step = 2 if count > 1 and tiff.pages[1].aspage().is_reduced else 1
    pages = range(0, count, step)
    promised = lengths["z"] * lengths["t"]
    if promised != len(pages):
        raise wrong_plane_count(promised, len(pages))
    for axis in set("zt") - set(axes):
        if lengths[axis] > 1:
            raise UnreadableImage(f"a Zeiss LSM file whose {promised:,} planes are not described by its scan")
    stack = stacked(axes, [lengths[axis] for axis in axes])
    return Stack(stack.times, ("",), stack.depth, tuple(pages[page] for page in stack.pages))


def lsm_channels(tiff: Any, count: int) -> list[str]:
    """Returns the names of an LSM file's channels; empty if it does not record as many."""
    colors = (tiff.lsm_metadata or {}).get("ChannelColors") or {}
    names = [str(name).strip("\0 ") for name in colors.get("ColorNames", ())]
    return names if len(names) == count else []


def lsm_sides_um(tiff: Any) -> tuple[float | None, float | None]:
    """Returns width and height of a pixel of an LSM file in micrometres; None where unknown."""
    described = tiff.lsm_metadata or {}
    sides = [1e6 * float(described.get(f"VoxelSize{axis}") or 0) for axis in "XY"]
    return (sides[0], sides[1]) if min(sides) > 0 else (None, None)


def flex_stack(tiff: Any) -> Stack:
    """Returns the channels of an Opera file, one for each page.

    Raises:
        UnreadableImage: its arrays are not its pages, or their values are scaled.
    """
    text = tiff.pages[0].tags.valueof(FLEX)
    xml = text.decode("utf-8", errors="replace") if isinstance(text, bytes) else str(text)
    if len(xml) > _MOST_FLEX_CHARACTERS:
        raise UnreadableImage(f"damaged header (FLEX metadata of {len(xml):,} characters)")
    arrays = list(text_elements(xml, {"Array"}))
    names = [array.attributes.get("Name", "") for array in arrays]
    count = len(tiff.pages)
    if any(float(array.attributes.get("Factor", "1") or 1) != 1 for array in arrays):
        raise UnreadableImage("an Opera file whose values are scaled by a factor: convert it with bfconvert")
    if len(arrays) != count or len(set(names)) != count or not all(names):
        raise UnreadableImage(
            f"an Opera file of {count:,} pages and {len(arrays):,} arrays; it can be read only if each page "
            "is one array, which is a channel: convert it with bfconvert, of Bio-Formats' command-line tools"
        )
    return stacked("c", [count], names)
