"""Plate + settings → ordered blocks. Pure: no pixels, no dask, no clock.

The decision owned here: which channel is segmented, which fields can be, and in what order. A field of
ordinary size is one block; the order is the plate's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from nucbatch.errors import InputError
from nucbatch.plate import Field, Plate
from nucbatch.settings import RunSettings
from nucbatch.tiles import Block, Box

_NUCLEAR_STAINS = re.compile(r"dapi|hoechst|draq5|nuc(lei|leus|lear)?\b|h2b|h33(42|258)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do. ``channel`` is the segmented one's name, empty for RGB images."""

    plate: Plate
    settings: RunSettings

    @property
    def usable(self) -> tuple[Field, ...]:
        """Fields that will be read."""
        return tuple(field for field in self.plate.fields if not field.problem)

    def blocks(self) -> Iterator[tuple[Field, Block]]:
        """Each usable field with its one block, in the plate's order."""
        for field in self.usable:
            yield field, Block(field.key, Box(0, 0, field.height_px, field.width_px))

    @property
    def pixels(self) -> int:
        """Pixels that the network will see, without padding."""
        return sum(field.height_px * field.width_px for field in self.usable)


def make_plan(plate: Plate, settings: RunSettings) -> Plan:
    """The plan of a run, with the channel settled.

    Raises:
        InputError: the channel named is not there; or several are, none was named, and no name is a
            nuclear stain's.
    """
    return Plan(plate, settings.model_copy(update={"channel": nuclear_channel(plate, settings.channel)}))


def nuclear_channel(plate: Plate, wanted: str) -> str:
    """The name of the channel that shows nuclei.

    A wanted one must exist. Unasked, the only grey channel is taken, or else the only one whose name is a
    nuclear stain's (DAPI, Hoechst, DRAQ5, H2B, ...). Empty where all images are RGB.

    Raises:
        InputError: as :func:`make_plan`.
    """
    if wanted:
        return plate.channel(wanted).name
    grey = {plane.channel for field in plate.fields for plane in field.planes if plane.samples == 1} or set()
    names = [channel.name for channel in plate.channels if channel.name in grey]
    if len(names) <= 1:
        return names[0] if names else ""
    stains = [name for name in names if _NUCLEAR_STAINS.search(name)]
    if len(stains) == 1:
        return stains[0]
    raise InputError(
        f"{plate.name} has {len(names)} channels, and their names don't tell which one shows nuclei: "
        f"{', '.join(names)}. Name it with --channel."
    )
