"""Turns images of OME metadata into fields: their planes, channels, gaps and facts.

Layouts decide which image is which field of which well; this module holds the code that they share.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from nucbatch.core.plate import Channel
from nucbatch.readers.assemble import FieldFacts, FieldKey, Sighting
from nucbatch.readers.formats.ome_planes import PlaneKey
from nucbatch.readers.formats.stack import channel_names
from nucbatch.readers.layouts.ome_sets import SetImage
from nucbatch.readers.names import GREY, plural

_MOST_NAMED = 3

_Value = TypeVar("_Value")


@dataclass(slots=True)
class Fields:
    """Planes and facts of fields, as :func:`~nucbatch.readers.assemble.assemble` takes them."""

    sightings: list[Sighting] = field(default_factory=list)
    channels: dict[str, Channel] = field(default_factory=dict)
    gaps: dict[FieldKey, str] = field(default_factory=dict)
    lacking: dict[FieldKey, dict[str, str]] = field(default_factory=dict)
    facts: dict[FieldKey, FieldFacts] = field(default_factory=dict)
    has_unknown_places: bool = False
    """Whether stage positions are recorded in a unit that is none of length."""

    def add(self, image: SetImage, well: str, site: int, acquisition: str = "") -> None:
        """Adds an image as a field, one for each of its time points."""
        series = image.series
        names = [
            name or GREY for name in channel_names(series.sizes[1], [one.name for one in series.channels])
        ]
        if len(names) == 1 and series.channels and series.channels[0].name:
            names = [series.channels[0].name]
        recorded = series.channels if len(series.channels) == len(names) else ()
        for index, name in enumerate(names):
            facts = recorded[index] if recorded else Channel(name, index)
            self.channels.setdefault(name, replace(facts, name=name))
        time = series.time if series.sizes[0] == 1 else ""
        self.has_unknown_places |= series.has_unknown_places
        planes, missing = _by_time(image.planes), _by_time(image.missing)
        for t in range(series.sizes[0]):
            key = well, site, t
            self.facts[key] = FieldFacts(
                None,
                series.pixel_size_um,
                acquisition,
                time,
                series.oblong_um,
                stage_um=series.stage_um.get(t),
            )
            here, lost = planes.get(t, {}), missing.get(t, {})
            if image.problem or not here:
                self.gaps[key] = image.problem or _summed(lost.values())
                continue
            reasons: dict[str, list[str]] = {}
            for (c, _), reason in sorted(lost.items()):
                reasons.setdefault(names[c], []).append(reason)
            if reasons:
                self.lacking[key] = {name: _summed(found) for name, found in reasons.items()}
            self.sightings += [
                Sighting(file, names[c], well, site, t, z, page)
                for (c, z), (file, page) in sorted(here.items())
            ]

    def position_remarks(self) -> list[str]:
        """Returns a sentence if stage positions are recorded that can't be used."""
        if not self.has_unknown_places:
            return []
        return ["stage positions are not used: they are recorded in a unit that is none of length"]

    def gap(self, well: str, site: int, reason: str) -> None:
        """Adds a field that is recorded and was never acquired."""
        self.gaps[well, site, 0] = reason


def _by_time(values: Mapping[PlaneKey, _Value]) -> dict[int, dict[tuple[int, int], _Value]]:
    """Returns the values of the planes, by channel and z-step, of each time point."""
    found: dict[int, dict[tuple[int, int], _Value]] = defaultdict(dict)
    for (t, c, z), value in values.items():
        found[t][c, z] = value
    return found


def _summed(reasons: Iterable[str]) -> str:
    """Joins reasons, each once: ``a.tif is not there; b.tif is not there; and 3 more``."""
    each = list(dict.fromkeys(reasons))
    more = [f"and {plural(len(each) - _MOST_NAMED, 'more reason')}"] if len(each) > _MOST_NAMED else []
    return "; ".join([*each[:_MOST_NAMED], *more])
