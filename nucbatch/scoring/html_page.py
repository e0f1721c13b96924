"""Renders ``score.html``: all figures, their histograms, and drawings of the worst images, in one file.

The page has no scripts, and a content policy in its head forbids loading anything. Names come from file names
and are escaped by the templates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from nucbatch.scoring import figure_names
from nucbatch.scoring.backdrop import Bytes, jpeg_uri, png_uri
from nucbatch.scoring.detection import THRESHOLDS
from nucbatch.scoring.distribution import BINS, FIGURES, MOST_ROWS, spread_rows
from nucbatch.scoring.match_drawing import COLOURS, LONGEST_PX, Drawing, MatchKind
from nucbatch.scoring.score_files import Grouping
from nucbatch.scoring.table import ImageScore, ScoreTable, at_threshold

MOST_IMAGES = 2000  # rows in the page's list of images; the CSV has all

_KINDS = (
    (MatchKind.HIT, "hit", "the prediction's outline"),
    (MatchKind.MISSED, "missed", "the true nucleus, hatched"),
    (MatchKind.FALSE, "false", "the prediction, filled"),
    (MatchKind.MERGED, "merged", "one prediction holds most of several true nuclei: all outlines, hatched"),
    (MatchKind.SPLIT, "split", "one true nucleus holds most of several predictions: all outlines, dotted"),
)
LEGEND = tuple((f"rgb{COLOURS[kind]}", kind.name.lower(), word, what) for kind, word, what in _KINDS)
"""Colour, class, word and description of each kind of match."""
_TILES = (
    ("averaged", "mean_ap", "Mean AP, 0.5 to 0.95", "averaged over images, as the Data Science Bowl"),
    ("pooled", "object_f1_50", "Object F1 at IoU 0.5", "all nuclei pooled"),
    ("pooled", "pq", "Panoptic quality", "all nuclei pooled"),
    ("pooled", "pixel_f1", "Pixel F1 (Dice)", "all pixels pooled"),
    ("pooled", "pixel_jaccard", "Pixel IoU (Jaccard)", "all pixels pooled"),
    ("median", "count_error_relative", "Count error", "median of images, relative"),
)


@dataclass(frozen=True, slots=True)
class WorstImage:
    """One image on the page: its score, the drawing of its matches, and the image below it (``backdrop``)."""

    score: ImageScore
    drawing: Drawing
    backdrop: Bytes
    has_image: bool


@dataclass(frozen=True, slots=True)
class About:
    """Describes the comparison: both inputs as the user named them, nucbatch's version, and warnings."""

    pred: str
    truth: str
    version: str
    warnings: tuple[str, ...] = ()


def render(table: ScoreTable, about: About, worst: Sequence[WorstImage], by: Grouping | None = None) -> str:
    """The page as HTML text."""
    totals = table.totals()
    group_of = {row.name: group for group, part in by.tables.items() for row in part.rows} if by else {}
    rows = table.worst(MOST_IMAGES)
    return (
        environment()
        .get_template("score.html")
        .render(
            about=about,
            images=len(table.rows),
            perfect=sum(row.objects.mean_ap == 1 for row in table.rows),
            tiles=[(title, totals[total][name], note) for total, name, title, note in _TILES],
            totals=totals,
            headings=figure_names.TOTALS,
            sections=figure_names.SECTIONS,
            thresholds=_thresholds(totals),
            threshold_headings=[heading for _, _, heading in figure_names.THRESHOLD_COLUMNS],
            by=by,
            groups=_groups(by) if by else [],
            group_columns=figure_names.GROUP_COLUMNS,
            figures=[title for _, title in FIGURES],
            spreads=spread_rows({"all images": table} | (by.tables if by else {})),
            unspread=max(0, 1 + len(by.tables) - MOST_ROWS) if by else 0,
            bins=BINS,
            worst=[cell(one, group_of) for one in worst],
            legend=LEGEND,
            image_headings=[heading for _, heading in figure_names.IMAGE_COLUMNS],
            rows=[(row.name, group_of.get(row.name, ""), _of_image(row)) for row in rows],
        )
    )


def _thresholds(totals: dict[str, dict[str, float]]) -> list[tuple[str, list[float]]]:
    return [
        (
            f"{threshold:.2f}",
            [
                totals[total][at_threshold(stem, threshold)]
                for total, stem, _ in figure_names.THRESHOLD_COLUMNS
            ],
        )
        for threshold in THRESHOLDS
    ]


def _groups(by: Grouping) -> list[tuple[str, int, list[float]]]:
    result = []
    for group, part in by.tables.items():
        totals = part.totals()
        result.append(
            (group, len(part.rows), [totals[total][name] for total, name, _ in figure_names.GROUP_COLUMNS])
        )
    return result


def _of_image(row: ImageScore) -> list[float]:
    figures = row.figures()
    return [figures[name] for name, _ in figure_names.IMAGE_COLUMNS]


def cell(one: WorstImage, group_of: Mapping[str, str]) -> dict[str, object]:
    """What a template needs to show one image; ``group_of``: the group of some images, by name."""
    rows, columns = one.drawing.rows, one.drawing.columns
    height, width = rows.stop - rows.start, columns.stop - columns.start
    objects, parts = one.score.objects, one.score.parts
    return {
        "name": one.score.name,
        "group": group_of.get(one.score.name, ""),
        "height": height,
        "width": width,
        "part": (rows.start, rows.stop, columns.start, columns.stop)
        if max(height, width) == LONGEST_PX
        else None,
        "has_image": one.has_image,
        "below": jpeg_uri(one.backdrop),
        "over": png_uri(one.drawing.overlay),
        "f1": objects.f1(),
        "mean_ap": objects.mean_ap,
        "truth": objects.truth,
        "found": objects.predicted,
        "hits": objects.tp[0],
        "missed": objects.fn[0],
        "false": objects.fp[0],
        "merges": parts.merges,
        "splits": parts.splits,
    }


@cache
def environment() -> Environment:
    """The templates of the pages of scores."""
    environment = Environment(
        loader=PackageLoader("nucbatch.scoring"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = figure_names.shown
    return environment
