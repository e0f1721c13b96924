"""Options of what is measured of each nucleus, and of which nuclei count."""

from __future__ import annotations

from functools import wraps
from typing import Any

from nucbatch.cli.headings import Command, headed, option
from nucbatch.core.measure_settings import features_asked, ring_asked

_OPTIONS = (
    option(
        "--ring",
        metavar="INNER:OUTER",
        help="Ring around each nucleus in which its cytoplasm is measured: farther than INNER and at most "
        "OUTER from it, in px (1:6) or µm (0.5um:3um). none: no ring. [default: 1:6 if there is a second "
        "channel]",
    ),
    option(
        "--features",
        default="",
        metavar="LIST",
        help="Further measurements, which are slow: texture, granularity, radial_distribution. They need "
        "pip install 'nucbatch[features]'.",
    ),
    option(
        "--min-area",
        type=int,
        metavar="PX",
        help="Leave smaller nuclei out of counts and statistics. They stay in nuclei.parquet, marked.",
    ),
    option("--max-area", type=int, metavar="PX", help="Leave larger nuclei out likewise."),
    option(
        "--drop-border",
        is_flag=True,
        help="Leave out likewise the nuclei that touch the border of their image.",
    ),
    option(
        "--min-confidence",
        type=float,
        metavar="P",
        help="Leave out likewise the objects whose confidence is below this (0 to 1). The model must be "
        "calibrated.",
    ),
)


def measure_options(command: Command) -> Command:
    """Adds the options; the command gets ``measure`` (MeasureSettings) and ``counted`` (CountSettings)."""

    @wraps(command)
    def collected(
        ring: str | None,
        features: str,
        min_area: int | None,
        max_area: int | None,
        drop_border: bool,
        min_confidence: float | None,
        **values: Any,
    ) -> Any:
        counted = {
            "min_area_px": min_area,
            "max_area_px": max_area,
            "drop_border": drop_border,
            "min_confidence": min_confidence,
        }
        measured = {"ring": ring_asked(ring), "features": features_asked(features)}
        return command(measure=measured, counted=counted, **values)

    return headed("Measurements", *_OPTIONS)(collected)
