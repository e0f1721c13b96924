"""Table of fields of a run (Parquet): one row per field, with its status and number of nuclei.

It contains no times and no worker names, so it depends on images, model and parameters only.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
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
    elsewhere: Mapping[str, int] | None = None,
    at_shared_edges: Mapping[str, int] | None = None,
    not_wanted: Mapping[str, int] | None = None,
    intervals: Mapping[str, tuple[int, int]] | None = None,
) -> None:
    """Writes one row per field of the plate, in its order, durably.

    ``Status`` is ``done`` (``Count_Nuclei`` may be 0), ``failed`` (its task could not finish),
    ``quarantined`` (its files cannot be used), ``not selected`` or ``pending`` (not processed yet).
    ``Count_Nuclei`` and the ``QC_`` columns are null unless done. ``Reason`` is empty for done fields.
    ``Flags`` lists doubts about a count, joined by "; ". ``Projection`` says how several z-steps became one
    plane; empty for one.

    If a field has a stage position, ``Metadata_PositionX_um`` and ``Metadata_PositionY_um`` hold that of its
    centre (y down), ``Count_Nuclei`` leaves out the nuclei that count in an overlapping field, and
    ``Count_Nuclei_Seen`` is the number of all. If its pixel size is known too,
    ``Count_Nuclei_AtSharedEdges`` is the number of counted nuclei at edges that another field adjoins.
    ``Metadata_Acquisition`` and ``Metadata_TimeStamp`` are there if the input records them.

    Args:
        path: the file.
        plate: the input.
        receipts: by the field's key; fields without one are quarantined or pending.
        flags: names of flags by the field's key.
        left_out: keys of fields that are not selected.
        elsewhere: numbers of nuclei that count in an overlapping field, by the field's key.
        at_shared_edges: numbers of counted nuclei at edges where fields adjoin, by the field's key.
        not_wanted: numbers of nuclei that the user leaves out, by the field's key; None if none can be. They
            are in ``Count_Nuclei_LeftOut`` and in no other count.
        intervals: smallest and largest true number, by the field's key, for ``Count_Nuclei_Low`` and
            ``Count_Nuclei_High``; there are no such columns without any.

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
        **_place_columns(plate.fields),
        **_metadata_columns(plate.fields),
        "Name": pa.array([field.name for field in plate.fields], pa.string()),
        "Status": pa.array([outcome[0] for outcome in outcomes], pa.string()),
        "Reason": pa.array([outcome[1] for outcome in outcomes], pa.string()),
        "Flags": pa.array(
            ["; ".join((flags or {}).get(field.key, ())) for field in plate.fields], pa.string()
        ),
        **_counts(plate.fields, [outcome[2] for outcome in outcomes], elsewhere or {}, not_wanted),
        **_ends(plate.fields, intervals or {}),
        **_at_edges(plate.fields, at_shared_edges or {}),
        "Height_px": pa.array([field.height_px for field in plate.fields], pa.int64()),
        "Width_px": pa.array([field.width_px for field in plate.fields], pa.int64()),
        "Projection": pa.array([projection_text(field.z_steps) for field in plate.fields], pa.string()),
        "PixelSize_um": pa.array([field.pixel_size_um for field in plate.fields], pa.float64()),
    }
    for name in sorted({name for quality in qualities for name in quality}):
        columns[name] = pa.array([quality.get(name) for quality in qualities], pa.float64())
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


def _place_columns(fields: Sequence[Field]) -> dict[str, pa.Array]:
    """Returns position, acquisition and time of the fields, as far as the input records them."""
    columns: dict[str, pa.Array] = {}
    if has_positions(fields):
        for name, axis in (("Metadata_PositionX_um", 1), ("Metadata_PositionY_um", 0)):
            values = [None if field.position_um is None else field.position_um[axis] for field in fields]
            columns[name] = pa.array(values, pa.float64())
    if any(field.acquisition for field in fields):
        columns["Metadata_Acquisition"] = pa.array([field.acquisition for field in fields], pa.string())
    if any(field.time for field in fields):
        columns["Metadata_TimeStamp"] = pa.array([field.time for field in fields], pa.string())
    return columns


def has_positions(fields: Iterable[Field]) -> bool:
    """Returns whether any field has a stage position."""
    return any(field.position_um is not None for field in fields)


def _counts(
    fields: Sequence[Field],
    found: Sequence[int | None],
    elsewhere: Mapping[str, int],
    not_wanted: Mapping[str, int] | None,
) -> dict[str, pa.Array]:
    unwanted = [(not_wanted or {}).get(field.key, 0) for field in fields]
    seen = [None if count is None else count - less for count, less in zip(found, unwanted, strict=True)]
    counted = [
        None if count is None else count - elsewhere.get(field.key, 0)
        for field, count in zip(fields, seen, strict=True)
    ]
    columns = {"Count_Nuclei": pa.array(counted, pa.int64())}
    if has_positions(fields):
        columns["Count_Nuclei_Seen"] = pa.array(seen, pa.int64())
    if not_wanted is not None:
        less = [None if count is None else own for count, own in zip(found, unwanted, strict=True)]
        columns["Count_Nuclei_LeftOut"] = pa.array(less, pa.int64())
    return columns


def _ends(fields: Sequence[Field], intervals: Mapping[str, tuple[int, int]]) -> dict[str, pa.Array]:
    if not intervals:
        return {}
    ends = [intervals.get(field.key, (None, None)) for field in fields]
    return {
        "Count_Nuclei_Low": pa.array([low for low, _ in ends], pa.int64()),
        "Count_Nuclei_High": pa.array([high for _, high in ends], pa.int64()),
    }


def _at_edges(fields: Sequence[Field], counts: Mapping[str, int]) -> dict[str, pa.Array]:
    if not counts:
        return {}
    return {"Count_Nuclei_AtSharedEdges": pa.array([counts.get(field.key) for field in fields], pa.int64())}


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
