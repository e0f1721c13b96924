"""Tables of a run from a few fragments and receipts, for tests."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nucbatch.core.plate import Plate
from nucbatch.store.fields_table import FieldOutcome, write_fields
from nucbatch.store.receipt import Receipt
from nucbatch.store.stamps import Stamp
from nucbatch.store.tables import FieldRows, concatenate


def join_fragments(
    fragments: Iterable[Path],
    out: Path,
    examples: Sequence[Path] = (),
    *,
    stamps: Mapping[Path, Stamp] | None = None,
    metadata: Mapping[Path, Any] | None = None,
    not_counted: Mapping[Path, Mapping[str, np.ndarray]] | None = None,
    pixel_sizes_um: Mapping[Path, float | None] | None = None,
) -> int:
    """Concatenates fragments. The mappings are by the fragment's path."""
    sizes = pixel_sizes_um or {}
    rows = (
        FieldRows(
            path,
            (stamps or {}).get(path),
            (metadata or {}).get(path, ()),
            (not_counted or {}).get(path, {}),
            sizes.get(path),
        )
        for path in fragments
    )
    return concatenate(
        rows, out, examples, marked=not_counted is not None, in_micrometres=any(sizes.values())
    )


def write_receipts(
    path: Path,
    plate: Plate,
    receipts: Mapping[str, Receipt],
    flags: Mapping[str, Sequence[str]] | None = None,
    elsewhere: Mapping[str, int] | None = None,
) -> None:
    """Writes the table of fields; flags and numbers of nuclei that count elsewhere are given by key."""
    outcomes = [
        replace(
            FieldOutcome.of(field, receipts.get(field.key)),
            flags=(flags or {}).get(field.key, ()),
            elsewhere=(elsewhere or {}).get(field.key, 0),
        )
        for field in plate.fields
    ]
    write_fields(path, plate, outcomes, {name for one in outcomes for name in one.figures})
