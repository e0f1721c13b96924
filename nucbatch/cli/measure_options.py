"""Options of what is measured of each nucleus."""

from __future__ import annotations

from functools import wraps
from typing import Any

from nucbatch.cli.headings import Command, headed, option
from nucbatch.core.measure_settings import ring_asked

_OPTIONS = (
    option(
        "--ring",
        metavar="INNER:OUTER",
        help="Ring around each nucleus in which its cytoplasm is measured: farther than INNER and at most "
        "OUTER from it, in px (1:6) or µm (0.5um:3um). none: no ring. [default: 1:6 if there is a second "
        "channel]",
    ),
)


def measure_options(command: Command) -> Command:
    """Adds ``--ring``; the command gets ``measure``, values for MeasureSettings."""

    @wraps(command)
    def collected(ring: str | None, **values: Any) -> Any:
        return command(measure={"ring": ring_asked(ring)}, **values)

    return headed("Measurements", *_OPTIONS)(collected)
