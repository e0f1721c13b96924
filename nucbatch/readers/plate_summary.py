"""Summarises a plate for people and programs: counts, pixel types, ignored and quarantined files.

The summary is a pure function of a :class:`~nucbatch.core.plate.Plate`. Control characters of file names are
escaped here, so that no name can move the cursor of a terminal.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from nucbatch.core.escape import printable
from nucbatch.core.plate import Field, FileStatus, Plate, absent_text, projection_text
from nucbatch.core.plate_geometry import plate_size, row_index, row_letters, split_well
from nucbatch.core.selection import EVERYTHING, Selection
from nucbatch.readers.names import plural
from nucbatch.readers.pixels import field_channels

_EXAMPLES = 3
Z_HINT = "If they are time points, save them as such: each is then a field of its own."
_MOST_ROWS_OF_MIX = 6


@dataclass(frozen=True, slots=True)
class IgnoredFiles:
    """Rule and the files that it ignores.

    Attributes:
        name: name of the rule.
        sentence: its explanation.
        count: number of files.
        examples: some of their paths.
    """

    name: str
    sentence: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlateSummary:
    """PlateSummary of a plate.

    Attributes:
        wells: (usable fields, unusable fields) by well.
        channels: (name, number of fields).
        pixels: (description of size and type, number of fields).
        pixel_sizes_um: (size, number of fields).
        levels: (pyramid level, number of fields).
        z_steps: (number of z-steps, number of fields).
        absent_chunks: number of chunks or tiles of used images that were never written.
        chunks: number of chunks of used OME-Zarr images, and of tiles of TIFFs that lack some.
        incomplete_images: (path, description) of used images with absent chunks or tiles.
        quarantined: (path, reason) of quarantined files.
        problem_fields: (name, reason) of unusable fields.
        lacking_fields: (name, reason) of usable fields that lack a channel.
        wells_lacking: wells of these fields.
        remarks: sentences about how the plate was read.
        selected_fields: number of usable fields that are selected; None without a selection.
    """

    layout: str
    name: str
    root: str
    is_plate: bool
    acquisition: str
    wells: dict[str, tuple[int, int]]
    usable_fields: int
    time_points: int
    channels: tuple[tuple[str, int], ...]
    pixels: tuple[tuple[str, int], ...]
    pixel_sizes_um: tuple[tuple[float | None, int], ...]
    levels: tuple[tuple[int, int], ...]
    z_steps: tuple[tuple[int, int], ...]
    absent_chunks: int
    chunks: int
    incomplete_images: tuple[tuple[str, str], ...]
    found_files: int
    used_files: int
    ignored: tuple[IgnoredFiles, ...]
    quarantined: tuple[tuple[str, str], ...]
    problem_fields: tuple[tuple[str, str], ...]
    lacking_fields: tuple[tuple[str, str], ...]
    wells_lacking: frozenset[str]
    remarks: tuple[str, ...]
    selected_fields: int | None = None

    def facts(self) -> Iterator[tuple[str, str]]:
        """Yields (title, value) lines for people."""
        yield "layout", self.layout
        yield "plate" if self.is_plate else "images", self.name
        if self.acquisition:
            yield "acquisition", self.acquisition
        if self.is_plate:
            yield "wells", f"{len(self.wells):,}"
        lacking = f", {len(self.lacking_fields):,} of them without a channel" if self.lacking_fields else ""
        unusable = f", {len(self.problem_fields):,} more can't be used" if self.problem_fields else ""
        yield "fields", f"{self.usable_fields:,}{lacking}{unusable}"
        if self.selected_fields is not None:
            yield "selected", plural(self.selected_fields, "usable field")
        if self.time_points > 1:
            yield "time points", f"{self.time_points:,}"
        if any(steps > 1 for steps, _ in self.z_steps):
            counted = [(projection_text(steps) or "one plane", n) for steps, n in self.z_steps]
            yield "projection", f"{_mix(tuple(counted))}\n{Z_HINT}"
        everywhere = all(count == self.usable_fields for _, count in self.channels)
        yield (
            "channels",
            ", ".join(name if everywhere else f"{name} ({count:,})" for name, count in self.channels),
        )
        yield "pixels", _mix(self.pixels)
        sizes = [
            ("unknown" if size is None else f"{size:g} µm", count) for size, count in self.pixel_sizes_um
        ]
        yield "pixel size", _mix(tuple(sizes))
        if any(level for level, _ in self.levels):
            counted = [(f"level {level} of the pyramid" if level else "full", n) for level, n in self.levels]
            yield "resolution", _mix(tuple(counted))
        if self.absent_chunks:
            images = plural(len(self.incomplete_images), "image")
            yield (
                "chunks",
                f"{absent_text(self.absent_chunks, self.chunks)}, in {images}: "
                "all of their pixels are the fill value, or they were never copied",
            )
        for remark in self.remarks:
            yield "note", remark
        ignored = sum(rule.count for rule in self.ignored)
        yield (
            "files",
            f"{self.found_files:,} found = {self.used_files:,} used + {ignored:,} ignored "
            f"+ {len(self.quarantined):,} quarantined",
        )

    def plate_map(self) -> list[str]:
        """Draws the wells as lines of text, on the smallest plate of at least 96 wells that holds them."""
        places = {well: split_well(well) for well in self.wells}
        height, width = plate_size(
            ((row_index(row), column) for row, column in places.values()), least_wells=96
        )
        marks: dict[tuple[int, int], str] = {}
        for well, (row, column) in places.items():
            good, bad = self.wells[well]
            faulty = bad or well in self.wells_lacking
            marks[row_index(row), column] = "!" if faulty else ("+" if good > 9 else str(good))
        lines = ["   " + "".join(f"{column:>3}" for column in range(1, width + 1))]
        for index in range(height):
            cells = "".join(f"{marks.get((index, column), '·'):>3}" for column in range(1, width + 1))
            lines.append(f"{row_letters(index):>3}{cells}")
        return lines

    def as_dict(self) -> dict[str, object]:
        """Returns the summary as plain values for JSON."""
        ignored = sum(rule.count for rule in self.ignored)
        return {
            "layout": self.layout,
            "name": self.name,
            "root": self.root,
            "is_plate": self.is_plate,
            "acquisition": self.acquisition,
            "wells": {
                well: {"usable_fields": good, "unusable_fields": bad}
                for well, (good, bad) in self.wells.items()
            },
            "usable_fields": self.usable_fields,
            "selected_fields": self.selected_fields,
            "time_points": self.time_points,
            "channels": [{"name": name, "fields": count} for name, count in self.channels],
            "pixels": [{"kind": kind, "fields": count} for kind, count in self.pixels],
            "pixel_sizes_um": [{"size": size, "fields": count} for size, count in self.pixel_sizes_um],
            "levels": [{"level": level, "fields": count} for level, count in self.levels],
            "projections": [
                {"z_steps": steps, "projection": projection_text(steps), "fields": count}
                for steps, count in self.z_steps
            ],
            "chunks": {
                "total": self.chunks,
                "absent": self.absent_chunks,
                "images": [{"path": path, "chunks": text} for path, text in self.incomplete_images],
            },
            "files": {
                "found": self.found_files,
                "used": self.used_files,
                "ignored": ignored,
                "quarantined": len(self.quarantined),
            },
            "ignored": [asdict(rule) for rule in self.ignored],
            "quarantined": [{"path": path, "reason": reason} for path, reason in self.quarantined],
            "unusable_fields": [{"name": name, "problem": problem} for name, problem in self.problem_fields],
            "remarks": list(self.remarks),
            "fields_lacking_channels": [
                {"name": name, "reason": reason} for name, reason in self.lacking_fields
            ],
        }


def summarise(plate: Plate, selection: Selection = EVERYTHING) -> PlateSummary:
    """Summarises a plate, and how much of it is selected."""
    usable = [field for field in plate.fields if not field.problem]
    wells: dict[str, tuple[int, int]] = {}
    for field in plate.fields if plate.is_plate else ():
        good, bad = wells.get(field.well, (0, 0))
        wells[field.well] = (good, bad + 1) if field.problem else (good + 1, bad)
    per_channel = Counter(channel.name for field in usable for channel in field_channels(plate, field))
    used = sum(1 for record in plate.files if record.status is FileStatus.USED)
    chunked = [record for record in plate.files if record.status is FileStatus.USED and record.chunks]
    refused = [record for record in plate.files if record.status is FileStatus.QUARANTINED]
    return PlateSummary(
        layout=plate.layout,
        name=printable(plate.name),
        root=printable(plate.root),
        is_plate=plate.is_plate,
        acquisition=printable(plate.acquisition),
        wells=wells,
        usable_fields=len(usable),
        time_points=len({field.t for field in plate.fields}),
        channels=tuple((channel.name, per_channel[channel.name]) for channel in plate.channels),
        pixels=tuple(Counter(_form(field) for field in usable).most_common()),
        pixel_sizes_um=tuple(Counter(field.pixel_size_um for field in usable).most_common()),
        levels=tuple(Counter(_level(field) for field in usable).most_common()),
        z_steps=tuple(Counter(field.z_steps for field in usable).most_common()),
        absent_chunks=sum(record.absent_chunks for record in chunked),
        chunks=sum(record.chunks for record in chunked),
        incomplete_images=tuple(
            (printable(record.path), absent_text(record.absent_chunks, record.chunks))
            for record in chunked
            if record.absent_chunks
        ),
        found_files=len(plate.files),
        used_files=used,
        ignored=_by_rule(plate),
        quarantined=tuple((printable(record.path), printable(record.reason)) for record in refused),
        problem_fields=tuple(
            (field.name, printable(field.problem)) for field in plate.fields if field.problem
        ),
        lacking_fields=tuple(
            (field.name, printable("; ".join(reason for _, reason in field.lacking)))
            for field in usable
            if field.lacking
        ),
        remarks=plate.remarks,
        wells_lacking=frozenset(field.well for field in usable if field.lacking),
        selected_fields=sum(map(selection.includes, usable)) if selection else None,
    )


def _by_rule(plate: Plate) -> tuple[IgnoredFiles, ...]:
    paths: dict[str, list[str]] = defaultdict(list)
    for record in plate.files:
        if record.status is FileStatus.IGNORED:
            paths[record.reason].append(record.path)
    rules = []
    for reason, found in sorted(paths.items()):
        name, _, sentence = reason.partition(": ")
        examples = tuple(printable(path) for path in found[:_EXAMPLES])
        rules.append(IgnoredFiles(name, sentence, len(found), examples))
    return tuple(rules)


def _form(field: Field) -> str:
    colours = " RGB" if any(plane.samples == 3 for plane in field.planes) else ""
    return f"{field.dtype}{colours}, {field.height_px} × {field.width_px} px"


def _level(field: Field) -> int:
    return max((plane.level for plane in field.planes), default=0)


def _mix(counted: tuple[tuple[str, int], ...]) -> str:
    """Formats counted values as ``uint8, 640 × 640 px``; if fields differ, the most frequent with counts."""
    if len(counted) <= 1:
        return counted[0][0] if counted else "none"
    lines = [f"{kind}: {plural(count, 'field')}" for kind, count in counted[:_MOST_ROWS_OF_MIX]]
    rest = counted[_MOST_ROWS_OF_MIX:]
    if rest:
        lines.append(f"{len(rest):,} other kinds: {plural(sum(count for _, count in rest), 'field')}")
    return "\n".join(lines)
