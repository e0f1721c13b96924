"""Assembles single planes, identified by their names, into a plate: ordered fields, gaps and conflicts.

- Two files that claim the same plane are both quarantined, since either may be right.
- A field lacks a channel if any other field of the plate has it at the same time point. (Some channels are
  acquired at some time points only.)
- The segmented channel is not known here. A field that lacks a channel therefore keeps the planes of the
  others, and only a field without any plane has a ``problem``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from nucbatch.core.escape import printable
from nucbatch.core.gc_pause import gc_paused
from nucbatch.core.pixel_size import not_square_remark
from nucbatch.core.plate import Channel, Field, FileRecord, FileStatus, Plane, Plate, field_rows, file_rows
from nucbatch.core.plate_geometry import row_index, split_well
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.names import safe_name
from nucbatch.readers.planes_apart import apart_remark
from nucbatch.readers.rules import quarantined

_Name = TypeVar("_Name")
"""A parsed file name."""

FieldKey = tuple[str, int, int]  # well, site, t


@dataclass(frozen=True, slots=True)
class Sighting:
    """File recognised as one plane.

    Attributes:
        file: the file.
        channel: name of the channel.
        well: empty outside a plate.
        site: from 1.
        t: time point, from 0.
        z: z-step, from 0.
        page: number of the only page of the file to use, from 0; None for the whole file.
    """

    file: FoundFile
    channel: str
    well: str = ""
    site: int = 1
    t: int = 0
    z: int = 0
    page: int | None = None

    @property
    def key(self) -> FieldKey:
        """Key of the plane's field."""
        return self.well, self.site, self.t


@dataclass(frozen=True, slots=True)
class FieldFacts:
    """Properties of a field that a vendor's side file records.

    Attributes:
        position_um: (y, x) of the centre, as in :class:`~nucbatch.core.plate.Field`.
        pixel_size_um: takes precedence over the pixel size in the headers of the field's files.
        acquisition: name or number of the acquisition.
        time: time of the acquisition as the vendor wrote it.
        oblong_um: width and height of pixels that are not square; there is no pixel size then.
        apart_um: distance between the places of its planes, as :func:`.planes_apart.apart_um` gives it.
        stage_um: (y, x) of the centre on a stage whose axes may run any way, as in
            :class:`~nucbatch.core.plate.Field`.
    """

    position_um: tuple[float, float] | None = None
    pixel_size_um: float | None = None
    acquisition: str = ""
    time: str = ""
    oblong_um: tuple[float | None, float | None] | None = None
    apart_um: float = 0.0
    stage_um: tuple[float, float] | None = None


_NO_FACTS = FieldFacts()
_MOST_TIMES = 6


