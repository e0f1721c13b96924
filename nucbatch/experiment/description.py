"""Description of an experiment: the user's own table of wells, controls, doses, series and measures.

It says how a run's results are read, and nothing about how they are made: it is no setting of the run, and
can be changed afterwards without segmenting again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from nucbatch.core.errors import InputError, InputNotFound
from nucbatch.core.escape import printable
from nucbatch.core.plate_geometry import plausible_well, row_index, split_well
from nucbatch.experiment.column_values import Value, number_of

POSITIVE, NEGATIVE = "positive", "negative"
CONTROL, SERIES = "Metadata_AssayControl", "Metadata_AssaySeries"
"""Columns of the run's tables: kind of control (empty for none), and name of the series (empty for none)."""

OF_RUN = frozenset(
    {
        "Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Time", "Metadata_Image",
        "Metadata_ObjectNumber", "Metadata_Counted", "Metadata_ReasonNotCounted", "Metadata_PixelSize_um",
        "Metadata_PositionX_um", "Metadata_PositionY_um", "Metadata_Acquisition", "Metadata_TimeStamp",
    }
)  # fmt: skip
"""Columns that a run fills itself, before those of the user."""
RUN_COLUMNS = OF_RUN | {CONTROL, SERIES}
"""Columns that the user's table can't have."""
MEASURED = ("Metadata_Nuclei_", "Metadata_Cytoplasm_")
"""Beginnings of columns with measurements that are no features."""

_MOST_BYTES = 64 << 20
_ROWS = re.compile(r"[A-Za-z]{1,2}(?:-[A-Za-z]{1,2})?(?:,[A-Za-z]{1,2}(?:-[A-Za-z]{1,2})?)*")
_UNITS = {"pm": "pM", "nm": "nM", "um": "µM", "µm": "µM", "μm": "µM", "mm": "mM", "m": "M"}
_MASSES = re.compile(r"(?:[pnuµμm]?g)/(?:[uµμm]?l)|%|nmol/l|[uµμ]mol/l|mmol/l", re.IGNORECASE)
_UNIT_AT_END = re.compile(r"[_\s]*[\[(]?\s*([^\s_\[\]()]+)\s*[\])]?$")


@dataclass(frozen=True, slots=True)
class Experiment:
    """What the user says about a plate.

    Attributes:
        table: content of the table of wells; empty for none.
        table_name: its file name.
        dose: column with the dose; empty for none.
        dose_unit: unit of the doses; empty if the column's name tells it, or if they are steps.
        positive: positive controls, each as ``COLUMN=VALUE``; a well is one if any applies.
        negative: negative controls, likewise.
        series: column, ``rows``, or groups of rows such as ``A-D,E-H``; empty for none.
        measures: columns of wells.csv to fit; empty for the one that separates the controls best.
    """

    table: bytes = b""
    table_name: str = ""
    dose: str = ""
    dose_unit: str = ""
    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    series: str = ""
    measures: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.table or self.dose or self.positive or self.negative or self.series or self.measures)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any], table: bytes) -> Experiment:
        """Returns the description that run.json keeps under ``experiment``.

        Args:
            kept: that part of run.json.
            table: content of the table of wells, which lies beside it.
        """
        return cls(
            table,
            str(kept.get("metadata", "")),
            str(kept.get("dose", "")),
            str(kept.get("dose_unit", "")),
            tuple(map(str, kept.get("positive", ()))),
            tuple(map(str, kept.get("negative", ()))),
            str(kept.get("series", "")),
            tuple(map(str, kept.get("measures", ()))),
        )

    def changed(self, other: Experiment) -> Experiment:
        """Returns this description with what another one gives; with another table it is the other one."""
        if other.table:
            return other
        given = {one.name: value for one in fields(other) if (value := getattr(other, one.name))}
        return replace(self, **given)

    def to_json(self) -> dict[str, Any]:
        """Returns the plain values from which :meth:`from_json` makes it again, without the table."""
        return {
            "metadata": self.table_name,
            "dose": self.dose,
            "dose_unit": self.dose_unit,
            "positive": list(self.positive),
            "negative": list(self.negative),
            "series": self.series,
            "measures": list(self.measures),
        }


