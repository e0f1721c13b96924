"""Table of fields of a run (Parquet): one row per field, with its status and number of nuclei.

It contains no times and no worker names, so it depends on images, model and parameters only.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nucbatch.core.plate import Field, Plate, projection_text
from nucbatch.core.selection import NOT_SELECTED
from nucbatch.store.atomic import replacing
from nucbatch.store.receipt import Receipt


def write_fields(
    path: Path,
    plate: Plate,
    receipts: Mapping[str, Receipt],
    flags: Mapping[str, Sequence[str]] | None = None,
    left_out: Container[str] = (),
) -> None:
    """Writes one row per field of the plate, in its order, durably.

    ``Status`` is ``done`` (``Count_Nuclei`` may be 0), ``failed`` (its task could not finish),
    ``quarantined`` (its files cannot be used), ``not selected`` or ``pending`` (not processed yet).
    ``Count_Nuclei`` and the ``QC_`` columns are null unless done. ``Reason`` is empty for done fields.
    ``Flags`` lists doubts about a count, joined by "; ". ``Projection`` says how several z-steps became one
    plane; empty for one.

    Args:
        path: the file.
        plate: the input.
        receipts: by the field's key; fields without one are quarantined or pending.
        flags: names of flags by the field's key.
        left_out: keys of fields that are not selected.

    Raises:
        StoreError: the file cannot be written.
    """
    outcomes = [_outcome(field, receipts.get(field.key), left_out) for field in plate.fields]
    qualities = [outcome[3] for outcome in outcomes]
    columns: dict[str, pa.Array] = {
        "Metadata_Plate": pa.array([plate.name] * len(outcomes), pa.string()),
        "Metadata_Well": pa.array([field.well for field in plate.fields], pa.string()),
        "Metadata_Site": pa.array([field.site for field in plate.fields], pa.int64()),
        "Metadata_Time": pa.array([field.t for field in plate.fields], pa.int64()),
        "Metadata_Image": pa.array([field.group for field in plate.fields], pa.string()),
        **_metadata_columns(plate.fields),
        "Name": pa.array([field.name for field in plate.fields], pa.string()),
        "Status": pa.array([outcome[0] for outcome in outcomes], pa.string()),
        "Reason": pa.array([outcome[1] for outcome in outcomes], pa.string()),
        "Flags": pa.array(
            ["; ".join((flags or {}).get(field.key, ())) for field in plate.fields], pa.string()
        ),
        "Count_Nuclei": pa.array([outcome[2] for outcome in outcomes], pa.int64()),
        "Height_px": pa.array([field.height_px for field in plate.fields], pa.int64()),
        "Width_px": pa.array([field.width_px for field in plate.fields], pa.int64()),
        "Projection": pa.array([projection_text(field.z_steps) for field in plate.fields], pa.string()),
        "PixelSize_um": pa.array([field.pixel_size_um for field in plate.fields], pa.float64()),
    }
    for name in sorted({name for quality in qualities for name in quality}):
        columns[name] = pa.array([quality.get(name) for quality in qualities], pa.float64())
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


def _metadata_columns(fields: Sequence[Field]) -> dict[str, pa.Array]:
    names = dict.fromkeys(name for field in fields for name, _ in field.metadata)
    columns = {name: [dict(field.metadata).get(name) for field in fields] for name in names}
    return {
        name: pa.array(values, pa.string() if any(isinstance(one, str) for one in values) else pa.float64())
        for name, values in columns.items()
    }


def _outcome(
    field: Field, receipt: Receipt | None, left_out: Container[str]
) -> tuple[str, str, int | None, Mapping[str, float]]:
    """Returns (status, reason, number of nuclei, quality measures) of a field."""
    if field.problem:
        return "quarantined", field.problem, None, {}
    if field.key in left_out:
        return NOT_SELECTED, "not selected by --wells, --sites or --times", None, {}
    if receipt is None:
        return "pending", "not processed yet", None, {}
    if receipt.status == "failed":
        return "failed", receipt.reason, None, {}
    return "done", "", receipt.nuclei, receipt.qc
