"""Plans a conversion to OME-Zarr: the images, their axes, and which field is which part of them. Pure.

The time points of a site are one image where its fields agree in size, pixel type and pixel size; else each
is an image of its own, as in a run. Indices along t and z are those of the tables. A time point, z-step or
channel that a field lacks is not written, and counts as absent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from nucbatch.core.plate import RGB, RGB_CHANNELS, Channel, Field, Plate
from nucbatch.core.selection import EVERYTHING, Selection

_TIMED_SITE = re.compile(r"(/[0-9]+)t[0-9]+$")


@dataclass(frozen=True, slots=True)
class ConvertedImage:
    """An image of the OME-Zarr, and the fields that it consists of.

    Attributes:
        group: path inside the OME-Zarr, such as ``"B/3/1"``.
        fields: its fields, one per time point; unusable ones have a ``problem``.
        selected: keys of the usable fields that are converted now.
        channels: channels of the usable fields.
        shape: (T, C, Z, Y, X); all 0 if no field is usable.
    """

    group: str
    fields: tuple[Field, ...]
    selected: frozenset[str]
    channels: tuple[Channel, ...]
    shape: tuple[int, int, int, int, int]

    @property
    def usable(self) -> Iterator[Field]:
        """Its usable fields."""
        return (field for field in self.fields if not field.problem)

    @property
    def first(self) -> Field:
        """Its first usable field, else its first field; it gives name, size and position."""
        field = next(self.usable, self.fields[0])
        if field.group == self.group:
            return field
        return replace(field, name=field.name.removesuffix(f"_t{field.t}"))

    @property
    def problem(self) -> str:
        """Why no field is usable; empty if one is."""
        if any(self.usable):
            return ""
        return "; ".join(dict.fromkeys(field.problem for field in self.fields))

    def parts(self) -> Iterator[tuple[Field, int]]:
        """Yields (field with the planes of this z-step, z-step) for all selected fields."""
        for field in self.usable:
            if field.key in self.selected:
                for z in sorted({plane.z for plane in field.planes}):
                    planes = tuple(plane for plane in field.planes if plane.z == z)
                    yield replace(field, planes=planes), z

    @property
    def planes(self) -> int:
        """Number of planes (one channel, z-step and time point) of the selected fields."""
        return sum(_samples(field) for field in self.usable if field.key in self.selected)


def plan_conversion(plate: Plate, selection: Selection = EVERYTHING) -> tuple[ConvertedImage, ...]:
    """Lists the images of a plate in its order.

    Raises:
        InputError: the plate lacks the selection.
    """
    selection.require_in(plate)
    images: list[tuple[str, tuple[Field, ...]]] = []
    for _, sites in groupby(plate.fields, key=lambda field: (field.well, field.site)):
        together = tuple(sites)
        joined = _joined(together)
        images += [joined] if joined else [(field.group, (field,)) for field in together]
    taken = [group for group, _ in images]
    unique = len(set(taken)) == len(taken)
    if not unique:  # a site's image without its time point has the name of another
        images = [(field.group, (field,)) for _, fields in images for field in fields]
    return tuple(_image(plate, group, fields, selection) for group, fields in images)


def _joined(fields: tuple[Field, ...]) -> tuple[str, tuple[Field, ...]] | None:
    """Returns the image of all time points of a site; None if they differ in more than time."""
    groups = {_untimed(field, alone=len(fields) == 1) for field in fields}
    forms = {
        (field.height_px, field.width_px, field.dtype, field.pixel_size_um)
        for field in fields
        if not field.problem
    }
    times = {field.t for field in fields}
    if len(groups) != 1 or len(forms) > 1 or len(times) != len(fields):
        return None
    return groups.pop(), fields


def _untimed(field: Field, *, alone: bool) -> str:
    """Returns a field's group without its time point: ``B/3/1t7`` → ``B/3/1``, or ``film_t7`` → ``film``.

    The group of an image outside a plate may end so by its own name, if no other time point is there.
    """
    if field.well:
        return _TIMED_SITE.sub(r"\1", field.group)
    return field.group if alone else field.group.removesuffix(f"_t{field.t}")


def _image(plate: Plate, group: str, fields: tuple[Field, ...], selection: Selection) -> ConvertedImage:
    usable = [field for field in fields if not field.problem]
    selected = frozenset(field.key for field in usable if selection.includes(field))
    if not usable:
        return ConvertedImage(group, fields, selected, (), (0, 0, 0, 0, 0))
    names = {name for field in usable for name in _names(field)}
    channels = tuple(channel for channel in plate.channels if channel.name in names)
    # A single time point has no axis t, whichever it is, if its group names it.
    timed = len(fields) > 1 or group != fields[0].group
    times = max(field.t for field in fields) + 1 if timed else 1
    depth = max(plane.z for field in usable for plane in field.planes) + 1
    first = usable[0]
    shape = times, len(channels), depth, first.height_px, first.width_px
    return ConvertedImage(group, fields, selected, channels, shape)


def _names(field: Field) -> Iterable[str]:
    for plane in field.planes:
        yield from RGB_CHANNELS if plane.channel == RGB else (plane.channel,)


def _samples(field: Field) -> int:
    return sum(plane.samples for plane in field.planes)
