"""``FieldJob``: parameters that all tasks on a field share. It is picklable and 1 to 2 kB in size."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.plate import Channel, Field
from nucbatch.core.settings import RunSettings
from nucbatch.planning.plan import Plan
from nucbatch.readers.pixels import FieldReader, field_channels
from nucbatch.store.receipt import field_digest, inputs_digest
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stamps import ImagePaths
from nucbatch.store.verify_files import places_of

_Inputs = tuple[RunSettings, str, bool, tuple[str, ...]]

_latest: dict[str, tuple[_Inputs, str]] = {}
"""The inputs for which a digest was last computed, and that digest."""


@dataclass(frozen=True, slots=True)
class FieldJob:
    """A field with its source, settings and run folder.

    ``channels``: the field's own channels. ``weights``: path of the weight file. ``reader``: reads
    the plate's files. ``planned``: the job before it lost damaged channels; None if it lost none.
    """

    plate_name: str
    reader: FieldReader
    is_plate: bool
    field: Field
    channels: tuple[Channel, ...]
    folder: RunFolder
    settings: RunSettings
    weights: str
    planned: FieldJob | None = dataclasses.field(default=None, kw_only=True)

    def without(self, channels: Mapping[str, str]) -> Self:
        """Returns the job without these channels, given with the reasons why they are missing."""
        if not channels:
            return self
        left = tuple(channel for channel in self.channels if channel.name not in channels)
        field = self.field.without(channels)
        return replace(self, field=field, channels=left, planned=self.planned or self)

    @property
    def lost(self) -> tuple[tuple[str, str], ...]:
        """Channels that the field was planned with and that the job does without, each with the reason."""
        return self.field.lacking[len(self.planned.field.lacking) :] if self.planned else ()

    @property
    def channel(self) -> int | None:
        """Index of the segmented channel; see :func:`seen_channel`."""
        return seen_channel(self.channels, self.settings.channel)

    @property
    def places(self) -> ImagePaths:
        """Paths of the field's output files."""
        return places_of(self.folder, self.is_plate, self.field)

    @property
    def source_digest(self) -> str:
        """Digest of the planned field; see :func:`nucbatch.store.receipt.field_digest`."""
        return field_digest((self.planned or self).field)

    @property
    def inputs_digest(self) -> str:
        """Digest of the planned inputs; see :func:`nucbatch.store.receipt.inputs_digest`."""
        names = tuple(channel.name for channel in (self.planned or self).channels)
        inputs = self.settings, self.plate_name, self.is_plate, names
        found = _latest.get("digest")  # all fields of a run have the same inputs, or nearly all
        if found is None or found[0] != inputs:
            found = _latest["digest"] = inputs, inputs_digest(*inputs)
        return found[1]

    @classmethod
    def of(cls, plan: Plan, field: Field, folder: RunFolder, weights: str, *more: Any) -> Self:
        """Builds the job of a plan's field; ``more`` are further parameters of a subclass."""
        plate = plan.plate
        return cls(
            plate.name,
            FieldReader.of(plate),
            plate.is_plate,
            field,
            field_channels(plate, field),
            folder,
            plan.settings,
            weights,
            *more,
        )


def made_of_field(plan: Plan, field: Field) -> str:
    """Returns the digest of everything that a field's result depends on."""
    plate = plan.plate
    names = [channel.name for channel in field_channels(plate, field)]
    return inputs_digest(plan.settings, plate.name, plate.is_plate, names)


def seen_channel(channels: tuple[Channel, ...], wanted: str) -> int | None:
    """Returns the index of the segmented channel, or None for RGB.

    A field without the wanted channel is always a single RGB image; the plan rejects others.
    """
    names = [channel.name for channel in channels]
    return names.index(wanted) if wanted in names else None


def nuclear_image(image: NDArray[Any], channel: int | None) -> NDArray[Any]:
    """Selects from a field (C, Y, X) the network's input: a channel (Y, X), or RGB (Y, X, 3) if None."""
    return (
        np.asarray(image[channel]) if channel is not None else np.ascontiguousarray(image.transpose(1, 2, 0))
    )
