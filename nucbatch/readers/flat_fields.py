"""Decides whether the illumination of a plate's channels is corrected, and says so.

A vendor's profile is applied only if the user asks for it with ``--flatfield``, and images of the user's with
``--illumination``. Otherwise a plate is read uncorrected; if it has profiles, with a message for the user.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from nucbatch.core.errors import InputError
from nucbatch.core.escape import printable
from nucbatch.core.illumination import IlluminationImage
from nucbatch.core.plate import Plate


def with_flat_fields(plate: Plate, wanted: bool) -> Plate:
    """Returns the plate with or without correction, and a remark about the channels that are uncorrected.

    Args:
        plate: with the sizes of its images.
        wanted: divide channels by their flat fields.

    Raises:
        InputError: a correction is wanted, and no channel has a flat field; or one does not fit the images.
    """
    known = [channel for channel in plate.channels if channel.flat_field]
    names = ", ".join(printable(channel.name) for channel in known)
    if not wanted:
        if not known:
            return plate
        remark = f"Uncorrected: the plate has flat-field profiles ({names}), and --flatfield applies them."
        return replace(plate, remarks=(*plate.remarks, remark))
    if not known:
        raise InputError(
            f"--flatfield: no usable flat-field profile was found with {printable(plate.name)} (layout "
            f"{plate.layout}): leave it out. {' '.join(plate.remarks)}".rstrip()
        )
    for channel in known:
        wide, high = channel.flat_field.size_px if channel.flat_field else (0, 0)
        others = [
            field
            for field in plate.fields
            if not field.problem
            and (field.width_px, field.height_px) != (wide, high)
            and any(plane.channel == channel.name for plane in field.planes)
        ]
        if others:
            raise InputError(
                f"--flatfield: the profile of channel {printable(channel.name)} is for {high} × {wide} px, "
                f"and {others[0].name} has {others[0].height_px} × {others[0].width_px} px: leave it out."
            )
    rest = ", ".join(printable(channel.name) for channel in plate.channels if not channel.flat_field)
    remark = f"Uncorrected, for lack of a flat-field profile: {rest}." if rest else ""
    return replace(plate, corrected=True, remarks=(*plate.remarks, *filter(None, [remark])))


def flat_fields_in_effect(plate: Plate) -> dict[str, str]:
    """Returns for each channel with a flat field its digest if it is applied, or "uncorrected"."""
    return {
        channel.name: channel.flat_field.digest() if plate.corrected else "uncorrected"
        for channel in plate.channels
        if channel.flat_field
    }


def illumination_text(plate: Plate) -> str:
    """Returns whether and how the illumination is corrected: ``"not corrected"`` by default."""
    if not plate.corrected:
        return "not corrected"
    images = [one.flat_field for one in plate.channels if isinstance(one.flat_field, IlluminationImage)]
    if not images:
        return "divided by the vendor's flat-field profiles"
    how = "divided by" if images[0].method == "divide" else "reduced by subtracting"
    return f"{how} the images in {Path(images[0].path).parent}"
