"""How far each plate of a screen is, read without a lock; nothing is written."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from nucbatch.core.errors import InputNotFound, StoreError
from nucbatch.execution.screen.screen_files import RECORD
from nucbatch.store.run_status import read_status

_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class PlateStatus:
    """How far a plate is.

    Attributes:
        name: of the plate.
        state: not started, running, stopped, or finished.
        fields: number of fields to be done; None if not known yet.
        done, failed, unusable, nuclei: as in :class:`nucbatch.store.run_status.RunStatus`.
    """

    name: str
    state: str
    fields: int | None = None
    done: int = 0
    failed: int = 0
    unusable: int = 0
    nuclei: int = 0


def is_screen(out: Path) -> bool:
    """Returns whether a folder is that of a screen."""
    return (out / RECORD).is_file()


def screen_status(out: Path) -> list[PlateStatus]:
    """Reads the status of all plates of a screen, in its order.

    Raises:
        StoreError: the list of its plates is damaged.
    """
    try:
        names = [str(plate["name"]) for plate in json.loads((out / RECORD).read_bytes())["plates"]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StoreError(f"{out / RECORD} is damaged: give the command of the screen again.") from error
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # in a store each plate takes a few requests
        return list(pool.map(_status, [out / name for name in names]))


def _status(out: Path) -> PlateStatus:
    try:
        found = read_status(out)
    except (InputNotFound, StoreError):
        return PlateStatus(out.name, "not started")
    return PlateStatus(
        out.name, found.state, found.fields, found.done, found.failed, found.unusable, found.nuclei
    )