def table_of(path: Path) -> tuple[bytes, str]:
    """Reads the user's table; returns its content and its name.

    Raises:
        InputNotFound: there is no such file.
        InputError: it can't be read, or is larger than any table of wells.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(
                f"--metadata {path} has more than {_MOST_BYTES >> 20} MiB: name a table of wells."
            )
        return path.read_bytes(), printable(path.name)
    except FileNotFoundError:
        raise InputNotFound(f"--metadata {path} does not exist: name the table of the wells.") from None
    except OSError as error:
        raise InputError(f"--metadata {path} can't be read: {error.strerror}.") from error


def metadata_name(column: str) -> str:
    """Returns a column's name in the run's tables.

    >>> metadata_name("SBS_Doses"), metadata_name("metadata_Dose")
    ('Metadata_SBS_Doses', 'Metadata_Dose')
    """
    name = re.sub(r"\s+", " ", column.strip())
    rest = re.sub(r"^(?:image_)?metadata_", "", name, flags=re.IGNORECASE)
    return f"Metadata_{rest}"


def find_column(option: str, column: str, names: Iterable[str]) -> str:
    """Finds a metadata column by its name, with or without ``Metadata_``, in any case.

    Raises:
        InputError: there is no such column.
    """
    known = list(names)
    wanted = metadata_name(column)
    for same in (wanted.__eq__, lambda name: name.casefold() == wanted.casefold()):
        if found := [name for name in known if same(name)]:
            return found[0]
    shown = ", ".join(name.removeprefix("Metadata_") for name in known) or "none"
    raise InputError(f"{option} {column}: there is no such column. The columns are: {shown}.")


def control_wells(
    option: str, asked: Sequence[str], columns: Mapping[str, Sequence[Value]], wells: Sequence[str]
) -> list[bool]:
    """Returns for each row whether it is a control.

    Args:
        option: for messages.
        asked: each ``COLUMN=VALUE``; ``Well=A12`` names wells themselves.
        columns: values of the metadata columns, row by row.
        wells: name of the well of each row.

    Raises:
        InputError: the text has another form, or there is no such column or no well with the value.
    """
    chosen = [False] * len(wells)
    for text in asked:
        column, separator, value = (part.strip() for part in text.partition("="))
        if not separator or not column or not value:
            raise InputError(f"{option} {text!r} is not understood: give COLUMN=VALUE, such as Dose=0.")
        if column.casefold().removeprefix("metadata_") == "well":
            hits = [bool(well) and well == plausible_well(value) for well in wells]
            present: list[Value] = list(wells)
        else:
            present = list(columns[find_column(option, column, columns)])
            hits = [_equals(known, value) for known in present]
        if not any(hits):
            shown = ", ".join(_shown(one) for one in dict.fromkeys(present) if one not in (None, ""))
            raise InputError(
                f"{option} {text}: no well has this value. {column} has {shown[:200] or 'no values'}."
            )
        chosen = [one or hit for one, hit in zip(chosen, hits, strict=True)]
    return chosen


def series_of(asked: str, columns: Mapping[str, Sequence[Value]], wells: Sequence[str]) -> list[str]:
    """Returns the name of each row's series; empty for wells that belong to none.

    >>> series_of("A-D,E-H", {}, ["A01", "E02", "P03"])
    ['A-D', 'E-H', '']

    Args:
        asked: a column, ``rows``, or groups of rows; empty for no series.
        columns: values of the metadata columns, row by row.
        wells: name of the well of each row.

    Raises:
        InputError: it is neither a column nor rows, or no well belongs to any series.
    """
    known = {name.casefold() for name in columns}
    if not asked:
        return [""] * len(wells)
    if metadata_name(asked).casefold() in known:
        return [_shown(value) for value in columns[find_column("--series", asked, columns)]]
    if asked.casefold() == "rows":
        return [split_well(well)[0] if well else "" for well in wells]
    if _ROWS.fullmatch(asked.replace(" ", "")):
        series = _by_rows(asked.replace(" ", "").upper().split(","), wells)
        if any(series):
            return series
        raise InputError(f"--series {asked}: the plate has no wells in these rows.")
    find_column("--series", asked, columns)  # raises, and lists the columns
    return []


def dose_axis(column: str, unit: str, doses: Sequence[float]) -> tuple[str, str]:
    """Returns ("concentration", its unit), or ("step", "") for the steps of a dilution series.

    >>> dose_axis("SBS_Doses", "", [0, 1, 2, 3]), dose_axis("Dose_nM", "", [0.5, 5])
    (('step', ''), ('concentration', 'nM'))

    Raises:
        InputError: there is no unit, and the doses are no steps; the unit is not that in the column's name;
            or a concentration is negative.
    """
    named, given = (_spelled(one) for one in (unit_in_name(column), unit.strip()))
    if named and given and named.casefold() != given.casefold():
        raise InputError(
            f"--dose-unit {unit} contradicts the name of {column}, which says {named}. Give --dose-unit "
            f"{named}, or rename the column in the table."
        )
    unit = given or named
    negative = [dose for dose in doses if dose < 0]
    if negative:
        raise InputError(
            f"--dose {column}: {negative[0]:g} is negative. Give concentrations, and not their "
            "logarithms, or steps."
        )
    if unit:
        return "concentration", unit
    steps = sorted({dose for dose in doses if dose > 0})
    if any(step != int(step) for step in steps) or (steps and steps[-1] - steps[0] + 1 > 2 * len(steps)):
        shown = ", ".join(f"{step:g}" for step in steps[:6])
        raise InputError(
            f"--dose {column}: {shown} are not the steps 1, 2, 3, … of a dilution series. If they are "
            "concentrations, give their unit, such as --dose-unit uM."
        )
    return "step", ""


def _spelled(unit: str) -> str:
    return unit if unit in _UNITS.values() else _UNITS.get(unit.casefold(), unit)


def unit_in_name(column: str) -> str:
    """Returns the unit at the end of a column's name, as in ``Dose_uM`` or ``Dose (ng/ml)``; else empty."""
    match = _UNIT_AT_END.search(column.removeprefix("Metadata_"))
    if match is None or match.start() == 0:
        return ""
    text = match[1]
    is_molar = text in _UNITS.values() or (
        text.casefold() in _UNITS and text.endswith("M") and len(text) == 2
    )
    return text if is_molar or _MASSES.fullmatch(text) else ""


def _by_rows(groups: Sequence[str], wells: Sequence[str]) -> list[str]:
    ranges = []
    for group in groups:
        first, _, last = group.partition("-")
        ranges.append((row_index(first), row_index(last or first), group))
    series = []
    for well in wells:
        index = row_index(split_well(well)[0]) if well else -1
        series.append(next((name for low, high, name in ranges if low <= index <= high), ""))
    return series


def _equals(known: Value, wanted: str) -> bool:
    if known is None:
        return False
    if isinstance(known, float):
        return number_of(wanted) == known
    return known.strip().casefold() == wanted.casefold()


def _shown(value: Value) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:g}"
