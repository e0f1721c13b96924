"""Writes the overview page of a screen: its plates side by side, their drift, controls and failures.

One HTML file without scripts. Names come from other people's folders and tables and are escaped, and a
content policy in the page's head forbids loading or running anything. Needs only Python's standard library,
like the tables beside it.
"""

from __future__ import annotations

import base64
import hashlib
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from nucbatch.report.screen.drawings import (
    COUNT,
    Range,
    Row,
    colour_scale,
    line_chart,
    number,
    plate_map,
    style_of_shades,
    value_of,
)

CONTROL = "Metadata_AssayControl"
_KINDS = {"all": "all wells", "positive": "positive controls", "negative": "negative controls"}
_COLUMNS = {
    "Wells": "Wells",
    "Fields": "Fields",
    "Fields_Failed": "Failed fields",
    "Files_Quarantined": "Quarantined files",
    "Count_Nuclei": "Nuclei",
}
_MOST_FAILURES = 12
MOST_MAPS = 200
"""Most plates whose wells are drawn; a page of thousands would not open in a browser."""
_GOOD_ASSAY = 0.5  # Z' from which an assay counts as excellent (Zhang et al., J. Biomol. Screen. 4, 1999)


@dataclass(frozen=True)
class Plate:
    """A run, as the page shows it.

    Attributes:
        name: name of the run's folder.
        summary: its row of plates.csv.
        wells: the rows of its wells.csv at the first time point.
        assay: the rows of its assay.csv at the first time point; empty without controls.
        failures: what was not used, and why.
        report: address of its report; empty if it has none.
    """

    name: str
    summary: Row
    wells: list[Row]
    assay: list[Row]
    failures: list[tuple[str, str]]
    report: str = ""


def page(plates: Sequence[Plate], measures: Sequence[str]) -> str:
    """The page as HTML.

    Args:
        plates: in the order in which drift is shown.
        measures: columns of wells.csv; the count of nuclei per field comes before them.
    """
    shown = list(dict.fromkeys((COUNT, *measures)))
    style = (Path(__file__).parent / "screen.css").read_text(encoding="utf-8") + style_of_shades()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-{digest}'"
    title = f"{len(plates)} {'plate' if len(plates) == 1 else 'plates'}"
    nuclei, wells = (
        sum(int(plate.summary[name] or 0) for plate in plates) for name in ("Count_Nuclei", "Wells")
    )
    bad = sum(plate.summary["Status"] != "complete" for plate in plates)
    told = f"{bad} of {title} with failures." if bad else "No failures."
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>\n<style>{style}</style></head>\n<body>",
        f"<h1>{title}</h1><p>{nuclei:,} nuclei in {wells:,} wells. {told}</p>",
        _table(plates),
        *(_maps(plates, measure) for measure in shown),
        _drift(plates, shown) if len(plates) > 1 else "",
        _failures(plates),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _table(plates: Sequence[Plate]) -> str:
    rows = []
    for plate in plates:
        status = plate.summary["Status"]
        cells = [escape(plate.name), escape(status)]
        if plate.report:
            cells[0] = f'<a href="{escape(plate.report)}">{cells[0]}</a>'
        if status != "complete":
            cells[1] = f'<span class="bad">{cells[1]}</span>'
        cells += [f"{int(plate.summary[name]):,}" if plate.summary[name] else "–" for name in _COLUMNS]
        cells.append(escape(plate.summary["ZPrime"]) or "–")
        rows.append("".join(f"<td>{cell}</td>" for cell in cells))
    table = _html_table(("Plate", "Status", *_COLUMNS.values(), "Z'"), rows)
    has_controls = any(plate.summary["ZPrime"] for plate in plates)
    note = "<p>Z' is that of the page's measure, of several series the lowest.</p>" if has_controls else ""
    return f"<h2>Plates</h2>{table}{note}"


def _maps(plates: Sequence[Plate], measure: str) -> str:
    colours = Range.of(value_of(well, measure) for plate in plates for well in plate.wells)
    drawn = [plate for plate in plates if plate.wells][:MOST_MAPS]
    figures = "".join(
        f"<figure>{plate_map(plate.wells, measure, colours, f'{plate.name}: {_name(measure)} by well')}"
        f"<figcaption>{escape(plate.name)}</figcaption></figure>"
        for plate in drawn
    )
    more = f" The first {MOST_MAPS} plates are drawn." if len(plates) > MOST_MAPS else ""
    return (
        f"<h2>{escape(_name(measure))}</h2>{colour_scale(colours)}"
        "<p>One range of colours for all plates, from the 2nd to the 98th percentile of their wells. Cross: "
        "no field of the well was counted, or there is no value. Corner: some of its fields failed."
        f"{more}</p>"
        f'<div class="maps">{figures}</div>'
    )


def _drift(plates: Sequence[Plate], measures: Sequence[str]) -> str:
    names = [plate.name for plate in plates]
    charts = []
    for measure in measures:
        lines = {kind: [_median(plate, measure, kind) for plate in plates] for kind in _KINDS}
        charts.append(_figure(f"{_name(measure)}, median of the wells", names, lines))
    found = [_z_primes(plate, measures) for plate in plates]
    for series in dict.fromkeys(series for one in found for series in one):
        values = {"all": [one.get(series, math.nan) for one in found]}
        charts.append(_figure(f"Z' of {series}" if series else "Z'", names, values, _GOOD_ASSAY))
    keys = "".join(f'<span class="key {kind}">{said}</span>' for kind, said in _KINDS.items())
    return (
        f"<h2>Drift over the plates</h2><p>In the order of the table. {keys}</p>"
        f'<div class="charts">{"".join(charts)}</div>'
    )


def _figure(title: str, names: list[str], lines: dict[str, list[float]], limit: float | None = None) -> str:
    drawn = line_chart(names, lines, title, limit)
    return f"<figure><figcaption>{escape(title)}</figcaption>{drawn}</figure>" if drawn else ""


def _median(plate: Plate, measure: str, kind: str) -> float:
    """The median over a plate's wells, or over its controls of a kind."""
    values = [value_of(well, measure) for well in plate.wells if kind == "all" or well.get(CONTROL) == kind]
    finite = [value for value in values if math.isfinite(value)]
    return statistics.median(finite) if finite else math.nan


def _z_primes(plate: Plate, measures: Sequence[str]) -> dict[str, float]:
    """The plate's Z' by series, of the last measure on the page that has one."""
    found: dict[str, float] = {}
    for measure in measures:
        own = {
            row.get("Series", ""): number(row.get("ZPrime"))
            for row in plate.assay
            if row.get("Measure") == measure
        }
        found = own or found
    return found


def _failures(plates: Sequence[Plate]) -> str:
    rows = []
    for plate in plates:
        told = [(plate.name, what, why) for what, why in plate.failures[:_MOST_FAILURES]]
        more = len(plate.failures) - _MOST_FAILURES
        if more > 0:
            told.append((plate.name, f"{more:,} more", "see its files.csv and wells.csv"))
        rows += ["".join(f'<td class="text">{escape(cell)}</td>' for cell in row) for row in told]
    if not rows:
        return "<h2>Failures</h2><p>None.</p>"
    return "<h2>Failures</h2>" + _html_table(("Plate", "What", "Why"), rows, ' class="text"')


def _html_table(heads: Sequence[str], rows: Sequence[str], attribute: str = "") -> str:
    head = "".join(f"<th{attribute}>{escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _name(measure: str) -> str:
    return "Nuclei per field" if measure == COUNT else measure
