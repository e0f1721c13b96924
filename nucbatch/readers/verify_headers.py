"""Reads the headers of all files of a plate and quarantines unusable files, before a run.

- The planes of a field must agree in size and type. The majority wins; without one, all are quarantined.
- The fields of a well at one time must agree too, if most of them, or else most of the plate's, have one
  form. Without a majority they may differ, as where regions of any size were acquired. So may wells, and
  images of a collection.
- Files of several pages are expanded first (``expand_pages.py``).
- A field that loses a plane loses that channel and keeps the others. The plan decides what this means,
  because it depends on the segmented channel. A field without any plane stays listed with its problem.
- Valid files from which nothing is computed are ignored by the rule ``incomplete-field``.
- A pixel size or stage position that the reader knows is kept. Otherwise the first plane's is used: those of
  channels and z-steps differ by less than matters.
- RGB is allowed if a field is one file and the plate has no other channel. Such planes belong to channel
  ``RGB``, and the plate gets Red, Green and Blue.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import TypeVar

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.pixel_size import NOT_SQUARE, not_square_remark, other_than_recorded
from nucbatch.core.plate import (
    RGB,
    RGB_CHANNELS,
    Channel,
    Field,
    FileRecord,
    FileStatus,
    Plane,
    Plate,
    field_rows,
    file_rows,
)
from nucbatch.object_store import ObjectPath, at_once, path_in
from nucbatch.readers.expand_pages import HeaderOutcomes, expand_fields
from nucbatch.readers.formats.headers import read_header, read_pages
from nucbatch.readers.formats.pixel_info import PixelInfo
from nucbatch.readers.layouts.companions import name_lost_originals
from nucbatch.readers.names import GREY
from nucbatch.readers.planes_apart import apart_remark, apart_um
from nucbatch.readers.read_timeout import Beat, within
from nucbatch.readers.rules import RULES

_THREADS = 8  # headers wait for disk or network, not for a CPU core
_BATCH = 2048  # fields submitted at once, to limit the number of futures
_GROUP = 64  # largest number of fields per task of a thread
_ONE_PLACE = "stage positions of wells whose fields all have the same are not used"
_BUSY = 0.8
"""Share of the time spent computing from which threads wait for Python's lock, and not for the disk."""

_Value = TypeVar("_Value")


def verified(plate: Plate, pixel_size_um: float | None = None) -> Plate:
    """Returns the plate with sizes and types of all fields, and unusable files quarantined.

    Args:
        plate: as returned by a reader.
        pixel_size_um: overrides the files' metadata. Without it the reader's pixel size is kept, and the
            header's is used where the reader has none.
    """
    may_be_rgb = len(plate.channels) == 1
    named = plate.is_plate or [channel.name for channel in plate.channels] != [GREY]
    fields: list[Field] = []
    faults: dict[str, str] = {}
    chunks: dict[str, tuple[int, int]] = {}
    described: dict[str, Channel] = {}
    oblong: tuple[float | None, float | None] | None = None
    apart: list[float] = []
    recorded_um: list[float] = []
    look = partial(_probe, plate)
    probed = zip(plate.fields, each_field(plate, look), strict=True)
    for field, outcomes in expand_fields(plate, probed):
        for plane, outcome in zip(field.planes, outcomes, strict=True):
            if isinstance(outcome, PixelInfo) and outcome.chunks:
                known = chunks.get(plane.path, (0, 0)) if plane.alone else (0, 0)  # one outcome per page
                chunks[plane.path] = known[0] + outcome.absent_chunks, known[1] + outcome.chunks
            if isinstance(outcome, PixelInfo):
                oblong = oblong or outcome.oblong_um
                described |= {one.name: one for one in outcome.channels if one.name not in described}
        if not field.position_um:
            places = [one.position_um for one in outcomes if isinstance(one, PixelInfo) and one.position_um]
            apart += [distance for distance in (apart_um(places),) if distance]
        checked, found = _checked(field, outcomes, may_be_rgb, named, pixel_size_um)
        fields.append(checked)
        faults |= found
        if size_um := _recorded_um(field, outcomes):
            recorded_um.append(size_um)
    if plate.is_plate:
        fields, odd = _like_their_wells(fields)
        faults |= odd
    records = name_lost_originals(file_rows(_counted(recorded(plate.files, fields, faults), chunks)))
    remarks = plate.remarks
    told = any(remark.startswith(NOT_SQUARE) for remark in remarks)
    if oblong and not told and not any(field.pixel_size_um for field in fields if not field.problem):
        remarks = (*remarks, not_square_remark(*oblong, "image files"))
    if apart:
        remarks = (*remarks, apart_remark(apart, "the image files"))
    if pixel_size_um and (remark := other_than_recorded(pixel_size_um, recorded_um)):
        remarks = (*remarks, remark)
    if same := _at_one_place(fields):
        remarks = (*remarks, _ONE_PLACE)
        fields = [replace(one, stage_um=None) if (one.well, one.t) in same else one for one in fields]
    channels = _channels(plate, fields, described)
    return replace(plate, channels=channels, fields=field_rows(fields), files=records, remarks=remarks)


