"""Decides whether timelines of a Yokogawa measurement are parts of one plate or acquisitions; and the time.

A measurement has timelines: wells, fields, actions and repetitions. ``TimePoint`` counts the repetitions of
all timelines.

- Timelines of other wells belong to one plate. Timelines of the same wells are joined if they take other
  channels at the same places, once. Else they are acquisitions, of which the user chooses one.
- ``TimePoint`` is read as time within a timeline, unless the timeline takes each well only once.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from nucbatch.core.errors import InputError
from nucbatch.core.escape import printable
from nucbatch.readers.layouts.yokogawa.measurement_records import Loss, Position, Shot
from nucbatch.readers.names import plural

SAME_PLACE_UM = 1.0
"""Largest distance of two positions that are the same place."""


def chosen_timeline(shots: Sequence[Shot], losses: Sequence[Loss], wanted: str, shown: str) -> int:
    """Returns the timeline to read; 0 for all of them together."""
    wells: dict[int, set[str]] = defaultdict(set)
    both: list[Shot | Loss] = [*shots, *losses]
    for one in both:
        wells[one.timeline].add(one.well)
    counts = Counter(shot.timeline for shot in shots)
    numbers = {timeline: sorted({s.channel for s in shots if s.timeline == timeline}) for timeline in wells}
    lines = "\n".join(
        f"  L{timeline:02d}: {plural(counts[timeline], 'image')} in {plural(len(wells[timeline]), 'well')}, "
        f"channels {', '.join(f'C{number:02d}' for number in numbers[timeline]) or 'none'}"
        for timeline in sorted(wells)
    )
    if wanted:
        text = wanted.strip().upper().removeprefix("L")
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
        if number not in wells:
            raise InputError(f"{printable(shown)} has no timeline {wanted!r}. It has:\n{lines}")
        return number
    reason = _apart(shots)
    if reason:
        raise InputError(
            f"{printable(shown)} holds {len(wells)} timelines that image the same wells, and {reason}. "
            f"They are not counted together: choose one with --acquisition.\n{lines}"
        )
    return 0


def _apart(shots: Sequence[Shot]) -> str:
    """Returns why timelines of the same wells cannot be joined; empty if they can."""
    timelines: dict[str, set[int]] = defaultdict(set)
    of_channel: dict[tuple[str, int], set[int]] = defaultdict(set)
    repeats: dict[tuple[str, int], set[int]] = defaultdict(set)
    places: dict[tuple[str, int], Position] = {}
    unplaced: set[str] = set()
    moved = False
    for shot in shots:
        timelines[shot.well].add(shot.timeline)
        of_channel[shot.well, shot.channel].add(shot.timeline)
        repeats[shot.well, shot.timeline].add(shot.time_point)
        if shot.position_um:
            place = places.setdefault((shot.well, shot.site), shot.position_um)
            moved = moved or math.dist(place, shot.position_um) > SAME_PLACE_UM
        else:
            unplaced.add(shot.well)
    shared = {well for well, numbers in timelines.items() if len(numbers) > 1}
    if not shared:
        return ""
    if any(len(numbers) > 1 for numbers in of_channel.values()):
        return "some take the same channel"
    if any(well in shared and len(points) > 1 for (well, _), points in repeats.items()):
        return "they repeat at different times"
    if moved:
        return "their fields of one number lie at different places"
    if shared & unplaced:
        return "nothing tells whether their fields of one number lie at one place"
    return ""


def time_points(
    shots: Sequence[Shot], losses: Sequence[Loss], several: bool, remarks: list[str]
) -> dict[tuple[int, int], int]:
    """Returns the time point, from 0, of each (timeline, ``TimePoint``)."""
    by_well: dict[int, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    both: list[Shot | Loss] = [*shots, *losses]
    for one in both:
        by_well[one.timeline][one.well].add(one.time_point)
    times: dict[tuple[int, int], int] = {}
    uniform = True
    for timeline, wells in by_well.items():
        points = sorted(set().union(*wells.values()))
        once = all(len(of_well) == 1 for of_well in wells.values())
        uniform = uniform and once
        for rank, point in enumerate(points):
            times[timeline, point] = 0 if once else rank if several else point - 1
    written = sorted({point for _, point in times})
    if uniform and len(written) > 1:
        shown = ", ".join(f"T{point:04d}" for point in written[:6]) + (", …" if len(written) > 6 else "")
        remarks.append(
            f"each well was taken once, so that its number of the time point ({shown}) is not read as time"
        )
    return times
