"""Exports a run: masks and outlines field by field, and the table of nuclei; all from the run's folder.

Nothing is segmented again. Of an unfinished run the fields that are done are exported. ``export.csv`` lists
every field with its files, or with the reason why it has none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from nucbatch.core.errors import InputError, NucbatchError, StoreError
from nucbatch.core.selection import NOT_SELECTED
from nucbatch.report.exports.geojson import write_geojson
from nucbatch.report.exports.label_images import write_png, write_tiff
from nucbatch.report.exports.roi_set import write_roi_set
from nucbatch.report.exports.run_fields import Masks, RunField, RunFields, is_large, masks_of, whole
from nucbatch.report.exports.traced import traced
from nucbatch.store.atomic import cannot_write
from nucbatch.store.csv_table import row_groups, write_csv
from nucbatch.store.fragments import parts_of, read_columns
from nucbatch.store.sheets import write_export_csv

_NUMBER = "Metadata_ObjectNumber"
_NO_NUCLEI = "no nuclei, so there is no set of ROIs"


@dataclass(frozen=True, slots=True)
class Formats:
    """What to export; None or False leaves a part out."""

    labels: Literal["tiff", "png"] | None = None
    outlines: Literal["geojson", "imagej"] | None = None
    table: bool = False


@dataclass(frozen=True, slots=True)
class FieldExport:
    """The outcome of one field: *exported*, *failed* now, or the status that it has in the run.

    ``labels``, ``outlines``: names of its files below the export's folder; empty if there are none.
    """

    source: RunField
    status: str
    reason: str
    nuclei: int | None = None
    labels: str = ""
    outlines: str = ""


@dataclass(frozen=True, slots=True)
class Exported:
    """Numbers of an export: fields exported, failed and without masks in the run, and rows of the table.

    ``not_selected``: how many of the fields ``without`` masks were not selected in the run.
    """

    done: int
    failed: tuple[FieldExport, ...]
    without: int
    not_selected: int
    rows: int | None


def export(
    run: RunFields,
    out: Path,
    formats: Formats,
    *,
    threads: int = 1,
    on_field: Callable[[FieldExport], None] = lambda one: None,
) -> Exported:
    """Exports the fields of a run; a file that is there already is replaced.

    Args:
        run: the fields, perhaps selected.
        out: folder of the export; created if it does not exist.
        formats: what to export.
        threads: number of fields to work on at once.
        on_field: called after each field.

    Raises:
        InputError: ``out`` is the run's own folder or a part of it.
        StoreError: ``out`` can't be written, or the run's table is damaged.
    """
    _require_apart(run, out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, asked in (("labels", formats.labels), ("outlines", formats.outlines)):
            if asked is not None:
                (out / name).mkdir(exist_ok=True)
    except OSError as error:
        raise cannot_write(out, error) from error
    results: list[FieldExport] = []
    if formats.labels or formats.outlines:
        for one in _each(run, out, formats, threads):
            results.append(one)
            on_field(one)
        rows_of = (
            (one.source.field, one.status, one.reason, one.nuclei, one.labels, one.outlines)
            for one in results
        )
        write_export_csv(out / "export.csv", run.plate, rows_of)
    rows = _write_table(run, out / "nuclei.csv") if formats.table else None
    done = sum(one.status == "exported" for one in results)
    failed = tuple(one for one in results if one.status == "failed" and one.source.status == "done")
    not_selected = sum(one.status == NOT_SELECTED for one in results)
    return Exported(done, failed, len(results) - done - len(failed), not_selected, rows)


def _require_apart(run: RunFields, out: Path) -> None:
    target, own = out.resolve(), run.folder.path.resolve()
    if target == own or any(
        target.is_relative_to(part.resolve())
        for part in (run.folder.plate_zarr, run.folder.images_zarr, run.folder.hidden, run.folder.labels)
    ):
        raise InputError(f"-o {out} is the run's own folder: choose another one for the export.")


def _each(run: RunFields, out: Path, formats: Formats, threads: int) -> Iterator[FieldExport]:
    """Exports all fields, in order, with a few in hand at once."""
    under_way: deque[Future[FieldExport]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for one in run.fields:
                under_way.append(pool.submit(_export_field, run, one, out, formats))
                if len(under_way) > 2 * threads:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _export_field(run: RunFields, one: RunField, out: Path, formats: Formats) -> FieldExport:
    if one.status != "done":
        return FieldExport(one, one.status, one.reason)
    field, name = one.field, one.field.name
    labels = outlines = reason = ""
    try:
        with masks_of(run.folder, field) as masks:
            table = run.folder.fragment(field.key)
            if formats.labels is not None:
                labels = f"labels/{name}.{'tif' if formats.labels == 'tiff' else 'png'}"
                write = write_tiff if formats.labels == "tiff" else write_png
                write(out / labels, masks, _largest(masks, table))
            if formats.outlines == "geojson":
                outlines = f"outlines/{name}.geojson"
                write_geojson(out / outlines, traced(masks, table), f"{run.plate}/{field.key}")
            if formats.outlines == "imagej" and one.nuclei == 0:
                (out / f"outlines/{name}_RoiSet.zip").unlink(missing_ok=True)  # of an earlier export
                reason = _NO_NUCLEI
            elif formats.outlines == "imagej":
                outlines = f"outlines/{name}_RoiSet.zip"
                write_roi_set(out / outlines, traced(masks, table), masks.shape)
    except NucbatchError as error:
        return FieldExport(one, "failed", str(error))
    return FieldExport(one, "exported", reason, one.nuclei, labels, outlines)


def _largest(masks: Masks, table: Path) -> int:
    """The largest label: of a large image by its table, else by the masks."""
    if not is_large(masks):
        return int(whole(masks).max(initial=0))
    return max(int(part[_NUMBER].max(initial=0)) for part in read_columns(table, (_NUMBER,)))


def _write_table(run: RunFields, path: Path) -> int:
    """Writes the nuclei of the selected fields as CSV; returns the number of rows.

    The table of a finished run has all columns; of an unfinished run those of its fields are joined.
    """
    done = [one.field for one in run.fields if one.status == "done"]
    groups = pa.array([field.group for field in done], pa.string())

    def chosen(table: pa.Table) -> pa.Table:
        return table.filter(pc.is_in(table["Metadata_Image"], value_set=groups))

    if run.folder.nuclei.is_file():
        return write_csv(path, row_groups(run.folder.nuclei), chosen)
    if not done:
        raise StoreError(f"{run.folder.path} has no field that is done: there is no table to export.")
    fragments = [run.folder.fragment(field.key) for field in done]
    return write_csv(path, (part for fragment in fragments for part in parts_of(fragment)), chosen)
