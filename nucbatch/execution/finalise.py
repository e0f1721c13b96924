"""Finalises a run: writes the tables and the well statistics from the files on disk.

The result depends only on the plate, the ledger and the table fragments. So finalising twice, or after a
restart, gives the same files.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Literal

import numpy as np
import pandas as pd

from nucbatch.core.calibration import Calibration
from nucbatch.core.familiarity import figures_of_field
from nucbatch.core.measure_settings import EVERY_NUCLEUS, CountSettings
from nucbatch.core.plate import Field, FileStatus, Plate, field_rows
from nucbatch.core.selection import EVERYTHING, Selection
from nucbatch.execution.count_once import count_once, covered_mm2
from nucbatch.execution.left_out import NONE, labels_of
from nucbatch.execution.left_out import left_out as nuclei_left_out
from nucbatch.experiment.field_layout import placed_fields
from nucbatch.experiment.intervals import Intervals, intervals_of
from nucbatch.experiment.wells import by_well
from nucbatch.features.quality import (
    IMPLAUSIBLE_SIZE,
    MICRONUCLEI,
    MISSING_CHANNEL,
    NUCLEAR_DIAMETER,
    OTHER_SCALE,
    UNFAMILIAR,
    WRONG_POSITIONS,
    ZOOM,
    flags_of,
)
from nucbatch.features.quality_limits import COUNT_Z, JudgedField, Judgement, judge
from nucbatch.inference.scale import AS_IT_IS, Scale
from nucbatch.readers.pixels import field_channels
from nucbatch.readers.rules import RULES
from nucbatch.store.csv_table import write_nuclei_csv
from nucbatch.store.fields_table import has_positions, write_fields
from nucbatch.store.images import create_images
from nucbatch.store.ngff import Version
from nucbatch.store.receipt import Receipt
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.sheets import FileOutcome, write_files_csv, write_wells
from nucbatch.store.stamps import TABLE
from nucbatch.store.tables import concatenate


@dataclass(frozen=True, slots=True)
class Totals:
    """Totals of a run: numbers of fields, nuclei and files by status. Quarantined fields count as failed.

    ``nuclei``: of all ``time_points``; a nucleus followed over time counts once per time point, and one in
    several overlapping fields once. ``seen``: as many as all masks have. Both are without ``left_out``: those
    that the user leaves out by size or because they touch the border.
    ``fields_not_selected``: usable fields that no session has selected yet.
    ``fields_gone``: fields that an earlier session has done and the input no longer has.
    ``fields_lacking``: done fields that lack a channel, other than the segmented one.
    ``absent_chunks``: how many of the ``chunks`` or tiles of the images used were never written.
    ``flagged``: number of done fields by flag (:data:`nucbatch.features.quality.FLAGS`).
    ``diameter_px``: median of the fields' nuclear diameters; None without nuclei.
    ``rescaled``: number of fields that were rescaled for the network.
    ``at_shared_edges``: number of counted nuclei at edges where fields adjoin without overlapping.
    ``maps_bytes``: size of the probabilities that are kept of fields of one block.
    ``quality``: limits of the quality figures, for run.json.
    """

    fields_done: int
    fields_failed: int
    nuclei: int
    files_used: int
    files_ignored: int
    files_quarantined: int
    flagged: Mapping[str, int]
    absent_chunks: int = 0
    chunks: int = 0
    time_points: int = 1
    fields_lacking: int = 0
    fields_gone: int = 0
    fields_not_selected: int = 0
    diameter_px: float | None = None
    rescaled: int = 0
    seen: int = 0
    left_out: int = 0
    maps_bytes: int = 0
    at_shared_edges: int = 0
    quality: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether nothing failed, nothing was quarantined, and no channel and no field is missing."""
        bad = self.fields_failed, self.files_quarantined, self.fields_lacking, self.fields_gone
        return not any(bad)


