"""``--diameter``: the typical diameter of nuclei, in pixels or micrometres."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from nucbatch.core.plate import Plate

_MICROMETRES = re.compile(r"\s*(?:um|µm|μm)\s*\Z")


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
