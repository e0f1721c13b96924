"""From files to planes: a file of several pages becomes a field's channels, z-steps and time points.

Decisions owned here: what a file says of its channels counts where its name does not tell the channel; a
stack where the name already tells it is refused. Time points in one file are fields of their own, as those in
single files are; a plate whose names tell time points has no others. Z-steps of all files of a channel are
projected together. A TIFF of one channel stays ``Grey``, whatever it calls it: names differ too much between
files of one folder. An OME-Zarr's one channel keeps its name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count

from nucbatch.core.plate import Field, Plane, Plate
from nucbatch.readers.formats.pixel_info import PixelInfo
from nucbatch.readers.names import GREY

Outcomes = tuple[PixelInfo | str, ...]
"""For each plane of a field, its header or the reason against it."""


def unfolded(plate: Plate, probed: Iterable[tuple[Field, Outcomes]]) -> list[tuple[Field, Outcomes]]:
    """The fields with one plane per page, in the plate's order, and the outcome for each plane."""
    named_channels = [channel.name for channel in plate.channels] != [GREY]
    named_times = any(field.t for field in plate.fields)
    fields = [(field, _refused(field, outcomes, named_channels, named_times)) for field, outcomes in probed]
    timed = any(_times(outcomes) > 1 for _, outcomes in fields)
    taken = {field.name.casefold() for field, _ in fields}
    spread: list[tuple[Field, Outcomes]] = []
    for field, outcomes in fields:
        times = _times(outcomes)
        for t in range(times):
            moment, told = _moment(field, outcomes, t)
            if plate.is_plate and timed:
                moment = replace(moment, t=t, group=f"{field.group}t{t}", name=f"{field.name}_t{t}")
            elif times > 1:
                name = _free_name(f"{field.name}_t{t}", taken)
                moment = replace(moment, t=t, group=name, name=name)
            spread.append((moment, told))
    return list(_complete(spread)) if plate.is_plate and not named_channels else spread


def _refused(field: Field, outcomes: Outcomes, named_channels: bool, named_times: bool) -> Outcomes:
    """The outcomes, with a reason against every stack that the names leave no room for."""
    times = _times(outcomes)
    checked: list[PixelInfo | str] = []
    for outcome in outcomes:
        if isinstance(outcome, str):
            checked.append(outcome)
            continue
        stack = outcome.stack
        if named_channels and len(stack.channels) > 1:
            checked.append(
                f"{len(stack.channels)} channels in one file, where its name tells one: split it into single "
                "planes"
            )
        elif named_times and stack.times > 1:
            checked.append(
                f"{stack.times} time points in one file, where names tell time points: split it into single "
                "planes"
            )
        elif stack.times != times:
            checked.append(f"{stack.times} time points, but other planes of its field have {times}")
        else:
            checked.append(outcome)
    return tuple(checked)


def _times(outcomes: Outcomes) -> int:
    return max((info.stack.times for info in outcomes if isinstance(info, PixelInfo)), default=1)


def _moment(field: Field, outcomes: Outcomes, t: int) -> tuple[Field, Outcomes]:
    """The field at one of its files' time points."""
    planes: list[Plane] = []
    told: list[PixelInfo | str] = []
    for plane, outcome in zip(field.planes, outcomes, strict=True):
        if isinstance(outcome, str):
            planes.append(plane)
            told.append(outcome)
            continue
        for channel, z, page in outcome.stack.planes(t):
            depth = outcome.stack.depth
            planes.append(replace(plane, channel=channel or plane.channel, z=plane.z * depth + z, page=page))
            told.append(outcome)
    return replace(field, planes=tuple(planes)), tuple(told)


def _free_name(wanted: str, taken: set[str]) -> str:
    """The name, with a number where another image has it; case does not tell names apart everywhere."""
    candidates = (wanted if number == 1 else f"{wanted}-{number}" for number in count(1))
    name = next(name for name in candidates if name.casefold() not in taken)
    taken.add(name.casefold())
    return name


def _complete(fields: list[tuple[Field, Outcomes]]) -> Iterator[tuple[Field, Outcomes]]:
    """The fields of a plate, where one that lacks a channel which others have says so."""
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