@gc_paused()
def assemble(
    listing: Listing,
    *,
    name: str,
    layout: str,
    sightings: Iterable[Sighting],
    records: Iterable[FileRecord],
    channels: Sequence[str | Channel],
    gaps: Mapping[FieldKey, str] | None = None,
    lacking: Mapping[FieldKey, Mapping[str, str]] | None = None,
    acquired: Mapping[FieldKey, Collection[str]] | None = None,
    labels: Mapping[int, str] | None = None,
    metadata: Mapping[FieldKey, Mapping[str, str | float | None]] | None = None,
    facts: Mapping[FieldKey, FieldFacts] | None = None,
    rows: int = 0,
    columns: int = 0,
    evidence: str = "",
    remarks: Sequence[str] = (),
    header_sizes: bool = True,
) -> Plate:
    """Builds a plate from recognised planes.

    Args:
        listing: the input.
        name: name of the plate.
        layout: name of the reader.
        sightings: the recognised planes.
        records: records of all other listed files.
        channels: all channels, in the plate's order; a name alone stands for a channel without further facts.
        gaps: reason for each field known to be missing; a well that occurs only here is listed too.
        lacking: for existing fields, the reason for each channel known to be missing.
        acquired: names of the channels that a side file records for each field; a field misses no others.
            Without it, a field misses every channel that another field of its time point has.
        labels: for a collection without wells, the unique name of each field by its site.
        metadata: values of the user's table for each field by column; all fields have the same columns.
        facts: properties of fields from a side file; fields of ``gaps`` may have them too.
        rows: rows of the plate as the vendor recorded them; 0 if unknown.
        columns: columns of the plate as the vendor recorded them; 0 if unknown.
        evidence: what the layout rests on, as in :class:`~nucbatch.core.plate.Plate`.
        remarks: sentences for the user about how the plate was read.
        header_sizes: whether pixel sizes in the files' headers are the sample's.
    """
    found: dict[FieldKey, dict[tuple[str, int], list[Sighting]]] = defaultdict(lambda: defaultdict(list))
    for sighting in sightings:
        found[sighting.key][sighting.channel, sighting.z].append(sighting)
    gaps, lacking, metadata, facts = gaps or {}, lacking or {}, metadata or {}, facts or {}
    expected: dict[int, set[str]] = defaultdict(set)
    for (_, _, t), slots in found.items():
        expected[t] |= {channel for channel, _ in slots}
    several_t = len(expected) > 1
    listed = [
        Channel(channel, index) if isinstance(channel, str) else replace(channel, index=index)
        for index, channel in enumerate(channels)
    ]
    order = {channel.name: channel.index for channel in listed}

    fields: list[Field] = []
    verdicts = {record.path: record for record in (*listing.settled, *records)}
    for key in sorted({*found, *gaps, *lacking}, key=_place):
        slots = found.get(key, {})
        group, title = _titles(name, key, several_t, labels)
        absent = dict(lacking.get(key, {}))
        hoped = expected[key[2]] if acquired is None else set(acquired.get(key, ()))
        for channel in hoped - {channel for channel, _ in slots}:
            absent.setdefault(channel, f"no file for channel {channel}")
        planes: list[Plane] = []
        for (channel, z), claims in sorted(slots.items(), key=lambda slot: (order[slot[0][0]], slot[0][1])):
            claims.sort(key=lambda claim: claim.file.path)
            if len(claims) > 1:
                absent[channel] = f"{len(claims)} files claim channel {channel}"
            for claim in claims:
                others = ", ".join(other.file.path for other in claims if other is not claim)
                reason = (
                    f"the same channel, z and t of this field is also claimed by {others}" if others else ""
                )
                record = _record(claim, group, reason)
                known = verdicts.get(claim.file.path)
                verdicts[claim.file.path] = _joint(known, record) if known else record
            if len(claims) == 1:
                file, page = claims[0].file, claims[0].page
                size, mtime = file.size_bytes, file.mtime_ns
                plane = Plane(file.path, channel, z, page or 0, size_bytes=size, mtime_ns=mtime)
                planes.append(plane if page is None else replace(plane, alone=True))
        well, site, t = key
        kept = tuple(plane for plane in planes if plane.channel not in absent)
        missing = tuple((channel, absent[channel]) for channel in sorted(absent, key=order.__getitem__))
        problem = gaps.get(key, "") or ("" if kept else "; ".join(reason for _, reason in missing))
        field = Field(well, site, t, group, title, kept, 0, 0, "", problem=problem)
        known_of = facts.get(key, _NO_FACTS)
        field = replace(
            field,
            metadata=tuple(metadata.get(key, {}).items()),
            pixel_size_um=known_of.pixel_size_um,
            pixel_size_from="side file" if known_of.pixel_size_um else "",
            position_um=known_of.position_um,
            stage_um=known_of.stage_um,
            acquisition=known_of.acquisition,
            time=known_of.time,
        )
        fields.append(field if problem else replace(field, lacking=missing))
    oblong = next((known.oblong_um for known in facts.values() if known.oblong_um), None)
    not_square = [not_square_remark(*oblong, "metadata")] if oblong else []
    apart = [known.apart_um for known in facts.values() if known.apart_um]
    planes_apart = [apart_remark(apart, "the side file")] if apart else []
    return Plate(
        name=printable(name),
        root=listing.root,
        layout=layout,
        channels=tuple(listed),
        fields=field_rows(fields),
        files=file_rows(sorted(verdicts.values(), key=lambda record: record.path)),
        is_plate=labels is None,
        remarks=(
            *remarks,
            *not_square,
            *planes_apart,
            *(_lost_times(fields) if several_t and labels is None else ()),
        ),
        rows=rows,
        columns=columns,
        evidence=evidence,
        header_sizes=header_sizes,
    )


