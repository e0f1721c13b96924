"""Planes that a side file lists and that have no file: listed gaps, with the reason.

A field without any file is a gap. A field that lacks some planes of a channel lacks the channel: with a
missing z-step its projection would differ from that of the other fields.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from nucbatch.core.escape import printable
from nucbatch.readers.assemble import FieldKey


@dataclass(frozen=True, slots=True)
class ListedPlane:
    """Plane named by a side file.

    Attributes:
        file: the file's name as listed.
        key: the plane's field.
        channel: name of its channel.
    """

    file: str
    key: FieldKey
    channel: str


def losses(
    absent: Iterable[ListedPlane], found: Collection[FieldKey], side_file: str
) -> tuple[dict[FieldKey, str], dict[FieldKey, dict[str, str]]]:
    """Returns the reason for each field without a file, and for each channel that other fields lack.

    Args:
        absent: the planes that have no file.
        found: fields that have a file.
        side_file: path of the side file, for the reasons.
    """
    missing: dict[FieldKey, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for plane in absent:
        missing[plane.key][plane.channel].append(plane.file)
    gaps: dict[FieldKey, str] = {}
    lacking: dict[FieldKey, dict[str, str]] = {}
    for key, by_channel in missing.items():
        reasons = {channel: _reason(files, side_file) for channel, files in by_channel.items()}
        if key in found:
            lacking[key] = reasons
        else:
            gaps[key] = (
                f"no image: {_reason([file for files in by_channel.values() for file in files], side_file)}"
            )
    return gaps, lacking


def _reason(files: list[str], side_file: str) -> str:
    first, more = printable(min(files)), len(files) - 1
    those = f"{first} and {more:,} more files of it, which are" if more else f"{first}, which is"
    return f"{printable(side_file)} lists {those} not there"
