"""Text of a plate's summary for people: one line for each fact, and a map of the wells."""

from __future__ import annotations

from collections.abc import Iterator

from nucbatch.core.escape import printable
from nucbatch.core.plate import Channel, absent_text, projection_text
from nucbatch.core.plate_geometry import draw_plate
from nucbatch.readers.names import plural
from nucbatch.readers.plate_summary import PlateSummary

_MOST_ROWS_OF_MIX = 6
_EVIDENCE = {
    "side file": ", from the microscope's side files",
    "names": ", from file names alone",
}


def z_hint(evidence: str) -> str:
    """Returns what to do if z-steps are none; empty where the microscope itself recorded them as such."""
    if evidence == "side file":
        return ""
    return "If they are time points, save them as such: each is then a field of its own."


def facts(summary: PlateSummary) -> Iterator[tuple[str, str]]:
    """Yields (title, value) lines for people."""
    rests_on = _EVIDENCE.get(summary.evidence, "")
    yield "layout", f"{summary.layout}{rests_on}"
    yield "plate" if summary.is_plate else "images", summary.name
    if summary.acquisition:
        yield "acquisition", summary.acquisition
    if len(summary.acquisitions) > 1:
        yield "acquisitions", _mix(summary.acquisitions)
    if summary.is_plate:
        size = (
            f" of {summary.rows * summary.columns:,} ({summary.rows} rows × {summary.columns} columns)"
            if summary.rows
            else ""
        )
        yield "wells", f"{len(summary.wells):,}{size}"
    lacking = f", {len(summary.lacking_fields):,} of them without a channel" if summary.lacking_fields else ""
    unusable = f", {len(summary.problem_fields):,} more can't be used" if summary.problem_fields else ""
    yield "fields", f"{summary.usable_fields:,}{lacking}{unusable}"
    if summary.selected_fields is not None:
        yield "selected", plural(summary.selected_fields, "usable field")
    if summary.time_points > 1:
        yield "time points", f"{summary.time_points:,}"
    if summary.positions:
        yield "positions", _placement(summary)
    if any(steps > 1 for steps, _ in summary.z_steps):
        counted = [(projection_text(steps) or "one plane", n) for steps, n in summary.z_steps]
        yield "projection", "\n".join(filter(None, (_mix(tuple(counted)), z_hint(summary.evidence))))
    everywhere = all(count == summary.usable_fields for _, count in summary.channels)
    yield (
        "channels",
        ", ".join(
            _channel(one, "" if everywhere else f"in {plural(count, 'field')}")
            for one, count in summary.channels
        ),
    )
    yield "pixels", _mix(summary.pixels)
    sizes = [
        ("unknown" if size is None else f"{size:g} µm" + (f", from {source}" if source else ""), count)
        for size, source, count in summary.pixel_sizes_um
    ]
    yield "pixel size", _mix(tuple(sizes))
    if any(level for level, _ in summary.levels):
        counted = [(f"level {level} of the pyramid" if level else "full", n) for level, n in summary.levels]
        yield "resolution", _mix(tuple(counted))
    yield "correction", f"illumination {summary.illumination}"
    if summary.absent_chunks:
        images = plural(len(summary.incomplete_images), "image")
        yield (
            "chunks",
            f"{absent_text(summary.absent_chunks, summary.chunks)}, in {images}: "
            "all of their pixels are the fill value, or they were never copied",
        )
    for remark in summary.remarks:
        yield "note", remark
    ignored = sum(rule.count for rule in summary.ignored)
    yield (
        "files",
        f"{summary.found_files:,} found = {summary.used_files:,} used + {ignored:,} ignored "
        f"+ {len(summary.quarantined):,} quarantined",
    )


def _placement(summary: PlateSummary) -> str:
    known = "all fields" if summary.positions == summary.usable_fields else f"{summary.positions:,} fields"
    if summary.overlap is None:
        return f"known for {known}"
    if not summary.overlap:
        return f"known for {known}; neighbours do not overlap"
    overlap = f"known for {known}; neighbours overlap by {100 * summary.overlap:.0f} % of their side"
    if summary.axes_known:
        return overlap
    return f"{overlap}; the files don't say which way the stage's axes run, so the nuclei there will tell"


def plate_map(summary: PlateSummary) -> list[str]:
    """Draws the wells as lines of text: their numbers of fields, ``+`` above 9, ``!`` for a problem."""
    marks = {}
    for well, (_, bad) in summary.wells.items():
        faulty = bad or well in summary.wells_lacking
        sites = summary.sites.get(well, 0)
        marks[well] = "!" if faulty else ("+" if sites > 9 else str(sites))
    return draw_plate(marks, summary.rows, summary.columns)


def _channel(channel: Channel, count: str) -> str:
    details = ", ".join(filter(None, (*channel.aliases, count)))
    return printable(f"{channel.name} ({details})" if details else channel.name)


def _mix(counted: tuple[tuple[str, int], ...]) -> str:
    """Formats counted values as ``uint8, 640 × 640 px``; if fields differ, the most frequent with counts."""
    if len(counted) <= 1:
        return counted[0][0] if counted else "none"
    lines = [f"{kind}: {plural(count, 'field')}" for kind, count in counted[:_MOST_ROWS_OF_MIX]]
    rest = counted[_MOST_ROWS_OF_MIX:]
    if rest:
        lines.append(f"{len(rest):,} other kinds: {plural(sum(count for _, count in rest), 'field')}")
    return "\n".join(lines)
