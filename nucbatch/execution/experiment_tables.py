"""The experiment in a run's folder: kept with the run, joined to its tables, and evaluated from wells.csv.

A run that ends does this, and so does ``nucbatch report`` for a finished run with another description.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from nucbatch.core.errors import InputError, StoreError
from nucbatch.core.plate import Plate, field_rows
from nucbatch.experiment.assay import assay_table, doubtful_controls, normalised_table
from nucbatch.experiment.description import OF_RUN, Experiment
from nucbatch.experiment.doses import dose_table
from nucbatch.experiment.join import Address, Described, describe
from nucbatch.experiment.measure_choice import best_measure, chosen_measures, measures_of, varying_ratio
from nucbatch.experiment.wells import wells_metadata
from nucbatch.store.atomic import write_bytes
from nucbatch.store.csv_table import write_nuclei_csv
from nucbatch.store.lock import run_lock
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.sheets import write_run, write_wells
from nucbatch.store.user_columns import replace_user_columns

_MOST_SERIES = 6


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What run.json keeps of an experiment, and the lines for the user."""

    kept: dict[str, Any]
    lines: tuple[str, ...]


def remembered(folder: RunFolder) -> Experiment | None:
    """Returns the experiment that a finished run was described with; None if it was not.

    Raises:
        StoreError: its table is gone.
    """
    kept = _run_json(folder).get("experiment")
    if not kept:
        return None
    if kept.get("metadata") and not folder.metadata.is_file():
        raise StoreError(f"{folder.metadata} is missing: give the table of the wells again, with --metadata.")
    return Experiment.from_json(kept, folder.metadata.read_bytes() if kept.get("metadata") else b"")


def with_user_columns(plate: Plate, described: Described) -> Plate:
    """Returns the plate whose fields have the experiment's columns before those of a manifest."""
    fields = field_rows(
        replace(field, metadata=(*described.fields[field.key], *field.metadata)) for field in plate.fields
    )
    return replace(plate, fields=fields)


def evaluate(folder: RunFolder, experiment: Experiment, described: Described) -> Evaluated:
    """Writes assay.csv, doses.csv and normalised.csv from wells.csv, and keeps the user's table.

    Tables that the experiment does not ask for are removed.

    Raises:
        StoreError: a file can't be read or written.
    """
    if experiment.table:
        write_bytes(folder.metadata, experiment.table)
    wells = _wells(folder)
    known = measures_of(wells)
    remarks = list(described.remarks)
    try:
        asked = chosen_measures(experiment.measures, known)
    except InputError as error:  # the names of measures are known only now, and the tables must not be lost
        remarks.append(f"{error} The measure with the best Z' is used instead.")
        asked = []
    has_controls = bool(experiment.positive or experiment.negative) and not wells.empty
    assay = assay_table(wells, known) if has_controls else None
    best = best_measure(wells, assay, known) if assay is not None else ""
    shown = asked or [best or varying_ratio(wells, known)] if known else []
    lines: list[str] = []
    if assay is not None:
        write_wells(folder.assay, assay)
        write_wells(folder.normalised, normalised_table(wells, known))
        remarks += [sentence for measure in shown for sentence in doubtful_controls(wells, measure)]
        lines += [_separation_line(assay[assay["Measure"] == one], one, best, len(known)) for one in shown]
    doses = None
    if described.dose and not wells.empty:
        doses = dose_table(wells, shown, described.dose, described.axis, described.unit)
        write_wells(folder.doses, doses)
        lines += _dose_lines(doses)
    for path, table in ((folder.assay, assay), (folder.normalised, assay), (folder.doses, doses)):
        if table is None:
            path.unlink(missing_ok=True)
    kept = experiment.to_json() | {
        "columns": list(described.columns),
        "dose_column": described.dose,
        "axis": described.axis,
        "unit": described.unit,
        "best_measure": best,
        "shown_measures": shown,
        "remarks": remarks,
    }
    return Evaluated(kept, (*lines, *remarks[len(described.remarks) :]))


def describe_again(folder: RunFolder, experiment: Experiment) -> Evaluated:
    """Describes a finished run anew: replaces the user's columns in its tables, and evaluates them.

    What ``experiment`` does not say stays as it was, unless it brings another table of wells. Before the
    first table, run.json names the old and the new columns: if this breaks off, the next call replaces
    both.

    Raises:
        InputError: the experiment does not fit the run, or wells.csv has no such measure.
        StoreError: the folder holds no finished run, or can't be written to. RunLocked: a run is going on.
    """
    if not folder.is_run() or not folder.run_json.is_file() or not folder.fields.is_file():
        raise StoreError(f"{folder.path} holds no finished run: finish the run first, with the same command.")
    with run_lock(folder):
        card = _run_json(folder)
        experiment = (remembered(folder) or Experiment()).changed(experiment)
        old = set((card.get("experiment") or {}).get("columns", ()))
        described = describe(experiment, list(_addresses(folder, old)))
        values = {key: [value for _, value in columns] for key, columns in described.fields.items()}
        numbers = pd.read_csv(folder.wells, dtype=str, keep_default_na=False)
        chosen_measures(experiment.measures, measures_of(_wells(folder)))
        rows = len(wells_metadata(pd.read_parquet(folder.fields)))
        if rows != len(numbers):
            raise StoreError(
                f"{folder.wells} has {len(numbers)} rows, and the run {rows} wells and time points: "
                "the same command again writes it anew."
            )
        if experiment.table:
            write_bytes(folder.metadata, experiment.table)
        both = {"columns": sorted(old.union(described.columns))}
        write_run(folder.run_json, card | {"experiment": experiment.to_json() | both})
        for path in (folder.nuclei, folder.fields):
            replace_user_columns(path, both["columns"], described.columns, values, OF_RUN)
        write_nuclei_csv(folder, wanted=folder.nuclei_csv.is_file())
        places = wells_metadata(pd.read_parquet(folder.fields))
        rest = {
            name: [_cell(text) for text in numbers[name]]
            for name in map(str, numbers.columns)
            if not name.startswith("Metadata_")
        }
        write_wells(folder.wells, pd.concat([places, pd.DataFrame(rest, dtype=object)], axis=1))
        evaluated = evaluate(folder, experiment, described)
        write_run(folder.run_json, card | {"experiment": evaluated.kept})
    return replace(evaluated, lines=(*described.remarks, *evaluated.lines))


