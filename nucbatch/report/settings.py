"""The panel of settings: settings, the model's card, versions, and the time of each stage."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from nucbatch.report.panel import Panel, fill
from nucbatch.report.run_data import RunData
from nucbatch.report.summary import duration

_LONGEST = 400
_ELSEWHERE = {"timings", "quality"}  # below, and in the panel of quality
_PART_OF = {"network": "segment"}  # stages that are measured inside another one
_TITLES = {"settings": "Settings", "model": "Model", "environment": "Environment", "plate": "Input"}


def render(data: RunData) -> Markup:
    """One table per part of run.json, and bars for the time of each stage."""
    parts = {
        key: value for key, value in data.run.items() if isinstance(value, dict) and key not in _ELSEWHERE
    }
    loose = {key: value for key, value in data.run.items() if not isinstance(value, dict)}
    tables = [("Run", flat(loose))] if loose else []
    order = [*_TITLES, *(key for key in parts if key not in _TITLES)]
    tables += [
        (_TITLES.get(key, key.replace("_", " ").capitalize()), flat(parts[key]))
        for key in order
        if parts.get(key)
    ]
    return fill(
        "settings.html",
        tables=tables,
        timings=_stations(data.run.get("timings"), data.wall_s),
        wall="" if data.wall_s is None else duration(data.wall_s),
    )


def flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested values as (dotted key, text); long texts are cut."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            rows += flat(value, f"{prefix}{key}.")
        else:
            rows.append((prefix + str(key), _text(value)))
    return rows


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value in ("", []):
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = ", ".join(_text(item) for item in value) if isinstance(value, list) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def _stations(timings: Any, wall_s: float | None) -> list[tuple[str, str, float]]:
    """(Stage, its part of the run's duration, share of all in percent), in the order of run.json.

    Tasks run side by side, so a stage's seconds, summed over all tasks, may exceed the duration; its share of
    all stages is its part of it.
    """
    stations = timings.get("stations_s") if isinstance(timings, dict) else None
    if not isinstance(stations, dict):
        return []
    seconds = {str(name): float(value) for name, value in stations.items()}
    total = sum(value for name, value in seconds.items() if name not in _PART_OF)
    return [
        (
            name.replace("_", " ") + (f" (part of {_PART_OF[name]})" if name in _PART_OF else ""),
            f"{100 * value / total:.0f} %" if wall_s is None else duration(wall_s * value / total),
            min(100 * value / total, 100.0),
        )
        for name, value in seconds.items()
        if total
    ]


panel = Panel("Settings", 50, render)
