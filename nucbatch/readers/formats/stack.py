"""Numbers the planes of a file by time point, channel and z-step.

A page number is the file's own count: TIFF directories (times the channels that each holds side by side), or
planes of a Zarr array in the order of its leading axes. The rest of nucbatch addresses planes by (t, channel,
z).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.escape import printable

_MOST_PLANES = 1_000_000


@dataclass(frozen=True, slots=True)
class Stack:
    """Planes of one file.

    Attributes:
        times: number of time points.
        channels: channel names; one empty name if a single channel is not named.
        depth: number of z-steps.
        pages: page numbers in the order (t, c, z), z fastest.
        part: problem to report if other files hold further planes of the image and file names do not tell
            which is which.
    """

    times: int
    channels: tuple[str, ...]
    depth: int
    pages: tuple[int, ...]
    part: str = ""

    def planes(self, t: int) -> Iterator[tuple[str, int, int]]:
        """Yields (channel, z, page) of each plane of a time point."""
        numbers = iter(self.pages[t * len(self.channels) * self.depth :])
        for channel in self.channels:
            for z in range(self.depth):
                yield channel, z, next(numbers)


SINGLE = Stack(1, ("",), 1, (0,))


def stacked(axes: str, shape: Sequence[int], names: Sequence[str] = ()) -> Stack:
    """Builds a stack whose pages are stored in the order of ``axes`` (letters t, c, z; the last is fastest).

    Args:
        axes: letters of the stored axes.
        shape: their lengths.
        names: channel names; replaced by C1, C2, ... if some are missing or not unique.

    Raises:
        UnreadableImage: there are no planes, or more than any image has.
    """
    if not all(length > 0 for length in shape) or prod(shape) > _MOST_PLANES:
        raise UnreadableImage(f"damaged header (a stack of {' × '.join(map(str, shape))} planes)")
    lengths = dict(zip(axes, shape, strict=True))
    steps: dict[str, int] = {}
    step = 1
    for axis in reversed(axes):
        steps[axis] = step
        step *= lengths[axis]
    sizes = [lengths.get(axis, 1) for axis in "tcz"]
    pages = tuple(
        sum(index * steps.get(axis, 0) for axis, index in zip("tcz", place, strict=True))
        for place in product(*(range(size) for size in sizes))
    )
    return Stack(sizes[0], channel_names(sizes[1], names), sizes[2], pages)


def by_samples(stack: Stack, names: Sequence[str]) -> Stack:
    """Expands a stack whose pages hold several channels side by side; each sample then counts as a page.

    Raises:
        UnreadableImage: the pages are channels already.
    """
    if len(stack.channels) > 1:
        raise UnreadableImage(
            f"{len(stack.channels)} channels in pages that hold {len(names)} samples each: save it with one "
            "channel a page"
        )
    steps = [stack.pages[t * stack.depth : (t + 1) * stack.depth] for t in range(stack.times)]
    pages = tuple(
        page * len(names) + sample for of_t in steps for sample in range(len(names)) for page in of_t
    )
    return replace(stack, channels=channel_names(len(names), names), pages=pages)


def planes_text(count: int) -> str:
    """Formats a number of planes: ``1 plane``, ``10 planes``."""
    return f"{count:,} plane{'' if count == 1 else 's'}"


def wrong_plane_count(count: int, there: int, more: str = "") -> UnreadableImage:
    """Builds the error for a file with another number of planes than its metadata promise."""
    return UnreadableImage(
        f"its metadata promise {planes_text(count)}, {there:,} {'is' if there == 1 else 'are'} there{more}"
    )


def channel_names(count: int, names: Sequence[str]) -> tuple[str, ...]:
    """Returns the names if all channels have different ones; else C1, C2, ..., or "" for a single channel."""
    recorded = tuple(printable(name.strip()) for name in names)
    if len(recorded) == count and all(recorded) and len(set(recorded)) == count:
        return recorded
    return tuple(f"C{number}" for number in range(1, count + 1)) if count > 1 else ("",)
