"""What every piece of work on a field must know: picklable, a kilobyte or two, the same for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from nucbatch.core.plate import Channel, Field
from nucbatch.core.settings import RunSettings
from nucbatch.planning.plan import Plan
from nucbatch.readers.pixels import field_channels
from nucbatch.store.folder import RunFolder
from nucbatch.store.receipt import inputs_digest
from nucbatch.store.stamps import ImagePaths
from nucbatch.store.verify_files import places_of


@dataclass(frozen=True, slots=True)
class FieldJob:
    """A field, where it comes from, and the run it is in.

    ``channels`` are the field's own, ``weights`` is a path, ``read_timeout_s`` how long a read may take.
    """

    plate_name: str
    plate_root: str
    is_plate: bool
    field: Field
    channels: tuple[Channel, ...]
    folder: RunFolder
    settings: RunSettings
    weights: str
    read_timeout_s: float

    @property
    def channel(self) -> int | None:
        """See :func:`seen_channel`."""
        return seen_channel(self.channels, self.settings.channel)

    @property
    def places(self) -> ImagePaths:
        """Where its files lie."""
        return places_of(self.folder, self.is_plate, self.field)

    @property
    def inputs_digest(self) -> str:
        """See :func:`nucbatch.store.receipt.inputs_digest`."""
        names = [channel.name for channel in self.channels]
        return inputs_digest(self.settings, self.plate_name, self.is_plate, names)

    @classmethod
    def of(cls, plan: Plan, field: Field, folder: RunFolder, weights: str, *more: Any) -> Self:
        """The job of a plan's field; ``more`` is what a kind of job knows beyond it."""
        plate = plan.plate
        return cls(
            plate.name,
            plate.root,
            plate.is_plate,
            field,
            field_channels(plate, field),
            folder,
            plan.settings,
            weights,
            plan.read_timeout_s,
            *more,
        )


def made_of_field(plan: Plan, field: Field) -> str:
    """What a job of a plan's field is made of."""
    plate = plan.plate
    names = [channel.name for channel in field_channels(plate, field)]
    return inputs_digest(plan.settings, plate.name, plate.is_plate, names)


def seen_channel(channels: tuple[Channel, ...], wanted: str) -> int | None:
    """Which of a field's channels the network sees; None where it is RGB.

    The plan lets a field without the wanted channel pass only if it is one RGB image.
    """
    names = [channel.name for channel in channels]
    return names.index(wanted) if wanted in names else None
