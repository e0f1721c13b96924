"""The fields of a run that are done, with what the end of a run needs of their receipts, by column.

The receipts of 10⁶ fields are gigabytes as Python objects, so each is parsed when it is needed: here in one
pass for what is judged over all fields, and later for its row in the table of fields.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from operator import not_

from nucbatch.core.calibration import Calibration
from nucbatch.core.familiarity import figures_of_field
from nucbatch.core.plate import Field, Plate
from nucbatch.core.rows import Rows
from nucbatch.features.quality import (
    IMPLAUSIBLE_SIZE,
    MICRONUCLEI,
    MISSING_CHANNEL,
    NUCLEAR_DIAMETER,
    OTHER_SCALE,
    UNFAMILIAR,
    ZOOM,
    flags_of,
)
from nucbatch.features.quality_limits import JudgedField, JudgedFields, Judgement, judge
from nucbatch.inference.scale import Scale
from nucbatch.store.held_receipts import HeldReceipts
from nucbatch.store.receipt import Receipt
from nucbatch.store.stamps import TABLE, Stamp


@dataclass(slots=True)
class DoneFields:
    """The fields that are done, in the plate's order.

    Attributes:
        fields: as read, without channels that proved damaged.
        nuclei: number of nuclei of each.
        flags: doubts that follow from a field alone, by its place: those of its figures, and others.
        figure_names: names of all their ``QC_`` columns.
        diameters_px: nuclear diameters of those that have nuclei.
        rescaled: number of those that were rescaled for the network.
        maps_bytes: size of their probabilities that are kept.
    """

    fields: Rows[Field]
    nuclei: array[int] = field(default_factory=lambda: array("q"))
    flags: dict[int, tuple[list[str], list[str]]] = field(default_factory=dict)
    figure_names: set[str] = field(default_factory=set)
    diameters_px: array[float] = field(default_factory=lambda: array("d"))
    rescaled: int = 0
    maps_bytes: int = 0
    _judged: JudgedFields = field(default_factory=JudgedFields)
    _sizes: array[int] = field(default_factory=lambda: array("q"))
    _checksums: array[int] = field(default_factory=lambda: array("L"))

    @classmethod
    def of(
        cls, plate: Plate, receipts: HeldReceipts, scale: Scale, calibration: Calibration | None
    ) -> DoneFields:
        """Reads the receipts of the fields that are done; ``plate`` is as read, see :func:`as_read`."""
        found = cls(_done(plate, receipts))
        for one in found.fields:
            found._append(one, receipts[one.key], scale, calibration)
        return found

    def __len__(self) -> int:
        return len(self.fields)

    def move(self, plate: Plate, receipts: HeldReceipts) -> None:
        """Takes the positions of the fields from a plate that is otherwise the same."""
        self.fields = _done(plate, receipts)

    def judge(self) -> Judgement:
        """Judges the fields by their figures, most of what is held of them, which then are no longer held."""
        judged, self._judged = self._judged, JudgedFields()
        return judge(judged)

    def stamp(self, place: int) -> Stamp:
        """The stamp of a field's table fragment."""
        return Stamp(self._sizes[place], self._checksums[place])

    def _append(self, one: Field, receipt: Receipt, scale: Scale, calibration: Calibration | None) -> None:
        qc, pixels = receipt.qc, one.height_px * one.width_px
        colour = any(plane.samples > 1 for plane in one.planes)
        kind = f"{one.dtype} {one.height_px} × {one.width_px} px"
        of_figures = [*flags_of(qc), *_doubtful_sizes(scale, receipt)]
        others = [*_missing(one), *_unfamiliar(receipt, pixels, colour, calibration)]
        if of_figures or others:
            self.flags[len(self.nuclei)] = of_figures, others
        self._judged.append(JudgedField(one.t, pixels, receipt.nuclei, qc, colour, kind))
        self.nuclei.append(receipt.nuclei)
        self.figure_names.update(qc)
        self.rescaled += qc.get(ZOOM, 1.0) != 1
        self.maps_bytes += receipt.maps_bytes
        diameter_px = qc.get(NUCLEAR_DIAMETER, 0.0)
        if diameter_px > 0:
            self.diameters_px.append(diameter_px)
        stamp = receipt.files.stamp(TABLE)
        self._sizes.append(stamp.size_bytes)
        self._checksums.append(stamp.crc)


def _done(plate: Plate, receipts: HeldReceipts) -> Rows[Field]:
    return plate.fields.where("problem", not_).where("group", receipts.is_done)


@dataclass(frozen=True, slots=True)
class Troubles:
    """What went wrong: the reason for each failed field, and for each channel that a field has lost."""

    failed: dict[str, str]
    lacking: dict[str, Mapping[str, str]]

    @classmethod
    def of(cls, receipts: HeldReceipts) -> Troubles:
        """Reads them from the receipts that have any."""
        found = cls({}, {})
        for key in receipts.troubled():
            receipt = receipts[key]
            if receipt.status == "failed":
                found.failed[key] = receipt.reason
            if receipt.lacking:
                found.lacking[key] = dict(receipt.lacking)
        return found


def as_read(plate: Plate, lacking: Mapping[str, Mapping[str, str]]) -> Plate:
    """Returns the plate without channels that proved damaged when their pixels were read."""
    changes = {
        place: plate.fields[place].without(lacking[key])
        for place, key in enumerate(plate.fields.values("group"))
        if key in lacking
    }
    return replace(plate, fields=plate.fields.replaced(changes)) if changes else plate


def _doubtful_sizes(scale: Scale, receipt: Receipt) -> list[str]:
    """Returns flags of a field whose nuclei do not fit the scale at which they were found."""
    seen = receipt.qc.get(NUCLEAR_DIAMETER, 0.0), receipt.qc.get(ZOOM, 1.0)
    mostly_left_out = receipt.qc.get(MICRONUCLEI, 0) > receipt.nuclei
    differs = scale.differs_alone(*seen) or mostly_left_out
    flags = [OTHER_SCALE] if scale.of_plate and differs else []
    return flags + ([IMPLAUSIBLE_SIZE] if scale.implausible(*seen) else [])


def _unfamiliar(receipt: Receipt, pixels: int, colour: bool, calibration: Calibration | None) -> list[str]:
    """Returns a flag if the field is unlike all images that the model was made with; it says in what."""
    if calibration is None or calibration.familiarity is None:
        return []
    figures = figures_of_field(receipt.qc, receipt.nuclei, pixels, colour)
    reason = "" if figures is None else calibration.familiarity.reason(figures)
    return [f"{UNFAMILIAR} {reason}"] if reason else []


def _missing(one: Field) -> list[str]:
    """Returns a flag for each missing channel; ``;`` separates flags, so it is replaced in channel names."""
    return [f"{MISSING_CHANNEL} {channel.replace(';', ',')}" for channel, _ in one.lacking]
