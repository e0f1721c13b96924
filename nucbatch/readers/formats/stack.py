"""Several planes in one file: how its pages are numbered by time point, channel and z.

A page's number is what a file counts by itself: a TIFF's directories (times the channels that each holds side
by side), or a Zarr array's planes in the order of its leading axes. Everything else in nucbatch asks for (t,
channel, z).
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
    """``pages`` are a file's page numbers in the order (t, c, z), z fastest.

    ``channels`` are names; one empty name where the file has one channel and does not name it. ``part``: what
    is wrong where file names do not tell planes, because others of the same image are in other files.
    """

    times: int
    channels: tuple[str, ...]
    depth: int
    pages: tuple[int, ...]
    part: str = ""

    def planes(self, t: int) -> Iterator[tuple[str, int, int]]:
        """(channel, z, page) of each plane of a time point."""
        numbers = iter(self.pages[t * len(self.channels) * self.depth :])
        for channel in self.channels:
            for z in range(self.depth):
                yield channel, z, next(numbers)


SINGLE = Stack(1, ("",), 1, (0,))


def stacked(axes: str, shape: Sequence[int], names: Sequence[str] = ()) -> Stack:
    """The stack whose pages are stored in the order of ``axes`` (of t, c, z; the last is fastest).

    ``names`` are the channels'; C1, C2, ... take their place where they are missing or not unique.

    Raises:
        UnreadableImage: no planes, or more than any image has.
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
    """The stack whose pages hold several channels side by side; each sample then counts as a page.

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


def promised(count: int) -> str:
    """``1 plane``, ``10 planes``."""
    return f"{count:,} plane{'' if count == 1 else 's'}"


def broken(count: int, there: int, more: str = "") -> UnreadableImage:
    """The refusal of a file that has not as many planes as its metadata promise."""
    return UnreadableImage(
        f"its metadata promise {promised(count)}, {there:,} {'is' if there == 1 else 'are'} there{more}"
    )


def channel_names(count: int, names: Sequence[str]) -> tuple[str, ...]:
    """The names if there is a different one for each channel; else C1, C2, ..., or "" for a single one."""
    told = tuple(printable(name.strip()) for name in names)
    if len(told) == count and all(told) and len(set(told)) == count:
        return told
    return tuple(f"C{number}" for number in range(1, count + 1)) if count > 1 else ("",)
