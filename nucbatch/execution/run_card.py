"""The content of run.json: what a run was made with, and how long it took."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from nucbatch.core.numeric_kind import in_words
from nucbatch.planning.plan import Plan
from nucbatch.readers.flat_fields import illumination_text
from nucbatch.store.receipt import Receipt
from nucbatch.version import __version__

if TYPE_CHECKING:
    from nucbatch.execution.finalise import Totals


@dataclass(frozen=True, slots=True)
class Timings:
    """Wall time of the sessions that worked on fields, and the number of fields that they processed.

    A finished run that is called again keeps both.
    """

    wall_s: float
    fields: int


def run_card(
    plan: Plan,
    model: Mapping[str, Any],
    receipts: Mapping[str, Receipt],
    timings: Timings,
    totals: Totals,
    root: str,
) -> dict[str, Any]:
    """Returns the content of run.json: version, plate, model, settings, quality, environment and timings.

    ``root``: folder of the input's files.
    """
    plate, settings = plan.plate, plan.settings
    stations: dict[str, float] = {}
    for receipt in receipts.values():
        for name, seconds in receipt.seconds.items():
            stations[name] = stations.get(name, 0.0) + seconds
    return {
        "nucbatch": __version__,
        "plate": {
            "name": plate.name,
            "layout": plate.layout,
            "rows": plate.rows,
            "columns": plate.columns,
            "fields": len(plate.fields),
            "illumination": illumination_text(plate),
            "stage": totals.stage,
        },
        "images": {"copied": settings.copies_images, "source": root},
        "settings": settings.model_dump(mode="json", exclude={"calibration"}),  # the model's card has it
        "settings_sha256": settings.digest(),
        "numeric_kind": in_words(settings.precision) if settings.masks == "network" else "no network",
        "model": dict(model),
        "quality": dict(totals.quality),
        "environment": {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "cores": os.cpu_count(),
            **_versions(),
        },
        "timings": {
            "wall_s": round(timings.wall_s, 3),
            "wall_fields": timings.fields,
            "stations_s": {name: round(seconds, 3) for name, seconds in stations.items()},
        },
    }


@cache
def _versions() -> dict[str, str]:
    """Returns the versions of the libraries that results depend on."""
    return {name: version(name) for name in ("torch", "dask", "zarr", "numpy")}