def _lost_times(fields: Iterable[Field]) -> list[str]:
    """Returns a remark if sites of a plate lack time points that most have: no row tells of them."""
    times: dict[tuple[str, int], set[int]] = defaultdict(set)
    for field in fields:
        times[field.well, field.site].add(field.t)
    every = set().union(*times.values())
    lost = {place: sorted(every - found) for place, found in times.items() if every - found}
    if not lost or 2 * len(lost) > len(times):
        return []
    (well, site), missing = next(iter(lost.items()))
    numbers = ", ".join(map(str, missing[:_MOST_TIMES])) + (" and more" if missing[_MOST_TIMES:] else "")
    return [
        f"{len(lost):,} of {len(times):,} sites lack time points that the others have: {well} site {site} "
        f"lacks {numbers} (counted from 0), and there is no file of them"
    ]


def _place(key: FieldKey) -> tuple[int, int, int, int]:
    well, site, t = key
    if not well:
        return 0, 0, site, t
    row, column = split_well(well)
    return row_index(row), column, site, t


def _titles(plate: str, key: FieldKey, several_t: bool, labels: Mapping[int, str] | None) -> tuple[str, str]:
    """Returns (group in the Zarr, name). NGFF allows only letters and digits in a plate's groups."""
    well, site, t = key
    timed = several_t or t > 0
    if labels is not None:
        label = labels[site] + (f"_t{t}" if timed else "")
        return label, label
    row, column = split_well(well)
    image = f"{site}t{t}" if timed else str(site)
    return f"{row}/{column}/{image}", f"{safe_name(plate)}_{well}_s{site}" + (f"_t{t}" if timed else "")


def _record(claim: Sighting, group: str, reason: str) -> FileRecord:
    return FileRecord(
        claim.file.path,
        FileStatus.QUARANTINED if reason else FileStatus.USED,
        reason,
        well=claim.well,
        site=claim.site,
        channel=claim.channel,
        z=claim.z,
        t=claim.t,
        group=group,
    )


def _joint(one: FileRecord, other: FileRecord) -> FileRecord:
    """Combines the records of two planes of one file; the file is at fault if either plane is."""
    at_fault = other if other.status is FileStatus.QUARANTINED else one
    return replace(
        at_fault,
        well=one.well if one.well == other.well else "",
        site=one.site if one.site == other.site else None,
        channel=one.channel if one.channel == other.channel else "",
        z=one.z if one.z == other.z else None,
        t=one.t if one.t == other.t else None,
    )


def named_images(
    listing: Listing, parse: Callable[[str], _Name | None], layout: str, records: list[FileRecord]
) -> list[tuple[FoundFile, _Name]]:
    """Returns the images whose paths can be parsed, with the result; adds a record for each other one."""
    named: list[tuple[FoundFile, _Name]] = []
    for file in listing.images():
        name = parse(file.path)
        if name is None:
            records.append(unfitting(file, layout))
        else:
            named.append((file, name))
    return named


def unfitting(file: FoundFile, layout: str) -> FileRecord:
    """Returns the record of an image whose name does not fit the plate's layout."""
    reason = f"an image, but its name does not fit the {layout} layout of the others"
    return quarantined(file.path, f"{reason}: rename it like them, or move it out of the input")
