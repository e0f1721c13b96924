"""The fields of each well as thumbnails with outlines, which the page shows when a well is clicked.

All thumbnails together have a budget of bytes. Every well has its first field before any has a second one;
fields beyond the budget are left out, and the page says how many. If there is room left, pictures are larger
and show further channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nucbatch.labels.run_images import SourceGone
from nucbatch.report.field_images import contrast_limits, picture_threads, picture_within
from nucbatch.report.not_counted import not_counted
from nucbatch.report.outlines import outline_code
from nucbatch.report.run_data import RunData
from nucbatch.report.wells import Well, well_numbers
from nucbatch.store.pyramid import level_count
from nucbatch.store.stored_images import read_labels

BUDGET = 3_600_000  # characters of all thumbnails in the page
LEAST = 2_300  # characters of a picture; smaller ones show nothing
MOST = 60_000  # characters of a picture; more make no difference at a screen's size
CHANNELS = 4
_OUTLINES_SHARE = 0.4  # of a field's first picture; coarser outlines if they need more
_PX_PER_CHARACTER = 16.0  # at least; decides which level of a pyramid is read
_FEWEST_PX = 96  # side below which outlines are not made coarser
_BRIGHT = 90  # percentile of some fields' highest levels that is white in all
_SAMPLE = 24  # fields that give the common contrast of the channels which are not segmented


@dataclass(frozen=True, slots=True)
class Shot:
    """A field to show: its row in the table of counted fields, and its well's number among those drawn."""

    row: int
    well: int


def choose_shots(done: pd.DataFrame, wells: Sequence[Well], most: int) -> list[Shot]:
    """At most ``most`` counted fields of the wells, ordered by well.

    The first field of each well is chosen first, then the second of each, and so on.
    """
    numbers = well_numbers(done, wells)
    rows = np.flatnonzero(numbers >= 0)
    before = pd.Series(numbers[rows]).groupby(numbers[rows]).cumcount().to_numpy()  # of the same well
    chosen = rows[np.lexsort((numbers[rows], before))[:most]]
    shots = (Shot(row, int(numbers[row])) for row in chosen.tolist())
    return sorted(shots, key=lambda shot: (shot.well, shot.row))


def thumbnails(data: RunData, wells: Sequence[Well]) -> dict[str, object] | None:
    """The fields of the wells for the page's script; None if the run kept no pixels or counted no field."""
    shots = choose_shots(data.done, wells, BUDGET // LEAST) if data.pixels_kept else []
    if not shots:
        return None
    done = data.done
    groups = [str(done["Metadata_Image"].iloc[shot.row]) for shot in shots]
    channels = _channels(data, groups[0])[: max(1, min(CHANNELS, BUDGET // (LEAST * len(shots))))]
    share = min(MOST, BUDGET // (len(shots) * len(channels)))
    with picture_threads() as threads:
        limits = _common_contrast(data, groups, channels, threads)
        rows = [done.iloc[shot.row] for shot in shots]
        others = not_counted(data, groups)
        pictures = threads.map(
            lambda row: _pictures(
                data, row, channels, limits, share, others.get(str(row["Metadata_Image"]), ())
            ),
            rows,
        )
        fields = [
            {
                "well": shot.well,
                "site": int(row["Metadata_Site"]),
                "name": str(row["Name"]),
                "count": int(row["Count_Nuclei"]),
                "flag": str(row["Flags"]),
                **picture,
            }
            for shot, row, picture in zip(shots, rows, pictures, strict=True)
        ]
    return {"channels": [name or "mean of all channels" for name in channels], "fields": fields}


def _channels(data: RunData, group: str) -> list[str]:
    """The names of a field's channels, the segmented one first; an empty one for the mean of an RGB image."""
    try:
        names = data.images.channels(group)
    except SourceGone:
        names = []
    segmented = data.text("settings", "channel")
    if segmented not in names:
        return [""]
    return [segmented, *(name for name in names if name != segmented)]


def _common_contrast(
    data: RunData, groups: Sequence[str], channels: Iterable[str], threads: ThreadPoolExecutor
) -> dict[str, tuple[float, float]]:
    """Levels of black and white for each channel, the same in all fields.

    Of some fields' contrast limits, black is the median of the lower and white the 90th percentile of the
    upper ones.
    """
    names = list(channels)
    every = -(-len(groups) // _SAMPLE)

    def of_field(group: str) -> dict[str, tuple[float, float]]:
        planes = _planes(data, group, 1)
        return {name: contrast_limits(planes[name]) for name in names if name in planes}

    found = list(threads.map(of_field, groups[::every]))
    ranges = {name: [limits[name] for limits in found if name in limits] for name in names}
    return {
        name: (
            float(np.median([low for low, _ in some])),
            float(np.percentile([high for _, high in some], _BRIGHT)),
        )
        for name, some in ranges.items()
        if some
    }


def _planes(data: RunData, group: str, level: int) -> dict[str, NDArray[Any]]:
    """The planes (Y, X) of a field by the names of its channels; its mean by an empty name.

    Empty if the image was not copied and is gone.
    """
    try:
        image = data.images.read(group, level)
    except SourceGone:  # the contact sheet says so
        return {}
    return {**dict(zip(data.images.channels(group), image, strict=True)), "": image.mean(axis=0)}


def _pictures(
    data: RunData,
    row: pd.Series[Any],
    channels: Sequence[str],
    limits: dict[str, tuple[float, float]],
    share: int,
    left_out: Sequence[int],
) -> dict[str, object]:
    """A field's images and outlines; an image is empty if the field lacks its channel.

    The segmented channel, the first, is stretched per field; others alike on the whole plate, so that wells
    can be compared by eye.
    """
    group, height, width = str(row["Metadata_Image"]), int(row["Height_px"]), int(row["Width_px"])
    lowest = level_count(height, width) - 1
    level = 0
    while level < lowest and height * width / 4 ** (level + 1) >= share * _PX_PER_CHARACTER:
        level += 1
    planes = _planes(data, group, level)
    labels = read_labels(data.paths, group, level)
    outlines = _outlines(labels, left_out)
    while len("".join(outlines)) > share * _OUTLINES_SHARE and min(labels.shape) > _FEWEST_PX:
        labels = labels[::2, ::2]
        outlines = _outlines(labels, left_out)
    images = []
    for name in channels:
        if name not in planes:
            images.append("")
            continue
        room = max(share - (0 if images else len("".join(outlines))), LEAST // 2)
        low, high = limits.get(name) or contrast_limits(planes[name])
        if not images:  # the segmented channel: its own contrast, but an empty field must look empty
            own_low, own_high = contrast_limits(planes[name])
            low, high = own_low, max(own_high, own_low + (high - low) / 4)
        images.append(picture_within(planes[name], low, high, room * 3 // 4))
    return {"size": [*labels.shape], "images": images, "outlines": outlines}


def _outlines(labels: NDArray[np.uint32], left_out: Sequence[int]) -> list[str]:
    """Codes of the outlines: of the nuclei that count, then of the others, if there are any."""
    if not left_out:
        return [outline_code(labels)]
    others = np.isin(labels, left_out)
    return [outline_code(np.where(others, 0, labels)), outline_code(np.where(others, labels, 0))]
