"""Summarises a plate for people and programs: counts, pixel types, ignored and quarantined files.

The summary is a pure function of a :class:`~nucbatch.core.plate.Plate`. Control characters of file names are
escaped here, so that no name can move the cursor of a terminal.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass

from nucbatch.core.escape import printable
from nucbatch.core.plate import Channel, Field, FileStatus, Plate, absent_text, projection_text
from nucbatch.core.selection import EVERYTHING, Selection
from nucbatch.readers.flat_fields import illumination_text
from nucbatch.readers.pixels import field_channels

_EXAMPLES = 3


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
        evidence: what the layout rests on, as in :class:`~nucbatch.core.plate.Plate`.
        rows: rows of the plate; 0 if unknown.
        columns: columns of the plate; 0 if unknown.
        acquisitions: (name, number of fields) of the acquisitions that are read, if they are known.
        wells: (usable fields, unusable fields) by well.
        sites: number of different sites with a usable field, by well.
        channels: (channel, number of fields).
        pixels: (description of size and type, number of fields).
        pixel_sizes_um: (size, source, number of fields).
        positions: number of usable fields with a stage position.
        axes_known: whether it is known which way the stage's axes run in the images.
        overlap: by which fraction of their side neighbouring fields of a well overlap; None if unknown.
        levels: (pyramid level, number of fields).
        z_steps: (number of z-steps, number of fields).
        absent_chunks: number of chunks or tiles of used images that were never written.
        chunks: number of chunks of used OME-Zarr images, and of tiles of TIFFs that lack some.
        incomplete_images: (path, description) of used images with absent chunks or tiles.
        quarantined: (path, reason) of quarantined files.
        problem_fields: (name, reason) of unusable fields.
        lacking_fields: (name, reason) of usable fields that lack a channel.
        wells_lacking: wells of these fields.
        illumination: whether and how it is corrected.
        remarks: sentences about how the plate was read.
        selected_fields: number of usable fields that are selected; None without a selection.
    """

    layout: str
    name: str
    root: str
    is_plate: bool
    acquisition: str
    evidence: str
    rows: int
    columns: int
    acquisitions: tuple[tuple[str, int], ...]
    wells: dict[str, tuple[int, int]]
    sites: dict[str, int]
    usable_fields: int
    time_points: int
    channels: tuple[tuple[Channel, int], ...]
    pixels: tuple[tuple[str, int], ...]
    pixel_sizes_um: tuple[tuple[float | None, str, int], ...]
    positions: int
    axes_known: bool
    overlap: float | None
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
    illumination: str
    remarks: tuple[str, ...]
    selected_fields: int | None = None

    def as_dict(self) -> dict[str, object]:
        """Returns the summary as plain values for JSON."""
        ignored = sum(rule.count for rule in self.ignored)
        return {
            "layout": self.layout,
            "name": self.name,
            "root": self.root,
            "is_plate": self.is_plate,
            "acquisition": self.acquisition,
            "evidence": self.evidence,
            "rows": self.rows,
            "columns": self.columns,
            "acquisitions": [{"name": name, "fields": count} for name, count in self.acquisitions],
            "wells": {
                well: {"sites": self.sites.get(well, 0), "usable_fields": good, "unusable_fields": bad}
                for well, (good, bad) in self.wells.items()
            },
            "usable_fields": self.usable_fields,
            "selected_fields": self.selected_fields,
            "time_points": self.time_points,
            "channels": [
                {key: value for key, value in asdict(channel).items() if key != "index"} | {"fields": count}
                for channel, count in self.channels
            ],
            "pixels": [{"kind": kind, "fields": count} for kind, count in self.pixels],
            "pixel_sizes_um": [
                {"size": size, "source": source, "fields": count}
                for size, source, count in self.pixel_sizes_um
            ],
            "positions": {"fields": self.positions, "overlap": self.overlap, "axes_known": self.axes_known},
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
            "illumination": self.illumination,
            "remarks": list(self.remarks),
            "fields_lacking_channels": [
                {"name": name, "reason": reason} for name, reason in self.lacking_fields
            ],
        }


def summarise(plate: Plate, selection: Selection = EVERYTHING, overlap: float | None = None) -> PlateSummary:
    """Summarises a plate, and how much of it is selected.

    Args:
        plate: as opened.
        selection: the part of it that is selected.
        overlap: by which fraction of their side neighbouring fields overlap; None if unknown.
    """
    usable = [field for field in plate.fields if not field.problem]
    wells: dict[str, tuple[int, int]] = {}
    for field in plate.fields if plate.is_plate else ():
        good, bad = wells.get(field.well, (0, 0))
        wells[field.well] = (good, bad + 1) if field.problem else (good + 1, bad)
    sites: dict[str, set[int]] = defaultdict(set)
    for field in usable:
        sites[field.well].add(field.site)
    sizes = Counter((field.pixel_size_um, field.pixel_size_from) for field in usable)
    acquisitions = Counter(printable(field.acquisition) for field in usable if field.acquisition)
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
        evidence=plate.evidence,
        rows=plate.rows,
        columns=plate.columns,
        acquisitions=tuple(sorted(acquisitions.items())),
        wells=wells,
        sites={well: len(found) for well, found in sites.items()} if plate.is_plate else {},
        usable_fields=len(usable),
        time_points=len({field.t for field in plate.fields}),
        channels=tuple((channel, per_channel[channel.name]) for channel in plate.channels),
        pixels=tuple(Counter(_form(field) for field in usable).most_common()),
        pixel_sizes_um=tuple((size, source, count) for (size, source), count in sizes.most_common()),
        positions=sum(bool(field.position_um or field.stage_um) for field in usable),
        axes_known=not any(field.stage_um and not field.position_um for field in usable),
        overlap=overlap,
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
        illumination=printable(illumination_text(plate)),
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