def _wells(folder: RunFolder) -> pd.DataFrame:
    """Reads the numbers of wells.csv, and the user's columns in the types of fields.parquet."""
    texts = pd.read_csv(folder.wells, dtype=str, keep_default_na=False)
    places = wells_metadata(pd.read_parquet(folder.fields))
    numbers = {
        name: [float(text) if text else np.nan for text in texts[name]]
        for name in map(str, texts.columns)
        if name.startswith(("Count_", "Mean_", "Median_"))
    }
    return pd.concat([places, pd.DataFrame(numbers, index=places.index)], axis=1)


def _cell(text: str) -> object:
    """Returns a cell of wells.csv as the number that it is, or as text; None if it is empty."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or None


def _addresses(folder: RunFolder, left_out: set[str]) -> Iterator[Address]:
    """Yields the fields of a finished run, with the columns that a manifest gave them."""
    fields = pq.read_table(folder.fields).to_pandas()
    files = pd.read_csv(folder.files, dtype=str, keep_default_na=False)
    paths = files[files["image"] != ""].groupby("image")["path"].agg(tuple).to_dict()
    known = [name for name in map(str, fields.columns) if name.startswith("Metadata_")]
    own = [name for name in known if name not in OF_RUN and name not in left_out]
    for row in fields.to_dict("records"):
        metadata = tuple((name, None if pd.isna(row[name]) else row[name]) for name in own)
        key = str(row["Metadata_Image"])
        place = row["Metadata_Plate"], row["Metadata_Well"], int(row["Metadata_Site"])
        yield Address(key, *place, paths.get(key, ()), metadata)


def _run_json(folder: RunFolder) -> dict[str, Any]:
    if not folder.run_json.is_file():
        return {}
    try:
        content = json.loads(folder.run_json.read_text(encoding="utf-8"))
    except json.JSONDecodeError:  # it is written anew when the run ends
        return {}
    return content if isinstance(content, dict) else {}


def _separation_line(assay: pd.DataFrame, measure: str, best: str, measures: int) -> str:
    """Says the Z' of each series for one measure, or the reason why there is none."""
    several = assay["Metadata_Time"].nunique() > 1
    parts: list[str] = []
    without: dict[str, list[str]] = {}
    for row in assay.to_dict("records"):
        name = ", ".join(filter(None, (row["Series"], f"time {row['Metadata_Time']}" if several else "")))
        if row["Reason"]:
            without.setdefault(row["Reason"], []).append(name)
        else:
            parts.append(f"{row['ZPrime']:.2f} ({name})" if name else f"{row['ZPrime']:.2f}")
    for reason, names in without.items():
        shown = ", ".join(names[:_MOST_SERIES]) + (", …" if len(names) > _MOST_SERIES else "")
        parts.append(f"none ({shown}: {reason})" if shown else f"none ({reason})")
    more = f", and {len(parts) - _MOST_SERIES} more in assay.csv" if len(parts) > _MOST_SERIES else ""
    chosen = f", the best of {measures} measures" if measure == best else ""
    if chosen and assay["ZPrime"].isna().all():
        chosen = f", chosen from {measures} measures by the few control wells that there are"
    return f"Z' {', '.join(parts[:_MOST_SERIES])}{more} with {measure}{chosen}"


def _dose_lines(doses: pd.DataFrame) -> list[str]:
    """Says the midpoint of each curve, in the unit of the doses; steps have none."""
    lines = []
    for row in doses.to_dict("records")[:_MOST_SERIES]:
        name = f"{row['Series']}: " if row["Series"] else ""
        column, what, unit = "EC50", "EC50", f" {row['Unit']}"
        if row["Axis"] == "step":
            column, what, unit = "Midpoint_Step", "midpoint at step", ""
        low, high = (
            "not bounded" if pd.isna(row[f"{column}_{end}"]) else f"{row[f'{column}_{end}']:.3g}"
            for end in ("Low", "High")
        )
        status = row["Status"]
        found = f"{what} {row[column]:.3g}{unit} (95 %: {low} to {high})"
        lines.append(f"{name}{f'no curve, {status}' if status else found}; {row['Measure']}")
    more = len(doses) - _MOST_SERIES
    return [*lines, f"and {more} more curves in doses.csv"] if more > 0 else lines
