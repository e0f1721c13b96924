"""Joins the tables of a screen's runs: all wells, one row per plate, and an overview page.

Whether a plate has failures is read from its own tables. Tables are joined row by row, so memory
holds only what the page shows. Needs only Python's standard library, so that a workflow can call it outside
any container.
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from nucbatch.core.errors import InputError
from nucbatch.report.screen.drawings import COUNT, number
from nucbatch.report.screen.page import CONTROL, Plate, page

COLUMNS = (
    "Run",
    "Status",
    "Wells",
    "Time_Points",
    "Fields",
    "Fields_Failed",
    "Count_Nuclei",
    "Files_Quarantined",
    "Measure",
    "ZPrime",
    "Folder",
    "Reason",
)
MOST_NAMES = 8
_OF_A_WELL = (
    "Metadata_Plate",
    "Metadata_Well",
    "Metadata_Time",
    "Fields_Total",
    "Fields_Failed",
    "Count_Nuclei",
    "Reason",
    COUNT,
    CONTROL,
)
SHARED = ("assay", "doses", "normalised")
"""Tables that a run with controls and doses has, too; each is joined over the plates."""


def rows(table: Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, str]]:
    """Yields a CSV's rows by column; ``columns``: only these, where the table has them."""
    with table.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            yield row if columns is None else {name: row[name] for name in columns if name in row}


def columns_of(table: Path) -> list[str]:
    """Returns the columns of a CSV."""
    with table.open(newline="", encoding="utf-8") as stream:
        return next(csv.reader(stream), [])


def neutral(cell: str) -> str:
    """The cell with an apostrophe before anything that a spreadsheet would execute, as in a run's tables."""
    return re.sub(r'((?:^|[;\t\r\n])[\s"]*|")(?=[=+\-@\uff1d\uff0b\uff0d\uff20])', r"\1'", cell)


def write(table: Path, columns: list[str], content: Iterator[dict[str, str]]) -> None:
    """Writes a CSV with these columns; missing values stay empty."""
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(content)


def plate_row(
    run: Path, wells: list[dict[str, str]], assay: list[dict[str, str]], measure: str
) -> dict[str, str]:
    """The row of one plate. Its count is that of the first time point: later ones show the same nuclei.

    ``ZPrime`` is that of ``measure``; of several series the lowest.
    """
    status = Counter(row["status"] for row in rows(run / "files.csv"))
    failed = sum(int(well["Fields_Failed"]) for well in wells)
    whole = not failed and not status["quarantined"]
    times = sorted({int(well["Metadata_Time"]) for well in wells})
    found = [number(row.get("ZPrime")) for row in assay if row.get("Measure") == measure]
    finite = [value for value in found if math.isfinite(value)]
    values = (
        neutral(run.name),
        "complete" if whole else "failures",
        len({(well["Metadata_Plate"], well["Metadata_Well"]) for well in wells}),
        len(times),
        sum(int(well["Fields_Total"]) for well in wells),
        failed,
        sum(
            int(well["Count_Nuclei"])
            for well in wells
            if well["Count_Nuclei"] and int(well["Metadata_Time"]) == times[0]
        ),
        status["quarantined"],
        neutral(measure) if finite else "",
        f"{min(finite):.3f}" if finite else "",
        neutral(str(run)),
        "",
    )
    return dict(zip(COLUMNS, map(str, values), strict=True))


