"""Joins the tables of a screen's runs: all wells, one row per plate, and an overview page.

    python workflows/gather.py RUNS/*/ --wells wells.csv --plates plates.csv --page overview.html

The same as `nucbatch screen` writes, for runs that were started otherwise. Whether a plate has failures is
read from its own tables, not from the exit code of its job. The script needs only Python's standard library
and the files of this project, so that it runs outside any container.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this project's modules, installed or not

from nucbatch.core.errors import InputError
from nucbatch.report.screen.tables import gather, sentences


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
        try:
            gather(asked.runs, asked.wells, asked.plates, asked.page, tuple(asked.measure))
        except InputError as error:
            sys.exit(str(error))
    found = sentences(asked.tell or asked.check) if asked.tell or asked.check else []
    for sentence in found:
        print(sentence)
    sys.exit(3 if asked.check and found else 0)


if __name__ == "__main__":
    main()
