"""The panel of DNA content: a histogram of the integrated intensity of the nuclear stain, for each plate.

Nuclei before replication form a peak, those after it one at twice its intensity, if the stain is
proportional to DNA, nuclei are whole, and the background is small or subtracted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from nucbatch.report.axes import Scale
from nucbatch.report.nucleus_histograms import Histogram, histograms, measured_columns
from nucbatch.report.panel import Panel, fill
from nucbatch.report.run_data import RunData

BINS = 96
_PERCENTILES = (0.0, 99.0)
_WIDTH, _HEIGHT = 1120.0, 260.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 12.0, 12.0, 44.0
_FEWEST = 200  # nuclei below which a histogram shows noise
_NAMES = (
    "Nuclei_Intensity_BackgroundCorrectedIntegratedIntensity_{}",
    "Nuclei_Intensity_IntegratedIntensity_{}",
)


def render(data: RunData) -> Markup:
    """A histogram per plate; empty if the stain was not measured, or for few nuclei."""
    path, channel = data.paths.nuclei, data.text("settings", "channel")
    if not path.is_file() or not data.wells:
        return Markup("")
    measured = measured_columns(path)
    name = next((name for pattern in _NAMES if (name := pattern.format(channel)) in measured), "")
    wells = [(well.plate, well.name, well.t) for well in data.wells]
    found = histograms(path, wells, [name], BINS, _PERCENTILES) if name else []
    if not found or found[0].counts.sum() < _FEWEST:
        return Markup("")
    plates = np.array([well.plate for well in data.wells])
    return fill(
        "dna.html",
        name=name,
        beyond=found[0].above,
        corrected=name.startswith("Nuclei_Intensity_BackgroundCorrected"),
        plates=[
            (plate, _drawing(found[0], found[0].counts[plates == plate].sum(axis=0))) for plate in data.plates
        ],
        width=_WIDTH,
        height=_HEIGHT,
    )


def _drawing(histogram: Histogram, counts: NDArray[np.int64]) -> dict[str, Any]:
    """The template's values, in SVG units."""
    inner = counts.copy()
    inner[-1] -= min(histogram.above, inner[-1])  # those beyond would stand as a peak of their own
    x = Scale(histogram.low, histogram.high, _LEFT, _WIDTH - _RIGHT)
    y = Scale(0, max(float(inner.max()), 1.0) * 1.05, _HEIGHT - _BOTTOM, _TOP)
    width = (x.end - x.begin) / BINS
    outline = "".join(
        f"H{round(x.begin + (at + 1) * width, 1)}V{y(float(inner[at + 1] if at + 1 < BINS else 0))}"
        for at in range(BINS)
    )
    peak = histogram.low + (_peak(inner) + 0.5) * (histogram.high - histogram.low) / BINS
    return {
        "total": int(counts.sum()),
        "path": f"M{x.begin} {y(0)}V{y(float(inner[0]))}{outline}Z",
        "x_ticks": x.ticks(),
        "y_ticks": y.ticks(),
        "left": _LEFT,
        "right": _WIDTH - _RIGHT,
        "top": _TOP,
        "bottom": _HEIGHT - _BOTTOM,
        "marks": [(x(at), text) for at, text in ((peak, "peak"), (2 * peak, "2 × peak")) if at < x.high],
    }


def _peak(counts: NDArray[np.int64]) -> int:
    """The bin with the most nuclei, after averaging over five neighbours."""
    return int(np.convolve(counts, np.ones(5), mode="same").argmax())


panel = Panel("DNA content", 26, render)
