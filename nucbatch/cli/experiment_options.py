"""Options that describe the experiment: the table of wells, controls, doses and series."""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucbatch.cli.headings import Command, headed, option
from nucbatch.cli.shared_options import DiskPath

if TYPE_CHECKING:
    from nucbatch.experiment.description import Experiment

_OPTIONS = (
    option(
        "--metadata",
        type=DiskPath(),
        metavar="CSV",
        help="Table of the wells, with a column Well, or Row and Column, or FileName, or as the grid of a "
        "plate. Its columns go into all tables as Metadata_<Column>.",
    ),
    option("--positive", multiple=True, metavar="COLUMN=VALUE", help="Positive controls, such as Dose=10."),
    option("--negative", multiple=True, metavar="COLUMN=VALUE", help="Negative controls, such as Dose=0."),
    option(
        "--series",
        default="",
        metavar="COLUMN|ROWS",
        help="Series to judge apart: those of a column, rows (each alone), or groups of rows (A-D,E-H).",
    ),
    option("--dose", default="", metavar="COLUMN", help="Column with the doses; curves are fitted to them."),
    option(
        "--dose-unit",
        default="",
        metavar="UNIT",
        help="Unit of the doses, such as uM. Without one, doses are the steps 1, 2, … of a dilution series.",
    ),
    option(
        "--measure",
        "measures",
        multiple=True,
        metavar="NAME",
        help="Column of wells.csv to show and to fit. [default: the one with the best Z']",
    ),
)
_NAMES = ("metadata", "positive", "negative", "series", "dose", "dose_unit", "measures")


def experiment_options(command: Command) -> Command:
    """Adds the options; the command gets ``experiment`` (Experiment), or None if none was given.

    Raises:
        InputNotFound, InputError: the table can't be read.
    """

    @wraps(command)
    def collected(**values: Any) -> Any:
        given = {name: values.pop(name) for name in _NAMES}
        return command(experiment=_experiment(**given) if any(given.values()) else None, **values)

    return headed("Experiment", *_OPTIONS)(collected)


def _experiment(metadata: Path | None, **values: Any) -> Experiment:
    from nucbatch.experiment.description import Experiment, table_of

    content, name = table_of(metadata) if metadata is not None else (b"", "")
    return Experiment(content, name, **values)
