"""Colour images in containers: one channel without a name, whose pixels are Red, Green and Blue."""

from __future__ import annotations

from nucbatch.core.plate import Channel


def in_colour() -> tuple[Channel, ...]:
    """Returns the channels of a colour image as a series lists them."""
    return (Channel("", 0),)


def colour_problem(channels: int, depth: int) -> str:
    """Returns why a colour image cannot be used; empty if it can.

    Args:
        channels: number of its channels, of which each has its colours.
        depth: number of its z-steps.

    >>> colour_problem(1, 1), colour_problem(1, 5)
    ('', 'a colour image of 5 z-steps, whose colours have no projection: export one step as TIFF')
    """
    if channels > 1:
        return f"{channels} channels of which each has colours: export the one to segment as TIFF"
    if depth > 1:
        return f"a colour image of {depth} z-steps, whose colours have no projection: export one step as TIFF"
    return ""
