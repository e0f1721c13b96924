"""Plate + settings → what will be done, in order. Pure: no pixels, no dask, no clock.

Decides which channel is segmented, which fields can be, in what order, and which are cut
into blocks. A field of ordinary size is one block; the order is the plate's own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from nucbatch.core.errors import InputError
from nucbatch.core.grey_levels import countable
from nucbatch.core.plate import READ_TIMEOUT_S, RGB_CHANNELS, Field, FileStatus, Plate
from nucbatch.core.settings import RunSettings
from nucbatch.core.tiles import block_grid

LARGEST_FIELD_PX = 4096
BLOCK_PX = 2048

_NUCLEAR_STAINS = (
    re.compile(
        r"dapi|hoechst|draq[57]|h2b|33(?:342|258)|to-?pro-?3|(?<![a-z])dna(?![a-z])"
        r"|(?<![a-z])nuc(?:lei|leus|lear)?(?![a-z])",
        re.IGNORECASE,
    ),
    # as in OrigDNA, but not in mtDNA or cDNA
    re.compile(r"(?:(?<=[a-z])(?<!mt)(?<![^A-Za-z]c)(?<!^c))DNA(?![A-Za-z])"),
)
_NUCLEAR_LIGHT = re.compile(r"(?<![0-9.])405(?![0-9.])")  # nm: the laser for DAPI and Hoechst


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do. ``settings.channel`` is the segmented one's name, empty if all are RGB.

    ``block_px`` is the side of the blocks of images that are cut into several; ``largest_px`` the longest
    side of an image that is not. ``read_timeout_s`` is how long a read may take.
    """

    plate: Plate
    settings: RunSettings
    block_px: int = BLOCK_PX
    largest_px: int = LARGEST_FIELD_PX
    read_timeout_s: float = READ_TIMEOUT_S

    @property
    def usable(self) -> tuple[Field, ...]:
        """Fields that will be read."""
        return tuple(field for field in self.plate.fields if not field.problem)

    def is_large(self, field: Field) -> bool:
        """Whether a field is cut into blocks; only pixels of 8 and 16 bits can be surveyed part by part."""
        return max(field.height_px, field.width_px) > self.largest_px and countable(field.dtype)

    @property
    def pixels(self) -> int:
        """Pixels that the network will see, without padding."""
        return sum(field.height_px * field.width_px for field in self.usable)


def make_plan(
    plate: Plate,
    settings: RunSettings,
    block_px: int | None = None,
    read_timeout_s: float = READ_TIMEOUT_S,
) -> Plan:
    """The plan of a run, with the channel settled.

    ``block_px``: images longer than that are cut into blocks of that side. None cuts what is longer than
    LARGEST_FIELD_PX into blocks of BLOCK_PX. No result depends on it, nor on ``read_timeout_s``.

    Raises:
        InputError: the channel named is not there; or several are, none was named, and no name is a
            nuclear stain's. Or blocks are too small, or the time to read is none.
    """
    if not (math.isfinite(read_timeout_s) and read_timeout_s > 0):
        raise InputError(
            f"a read can't be waited for {read_timeout_s} s: give a number of seconds above 0, such as 300."
        )
    channel = nuclear_channel(plate, settings.channel)
    plan = Plan(
        _sized(_judged(plate, channel), settings.pixel_size_um),
        settings.model_copy(update={"channel": channel}),
        read_timeout_s=read_timeout_s,
    )
    if block_px is None:
        return plan
    block_grid((1, 1), block_px)
    return replace(plan, block_px=block_px, largest_px=block_px)


def _sized(plate: Plate, pixel_size_um: float | None) -> Plate:
    """The plate with the pixel size that was given; a level of a pyramid has its own, counted from it."""
    if pixel_size_um is None:
        return plate
    fields = [
        field if any(plane.level for plane in field.planes) else replace(field, pixel_size_um=pixel_size_um)
        for field in plate.fields
    ]
    return replace(plate, fields=tuple(fields))


def _judged(plate: Plate, channel: str) -> Plate:
    """The plate, its fields judged by the channel that is segmented.

    A grey field without an image in that channel has a problem: to segment another one instead would be a
    number that looks like the others and is not. A field that lacks another channel is counted, and flagged
    in the end; its measurements in that channel are missing.
    """
    fields = tuple(_judged_field(field, channel) for field in plate.fields)
    used = {plane.path for field in fields if not field.problem for plane in field.planes}
    unused: dict[str, Field] = {}
    for before, after in zip(plate.fields, fields, strict=True):
        if after.problem and not before.problem:
            unused |= {plane.path: before for plane in before.planes if plane.path not in used}
    files = tuple(
        replace(file, status=FileStatus.IGNORED, reason=_unused_reason(unused[file.path], channel))
        if file.status is FileStatus.USED and file.path in unused
        else file
        for file in plate.files
    )
    return replace(plate, fields=fields, files=files)


def _judged_field(field: Field, channel: str) -> Field:
    if field.problem or any(plane.channel == channel or plane.samples == 3 for plane in field.planes):
        return field
    reason = dict(field.lacking).get(channel)
    unlit = f"it has no image in channel {channel}, the one that is segmented"
    return replace(field, problem=reason or unlit)


def _unused_reason(field: Field, channel: str) -> str:
    """Why the sound files of a field without an image in the segmented channel are left out."""
    if channel in dict(field.lacking):
        return "incomplete-field: sound, but another file of its field can't be used"
    return f"no-nuclear-channel: sound, but its field has no image in channel {channel}"


def nuclear_channel(plate: Plate, wanted: str) -> str:
    """The name of the channel that shows nuclei.

    A wanted one must exist; of RGB images r, g and b stand for Red, Green and Blue. Unasked, the only grey
    channel is taken, or else the only one whose name is a nuclear stain's (DAPI, Hoechst, DRAQ5, H2B, DNA,
    ...), or of the laser for such stains (405). Empty where all images are RGB.

    Raises:
        InputError: as :func:`make_plan`.
    """
    if wanted:
        return plate.channel(_colour(plate, wanted)).name
    grey = {plane.channel for field in plate.fields for plane in field.planes if plane.samples == 1}
    names = [channel.name for channel in plate.channels if channel.name in grey]
    if len(names) <= 1:
        return names[0] if names else ""
    stains = nuclear_stains(names)
    if len(stains) == 1:
        return stains[0]
    raise InputError(
        f"{plate.name} has {len(names)} channels, and their names don't tell which one shows nuclei: "
        f"{', '.join(names)}. Name it with --channel."
    )


def _colour(plate: Plate, wanted: str) -> str:
    """The colour that a letter means, where a plate has it and no channel of that name."""
    names = {channel.name.casefold() for channel in plate.channels}
    colour = next((name for name in RGB_CHANNELS if name[0].casefold() == wanted.casefold()), "")
    return colour if colour.casefold() in names and wanted.casefold() not in names else wanted


def nuclear_stains(names: Iterable[str]) -> list[str]:
    """Those of the channels' names that are a nuclear stain's; if none is, those of the laser for such."""
    names = list(names)
    stains = [name for name in names if any(pattern.search(name) for pattern in _NUCLEAR_STAINS)]
    return stains or [name for name in names if _NUCLEAR_LIGHT.search(name)]
