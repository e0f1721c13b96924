"""The panel of overlapping fields: how fields lie in a well, and which nuclei count in another field."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
from markupsafe import Markup

from nucbatch.core.plate_geometry import row_index, split_well
from nucbatch.experiment.field_layout import FieldRectangle, overlapping_pairs
from nucbatch.features.quality import WRONG_POSITIONS
from nucbatch.report.panel import Panel, fill
from nucbatch.report.run_data import RunData
from nucbatch.report.wells import WELL_TIME

_WIDTH = 640.0
_MOST_NUCLEI = 3000  # circles in the drawing; of more only those that don't count here are drawn
_MOST_NAMES = 24

WellKey = tuple[str, str, int]
"""Plate, name of the well, and time point from 0."""


def render(data: RunData) -> Markup:
    """A sentence, and a drawing of the well with most repeats; empty if no fields overlap."""
    fields, stage = data.done, data.text("plate", "stage")
    if "Count_Nuclei_Seen" not in fields:
        return Markup('<p class="state warn"><span>{}</span></p>').format(stage) if stage else Markup("")
    overlapping: list[WellKey] = []
    fractions = array("d")
    for where, layout in _layouts(fields):
        parts = [part for _, _, part in overlapping_pairs(layout)]
        fractions.extend(parts)
        overlapping += [where] if parts else []
    if not fractions:
        return Markup("")
    refused = fields[fields["Flags"].str.contains(WRONG_POSITIONS, regex=False)]
    names = list(dict.fromkeys(zip(refused["Metadata_Well"], refused["Metadata_Time"], strict=True)))
    several_times = data.fields["Metadata_Time"].nunique() > 1
    shown = _well_to_draw(fields, overlapping)
    is_drawn = [fields[name] == value for name, value in zip(WELL_TIME, shown, strict=True)]
    return fill(
        "overlaps.html",
        stage=stage,
        percent=round(100 * float(np.median(fractions)), 1),
        seen=int(fields["Count_Nuclei_Seen"].sum()),
        counted=int(fields["Count_Nuclei"].sum()),
        keep=data.text("settings", "overlaps") == "keep",
        refused=[f"{well}, time point {t}" if several_times else well for well, t in names[:_MOST_NAMES]],
        refused_total=len(names),
        where=f"{shown[1]}, time point {shown[2]}" if several_times else shown[1],
        drawing=_drawing(data, shown, fields[np.logical_and.reduce(is_drawn)]),
    )


def _layouts(fields: pd.DataFrame) -> Iterator[tuple[WellKey, list[FieldRectangle]]]:
    """Yields the rectangles of the placed fields of each well and time point that has several."""
    names = ["Metadata_Image", "Metadata_PositionY_um", "Metadata_PositionX_um"]
    names += ["Height_px", "Width_px", "PixelSize_um"]
    for _, own in fields[[*WELL_TIME, *names]].dropna().groupby(WELL_TIME, sort=False, observed=True):
        plate, well, t = own[WELL_TIME].iloc[0]
        if well and len(own) > 1:
            rectangles = [
                FieldRectangle.around(image, (y, x), (height_px, width_px), pixel_um)
                for image, y, x, height_px, width_px, pixel_um in own[names].itertuples(
                    index=False, name=None
                )
            ]
            yield (str(plate), str(well), int(t)), rectangles


def _well_to_draw(fields: pd.DataFrame, overlapping: Iterable[WellKey]) -> WellKey:
    """The well with the most nuclei that count in another field; without any, that with the most nuclei."""
    groups = fields.groupby(WELL_TIME, sort=False, observed=True)
    seen, counted = (groups[name].sum().to_dict() for name in ("Count_Nuclei_Seen", "Count_Nuclei"))

    def rank(where: WellKey) -> tuple[int, int, str, int, int, int]:
        plate, name, t = where
        row, column = split_well(name)
        repeats = int(seen[where] - counted[where])
        return -repeats, -int(seen[where]), plate, row_index(row), column, t

    return min(overlapping, key=rank)


def _drawing(data: RunData, where: WellKey, fields: pd.DataFrame) -> dict[str, Any]:
    """The template's values for the fields of a well: rectangles and circles in SVG units."""
    ((_, layout),) = _layouts(fields)
    top, left = min(one.top for one in layout), min(one.left for one in layout)
    bottom, right = max(one.bottom for one in layout), max(one.right for one in layout)
    scale = _WIDTH / max(right - left, bottom - top)
    by_key = {one.key: one for one in layout}
    sites = dict(zip(fields["Metadata_Image"], fields["Metadata_Site"], strict=True))
    circles: dict[bool, list[tuple[float, float, float]]] = {True: [], False: []}
    for image, y, x, area, is_counted in _nuclei(data, where, list(by_key)):
        one = by_key[image]
        y, x = (
            (one.top + (y + 0.5) * one.pixel_um - top) * scale,
            (one.left + (x + 0.5) * one.pixel_um - left) * scale,
        )
        circles[is_counted].append((x, y, (area / 3.1416) ** 0.5 * one.pixel_um * scale))
    return {
        "width": round((right - left) * scale, 1),
        "height": round((bottom - top) * scale, 1),
        "fields": [
            {
                "x": (one.left - left) * scale,
                "y": (one.top - top) * scale,
                "width": (one.right - one.left) * scale,
                "height": (one.bottom - one.top) * scale,
                "site": sites[one.key],
            }
            for one in layout
        ],
        "counted": circles[True] if sum(map(len, circles.values())) <= _MOST_NUCLEI else [],
        "elsewhere": circles[False][:_MOST_NUCLEI],
    }


def _nuclei(data: RunData, where: WellKey, images: list[str]) -> list[tuple[str, float, float, int, bool]]:
    """Image, centroid (y, x), area and whether it counts, of the nuclei of a well; lengths in px."""
    columns = ["Metadata_Image", "Metadata_Nuclei_Location_Center_Y", "Metadata_Nuclei_Location_Center_X"]
    columns += ["Nuclei_AreaShape_Area", "Metadata_Counted", "Metadata_ReasonNotCounted"]
    chosen = (pc.field("Metadata_Plate") == where[0]) & pc.field("Metadata_Image").isin(images)
    table = pq.read_table(data.paths.nuclei, columns=columns, filters=chosen)
    rows = zip(*(table[name].to_pylist() for name in columns), strict=True)
    return [row[:-1] for row in rows if row[-2] or "overlap" in row[-1]]  # others are left out by the user


panel = Panel("Overlaps", 25, render)