def finalise(
    folder: RunFolder,
    plate: Plate,
    receipts: Mapping[str, Receipt],
    *,
    ome_zarr: Version | None,
    scale: Scale = AS_IT_IS,
    selection: Selection = EVERYTHING,
    overlaps: Literal["once", "keep"] = "once",
    counted: CountSettings = EVERY_NUCLEUS,
    table: Literal["parquet", "csv"] = "parquet",
    calibration: Calibration | None = None,
) -> Totals:
    """Writes the tables and the OME-Zarr's list of images.

    Args:
        folder: the run's folder.
        plate: the plate as planned.
        receipts: the latest receipt of each field, by key.
        ome_zarr: version of the run's OME-Zarr; None if it keeps none.
        scale: the run's scale; if it was measured for the whole plate, fields that disagree are flagged.
        selection: the part of the plate that was processed now; what earlier sessions processed stays.
        overlaps: whether a nucleus in several overlapping fields counts once, or all are kept; the positions
            are checked either way.
        table: whether the nuclei are written as CSV too.
        counted: which nuclei count.
        calibration: of the model; None gives no intervals.

    Raises:
        DamagedFile: a field's table fragment does not match its receipt.
        StoreError: a file can't be written.
    """
    left_out = not_selected(plate, receipts, selection)
    unused = unused_files(plate, receipts, left_out)
    plate = _as_read(plate, receipts)
    done = [field for field in plate.fields if _is_done(field, receipts)]
    fragment_of = {field.key: folder.fragment(field.key) for field in done}
    kinds = {field_channels(plate, field): fragment_of[field.key] for field in done}
    by_order = sorted(kinds, key=lambda channels: [channel.index for channel in channels])
    examples = [kinds[channels] for channels in by_order] if len(kinds) > 1 else ()
    fragments = {fragment_of[field.key]: receipts[field.key].files.stamp(TABLE) for field in done}
    metadata = {
        fragment_of[field.key]: (("Metadata_PixelSize_um", field.pixel_size_um), *field.metadata)
        for field in done
    }
    not_wanted = {key: dict(reasons) for key, reasons in nuclei_left_out(folder, done, counted).items()}
    fewer = {key: labels_of(reasons) for key, reasons in not_wanted.items()}
    once = count_once(folder, done, keep=overlaps == "keep", left_out=fewer)
    not_counted = {
        fragment_of[field.key]: {"overlap": once.elsewhere.get(field.key, NONE)}
        | not_wanted.get(field.key, {})
        for field in done
    }
    marked = not_counted if has_positions(done) or counted.leaves_out else None
    sizes_um = {fragment_of[field.key]: field.pixel_size_um for field in done}
    concatenate(fragments, folder.nuclei, examples, fragments, metadata, marked, sizes_um)
    judgement = judge([_judged(field, receipts[field.key]) for field in done])
    write_nuclei_csv(folder, wanted=table == "csv")
    flags = {
        field.key: [
            *flags_of(receipts[field.key].qc),
            *_doubtful_sizes(scale, receipts[field.key]),
            *judgement.flags[field.key],
            *_missing(field),
            *_unfamiliar(field, receipts[field.key], calibration),
            *([WRONG_POSITIONS] if field.key in once.doubtful else []),
        ]
        for field in done
    }
    diameters = [receipts[field.key].qc.get(NUCLEAR_DIAMETER, 0.0) for field in done]
    elsewhere = {
        key: len(np.setdiff1d(labels, fewer.get(key, NONE))) for key, labels in once.elsewhere.items()
    }
    unwanted = {key: len(labels) for key, labels in fewer.items()} if counted.leaves_out else None
    shown = _with_count_z(receipts, judgement)
    counts = {
        field.key: receipts[field.key].nuclei
        - (unwanted or {}).get(field.key, 0)
        - elsewhere.get(field.key, 0)
        for field in done
    }
    intervals = Intervals()
    if calibration is not None and calibration.interval is not None:
        intervals = intervals_of(folder.nuclei, calibration.interval, done, counts)
    write_fields(
        *(folder.fields, plate, shown, flags, left_out, elsewhere, once.at_shared_edges, unwanted),
        intervals=intervals.fields,
    )
    areas = covered_mm2(done, once.refused if overlaps == "once" else placed_fields(done))
    wells = by_well(folder.nuclei, pd.read_parquet(folder.fields), areas, intervals.wells)
    write_wells(folder.wells, wells)
    fates = write_files_csv(folder.files, plate, unused)
    failures = {key: receipt.reason for key, receipt in receipts.items() if receipt.status == "failed"}
    if ome_zarr is not None:
        create_images(folder, plate, failures, left_out=left_out, reasons=failures, version=ome_zarr)
    without = sum((unwanted or {}).values())
    seen = sum(receipts[field.key].nuclei for field in done) - without
    return Totals(
        fields_done=len(done),
        fields_failed=len(plate.fields) - len(done) - len(left_out),
        fields_not_selected=len(left_out),
        nuclei=seen - sum(elsewhere.values()),
        seen=seen,
        left_out=without,
        files_used=fates[FileStatus.USED],
        files_ignored=fates[FileStatus.IGNORED],
        files_quarantined=fates[FileStatus.QUARANTINED],
        time_points=len({field.t for field in plate.fields}),
        fields_gone=len(
            {key for key, receipt in receipts.items() if receipt.status == "done"}
            - {field.key for field in plate.fields}
        ),
        fields_lacking=sum(bool(field.lacking) for field in done),
        absent_chunks=sum(file.absent_chunks for file in plate.files if file.status is FileStatus.USED),
        chunks=sum(file.chunks for file in plate.files if file.status is FileStatus.USED),
        flagged=Counter(flag for names in flags.values() for flag in names),
        diameter_px=median(known) if (known := [one for one in diameters if one > 0]) else None,
        at_shared_edges=sum(once.at_shared_edges.values()),
        maps_bytes=sum(receipts[field.key].maps_bytes for field in done),
        quality=judgement.quality,
        rescaled=sum(receipts[field.key].qc.get(ZOOM, 1.0) != 1 for field in done),
    )


