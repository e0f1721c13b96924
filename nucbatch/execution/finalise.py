"""Finalises a run: writes the tables and the well statistics from the files on disk.

The result depends only on the plate, the ledger and the table fragments. So finalising twice, or after a
restart, gives the same files.
"""

from __future__ import annotations

import dataclasses
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nucbatch.core.calibration import Calibration
from nucbatch.core.measure_settings import EVERY_NUCLEUS, CountSettings
from nucbatch.core.plate import Field, FileStatus, Plate
from nucbatch.core.rows import Rows
from nucbatch.core.selection import EVERYTHING, Selection
from nucbatch.execution.count_once import CountedOnce, count_once, covered_mm2
from nucbatch.execution.done_fields import DoneFields, Troubles, as_read
from nucbatch.execution.left_out import LeftOut
from nucbatch.execution.left_out import left_out as nuclei_left_out
from nucbatch.execution.stage_positions import StagePositions
from nucbatch.execution.unused_files import not_selected, unused_files, with_lost_originals
from nucbatch.experiment.intervals import Intervals, intervals_of
from nucbatch.experiment.well_fields import fields_by_well
from nucbatch.experiment.wells import by_well
from nucbatch.features.quality import WRONG_POSITIONS
from nucbatch.features.quality_limits import COUNT_Z, Judgement, median
from nucbatch.inference.scale import AS_IT_IS, Scale
from nucbatch.readers.pixels import field_channels
from nucbatch.store.csv_table import write_nuclei_csv
from nucbatch.store.fields_table import FieldOutcome, has_positions, write_fields
from nucbatch.store.held_receipts import HeldReceipts
from nucbatch.store.images import create_images
from nucbatch.store.ngff import Version
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.sheets import write_files_csv, write_wells
from nucbatch.store.tables import FieldRows, concatenate


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
    ``stage``: a sentence on how the stage's axes run, if the images had to tell; else empty.
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
    stage: str = ""
    quality: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether nothing failed, nothing was quarantined, and no channel and no field is missing."""
        bad = self.fields_failed, self.files_quarantined, self.fields_lacking, self.fields_gone
        return not any(bad)


def finalise(
    folder: RunFolder,
    plate: Plate,
    receipts: HeldReceipts,
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
    deselected = not_selected(plate, receipts, selection)
    troubles = Troubles.of(receipts)
    unused = unused_files(plate, troubles.failed, troubles.lacking, deselected)
    plate = with_lost_originals(as_read(plate, troubles.lacking), unused)
    placed = StagePositions.of(folder, plate, receipts)
    plate = placed.plate
    done = DoneFields.of(plate, receipts, scale, calibration)
    left_out = nuclei_left_out(folder, done.fields, counted)
    once = count_once(folder, done.fields, left_out, keep=overlaps == "keep")
    if once.mostly_refused and (turned := StagePositions.turned(folder, plate, receipts)):
        placed, plate = turned, turned.plate
        done.move(plate, receipts)
        once = count_once(folder, done.fields, left_out, keep=overlaps == "keep")
    concatenate(
        _rows(folder, done, once, left_out),
        folder.nuclei,
        _examples(folder, plate, done.fields),
        marked=has_positions(done.fields) or counted.leaves_out,
        in_micrometres=any(done.fields.values("pixel_size_um")),
    )
    write_nuclei_csv(folder, wanted=table == "csv")
    judgement = done.judge()
    numbers = _Numbers.of(done, once, left_out)
    intervals = Intervals()
    if calibration is not None and calibration.interval is not None:
        intervals = intervals_of(folder.nuclei, calibration.interval, done.fields, numbers.counted)
    flagged: Counter[str] = Counter()

    def outcomes() -> Iterator[FieldOutcome]:
        place = 0
        for field in plate.fields:
            own = FieldOutcome.of(field, receipts.get(field.key), selected=field.key not in deselected)
            if own.status == "done":
                flags = _flags(field.key, place, done, judgement, once)
                flagged.update(flags)
                z = float(judgement.count_z[place])
                own = replace(
                    own,
                    flags=flags,
                    figures=own.figures if np.isnan(z) else {**own.figures, COUNT_Z: z},
                    left_out=numbers.left_out[place],
                    elsewhere=numbers.elsewhere[place],
                    at_shared_edges=_known(once.at_shared_edges, place),
                    interval=(int(intervals.low[place]), int(intervals.high[place]))
                    if len(intervals.low)
                    else None,
                )
                place += 1
            yield own

    has_z = not np.isnan(judgement.count_z).all()
    write_fields(
        folder.fields,
        plate,
        outcomes(),
        done.figure_names | ({COUNT_Z} if has_z else set()),
        left_out=counted.leaves_out,
        at_edges=len(once.at_shared_edges) > 0,
        intervals=len(intervals.low) > 0,
    )
    areas = covered_mm2(done.fields, once.refused, keep=overlaps == "keep")
    write_wells(folder.wells, by_well(folder.nuclei, fields_by_well(folder.fields), areas, intervals.wells))
    fates = write_files_csv(folder.files, plate, unused)
    if ome_zarr is not None:
        failed = troubles.failed
        create_images(folder, plate, failed, left_out=deselected, reasons=failed, version=ome_zarr)
    used = [file for file in plate.files.where("chunks", bool) if file.status is FileStatus.USED]
    without = sum(numbers.left_out)
    seen = sum(done.nuclei) - without
    return Totals(
        fields_done=len(done),
        fields_failed=len(plate.fields) - len(done) - len(deselected),
        fields_not_selected=len(deselected),
        nuclei=seen - sum(numbers.elsewhere),
        seen=seen,
        left_out=without,
        files_used=fates[FileStatus.USED],
        files_ignored=fates[FileStatus.IGNORED],
        files_quarantined=fates[FileStatus.QUARANTINED],
        time_points=len(plate.fields.distinct("t")),
        fields_gone=sum(1 for _ in receipts.done())
        - sum(map(receipts.is_done, plate.fields.values("group"))),
        fields_lacking=sum(map(bool, done.fields.values("lacking"))),
        absent_chunks=sum(file.absent_chunks for file in used),
        chunks=sum(file.chunks for file in used),
        flagged=flagged,
        diameter_px=median(np.array(done.diameters_px)) if done.diameters_px else None,
        at_shared_edges=sum(count for count in once.at_shared_edges if count > 0),
        maps_bytes=done.maps_bytes,
        quality=judgement.quality,
        stage=placed.remark,
        rescaled=done.rescaled,
    )


@dataclass(frozen=True, slots=True)
class _Numbers:
    """Numbers of nuclei of each done field: counted, left out, and counted in another field."""

    counted: array[int]
    left_out: array[int]
    elsewhere: array[int]

    @classmethod
    def of(cls, done: DoneFields, once: CountedOnce, left_out: LeftOut) -> _Numbers:
        found = cls(array("q"), array("q"), array("q"))
        for place, nuclei in enumerate(done.nuclei):
            unwanted = left_out.labels(place)
            elsewhere = len(np.setdiff1d(once.elsewhere[place], unwanted))
            found.left_out.append(len(unwanted))
            found.elsewhere.append(elsewhere)
            found.counted.append(nuclei - len(unwanted) - elsewhere)
        return found


def _rows(folder: RunFolder, done: DoneFields, once: CountedOnce, left_out: LeftOut) -> Iterator[FieldRows]:
    for place, field in enumerate(done.fields):
        yield FieldRows(
            folder.fragment(field.key),
            done.stamp(place),
            (("Metadata_PixelSize_um", field.pixel_size_um), *field.metadata),
            {"overlap": once.elsewhere[place], **left_out.reasons(place)},
            field.pixel_size_um,
        )


def _examples(folder: RunFolder, plate: Plate, done: Rows[Field]) -> list[Path]:
    """Returns the table fragment of one field of each kind, if fields differ in their channels."""
    named = zip(done.values("group"), done.of_parts("planes", "channel"), strict=True)
    places = {frozenset(channels): place for place, (_, channels) in enumerate(named)}
    kinds = {field_channels(plate, done[place]): place for place in places.values()}
    by_order = sorted(kinds, key=lambda channels: [channel.index for channel in channels])
    return [folder.fragment(done[kinds[one]].key) for one in by_order] if len(kinds) > 1 else []


def _flags(key: str, place: int, done: DoneFields, judgement: Judgement, once: CountedOnce) -> list[str]:
    of_figures, others = done.flags.get(place, ((), ()))
    wrong = [WRONG_POSITIONS] if key in once.doubtful else []
    return [*of_figures, *judgement.flags.get(place, ()), *others, *wrong]


def _known(counts: Sequence[int], place: int) -> int | None:
    return counts[place] if len(counts) and counts[place] >= 0 else None