def _at_one_place(fields: Iterable[Field]) -> set[tuple[str, int]]:
    """Returns the wells and time points in which all of several fields have one stage position."""
    places: dict[tuple[str, int], set[tuple[float, float]]] = defaultdict(set)
    counts: Counter[tuple[str, int]] = Counter()
    for one in fields:
        if one.well and one.stage_um:
            places[one.well, one.t].add(one.stage_um)
            counts[one.well, one.t] += 1
    return {where for where, count in counts.items() if count > 1 and len(places[where]) == 1}


def _recorded_um(field: Field, outcomes: HeaderOutcomes) -> float | None:
    """Returns the pixel size that the input records of a field."""
    sizes = (one.pixel_size_um for one in outcomes if isinstance(one, PixelInfo))
    return field.pixel_size_um or next((size for size in sizes if size), None)


def _counted(records: Iterable[FileRecord], chunks: Mapping[str, tuple[int, int]]) -> Iterator[FileRecord]:
    """Adds the numbers of chunks (absent, all) by path to the records."""
    for record in records:
        if record.path in chunks:
            absent, count = chunks[record.path]
            record = replace(record, absent_chunks=absent, chunks=count)
        yield record


def each_field(plate: Plate, look: Callable[[Sequence[Field]], Sequence[_Value]]) -> Iterator[_Value]:
    """Applies ``look`` to groups of fields; yields the results in the plate's order.

    Groups are used because a separate task per field would cost more than reading its header. While files are
    waited for, several threads read. From a fast disk one thread does: more take up to 1.6 times as much
    processor time, because they wait for each other.
    """
    most = at_once(plate.root, _THREADS)
    size = max(1, min(_GROUP, len(plate.fields) // (4 * most)))
    fields, waits = iter(plate.fields), True
    with ThreadPoolExecutor(most) as pool:
        while batch := list(islice(fields, _BATCH)):
            groups = [batch[i : i + size] for i in range(0, len(batch), size)]
            began_s, busy_s = time.perf_counter(), time.process_time()
            for found in pool.map(look, groups) if waits else map(look, groups):
                yield from found
            waits = time.process_time() - busy_s < _BUSY * (time.perf_counter() - began_s)


def _probe(plate: Plate, fields: Sequence[Field]) -> list[HeaderOutcomes]:
    """Reads the header of each plane of each field, or the reason why it cannot be used.

    One thread reads all of them. It is replaced by another only if a file does not answer.
    """
    planes = [plane for field in fields for plane in field.planes]
    outcomes: list[PixelInfo | str] = []
    while rest := planes[len(outcomes) :]:
        found: list[PixelInfo | str] = []

        def read(beat: Beat, rest: list[Plane] = rest, found: list[PixelInfo | str] = found) -> None:
            for (_, alone), of_file in groupby(rest, lambda plane: (plane.path, plane.alone)):
                of_one = list(of_file)
                pages, path = [plane.page for plane in of_one], _file_of(plate, of_one[0])
                found += read_pages(path, pages) if alone else [_header_or_reason(path)] * len(pages)
                beat()

        try:
            within(plate.read_timeout_s, "", read)
        except UnreadableImage as error:
            found = [*found, str(error).removeprefix(": ")][: len(rest)]
        outcomes += found
    each = iter(outcomes)
    found_of_fields = [tuple(islice(each, len(field.planes))) for field in fields]
    return found_of_fields if plate.header_sizes else [_without_sizes(found) for found in found_of_fields]


def _without_sizes(outcomes: HeaderOutcomes) -> HeaderOutcomes:
    """Removes pixel sizes that are not the sample's."""
    return tuple(
        replace(outcome, pixel_size_um=None) if isinstance(outcome, PixelInfo) else outcome
        for outcome in outcomes
    )


def _file_of(plate: Plate, plane: Plane) -> Path:
    """Returns the path of a plane's file; an object of a store in the version that was listed."""
    path = path_in(plate.root, plane.path)
    if isinstance(path, ObjectPath) and not plane.path.endswith("/"):
        return path.at_version(plane.size_bytes, plane.mtime_ns, header=True)
    return path


def _header_or_reason(path: Path) -> PixelInfo | str:
    try:
        return read_header(path)
    except UnreadableImage as error:
        return str(error)


def _checked(
    field: Field, outcomes: HeaderOutcomes, may_be_rgb: bool, named: bool, pixel_size_um: float | None
) -> tuple[Field, dict[str, str]]:
    """Returns the field with the properties of its headers, and the reason for each unusable plane."""
    faults: dict[str, str] = {}
    sound: list[tuple[Plane, PixelInfo]] = []
    for plane, outcome in zip(field.planes, outcomes, strict=True):
        if isinstance(outcome, str):
            faults[plane.path] = outcome
        elif outcome.samples == 3 and not (may_be_rgb and len(field.planes) == 1):
            faults[plane.path] = "an RGB image instead of a single grey channel: convert it to grey"
        elif outcome.stack.part and not named:
            faults[plane.path] = outcome.stack.part
        else:
            sound.append((plane, outcome))
    agreed = majority([_form(info) for _, info in sound])
    for plane, info in sound:
        if agreed is None:
            others = dict.fromkeys(_described(_form(one)) for _, one in sound if _form(one) != _form(info))
            faults[plane.path] = (
                f"the planes of its field disagree: this one is {_described(_form(info))}, others are "
                f"{' and '.join(others)}: export all channels alike"
            )
        elif _form(info) != agreed:
            faults[plane.path] = (
                f"{_described(_form(info))}, but the other planes of its field are {_described(agreed)}"
            )
    lost: dict[str, dict[str, None]] = defaultdict(dict)
    for plane in field.planes:
        if plane.path in faults:
            lost[plane.channel][f"{plane.path}: {faults[plane.path]}"] = None
    kept = [(plane, info) for plane, info in sound if plane.channel not in lost]
    lacking = (*field.lacking, *((channel, "; ".join(reasons)) for channel, reasons in lost.items()))
    problems = [field.problem] if field.problem else []
    if not kept:
        problems += dict.fromkeys(reason for _, reason in lacking)
    height, width, dtype = agreed or (0, 0, "")
    sizes = [info.pixel_size_um for _, info in kept if info.pixel_size_um]
    positions = [info.position_um for _, info in kept if info.position_um]
    on_stage = [info.stage_um for _, info in kept if info.stage_um]
    source = field.pixel_size_from or ("image files" if sizes else "")
    checked = replace(
        field,
        planes=tuple(_with_samples(plane, info.samples) for plane, info in kept),
        height_px=height,
        width_px=width,
        dtype=dtype,
        pixel_size_um=pixel_size_um or field.pixel_size_um or (sizes[0] if sizes else None),
        pixel_size_from="--pixel-size" if pixel_size_um else source,
        problem="; ".join(problems),
        lacking=() if problems else lacking,
        position_um=field.position_um or (positions[0] if positions else None),
        stage_um=field.stage_um or (on_stage[0] if on_stage else None),
    )
    return checked, faults


def _like_their_wells(fields: list[Field]) -> tuple[list[Field], dict[str, str]]:
    """Marks fields of another form than their well's with a problem; returns fields and reasons by path."""
    forms: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for field in fields:
        if not field.problem:
            forms[field.well].append((field.height_px, field.width_px, field.dtype))
    overall = majority([form for of_well in forms.values() for form in of_well])
    agreed_in = {
        well: majority(of_well) or (overall if overall in of_well else None)
        for well, of_well in forms.items()
    }
    faults: dict[str, str] = {}
    checked: list[Field] = []
    for field in fields:
        agreed = agreed_in.get(field.well)
        form = field.height_px, field.width_px, field.dtype
        if not field.problem and agreed is not None and form != agreed:
            reason = f"{_described(form)}, but the other fields of its well are {_described(agreed)}"
            faults |= dict.fromkeys((plane.path for plane in field.planes), reason)
            field = replace(field, problem=reason)
        checked.append(field)
    return checked, faults


def _form(info: PixelInfo) -> tuple[int, int, str]:
    return info.height_px, info.width_px, info.dtype


def _described(form: tuple[int, int, str]) -> str:
    return f"{form[2]} of {form[0]} × {form[1]} px"


def majority(forms: Sequence[_Value]) -> _Value | None:
    """Returns the most frequent form; None for none or a tie."""
    ranked = Counter(forms).most_common(2)
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]


def _with_samples(plane: Plane, samples: int) -> Plane:
    return replace(plane, samples=samples, channel=RGB if samples == 3 else plane.channel)


def _channels(plate: Plate, fields: list[Field], described: Mapping[str, Channel]) -> tuple[Channel, ...]:
    """Returns the plate's channels with those found in files: grey ones, then Red, Green, Blue for RGB.

    Names of a layout keep its order and what it knows of them; those of files come in order of first
    appearance, as the files describe them.
    """
    met = dict.fromkeys(plane.channel for field in fields for plane in field.planes)
    if not met:
        return plate.channels
    coloured = RGB in met
    listed = [channel.name for channel in plate.channels]
    if listed != [GREY]:
        grey = [name for name in listed if name in met] if coloured else listed
    else:
        grey = [name for name in met if name != RGB]
    known = {**described, **{channel.name: channel for channel in plate.channels}}
    names = (*grey, *(RGB_CHANNELS if coloured else ()))
    return tuple(
        replace(known.get(name, Channel(name, index)), index=index) for index, name in enumerate(names)
    )


def recorded(
    files: Iterable[FileRecord], fields: Iterable[Field], faults: Mapping[str, str]
) -> Iterator[FileRecord]:
    """Updates the file records with the fields and with ``faults``, reasons by path.

    A file of several planes has one record, with the values that all of its planes share.
    """
    places: dict[str, list[tuple[Field, Plane]]] = defaultdict(list)
    for field in fields:
        for plane in field.planes:
            places[plane.path].append((field, plane))
    for record in files:
        found = places.get(record.path, [])
        if found:
            record = replace(
                record,
                channel=_common([plane.channel for _, plane in found]) or "",
                z=_common([plane.z for _, plane in found]),
                t=_common([field.t for field, _ in found]),
                group=found[0][0].group if len({(field.well, field.site) for field, _ in found}) == 1 else "",
            )
        is_of_use = any(not field.problem for field, _ in found)
        if record.path in faults and not is_of_use:
            yield replace(record, status=FileStatus.QUARANTINED, reason=faults[record.path])
        elif record.status is FileStatus.USED and not is_of_use:
            yield replace(
                record, status=FileStatus.IGNORED, reason=f"incomplete-field: {RULES['incomplete-field']}"
            )
        else:
            yield record


def _common(values: list[_Value]) -> _Value | None:
    """Returns the value shared by all; None if they differ."""
    return values[0] if all(value == values[0] for value in values) else None
