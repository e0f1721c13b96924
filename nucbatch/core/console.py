"""Output for people: rich's console, with control characters in names escaped.

Names are escaped at one place, which all output passes, instead of at each print. Only rich's own control
codes (of progress bars) are passed on unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from nucbatch.core.escape import printable

if TYPE_CHECKING:
    from rich.console import Console

LAYOUT = "\n\u00a0\u2007\u2009\u202f"
"""Line ends, and spaces of numbers that Python calls unprintable: these are not escaped."""


def terminal(*, stderr: bool = False, soft_wrap: bool = False, quiet: bool = False) -> Console:
    """The console of a command, or of a function in Python."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Terminal(Console):
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                if segment.control:
                    yield segment
                else:
                    yield Segment(printable(segment.text, LAYOUT), segment.style)

    return Terminal(highlight=False, stderr=stderr, soft_wrap=soft_wrap, quiet=quiet)