def _as_read(plate: Plate, receipts: Mapping[str, Receipt]) -> Plate:
    """Returns the plate without channels that proved damaged when their pixels were read."""
    lost = {key: dict(receipt.lacking) for key, receipt in receipts.items() if receipt.lacking}
    if not lost:
        return plate
    fields = field_rows(field.without(lost.get(field.key, {})) for field in plate.fields)
    return replace(plate, fields=fields)


def _judged(field: Field, receipt: Receipt) -> JudgedField:
    colour = any(plane.samples > 1 for plane in field.planes)
    pixels, kind = field.height_px * field.width_px, f"{field.dtype} {field.height_px} × {field.width_px} px"
    return JudgedField(field.key, field.t, pixels, receipt.nuclei, receipt.qc, colour, kind)


def _with_count_z(receipts: Mapping[str, Receipt], judgement: Judgement) -> dict[str, Receipt]:
    """Returns the receipts with the robust z of their counts among the figures."""
    return {
        key: replace(receipt, qc=receipt.qc | {COUNT_Z: judgement.count_z[key]})
        if key in judgement.count_z
        else receipt
        for key, receipt in receipts.items()
    }


def _doubtful_sizes(scale: Scale, receipt: Receipt) -> list[str]:
    """Returns flags of a field whose nuclei do not fit the scale at which they were found."""
    seen = receipt.qc.get(NUCLEAR_DIAMETER, 0.0), receipt.qc.get(ZOOM, 1.0)
    mostly_left_out = receipt.qc.get(MICRONUCLEI, 0) > receipt.nuclei
    differs = scale.differs_alone(*seen) or mostly_left_out
    flags = [OTHER_SCALE] if scale.of_plate and differs else []
    return flags + ([IMPLAUSIBLE_SIZE] if scale.implausible(*seen) else [])


def _unfamiliar(field: Field, receipt: Receipt, calibration: Calibration | None) -> list[str]:
    """Returns a flag if the field is unlike all images that the model was made with; it says in what."""
    if calibration is None or calibration.familiarity is None:
        return []
    colour = any(plane.samples > 1 for plane in field.planes)
    figures = figures_of_field(receipt.qc, receipt.nuclei, field.height_px * field.width_px, colour)
    reason = "" if figures is None else calibration.familiarity.reason(figures)
    return [f"{UNFAMILIAR} {reason}"] if reason else []


def _missing(field: Field) -> list[str]:
    """Returns a flag for each missing channel; ``;`` separates flags, so it is replaced in channel names."""
    return [f"{MISSING_CHANNEL} {channel.replace(';', ',')}" for channel, _ in field.lacking]


def not_selected(plate: Plate, receipts: Container[str], selection: Selection) -> frozenset[str]:
    """Returns the keys of usable fields that are not selected and that no earlier session has processed."""
    return frozenset(
        field.key
        for field in plate.fields
        if not field.problem and field.key not in receipts and not selection.includes(field)
    )


def unused_files(
    plate: Plate, receipts: Mapping[str, Receipt], left_out: Container[str] = ()
) -> dict[str, FileOutcome]:
    """Returns the outcome, by path, of planned files that were not used.

    Unreadable files are quarantined; such reasons begin with the file's path. The other files of a failed
    field, and those of fields ``left_out`` that are not selected, are ignored by a rule, unless another field
    uses them.
    """
    good: set[str] = set()
    fates: dict[str, FileOutcome] = {}
    for field in plate.fields:
        receipt = receipts.get(field.key)
        is_left_out = field.key in left_out
        is_used = not is_left_out and (receipt is None or receipt.status == "done")
        reasons = [reason for _, reason in receipt.lacking] if receipt else []
        if is_used:
            lost = dict(receipt.lacking) if receipt else {}
            good.update(_paths(field.without(lost)))
        elif receipt:
            reasons.append(receipt.reason)
        unread = {
            path: reason.removeprefix(f"{path}: ")
            for path in _paths(field)
            for reason in reasons
            if reason.startswith(f"{path}: ")
        }
        fates |= {path: (FileStatus.QUARANTINED, reason) for path, reason in unread.items()}
        if not is_used:
            rule = "not-selected" if is_left_out else "incomplete-field" if unread else "failed-field"
            for path in _paths(field):
                fates.setdefault(path, (FileStatus.IGNORED, f"{rule}: {RULES[rule]}"))
    return {
        path: fate for path, fate in fates.items() if fate[0] is FileStatus.QUARANTINED or path not in good
    }


def _paths(field: Field) -> dict[str, None]:
    """Returns the paths of a field's files, its mask included."""
    masks = [] if field.mask is None else [field.mask.path]
    return dict.fromkeys([*(plane.path for plane in field.planes), *masks])


def _is_done(field: Field, receipts: Mapping[str, Receipt]) -> bool:
    receipt = receipts.get(field.key)
    return not field.problem and receipt is not None and receipt.status == "done"
