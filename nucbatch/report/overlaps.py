"""The panel of overlapping fields: how fields lie in a well, and which nuclei count in another field."""

from __future__ import annotations

from statistics import median
from typing import Any

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
from markupsafe import Markup

from nucbatch.core.plate_geometry import row_index, split_well
from nucbatch.experiment.field_layout import FieldRectangle, overlapping_pairs
from nucbatch.features.quality import WRONG_POSITIONS
from nucbatch.report.panel import Panel, fill
from nucbatch.report.run_data import RunData

_WIDTH = 640.0
_MOST_NUCLEI = 3000  # circles in the drawing; of more only those that don't count here are drawn
_MOST_NAMES = 24

WellKey = tuple[str, str, int]
"""Plate, name of the well, and time point from 0."""


def render(data: RunData) -> Markup:
    """A sentence, and a drawing of the well with most repeats; empty if no fields overlap."""
    fields = data.done
    if "Count_Nuclei_Seen" not in fields:
        return Markup("")
    layouts = _layouts(fields)
    fractions = [part for one in layouts.values() for _, _, part in overlapping_pairs(one)]
    if not fractions:
        return Markup("")
    refused = fields[fields["Flags"].str.contains(WRONG_POSITIONS, regex=False)]
    names = list(dict.fromkeys(zip(refused["Metadata_Well"], refused["Metadata_Time"], strict=True)))
    several_times = data.fields["Metadata_Time"].nunique() > 1
    shown = _well_to_draw(fields, layouts)
    return fill(
        "overlaps.html",
        percent=round(100 * median(fractions), 1),
        seen=int(fields["Count_Nuclei_Seen"].sum()),
        counted=int(fields["Count_Nuclei"].sum()),
        keep=data.text("settings", "overlaps") == "keep",
        refused=[f"{well}, time point {t}" if several_times else well for well, t in names[:_MOST_NAMES]],
        refused_total=len(names),
        where=f"{shown[1]}, time point {shown[2]}" if several_times else shown[1],
        drawing=_drawing(data, shown, layouts[shown]),
    )


def _layouts(fields: pd.DataFrame) -> dict[WellKey, list[FieldRectangle]]:
    """The rectangles of the placed fields of each well and time point that has several."""
    names = ["Metadata_Plate", "Metadata_Well", "Metadata_Time", "Metadata_Image", "Height_px", "Width_px"]
    names += ["Metadata_PositionY_um", "Metadata_PositionX_um", "PixelSize_um"]
    layouts: dict[WellKey, list[FieldRectangle]] = {}
    rows = fields[names].dropna().itertuples(index=False, name=None)
    for plate, well, t, image, height_px, width_px, y, x, pixel_um in rows:
        if well:
            rectangle = FieldRectangle.around(image, (y, x), (height_px, width_px), pixel_um)
            layouts.setdefault((plate, well, int(t)), []).append(rectangle)
    return {where: one for where, one in layouts.items() if len(one) > 1}


def _well_to_draw(fields: pd.DataFrame, layouts: dict[WellKey, list[FieldRectangle]]) -> WellKey:
    """The well with the most nuclei that count in another field; without any, that with the most nuclei."""
    groups = fields.groupby(["Metadata_Plate", "Metadata_Well", "Metadata_Time"], sort=False)
    seen, counted = groups["Count_Nuclei_Seen"].sum(), groups["Count_Nuclei"].sum()

    def rank(where: WellKey) -> tuple[int, int, str, int, int, int]:
        plate, name, t = where
        row, column = split_well(name)
        repeats = int(seen[where] - counted[where])
        return -repeats, -int(seen[where]), plate, row_index(row), column, t

    overlapping = [where for where, one in layouts.items() if next(overlapping_pairs(one), None)]
    return min(overlapping, key=rank)


def _drawing(data: RunData, where: WellKey, layout: list[FieldRectangle]) -> dict[str, Any]:
    """The template's values: rectangles and circles in SVG units."""
    top, left = min(one.top for one in layout), min(one.left for one in layout)
    bottom, right = max(one.bottom for one in layout), max(one.right for one in layout)
    scale = _WIDTH / max(right - left, bottom - top)
    by_key = {one.key: one for one in layout}
    sites = dict(zip(data.done["Metadata_Image"], data.done["Metadata_Site"], strict=True))
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
