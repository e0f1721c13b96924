"""The panel of settings: settings, the model's card, versions, and the time of each stage."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from nucbatch.report.panel import Panel, fill
from nucbatch.report.run_data import RunData
from nucbatch.report.summary import duration

_LONGEST = 400
_TITLES = {"settings": "Settings", "model": "Model", "environment": "Environment", "plate": "Input"}


def render(data: RunData) -> Markup:
    """One table per part of run.json, and bars for the time of each stage."""
    parts = {key: value for key, value in data.run.items() if isinstance(value, dict) and key != "timings"}
    loose = {key: value for key, value in data.run.items() if not isinstance(value, dict)}
    tables = [("Run", flat(loose))] if loose else []
    order = [*_TITLES, *(key for key in parts if key not in _TITLES)]
    tables += [
        (_TITLES.get(key, key.replace("_", " ").capitalize()), flat(parts[key]))
        for key in order
        if parts.get(key)
    ]
    return fill("settings.html", tables=tables, timings=_stations(data.run.get("timings")))


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


def _stations(timings: Any) -> list[tuple[str, str, float]]:
    """(Stage, time as text, share of the longest in percent), in the order of run.json."""
    stations = timings.get("stations_s") if isinstance(timings, dict) else None
    if not isinstance(stations, dict):
        return []
    seconds = {str(name): float(value) for name, value in stations.items()}
    longest = max(seconds.values(), default=0.0)
    return [
        (name.replace("_", " "), duration(value), 100 * value / longest if longest else 0.0)
        for name, value in seconds.items()
    ]


panel = Panel("Settings", 50, render)
