"""Selects the resolution at which a plate's fields are read, if their files are pyramids.

The level is chosen for each plane (``levels.py``) from the field's pixel size at full resolution, recorded or
given by the user. Files that are not pyramids are unchanged. All planes of a field must have the same level
and size. The majority wins; without one, all are quarantined.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from functools import partial

from nucbatch.core.errors import InputError, UnreadableImage
from nucbatch.core.plate import Field, Plane, Plate, field_rows, file_rows
from nucbatch.object_store import path_in
from nucbatch.readers.formats import ImageSource, open_source
from nucbatch.readers.formats.levels import Level, level_for_pixel_size
from nucbatch.readers.names import plural
from nucbatch.readers.read_timeout import Beat, within
from nucbatch.readers.verify_headers import each_field, majority, recorded

_Choice = tuple[Field, dict[str, str], str]
"""The field as it will be read, the reason for each unusable file, and why no level was chosen."""

_SINGLE, _NEAREST = "a single resolution", "the full resolution is the nearest"


def at_resolution(plate: Plate, wanted_um: float) -> Plate:
    """Reads pyramids at the level whose pixels are nearest to ``wanted_um`` micrometres.

    Fields at a lower level have its size and pixel size. Fields whose planes disagree have a problem. If
    nothing changes, a remark says so. Headers must have been read before.

    Args:
        plate: the plate with the properties of its headers.
        wanted_um: wanted pixel size.

    Raises:
        InputError: a pyramid has no pixel size; the message names it.
    """
    fields: list[Field] = []
    faults: dict[str, str] = {}
    unchanged: Counter[str] = Counter()
    choose = partial(_chosen, plate, wanted_um)
    for field, found, why in each_field(plate, lambda group: [choose(one) for one in group]):
        fields.append(field)
        faults |= found
        unchanged[why] += bool(why)
    return replace(
        plate,
        fields=field_rows(fields),
        files=file_rows(recorded(plate.files, fields, faults)),
        remarks=(*plate.remarks, *_remarks(wanted_um, unchanged, sum(not field.problem for field in fields))),
    )


def _remarks(wanted_um: float, unchanged: Counter[str], usable: int) -> list[str]:
    """Returns remarks for the user if the requested resolution changes nothing."""
    whys = [f"{plural(count, 'field')}: {why}" for why, count in unchanged.items() if count]
    of_all = "" if unchanged.total() == usable else f" in {unchanged.total():,} of {usable:,} fields"
    return [f"--resolution {wanted_um:g} changes nothing{of_all} ({'; '.join(whys)})."] if whys else []


def _chosen(plate: Plate, wanted_um: float, field: Field) -> _Choice:
    if field.problem:
        return field, {}, ""
    levels, faults = _levels(plate, wanted_um, field)
    agreed = majority([_form(level) for _, level in levels])
    for plane, level in levels:
        if agreed is None:
            faults[plane.path] = (
                f"at {wanted_um:g} µm the planes of its field disagree: this one is {_shown(_form(level))}. "
                "Leave out --resolution"
            )
        elif _form(level) != agreed:
            faults[plane.path] = (
                f"at {wanted_um:g} µm it is {_shown(_form(level))}, but the other planes of its field are "
                f"{_shown(agreed)}. Leave out --resolution"
            )
    if faults:
        problem = "; ".join(f"{path}: {reason}" for path, reason in faults.items())
        return replace(field, problem=problem), faults, ""
    level = levels[0][1]
    if level.index == 0:
        why = _NEAREST if level.pixel_size_um else _SINGLE
        return field, {}, f"{why}, {field.pixel_size_um:g} µm" if field.pixel_size_um else why
    planes = tuple(replace(plane, level=level.index) for plane in field.planes)
    read = replace(
        field,
        planes=planes,
        height_px=level.height_px,
        width_px=level.width_px,
        pixel_size_um=level.pixel_size_um,
    )
    return read, {}, ""


def _levels(plate: Plate, wanted_um: float, field: Field) -> tuple[list[tuple[Plane, Level]], dict[str, str]]:
    """Chooses the level of each plane, or a reason for each file of which no level can be read."""
    by_file: dict[str, list[Plane]] = defaultdict(list)
    for plane in field.planes:
        by_file[plane.path].append(plane)
    levels: list[tuple[Plane, Level]] = []
    faults: dict[str, str] = {}
    for path, planes in by_file.items():

        def read(beat: Beat, path: str = path, planes: list[Plane] = planes) -> list[tuple[Plane, Level]]:
            with open_source(path_in(plate.root, path), path) as source:
                return [(plane, _level(source, plane, field, wanted_um)) for plane in planes]

        try:
            levels += within(plate.read_timeout_s, path, read)
        except UnreadableImage as error:
            faults[path] = str(error).removeprefix(f"{path}: ")
    return levels, faults


def _level(source: ImageSource, plane: Plane, field: Field, wanted_um: float) -> Level:
    """Chooses the level of a plane, with its pixel size derived from the field's.

    Raises:
        InputError: the field has no pixel size.
        UnreadableImage: the level cannot be read, or has another pixel type than the full resolution.
    """
    levels = source.levels(plane.page)
    if len(levels) == 1:
        return replace(levels[0], pixel_size_um=None)
    size = field.pixel_size_um
    sized = [replace(level, pixel_size_um=size and size * level.downsample) for level in levels]
    try:
        level = level_for_pixel_size(sized, wanted_um)
    except InputError as error:
        raise InputError(f"{plane.path}: {error}") from error
    if level.index:
        window = source.plane(plane.page, level.index)
        form = (level.height_px, level.width_px) + ((plane.samples,) if plane.samples > 1 else ())
        if window.shape != form or window.dtype.name != field.dtype:
            raise UnreadableImage(
                f"its level {level.index} is {window.dtype.name} {window.shape}, but {field.dtype} {form} "
                "was meant. Leave out --resolution"
            )
    return level


def _form(level: Level) -> tuple[int, int, int]:
    return level.index, level.height_px, level.width_px


def _shown(form: tuple[int, int, int]) -> str:
    return f"{form[1]} × {form[2]} px (level {form[0]})"