def best_measure(runs: list[Path]) -> str:
    """The measure that most runs name as their best; empty if none has controls."""
    named: Counter[str] = Counter()
    for run in runs:
        try:
            content = json.loads((run / "run.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            continue  # a run is named by its tables; without a readable description it has no best measure
        experiment = content.get("experiment") if isinstance(content, dict) else None
        best = experiment.get("best_measure") if isinstance(experiment, dict) else None
        named.update([best] if isinstance(best, str) and best else [])
    return named.most_common(1)[0][0] if named else ""


def failures(run: Path, wells: list[dict[str, str]]) -> list[tuple[str, str]]:
    """What of a plate was not counted, by reason: quarantined files, then wells with failed fields."""
    files: dict[str, list[str]] = {}
    for row in rows(run / "files.csv"):
        if row["status"] == "quarantined":
            files.setdefault(row.get("reason", ""), []).append(row["path"])
    failed: dict[str, list[str]] = {}
    for well in wells:
        if int(well["Fields_Failed"]):
            failed.setdefault(well.get("Reason", ""), []).append(well["Metadata_Well"])
    return [
        (f"{what}{'s' if len(names) > 1 else ''} {some(names)}", why)
        for what, found in (("file", files), ("well", failed))
        for why, names in found.items()
    ]


def some(names: list[str]) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def link(report: Path, page: Path) -> str:
    """The address of a run's report on the page; empty if there is none."""
    if not report.is_file():
        return ""
    return "./" + quote(Path(os.path.relpath(report, page.absolute().parent)).as_posix())


def first_time(table: list[dict[str, str]]) -> list[dict[str, str]]:
    """The rows of the first time point."""
    times = [int(row.get("Metadata_Time") or 0) for row in table]
    return [row for row, time in zip(table, times, strict=True) if time == min(times)]


def joined(tables: Sequence[Path], to: Path) -> None:
    """Writes the rows of all runs into one table; it keeps every column of any run, the run's name first."""
    columns = dict.fromkeys(name for table in tables for name in columns_of(table))
    every = ({"Metadata_Run": neutral(table.parent.name)} | row for table in tables for row in rows(table))
    write(to, ["Metadata_Run", *columns], every)


def undone_row(run: Path, status: str, reason: str) -> dict[str, str]:
    """Returns the row of a plate without tables; its numbers are empty."""
    return dict.fromkeys(COLUMNS, "") | {
        "Run": neutral(run.name),
        "Status": status,
        "Folder": neutral(str(run)),
        "Reason": neutral(reason),
    }


def gather(
    runs: Sequence[Path],
    wells: Path,
    plates: Path,
    overview: Path | None = None,
    measures: tuple[str, ...] = (),
    undone: Mapping[Path, tuple[str, str]] | None = None,
    named: Callable[[Path], str] = str,
) -> list[dict[str, str]]:
    """Writes the tables, and the page if it is asked for; returns the rows of the plates.

    Tables of controls and doses, where runs have them, go beside ``wells``.

    Args:
        runs: folders of runs, in the order of the plates.
        wells: where the wells of all plates go.
        plates: where the row of each plate goes.
        overview: where the page goes; None for no page.
        measures: columns of wells.csv for the page; none: the best measure of the controls.
        undone: status and reason of those runs that have no tables.
        named: returns the place of a run as it is listed.

    Raises:
        InputError: no run has such a measure.
    """
    undone = undone or {}
    done = [run for run in runs if run not in undone]
    joined([run / "wells.csv" for run in done], wells)
    for name in SHARED:
        there = [table for run in done if (table := run / f"{name}.csv").is_file()]
        if there:
            joined(there, wells.with_name(f"{name}.csv"))
    known = {name for run in done for name in columns_of(run / "wells.csv")}
    if unknown := [name for name in measures if name not in known]:
        raise InputError(f"--measure {unknown[0]}: no wells.csv of these runs has such a column.")
    best = best_measure(done)
    shown = measures or ((best,) if best in known else ())
    made: list[Plate] = []
    for run in runs:
        if run in undone:
            made.append(Plate(run.name, undone_row(run, *undone[run]), [], [], [("plate", undone[run][1])]))
            continue
        found = list(rows(run / "wells.csv", (*_OF_A_WELL, *shown)))
        table = run / "assay.csv"
        assay = first_time(list(rows(table))) if table.is_file() else []
        row = plate_row(run, found, assay, shown[0] if shown else "")
        report = link(run / "report.html", overview) if overview is not None else ""
        made.append(Plate(run.name, row, first_time(found), assay, failures(run, found), report))
    for run, plate in zip(runs, made, strict=True):
        plate.summary["Folder"] = neutral(named(run))
    write(plates, list(COLUMNS), iter([plate.summary for plate in made]))
    if overview is not None:
        overview.write_text(page(made, shown), encoding="utf-8")
    return [plate.summary for plate in made]


def sentences(plates: Path) -> list[str]:
    """One for each plate with failures."""
    return [
        f"{row['Run']}: done, but {row['Fields_Failed']} of {row['Fields']} fields failed and "
        f"{row['Files_Quarantined']} files are quarantined: {row['Folder']}/files.csv says why"
        if row["Status"] == "failures"
        else f"{row['Run']}: {row['Status']}: {row['Reason']}"
        for row in rows(plates)
        if row["Status"] != "complete"
    ]
