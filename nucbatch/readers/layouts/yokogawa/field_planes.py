"""Arranges Yokogawa's images into fields: channels, projections, and missing images.

- A timeline (``timelines.py``) has actions, each of which takes some channels. A channel that several actions
  take of one field counts as several channels: ``405 BP445/45 A01``.
- A projection by the microscope is used instead of its z-steps.
- A channel is missing if one of the files that the record lists for it is; the other channels are kept.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nucbatch.core.plate import Channel, FileRecord, FileStatus
from nucbatch.readers.assemble import FieldFacts, FieldKey, Sighting
from nucbatch.readers.layouts.yokogawa.measurement_protocol import distinct_channels
from nucbatch.readers.layouts.yokogawa.measurement_records import Loss, Shot, leads_out
from nucbatch.readers.layouts.yokogawa.timelines import SAME_PLACE_UM, chosen_timeline, time_points
from nucbatch.readers.names import plural
from nucbatch.readers.rules import RULES, ignored

_PREFERRED = "Maximum"


@dataclass(slots=True)
class Arrangement:
    """Arguments of ``assemble`` for the images of one acquisition, and the kinds of projections in use."""

    sightings: list[Sighting] = field(default_factory=list)
    records: list[FileRecord] = field(default_factory=list)
    channels: list[Channel] = field(default_factory=list)
    gaps: dict[FieldKey, str] = field(default_factory=dict)
    lacking: dict[FieldKey, dict[str, str]] = field(default_factory=dict)
    facts: dict[FieldKey, FieldFacts] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    acquisition: str = ""
    projections: set[str] = field(default_factory=set)


def arranged(
    shots: Sequence[Shot],
    losses: Sequence[Loss],
    *,
    shown: str,
    source: str,
    channels: Mapping[int, Channel],
    default: str,
    pixel_sizes_um: Mapping[int, float],
    acquisition: str = "",
    z_steps: bool = False,
) -> Arrangement:
    """Arranges images and losses into fields.

    Args:
        shots: images with their files; those without a file are missing.
        losses: fields that were not taken, each with a number.
        shown: name of the plate in messages.
        source: side file that lists the images; empty if they are known by names alone.
        channels: channels of the settings by number.
        default: name of a channel that the settings lack, with a place for the number.
        pixel_sizes_um: by channel number.
        acquisition: the user's choice of a timeline; empty for the only one.
        z_steps: use the z-steps of a channel that has a projection too.

    Raises:
        InputError: several timelines image the same wells and none is chosen, or the chosen one does not
            exist.
    """
    found = Arrangement()
    several = len({shot.timeline for shot in shots} | {loss.timeline for loss in losses}) > 1
    chosen = chosen_timeline(shots, losses, acquisition, shown) if several else 0
    if chosen:
        found.acquisition = f"L{chosen:02d}"
        left = [shot for shot in shots if shot.timeline != chosen and shot.file]
        found.records += [ignored(shot.path, "other-acquisition") for shot in left]
        shots = [shot for shot in shots if shot.timeline == chosen]
        losses = [loss for loss in losses if loss.timeline == chosen]
    times = time_points(shots, losses, several, found.remarks)
    names = _channel_names(shots, channels, default)
    found.channels = [names[key] for key in sorted(names)]
    slots: dict[FieldKey, dict[str, list[Shot]]] = defaultdict(lambda: defaultdict(list))
    for shot in shots:
        key = shot.well, shot.site, times[shot.timeline, shot.time_point]
        slots[key][_named(names, shot).name].append(shot)
    labels = _timeline_labels(shots, losses) if several else {}
    for key, by_channel in slots.items():
        _place(found, key, by_channel, source, z_steps=z_steps)
        of_field = [shot for of_channel in by_channel.values() for shot in of_channel]
        found.facts[key] = _facts(of_field, pixel_sizes_um, labels.get(key[0], ""))
    _lose(found, losses, times)
    others = sorted(found.projections - {"", _PREFERRED})
    if others:
        found.remarks.append(
            f"z-projections by the microscope are used of the kind {', '.join(others)}, not maximum"
        )
    if any(facts.position_um is None for facts in found.facts.values()) and source:
        found.remarks.append(
            f"the stage position of some fields is unknown: {source} gives none, or several for one field"
        )
    return found


def _channel_names(
    shots: Sequence[Shot], channels: Mapping[int, Channel], default: str
) -> dict[tuple[int, int], Channel]:
    """Returns the channel of each (number, action); the action is 0 where it makes no difference."""
    actions: dict[tuple[str, int, int, int, int], set[int]] = defaultdict(set)
    for shot in shots:
        actions[shot.well, shot.site, shot.timeline, shot.time_point, shot.channel].add(shot.action)
    repeated = {place[-1] for place, numbers in actions.items() if len(numbers) > 1}
    keys = {(shot.channel, shot.action if shot.channel in repeated else 0) for shot in shots}
    plain = distinct_channels(channels, sorted({number for number, _ in keys}), default)
    named: dict[tuple[int, int], Channel] = {}
    for number, action in sorted(keys):
        known = plain[number]
        suffix = f" A{action:02d}" if action else ""
        aliases = tuple(f"{alias}{suffix}" for alias in known.aliases)
        named[number, action] = Channel(
            f"{known.name}{suffix}", 0, aliases, known.excitation_nm, known.emission_nm, known.color
        )
    return named


def _named(names: Mapping[tuple[int, int], Channel], shot: Shot) -> Channel:
    return names.get((shot.channel, 0)) or names[shot.channel, shot.action]


def _place(
    found: Arrangement,
    key: FieldKey,
    by_channel: Mapping[str, list[Shot]],
    source: str,
    *,
    z_steps: bool,
) -> None:
    """Adds the images of one field: sightings, unused images and missing files."""
    well, site, t = key
    rule = "projection" if z_steps else "z-step"
    missing: dict[str, str] = {}
    for channel, listed in by_channel.items():
        used, unused = _one_kind(listed, z_steps=z_steps)
        found.projections.update(shot.projection for shot in used if shot.file)
        first = min((shot.z_step for shot in used), default=0)
        found.records += [
            FileRecord(
                shot.path,
                FileStatus.IGNORED,
                f"{rule}: {RULES[rule]}",
                well=well,
                site=site,
                channel=channel,
                z=max(shot.z_step - 1, 0),
                t=t,
            )
            for shot in unused
            if shot.file
        ]
        absent = [shot.path for shot in used if shot.file is None]
        if absent:
            missing[channel] = _absence(absent, len(used), source)
        found.sightings += [
            Sighting(shot.file, channel, well, site, t, shot.z_step - 1 if first else shot.z_step)
            for shot in used
            if shot.file
        ]
    if len(missing) == len(by_channel) and not any(shot.file for of in by_channel.values() for shot in of):
        found.gaps[key] = "; ".join(dict.fromkeys(missing.values()))
    elif missing:
        found.lacking[key] = missing


def _one_kind(listed: Sequence[Shot], *, z_steps: bool) -> tuple[list[Shot], list[Shot]]:
    """Returns (images to use, others) of one channel of a field: its projection, or with z_steps those."""
    if z_steps and any(shot.file for shot in listed if not shot.projection):
        return [shot for shot in listed if not shot.projection], [shot for shot in listed if shot.projection]
    kinds = sorted({shot.projection for shot in listed if shot.projection and shot.file})
    steps = [shot for shot in listed if not shot.projection]
    if not kinds and steps:
        return steps, []
    if not kinds:
        kinds = sorted({shot.projection for shot in listed})
    kind = _PREFERRED if _PREFERRED in kinds else kinds[0]
    return (
        [shot for shot in listed if shot.projection == kind],
        [shot for shot in listed if shot.projection != kind],
    )


def _absence(paths: list[str], listed: int, source: str) -> str:
    more = f" ({len(paths):,} of {plural(listed, 'image')})" if listed > 1 else ""
    if leads_out(paths[0]):
        return f"{source} names {paths[0]}, which leads out of the plate's folder{more}"
    return f"{source} lists {paths[0]}, which is not here{more}"


def _timeline_labels(shots: Sequence[Shot], losses: Sequence[Loss]) -> dict[str, str]:
    """Returns the timelines of each well, such as ``L01`` or ``L01+L02``."""
    timelines: dict[str, set[int]] = defaultdict(set)
    both: list[Shot | Loss] = [*shots, *losses]
    for one in both:
        timelines[one.well].add(one.timeline)
    return {well: "+".join(f"L{number:02d}" for number in sorted(of)) for well, of in timelines.items()}


def _facts(shots: Sequence[Shot], pixel_sizes_um: Mapping[int, float], acquisition: str) -> FieldFacts:
    places = [shot.position_um for shot in shots if shot.position_um]
    agree = len(places) == len(shots) and all(
        math.dist(places[0], place) <= SAME_PLACE_UM for place in places
    )
    numbers = sorted({shot.channel for shot in shots})
    sizes = [pixel_sizes_um.get(number) for number in numbers]
    known = [size for size in sizes if size]
    same = bool(known) and all(math.isclose(size, known[0], rel_tol=0.01) for size in known)
    return FieldFacts(
        position_um=places[0] if agree else None,
        pixel_size_um=known[0] if same else None,
        acquisition=acquisition,
        time=min((shot.time for shot in shots if shot.time), default=""),
    )


def _lose(found: Arrangement, losses: Iterable[Loss], times: Mapping[tuple[int, int], int]) -> None:
    """Adds the fields that the microscope lost; an image of a later attempt makes up for a loss."""
    steps: dict[FieldKey, Counter[str]] = defaultdict(Counter)
    for sighting in found.sightings:
        steps[sighting.key][sighting.channel] += 1
    most: dict[tuple[int, str], int] = defaultdict(int)
    for (_, _, t), counts in steps.items():
        for channel, count in counts.items():
            most[t, channel] = max(most[t, channel], count)
    for loss in losses:
        key = loss.well, loss.site, times[loss.timeline, loss.time_point]
        if key not in steps:
            found.gaps[key] = loss.reason
            known = found.facts.get(key, FieldFacts())
            found.facts[key] = FieldFacts(loss.position_um or known.position_um, known.pixel_size_um)
            continue
        for (t, channel), count in most.items():
            if t == key[2] and steps[key][channel] < count:
                found.lacking.setdefault(key, {})[channel] = loss.reason
