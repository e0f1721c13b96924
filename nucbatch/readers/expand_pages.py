"""Expands files of several pages into a field's channels, z-steps and time points.

- Channels recorded in a file count if its name does not tell the channel. If it does, a stack of channels is
  rejected.
- Time points in one file become separate fields, like time points in separate files. If names tell time
  points, files with further ones are rejected.
- Z-steps of all files of a channel are projected together.
- A TIFF of one channel keeps the channel ``Grey``, whatever its metadata say, because such names often differ
  within a folder. A single channel of an OME-Zarr keeps its name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count

from nucbatch.core.plate import Field, Plane, Plate
from nucbatch.readers.formats.pixel_info import PixelInfo
from nucbatch.readers.names import GREY

HeaderOutcomes = tuple[PixelInfo | str, ...]
"""Header of each plane of a field, or the reason why the plane cannot be used."""


def expand_fields(
    plate: Plate, probed: Iterable[tuple[Field, HeaderOutcomes]]
) -> list[tuple[Field, HeaderOutcomes]]:
    """Returns the fields with one plane per page, in the plate's order, and the outcome of each plane."""
    named_channels = [channel.name for channel in plate.channels] != [GREY]
    named_times = any(field.t for field in plate.fields)
    fields = [(field, _refused(field, outcomes, named_channels, named_times)) for field, outcomes in probed]
    timed = any(_times(outcomes) > 1 for _, outcomes in fields)
    taken = {field.name.casefold() for field, _ in fields}
    spread: list[tuple[Field, HeaderOutcomes]] = []
    for field, outcomes in fields:
        times = _times(outcomes)
        for t in range(times):
            moment, expanded = _at_time(field, outcomes, t)
            if plate.is_plate and timed:
                moment = replace(moment, t=t, group=f"{field.group}t{t}", name=f"{field.name}_t{t}")
            elif times > 1:
                name = _free_name(f"{field.name}_t{t}", taken)
                moment = replace(moment, t=t, group=name, name=name)
            spread.append((moment, expanded))
    return list(_complete(spread)) if plate.is_plate and not named_channels else spread


def _refused(
    field: Field, outcomes: HeaderOutcomes, named_channels: bool, named_times: bool
) -> HeaderOutcomes:
    """Replaces the outcome of stacks that contradict their file names by a reason."""
    times = _times(outcomes)
    checked: list[PixelInfo | str] = []
    for outcome in outcomes:
        if isinstance(outcome, str):
            checked.append(outcome)
            continue
        stack = outcome.stack
        if named_channels and len(stack.channels) > 1:
            checked.append(
                f"{len(stack.channels)} channels in one file whose name identifies one: split it into single "
                "planes"
            )
        elif named_times and stack.times > 1:
            checked.append(
                f"{stack.times} time points in one file, but names identify time points: split it into "
                "single planes"
            )
        elif stack.times != times:
            checked.append(f"{stack.times} time points, but other planes of its field have {times}")
        else:
            checked.append(outcome)
    return tuple(checked)


def _times(outcomes: HeaderOutcomes) -> int:
    return max((info.stack.times for info in outcomes if isinstance(info, PixelInfo)), default=1)


def _at_time(field: Field, outcomes: HeaderOutcomes, t: int) -> tuple[Field, HeaderOutcomes]:
    """Returns the field at one time point of its files."""
    planes: list[Plane] = []
    expanded: list[PixelInfo | str] = []
    for plane, outcome in zip(field.planes, outcomes, strict=True):
        if isinstance(outcome, str):
            planes.append(plane)
            expanded.append(outcome)
            continue
        for channel, z, page in outcome.stack.planes(t):
            depth = outcome.stack.depth
            planes.append(replace(plane, channel=channel or plane.channel, z=plane.z * depth + z, page=page))
            expanded.append(outcome)
    return replace(field, planes=tuple(planes)), tuple(expanded)


def _free_name(wanted: str, taken: set[str]) -> str:
    """Returns the name, numbered if another image has it; comparison ignores case."""
    candidates = (wanted if number == 1 else f"{wanted}-{number}" for number in count(1))
    name = next(name for name in candidates if name.casefold() not in taken)
    taken.add(name.casefold())
    return name


def _complete(fields: list[tuple[Field, HeaderOutcomes]]) -> Iterator[tuple[Field, HeaderOutcomes]]:
    """Yields a plate's fields; a field that lacks a channel which others have gets a ``lacking`` entry."""
    expected: dict[int, dict[str, None]] = defaultdict(dict)
    for field, outcomes in fields:
        for plane, outcome in zip(field.planes, outcomes, strict=True):
            if isinstance(outcome, PixelInfo):
                expected[field.t][plane.channel] = None
    for field, outcomes in fields:
        missing = [
            name for name in expected[field.t] if name not in {plane.channel for plane in field.planes}
        ]
        if missing and field.planes and not any(isinstance(outcome, str) for outcome in outcomes):
            absent = tuple((name, f"it has no channel {name}") for name in missing)
            yield replace(field, lacking=(*field.lacking, *absent)), outcomes
        else:
            yield field, outcomes
