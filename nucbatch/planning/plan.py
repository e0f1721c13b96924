"""Plans a run: the segmented channel, the usable fields, their order and their division into blocks.

The plan is a pure function of plate and settings. It needs no pixels and no dask. A field of ordinary size is
one block, and the fields keep the plate's order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from operator import mul, not_

from nucbatch.core.errors import InputError
from nucbatch.core.grey_levels import countable
from nucbatch.core.plate import RGB_CHANNELS, Field, FileStatus, Plate, field_rows
from nucbatch.core.rows import Rows
from nucbatch.core.selection import EVERYTHING, Selection
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
    # Matches OrigDNA, but not mtDNA or cDNA.
    re.compile(r"(?:(?<=[a-z])(?<!mt)(?<![^A-Za-z]c)(?<!^c))DNA(?![A-Za-z])"),
)
_NUCLEAR_LIGHT = re.compile(r"(?<![0-9.])405(?![0-9.])")  # nm, laser line for DAPI and Hoechst


@dataclass(frozen=True, slots=True)
class Plan:
    """Work of a run.

    Attributes:
        plate: fields that cannot be segmented have a ``problem``.
        settings: ``channel`` is the name of the segmented channel, empty if all images are RGB.
        block_px: side of a block.
        largest_px: longest side of an image that is not cut into blocks.
        selection: the part of the plate that is processed.
    """

    plate: Plate
    settings: RunSettings
    block_px: int = BLOCK_PX
    largest_px: int = LARGEST_FIELD_PX
    selection: Selection = EVERYTHING

    @property
    def usable(self) -> Rows[Field]:
        """Fields that can be read, selected or not."""
        return self.plate.fields.where("problem", not_)

    @property
    def selected(self) -> Rows[Field]:
        """Fields that will be read."""
        return self.selection.of(self.usable)

    def is_large(self, field: Field) -> bool:
        """Returns whether a field is cut into blocks; only 8-bit and 16-bit images can be."""
        return max(field.height_px, field.width_px) > self.largest_px and countable(field.dtype)

    def large(self, fields: Rows[Field]) -> Iterator[bool]:
        """Tells of each field whether it is cut into blocks."""

        @cache
        def is_large(height_px: int, width_px: int, dtype: str) -> bool:
            return max(height_px, width_px) > self.largest_px and countable(dtype)

        return map(is_large, *map(fields.values, ("height_px", "width_px", "dtype")))

    @property
    def pixels(self) -> int:
        """Number of image pixels of the selected fields, without padding."""
        fields = self.selected
        return sum(map(mul, fields.values("height_px"), fields.values("width_px")))


def make_plan(
    plate: Plate,
    settings: RunSettings,
    block_px: int | None = None,
    selection: Selection = EVERYTHING,
) -> Plan:
    """Plans a run and chooses the segmented channel.

    Args:
        plate: as opened by a reader.
        settings: ``channel`` may be empty.
        block_px: longer images are cut into blocks of this side. None cuts images longer than
            LARGEST_FIELD_PX into blocks of BLOCK_PX. No result depends on it.
        selection: the part of the plate to process. No result depends on it.

    Raises:
        InputError: the plate lacks the selection; the named channel does not exist; several channels
            exist, none is named and their names do not identify a nuclear stain; the model needs colours,
            and there are none or a channel is named; ``block_px`` is too small; or the ring is in
            micrometres and a pixel size is unknown.
    """
    selection.require_in(plate)
    if settings.normalise.method == "lab-kmeans":
        channel, segmentable = "", _for_colours(plate, settings)
    else:
        channel = nuclear_channel(plate, settings.channel)
        segmentable = _for_channel(plate, channel)
    plan = Plan(
        _with_pixel_size(segmentable, settings.pixel_size_um),
        settings.model_copy(update={"channel": channel}),
        selection=selection,
    )
    for size in set(plan.usable.values("pixel_size_um")):
        settings.measure.ring_px(size)
    if block_px is None:
        return plan
    block_grid((1, 1), block_px)
    return replace(plan, block_px=block_px, largest_px=block_px)


def _with_pixel_size(plate: Plate, pixel_size_um: float | None) -> Plate:
    """Sets the given pixel size; a pyramid's levels keep their own, which is derived from the file's."""
    if pixel_size_um is None:
        return plate
    fields = (
        field if any(plane.level for plane in field.planes) else replace(field, pixel_size_um=pixel_size_um)
        for field in plate.fields
    )
    return replace(plate, fields=field_rows(fields))


def _for_channel(plate: Plate, channel: str) -> Plate:
    """Marks the fields that cannot be segmented in this channel.

    A grey field without an image in the channel gets a problem; to segment another channel instead would give
    a count that looks valid and is not. A field that lacks another channel is counted and flagged, and its
    measurements in that channel are missing.
    """

    @cache
    def shows(planes: tuple[tuple[str, int], ...]) -> bool:
        return any(name == channel or samples == 3 for name, samples in planes)

    fields = plate.fields
    planes = fields.of_parts("planes", "channel", "samples")
    usable = enumerate(zip(fields.values("problem"), planes, strict=True))
    lacking = [place for place, (problem, of_field) in usable if not problem and not shows(of_field)]
    changed = {place: _without_channel(fields[place], channel) for place in lacking}
    return _without(plate, changed, lambda field: _unused_reason(field, channel))


def _for_colours(plate: Plate, settings: RunSettings) -> Plate:
    """Marks the fields that a model of colours can't segment: all but RGB images of 8 or 16 bits.

    Raises:
        InputError: a channel is named, or there is no such image.
    """
    if settings.channel:
        raise InputError(f"{settings.model} needs all three colours: leave out --channel.")
    reason = f"it is no RGB image of 8 or 16 bits, which {settings.model} needs"
    others = {
        place: replace(field, problem=reason)
        for place, field in enumerate(plate.fields)
        if not (field.problem or (countable(field.dtype) and any(one.samples == 3 for one in field.planes)))
    }
    if others and len(others) == sum(not problem for problem in plate.fields.values("problem")):
        raise InputError(
            f"{plate.name} has no RGB image of 8 or 16 bits, which {settings.model} needs: take another "
            "model, such as otsu-watershed for bright nuclei on a dark ground."
        )
    return _without(plate, others, lambda _: "no-colours: readable, but no RGB image of 8 or 16 bits")


def _without(plate: Plate, changed: Mapping[int, Field], reason: Callable[[Field], str]) -> Plate:
    """Returns the plate with fields that have a new problem; files of none but these are ignored.

    Args:
        plate: as read.
        changed: the fields with their problem, by their place in the plate.
        reason: why the files of such a field are ignored.
    """
    if not changed:
        return plate
    before = {place: plate.fields[place] for place in changed}
    unused = {plane.path: field for field in before.values() for plane in field.planes}
    fields = plate.fields.replaced(changed)
    for (path,) in chain.from_iterable(fields.where("problem", not_).of_parts("planes", "path")):
        unused.pop(path, None)
    files = {
        place: replace(file, status=FileStatus.IGNORED, reason=reason(unused[file.path]))
        for place, file in enumerate(plate.files)
        if file.status is FileStatus.USED and file.path in unused
    }
    return replace(plate, fields=fields, files=plate.files.replaced(files))


def _without_channel(field: Field, channel: str) -> Field:
    """Returns the field with its problem: there is no image in the channel."""
    reason = dict(field.lacking).get(channel)
    absent = f"it has no image in channel {channel}, the one that is segmented"
    return replace(field, problem=reason or absent)


def _unused_reason(field: Field, channel: str) -> str:
    """Explains why valid files of a field without an image in the segmented channel are ignored."""
    if channel in dict(field.lacking):
        return "incomplete-field: readable, but another file of its field can't be used"
    return f"no-nuclear-channel: readable, but its field has no image in channel {channel}"


def nuclear_channel(plate: Plate, wanted: str) -> str:
    """Chooses the channel that shows nuclei.

    A wanted channel must exist; in RGB images r, g and b mean Red, Green and Blue. Without a wish, the only
    grey channel is chosen, else the only channel named after a nuclear stain (DAPI, Hoechst, DRAQ5, H2B, DNA,
    ...), else the only one named after the laser line for such stains (405 nm), or recorded as excited by it.

    Returns:
        The channel's name; empty if all images are RGB.

    Raises:
        InputError: no channel of that name, or several candidates.
    """
    if wanted:
        return plate.channel(_colour(plate, wanted)).name
    kinds = set(plate.fields.of_parts("planes", "channel", "samples"))
    grey = {channel for planes in kinds for channel, samples in planes if samples == 1}
    grey |= {
        channel for lacking in set(plate.fields.values("lacking")) for channel, _ in lacking
    }  # no choice
    names = [channel.name for channel in plate.channels if channel.name in grey]
    if len(names) <= 1:
        return names[0] if names else ""
    stains = nuclear_stains(names) or [
        channel.name
        for channel in plate.channels
        if channel.name in grey and channel.excitation_nm is not None and 400 <= channel.excitation_nm <= 410
    ]
    if len(stains) == 1:
        return stains[0]
    raise InputError(
        f"{plate.name} has {len(names)} channels, and their names do not identify a nuclear stain: "
        f"{', '.join(names)}. Choose one with --channel."
    )


def _colour(plate: Plate, wanted: str) -> str:
    """Expands a colour's initial to its name, if the plate has that colour and no channel of that name."""
    names = {channel.name.casefold() for channel in plate.channels}
    colour = next((name for name in RGB_CHANNELS if name[0].casefold() == wanted.casefold()), "")
    return colour if colour.casefold() in names and wanted.casefold() not in names else wanted


def nuclear_stains(names: Iterable[str]) -> list[str]:
    """Selects the channel names of nuclear stains, or else those of the laser line for such stains."""
    names = list(names)
    stains = [name for name in names if any(pattern.search(name) for pattern in _NUCLEAR_STAINS)]
    return stains or [name for name in names if _NUCLEAR_LIGHT.search(name)]
