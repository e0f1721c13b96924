"""The model, normalisation and objects that a user asks for, on the command line or in Python.

They become :class:`nucbatch.core.settings.RunSettings`. A diameter in micrometres needs the images' pixel
size, so it is converted once that is known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from nucbatch.core.errors import InputError

if TYPE_CHECKING:
    from nucbatch.core.plate import Plate
    from nucbatch.core.settings import RunSettings

Diameter = float | str | None
"""A diameter as a user gives it: 60 or "60" (px), "12um", "auto", "none"; None for "auto"."""
Normalise = str | tuple[float, float] | None
"""A normalisation as a user gives it: its name, or two grey levels; None for the model's."""

_MICROMETRES = re.compile(r"\s*(?:um|µm|μm)\s*\Z")
_RENAMED = {"min_area": "min_area_px"}  # options whose setting has its unit in its name


@dataclass(frozen=True, slots=True)
class SegmentationOptions:
    """The options as given; None or empty where one was left out.

    Attributes:
        objects: the thresholds that were given, by their names in the settings.
    """

    model: str = "default"
    channel: str = ""
    diameter: Diameter = None
    precision: str = "auto"
    normalise: Normalise = None
    normalise_over: str | None = None
    objects: Mapping[str, object] = field(default_factory=dict)

    def settings(
        self,
        *,
        labels: str = "zarr",
        ome_zarr: str = "0.5",
        overlaps: str = "once",
        table: str = "parquet",
        images: str = "copy",
        pixel_size_um: float | None = None,
        plate: Plate | None = None,
        measure: Mapping[str, object] | None = None,
        counted: Mapping[str, object] | None = None,
    ) -> RunSettings:
        """Returns the run's settings.

        Args:
            labels: formats of the masks.
            ome_zarr: version of OME-Zarr.
            overlaps: whether nuclei in several overlapping fields count once.
            table: "csv" for the nuclei as CSV too.
            images: "copy", or "none" for an OME-Zarr of the labels alone.
            pixel_size_um: that the user gives; None for the files'.
            plate: its pixel size converts a diameter in micrometres. Without it, values are only checked, and
                such a diameter counts as none.
            measure: what is measured, by the settings' names.
            counted: which nuclei count, by the settings' names.

        Raises:
            InputError: an option has an invalid value, or the plate's pixel size is not known.
        """
        from nucbatch.core.settings import validated

        diameter_px = diameter_asked(self.diameter)
        if diameter_px is None:
            diameter_px = diameter_in_px(str(self.diameter), plate, pixel_size_um) if plate else "none"
        return validated(
            {
                "channel": self.channel,
                "model": self.model,
                "labels": labels,
                "ome_zarr": ome_zarr,
                "overlaps": overlaps,
                "table": table,
                "images": images,
                "precision": self.precision,
                "pixel_size_um": pixel_size_um,
                "diameter_px": diameter_px,
                "normalise": normalisation(self.normalise, self.normalise_over),
                "objects": self.objects,
                "measure": measure or {},
                "counted": counted or {},
            }
        )

    def image_settings(self, pixel_size_um: float | None) -> RunSettings:
        """Returns the settings for images in memory, whose pixel size only the user can give.

        Raises:
            InputError: an option has an invalid value, or a diameter in micrometres has no pixel size.
        """
        settings = self.settings(pixel_size_um=pixel_size_um)
        if diameter_asked(self.diameter) is not None:
            return settings
        if pixel_size_um is None:
            raise InputError(
                f"diameter {self.diameter} needs the image's pixel size: give pixel_size, in µm, or the "
                "diameter in pixels."
            )
        in_px = _in_px(str(self.diameter), pixel_size_um)
        return SegmentationOptions(
            self.model, self.channel, in_px, self.precision, self.normalise, self.normalise_over, self.objects
        ).settings(pixel_size_um=pixel_size_um)


def objects_given(**options: object) -> dict[str, object]:
    """Returns the thresholds that were given, by their names in the settings.

    >>> objects_given(foreground=None, min_area=40)
    {'min_area_px': 40}
    """
    return {_RENAMED.get(name, name): value for name, value in options.items() if value is not None}


def normalisation(method: Normalise, over: str | None) -> dict[str, object]:
    """The settings of ``--normalise`` and ``--normalise-over``.

    Raises:
        InputError: the method is neither a known name nor two numbers.
    """
    asked: dict[str, object] = {} if over is None else {"over": over}
    if method is None or method in ("foreground", "percentiles"):
        return asked if method is None else asked | {"method": method}
    try:
        low, high = map(float, _two(method))
    except (TypeError, ValueError):
        raise InputError(
            f"there is no --normalise {method}: give foreground, percentiles, or two grey levels such as "
            "100,4000."
        ) from None
    return asked | {"method": "fixed", "low": low, "high": high}


def _two(levels: str | Sequence[float]) -> Sequence[str | float]:
    return levels.split(",") if isinstance(levels, str) else levels


def diameter_asked(asked: Diameter) -> float | Literal["auto", "none"] | None:
    """The setting that ``--diameter`` asks for; None if it is in micrometres, which needs the pixel size.

    Raises:
        InputError: it is neither a number, with or without the unit um, nor ``auto`` or ``none``.
    """
    if asked is None or asked == "auto":
        return "auto"
    if asked == "none":
        return "none"
    number = _MICROMETRES.sub("", asked) if isinstance(asked, str) else asked
    try:
        value = float(number)
    except (TypeError, ValueError):
        raise InputError(
            f"--diameter {asked} is no diameter: give a number of pixels such as 60, or of micrometres such "
            "as 12um; auto, which measures the nuclei; or none, which leaves images as they are."
        ) from None
    return value if number == asked else None


def diameter_in_px(text: str, plate: Plate, pixel_size_um: float | None) -> float:
    """A diameter in micrometres such as ``12um`` in the plate's pixels, rounded to 0.01 px.

    Raises:
        InputError: the images' pixel size isn't known, or isn't the same in all.
    """
    sizes = {pixel_size_um or field.pixel_size_um for field in plate.fields if not field.problem}
    known = sorted(size for size in sizes if size is not None)
    if len(known) != len(sizes) or not known or known[-1] > 1.01 * known[0]:
        shown = ", ".join(f"{size:g} µm" for size in known[:3]) or "not known"
        raise InputError(
            f"--diameter {text} needs one pixel size for all images of {plate.name}; here it is {shown}"
            f"{' in some, and not known in others' if known and len(known) < len(sizes) else ''}. Give the "
            "diameter in pixels, or the pixel size with --pixel-size."
        )
    return _in_px(text, known[0])


def _in_px(text: str, pixel_size_um: float) -> float:
    return round(float(_MICROMETRES.sub("", text)) / pixel_size_um, 2)
