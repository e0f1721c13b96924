"""Every error can be raised on one machine and caught on another."""

from __future__ import annotations

from pathlib import Path

import pytest
from distributed.core import clean_exception, error_message

from nucbatch.core import errors

ALL = [
    made
    for made in vars(errors).values()
    if isinstance(made, type) and issubclass(made, errors.NucbatchError)
]


@pytest.mark.parametrize("kind", ALL)
def test_errors_survive_the_way_from_a_worker(kind: type[errors.NucbatchError]) -> None:
    try:
        raise kind("7 is too many: give 6.")
    except errors.NucbatchError as error:
        sent = error_message(error)  # what a worker sends home
    _, came, _ = clean_exception(sent["exception"].data)
    assert type(came) is kind
    assert str(came) == "7 is too many: give 6."
    assert isinstance(came, errors.NucbatchError)


def test_every_error_is_also_a_builtin() -> None:
    assert len(ALL) > 5
    builtin = (ValueError, FileNotFoundError, OSError, RuntimeError, MemoryError)
    assert [kind for kind in ALL if kind is not errors.NucbatchError and not issubclass(kind, builtin)] == []


def test_a_damaged_files_path_survives_the_way_from_a_worker() -> None:
    sent = error_message(errors.DamagedFile.at(Path("a/b"), "is gone"))
    _, error, _ = clean_exception(sent["exception"].data)
    assert (error.path, error.what) == (Path("a/b"), "is gone")
    assert str(error).startswith("a/b is gone. Run the same command again with --verify")
