"""Joins the tables of a screen's runs: all wells, one row per plate, and an overview page.

    python workflows/gather.py RUNS/*/ --wells wells.csv --plates plates.csv --page overview.html

Whether a plate has failures is read from its own tables, not from the exit code of its job. The script needs
only Python's standard library, so that it runs outside any container.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import re
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parent))  # Python leaves it out where PYTHONSAFEPATH is set

from overview import Plate, page
from overview_drawings import number

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
)
MOST_NAMES = 8
SHARED = ("assay", "doses", "normalised")
"""Tables that a run with controls and doses has, too; each is joined over the plates."""


def rows(table: Path) -> list[dict[str, str]]:
    """A CSV's rows by column."""
    with table.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def neutral(cell: str) -> str:
    """The cell with an apostrophe before anything that a spreadsheet would execute, as in a run's tables."""
    return re.sub(r'((?:^|[;\t\r\n])[\s"]*|")(?=[=+\-@\uff1d\uff0b\uff0d\uff20])', r"\1'", cell)


def write(table: Path, columns: list[str], content: list[dict[str, str]]) -> None:
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


def joined(tables: dict[Path, list[dict[str, str]]], to: Path) -> None:
    """Writes the rows of all runs into one table; it keeps every column of any run, the run's name first."""
    columns = dict.fromkeys(name for found in tables.values() for row in found for name in row)
    every = [{"Metadata_Run": neutral(run.name)} | row for run, found in tables.items() for row in found]
    write(to, ["Metadata_Run", *columns], every)


def gather(
    runs: list[Path], wells: Path, plates: Path, overview: Path | None = None, measures: tuple[str, ...] = ()
) -> None:
    """Writes the tables, and the page if it is asked for.

    Tables of controls and doses, where runs have them, go beside ``wells``.

    Args:
        runs: folders of runs, in the order of the plates.
        wells: where the wells of all plates go.
        plates: where the row of each plate goes.
        overview: where the page goes; None for no page.
        measures: columns of wells.csv for the page; none: the best measure of the controls.
    """
    by_run = {run: rows(run / "wells.csv") for run in runs}
    joined(by_run, wells)
    for name in SHARED:
        there = {run: rows(run / f"{name}.csv") for run in runs if (run / f"{name}.csv").is_file()}
        if there:
            joined(there, wells.with_name(f"{name}.csv"))
    known = {name for found in by_run.values() for row in found for name in row}
    if unknown := [name for name in measures if name not in known]:
        sys.exit(f"--measure {unknown[0]}: no wells.csv of these runs has such a column.")
    best = best_measure(runs)
    shown = measures or ((best,) if best in known else ())
    made = []
    for run, found in by_run.items():
        table = run / "assay.csv"
        assay = first_time(rows(table)) if table.is_file() else []
        row = plate_row(run, found, assay, shown[0] if shown else "")
        report = link(run / "report.html", overview) if overview is not None else ""
        made.append(Plate(run.name, row, first_time(found), assay, failures(run, found), report))
    write(plates, list(COLUMNS), [plate.summary for plate in made])
    if overview is not None:
        overview.write_text(page(made, shown), encoding="utf-8")


def sentences(plates: Path) -> list[str]:
    """One for each plate with failures."""
    return [
        f"{row['Run']}: done, but {row['Fields_Failed']} of {row['Fields']} fields failed and "
        f"{row['Files_Quarantined']} files are quarantined: {row['Folder']}/files.csv says why"
        for row in rows(plates)
        if row["Status"] != "complete"
    ]


def main() -> None:
    """The command line: gathers, or tells of what was gathered."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path, help="folders that nucbatch run has left")
    parser.add_argument("--wells", type=Path, help="where all wells go")
    parser.add_argument("--plates", type=Path, help="where the plates go")
    parser.add_argument("--page", type=Path, help="where the overview page goes (HTML)")
    parser.add_argument(
        "--measure",
        action="append",
        default=[],
        metavar="COLUMN",
        help="column of wells.csv for the page, beside the number of nuclei; may be repeated "
        "[default: the measure with the best Z']",
    )
    parser.add_argument("--tell", type=Path, metavar="PLATES", help="name plates with failures")
    parser.add_argument("--check", type=Path, metavar="PLATES", help="the same, and fail if there are any")
    asked = parser.parse_args()
    if asked.runs:
        if asked.wells is None or asked.plates is None:
            parser.error("give --wells and --plates: where the tables go")
        gather(asked.runs, asked.wells, asked.plates, asked.page, tuple(asked.measure))
    found = sentences(asked.tell or asked.check) if asked.tell or asked.check else []
    for sentence in found:
        print(sentence)
    sys.exit(3 if asked.check and found else 0)


if __name__ == "__main__":
    main()
