"""Nuclei that are in a field's mask but do not count there, so that pictures can draw them apart."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow.compute as pc
import pyarrow.parquet as pq

from nucbatch.report.run_data import RunData

_COUNTED = "Metadata_Counted"


def not_counted(data: RunData, groups: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Labels of the nuclei that do not count, by the group of their field; of these fields alone.

    They count in an overlapping field, or the user leaves objects of their kind out.
    """
    path = data.paths.nuclei
    if not path.is_file() or _COUNTED not in pq.read_schema(path).names:
        return {}
    chosen = pc.field("Metadata_Image").isin(list(groups)) & ~pc.field(_COUNTED)
    columns = ["Metadata_Image", "Metadata_ObjectNumber"]
    labels: dict[str, list[int]] = {}
    for row in pq.read_table(path, columns=columns, filters=chosen).to_pylist():
        labels.setdefault(row["Metadata_Image"], []).append(row["Metadata_ObjectNumber"])
    return {group: tuple(found) for group, found in labels.items()}
