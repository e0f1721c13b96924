"""Joins the tables of a screen's runs: the wells of all plates, and one row per plate with its status.

Whether a plate has failures is read from its own tables, not from the exit code of its job. The script needs
only Python's standard library, so that it runs outside any container.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections import Counter
from pathlib import Path

COLUMNS = (
    "Run",
    "Status",
    "Wells",
    "Time_Points",
    "Fields",
    "Fields_Failed",
    "Count_Nuclei",
    "Files_Quarantined",
    "Folder",
)


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


def plate_row(run: Path, wells: list[dict[str, str]]) -> dict[str, str]:
    """The row of one plate. Its count is that of the first time point: later ones show the same nuclei."""
    status = Counter(row["status"] for row in rows(run / "files.csv"))
    failed = sum(int(well["Fields_Failed"]) for well in wells)
    whole = not failed and not status["quarantined"]
    times = sorted({int(well["Metadata_Time"]) for well in wells})
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
        neutral(str(run)),
    )
    return dict(zip(COLUMNS, map(str, values), strict=True))


def gather(runs: list[Path], wells: Path, plates: Path) -> None:
    """Writes both tables. Wells keep every column that any plate has; the first says whose they are."""
    by_run = {run: rows(run / "wells.csv") for run in runs}
    columns = dict.fromkeys(name for found in by_run.values() for row in found for name in row)
    every = [{"Metadata_Run": neutral(run.name)} | row for run, found in by_run.items() for row in found]
    write(wells, ["Metadata_Run", *columns], every)
    write(plates, list(COLUMNS), [plate_row(run, found) for run, found in by_run.items()])


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
    parser.add_argument("--tell", type=Path, metavar="PLATES", help="name plates with failures")
    parser.add_argument("--check", type=Path, metavar="PLATES", help="the same, and fail if there are any")
    asked = parser.parse_args()
    if asked.runs:
        gather(asked.runs, asked.wells, asked.plates)
    found = sentences(asked.tell or asked.check) if asked.tell or asked.check else []
    for sentence in found:
        print(sentence)
    sys.exit(3 if asked.check and found else 0)


if __name__ == "__main__":
    main()
