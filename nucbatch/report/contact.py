"""The contact sheet: images of fields with the outlines found in them, for judging counts by eye.

Images show the segmented channel as stored. Contrast is stretched per field, but the range of grey levels is
at least half of the sheet's median range, so that an empty field looks empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from nucbatch.core.tiles import Box
from nucbatch.labels.run_images import SourceGone
from nucbatch.report.choose import Choice, choose_fields
from nucbatch.report.field_images import contrast_limits, picture_threads, picture_within
from nucbatch.report.not_counted import not_counted
from nucbatch.report.outlines import outline_path
from nucbatch.report.panel import Panel, fill
from nucbatch.report.run_data import RunData
from nucbatch.store.stored_images import read_labels

FIELDS = 20
ALL_IMAGES_BYTES = 1_500_000  # base64 adds a third
LONGEST_SIDE_PX = 1100  # longer images are shown from a lower level of their pyramid
MOST_SHRUNK = 1  # of images that need a still lower level, the centre is shown instead


@dataclass(frozen=True, slots=True)
class Picture:
    """One field of the sheet: plane and labels (Y, X), and the caption.

    ``part`` says which part of a large image. ``left_out``: labels of nuclei that do not count in this field.
    """

    plane: NDArray[Any]
    labels: NDArray[Any]
    where: str
    name: str
    count: int
    choice: Choice
    part: str = ""
    left_out: tuple[int, ...] = ()


def render(data: RunData) -> Markup:
    """The sheet; a sentence instead if the run kept no pixels."""
    if data.done.empty:
        return Markup("")
    if not data.pixels_kept:
        return fill("contact.html", cells=[], gone=[], in_place=data.text("settings", "labels") == "in-place")
    choices = choose_fields(data.done, FIELDS)
    share_bytes = ALL_IMAGES_BYTES // len(choices)
    groups = data.done["Metadata_Image"]
    with picture_threads() as threads:
        left_out = not_counted(data, [str(groups.iloc[choice.row]) for choice in choices])
        found = list(threads.map(lambda choice: _picture_if_there(data, choice, left_out), choices))
        pictures = [one for one in found if isinstance(one, Picture)]
        gone = [str(one) for one in found if isinstance(one, SourceGone)]
        if not pictures:
            return fill("contact.html", cells=[], gone=gone)
        limits = list(threads.map(lambda picture: contrast_limits(picture.plane), pictures))
        least = float(np.median([high - low for low, high in limits])) / 2
        lows, highs = zip(*((low, max(high, low + least)) for low, high in limits), strict=True)
        cells = list(threads.map(_cell, pictures, lows, highs, repeat(share_bytes)))
    return fill("contact.html", cells=cells, gone=gone)


def _picture_if_there(
    data: RunData, choice: Choice, left_out: dict[str, tuple[int, ...]]
) -> Picture | SourceGone:
    try:
        return _picture(data, choice, left_out)
    except SourceGone as error:
        return error


def _cell(picture: Picture, low: float, high: float, most_bytes: int) -> dict[str, object]:
    here = ~np.isin(picture.labels, picture.left_out)
    return {
        "where": picture.where,
        "name": picture.name,
        "count": picture.count,
        "why": picture.part or picture.choice.why,
        "flag": picture.choice.flag,
        "height": picture.plane.shape[0],
        "width": picture.plane.shape[1],
        "image": picture_within(picture.plane, low, high, most_bytes),
        "outlines": outline_path(np.where(here, picture.labels, 0)),
        "left_out": outline_path(np.where(here, 0, picture.labels)) if picture.left_out else "",
        "others": len(picture.left_out),
    }


def _picture(data: RunData, choice: Choice, left_out: dict[str, tuple[int, ...]]) -> Picture:
    row = data.done.iloc[choice.row]
    group = str(row["Metadata_Image"])
    level = 0
    while max(row["Height_px"], row["Width_px"]) > LONGEST_SIDE_PX * 2**level:
        level += 1
    height, width, box = int(row["Height_px"]), int(row["Width_px"]), None
    part = ""
    if level > MOST_SHRUNK:
        level, box = 0, _middle(height, width)
        part = f"the middle {box.shape[0]} × {box.shape[1]} px of {height:,} × {width:,}"
    labels = read_labels(data.paths, group, level, box)
    image, names = data.images.read(group, level, box), data.images.channels(group)
    channel = data.text("settings", "channel")
    # An RGB image has no single channel to show, so the mean of the three is shown.
    plane = image[names.index(channel)] if channel in names else image.mean(axis=0)
    count = int(row["Count_Nuclei"])
    others = left_out.get(group, ())
    return Picture(plane, labels, _where(row), str(row["Name"]), count, choice, part, others)


def _middle(height_px: int, width_px: int) -> Box:
    tall, wide = min(LONGEST_SIDE_PX, height_px), min(LONGEST_SIDE_PX, width_px)
    top, left = (height_px - tall) // 2, (width_px - wide) // 2
    return Box(top, left, top + tall, left + wide)


def _where(row: pd.Series[Any]) -> str:
    """``B03, site 2``, with the time point from the second on; the name if there is no well."""
    if not row["Metadata_Well"]:
        return str(row["Name"])
    time = f", t {row['Metadata_Time']}" if row["Metadata_Time"] else ""
    return f"{row['Metadata_Well']}, site {row['Metadata_Site']}{time}"


panel = Panel("Fields", 30, render)
