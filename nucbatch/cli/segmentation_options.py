"""Options of the model, of normalisation and of the objects: what a run computes.

They become :class:`nucbatch.core.settings.RunSettings`. A diameter in micrometres needs the plate's pixel
size, so it is converted once the plate is open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal

import click

from nucbatch.cli.headings import Command, headed, option

if TYPE_CHECKING:
    from nucbatch.core.plate import Plate
    from nucbatch.core.settings import RunSettings

_MICROMETRES = re.compile(r"\s*(?:um|µm|μm)\s*\Z")

_MODEL = (
    option("--model", default="default", show_default=True, help="A shipped model, or a weight file."),
    option("--channel", default="", help="Channel with the nuclei, if its name doesn't tell."),
    option(
        "--diameter",
        metavar="D",
        help="Typical diameter of a nucleus, to which images are rescaled for the model: 60 (px), or "
        "12um. none: no rescaling. auto: reduce images whose nuclei are much larger than the model knows, "
        "those of a plate all alike. [default: auto]",
    ),
    option(
        "--precision",
        type=click.Choice(["fp32", "bf16", "fp16"]),
        default="fp32",
        show_default=True,
        help="Numeric precision of the network. bf16 is up to twice as fast on processors that have it, "
        "and refused on those that would only emulate it; fp16 is for GPUs.",
    ),
    option(
        "--normalise",
        metavar="METHOD",
        help="foreground: by the levels of background and foreground. percentiles: 1 and 99.8 of all "
        "pixels. LOW,HIGH: these grey levels. [default: as the model was trained]",
    ),
    option(
        "--normalise-over",
        type=click.Choice(["field", "plate"]),
        help="One normalisation per field, or one for all fields, from up to 64 of them. [default: field]",
    ),
)
_OBJECTS = (
    option("--foreground", type=float, help="Least probability of a nucleus' pixels (0 to 1)."),
    option("--join", type=float, help="Merge centres closer than this fraction of the radius."),
    option(
        "--merge",
        type=float,
        help="Merge neighbouring nuclei where the interior map on their border exceeds this fraction of "
        "the lower of their maxima; 1 never.",
    ),
    option(
        "--interior",
        type=float,
        help="Least interior value of a nucleus' centre, for models without offsets.",
    ),
    option("--min-area", "min_area_px", type=int, help="Area of the smallest nucleus, in px."),
    option(
        "--micronuclei",
        type=click.Choice(["drop", "count"]),
        help="Objects of less than a third of the typical nucleus' diameter: micronuclei, apoptotic bodies, "
        "debris. Not for RGB images, and not with --min-area. [default: drop]",
    ),
)
_OBJECT_NAMES = ("foreground", "join", "merge", "interior", "min_area_px", "micronuclei")


@dataclass(frozen=True, slots=True)
class SegmentationOptions:
    """The options as given; None or empty where one was left out.

    Attributes:
        objects: the thresholds that were given, by their names in the settings.
    """

    model: str
    channel: str
    diameter: str | None
    precision: str
    normalise: str | None
    normalise_over: str | None
    objects: dict[str, float | str]

    def settings(
        self,
        *,
        labels: str,
        ome_zarr: str,
        overlaps: str,
        pixel_size_um: float | None,
        plate: Plate | None = None,
    ) -> RunSettings:
        """Returns the run's settings.

        Args:
            labels: formats of the masks.
            ome_zarr: version of OME-Zarr.
            overlaps: whether nuclei in several overlapping fields count once.
            pixel_size_um: that the user gives; None for the files'.
            plate: its pixel size converts a diameter in micrometres. Without it, values are only checked, and
                such a diameter counts as none.

        Raises:
            InputError: an option has an invalid value, or the plate's pixel size is not known.
        """
        from nucbatch.core.settings import validated

        diameter_px = diameter_asked(self.diameter)
        if self.diameter is not None and diameter_px is None:
            diameter_px = diameter_in_px(self.diameter, plate, pixel_size_um) if plate else "none"
        return validated(
            {
                "channel": self.channel,
                "model": self.model,
                "labels": labels,
                "ome_zarr": ome_zarr,
                "overlaps": overlaps,
                "precision": self.precision,
                "pixel_size_um": pixel_size_um,
                "diameter_px": diameter_px,
                "normalise": normalisation(self.normalise, self.normalise_over),
                "objects": self.objects,
            }
        )


def segmentation_options(command: Command) -> Command:
    """Adds the options; the command gets ``segmentation`` (SegmentationOptions)."""

    @wraps(command)
    def collected(**values: Any) -> Any:
        given = {name: values.pop(name) for name in _OBJECT_NAMES}
        objects = {name: value for name, value in given.items() if value is not None}
        own = {name: values.pop(name) for name in SegmentationOptions.__slots__ if name != "objects"}
        return command(segmentation=SegmentationOptions(**own, objects=objects), **values)

    decorated = headed("Nuclei [default: as the model's card says]", *_OBJECTS)(collected)
    return headed("Model and image", *_MODEL)(decorated)


def normalisation(method: str | None, over: str | None) -> dict[str, object]:
    """The settings of ``--normalise`` and ``--normalise-over``.

    Raises:
        InputError: the method is neither a known name nor two numbers.
    """
    from nucbatch.core.errors import InputError

    asked: dict[str, object] = {} if over is None else {"over": over}
    if method is None or method in ("foreground", "percentiles"):
        return asked if method is None else asked | {"method": method}
    try:
        low, high = (float(value) for value in method.split(","))
    except ValueError:
        raise InputError(
            f"there is no --normalise {method}: give foreground, percentiles, or two grey levels such as "
            "100,4000."
        ) from None
    return asked | {"method": "fixed", "low": low, "high": high}


def diameter_asked(text: str | None) -> float | Literal["auto", "none"] | None:
    """The setting that ``--diameter`` asks for; None if it is in micrometres, which needs the pixel size.

    Raises:
        InputError: it is neither a number, with or without the unit um, nor ``auto`` or ``none``.
    """
    from nucbatch.core.errors import InputError

    if text is None or text == "auto":
        return "auto"
    if text == "none":
        return "none"
    number = _MICROMETRES.sub("", text)
    try:
        value = float(number)
    except ValueError:
        raise InputError(
            f"--diameter {text} is no diameter: give a number of pixels such as 60, or of micrometres such "
            "as 12um; auto, which measures the nuclei; or none, which leaves images as they are."
        ) from None
    return value if number == text else None


def diameter_in_px(text: str, plate: Plate, pixel_size_um: float | None) -> float:
    """A diameter in micrometres such as ``12um`` in the plate's pixels, rounded to 0.01 px.

    Raises:
        InputError: the images' pixel size isn't known, or isn't the same in all.
    """
    from nucbatch.core.errors import InputError

    sizes = {pixel_size_um or field.pixel_size_um for field in plate.fields if not field.problem}
    known = sorted(size for size in sizes if size is not None)
    if len(known) != len(sizes) or not known or known[-1] > 1.01 * known[0]:
        shown = ", ".join(f"{size:g} µm" for size in known[:3]) or "not known"
        raise InputError(
            f"--diameter {text} needs one pixel size for all images of {plate.name}; here it is {shown}"
            f"{' in some, and not known in others' if known and len(known) < len(sizes) else ''}. Give the "
            "diameter in pixels, or the pixel size with --pixel-size."
        )
    return round(float(_MICROMETRES.sub("", text)) / known[0], 2)
