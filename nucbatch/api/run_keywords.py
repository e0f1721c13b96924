"""Values of ``nucbatch.run``'s keywords, in the forms that people give them in Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from nucbatch.core.errors import InputError
from nucbatch.experiment.description import Experiment, table_of

Listed = str | int | Iterable[str | int]
"""Wells, sites or time points: a text such as "B02,C03-C10", a number, or several of them."""
Several = str | Sequence[str]
"""One text, or several."""


class SchedulerOptions(TypedDict, total=False):
    """Options of single schedulers, as on the command line; the others refuse them."""

    profile: str | Path
    partition: str
    account: str
    qos: str
    gres: str
    constraint: str
    walltime: str
    memory: str
    cores: int
    interface: str
    driver_interface: str
    scratch: str
    python: str
    prologue: Sequence[str]
    directive: Sequence[str]
    min_jobs: int
    max_jobs: int
    tls_ca: str | Path
    tls_cert: str | Path
    tls_key: str | Path


_RENAMED = {"scratch": "local_directory", "directive": "directives"}
_PATHS = ("profile", "tls_ca", "tls_cert", "tls_key")


def scheduler_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """The schedulers' own names and types of these options.

    Raises:
        TypeError: there is no such option.
    """
    if unknown := sorted(set(options) - set(SchedulerOptions.__annotations__)):
        raise TypeError(f"run() has no option {unknown[0]!r}: see help(nucbatch.run)")
    return {
        _RENAMED.get(name, name): Path(value) if name in _PATHS else value for name, value in options.items()
    }


def listed(values: Listed) -> str:
    """Wells, sites or time points as one text, as on the command line.

    >>> listed("B02,C03"), listed(3), listed(["B02", "B03"]), listed(range(1, 3))
    ('B02,C03', '3', 'B02,B03', '1,2')
    """
    return str(values) if isinstance(values, str | int) else ",".join(map(str, values))


def several(values: Several) -> tuple[str, ...]:
    """Texts as a tuple; an empty text is none.

    >>> several(""), several("Dose=10"), several(["a", "b"])
    ((), ('Dose=10',), ('a', 'b'))
    """
    return ((values,) if values else ()) if isinstance(values, str) else tuple(values)


def experiment_asked(
    metadata: str | Path | None,
    *,
    positive: Several,
    negative: Several,
    series: str,
    dose: str,
    dose_unit: str,
    measure: Several,
) -> Experiment | None:
    """The description of the experiment; None if none is given.

    Raises:
        InputNotFound, InputError: the table can't be read.
    """
    table, name = (b"", "") if metadata is None else table_of(Path(metadata))
    experiment = Experiment(
        table, name, dose, dose_unit, several(positive), several(negative), series, several(measure)
    )
    return experiment or None


def one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    """Checks a keyword that has a few values.

    Raises:
        InputError: it has another value.
    """
    if value not in allowed:
        raise InputError(f"{name} is {value!r}: give {' or '.join(allowed)}.")
