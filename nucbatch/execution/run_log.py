"""Log file of one session of a run, and the warnings that the report lists.

``.nucbatch/logs/<time>.log`` receives all records of a session, and those made before it while the input was
read (:func:`nucbatch.core.log_file.early_records`). nucbatch's own warnings are also appended to
``.nucbatch/logs/warnings.jsonl``, each text once per session; the report reads them from there.
"""

from __future__ import annotations

import json
import logging
import platform
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nucbatch.core.log_file import PROJECT, SHOWN, LogFile, logged_to_its_end, logging_to, new_log
from nucbatch.core.plate import FileStatus, absent_text
from nucbatch.execution.prepared import Prepared
from nucbatch.planning.plan import Plan
from nucbatch.store.atomic import cannot_write
from nucbatch.store.run_folder import RunFolder
from nucbatch.version import __version__

IN_REPORT = {"shown": True, "in_report": True}
"""``extra`` of a warning that the report already shows, computed from the tables."""

_MOST_WARNINGS = 1000
"""Most warnings that one session keeps for the report; the log has all of them."""

_MOST_UNUSABLE = 200
"""Most unusable fields whose reasons are logged at the start of a session."""

if TYPE_CHECKING:
    from nucbatch.execution.finalise import Totals

_log = logging.getLogger(__name__)


@contextmanager
def run_log(folder: RunFolder, show: Callable[[str], None]) -> Iterator[Path]:
    """Logs to a new file in the run's folder while the context lasts, and yields the file's path.

    An error that ends the session is logged too.

    Args:
        folder: the run's folder.
        show: receives the messages for the user.

    Raises:
        StoreError: the file can't be created.
    """
    try:
        folder.logs.mkdir(exist_ok=True)
        path = new_log(folder.logs)
    except OSError as error:
        raise cannot_write(folder.path, error) from error
    with logging_to(LogFile(path), _Notes(show), _Warnings(folder.warnings)):
        _log.info(
            "nucbatch %s, Python %s, %s, folder %s",
            __version__,
            platform.python_version(),
            platform.platform(),
            folder.path,
        )
        with logged_to_its_end(_log, "session"):
            yield path


def log_plan(prepared: Prepared, plan: Plan) -> None:
    """Logs the input, the settings, the plan and the warnings about the input."""
    plate = plan.plate
    files = Counter(plate.files.values("status"))
    _log.info(
        "Input %s (%s) at %s: %d fields, %d usable, %.1f Mpx; files: %s",
        plate.name,
        plate.layout,
        plate.root,
        len(plate.fields),
        len(plan.usable),
        plan.pixels / 1e6,
        ", ".join(f"{files[status]} {status.value}" for status in FileStatus),
    )
    _log.info("Settings %s: %s", plan.settings.digest(), json.dumps(plan.settings.model_dump(mode="json")))
    large = sum(plan.large(plan.usable))
    objects = prepared.masks.sentence if prepared.masks else f"model {prepared.card.sha256}"
    _log.info("Plan: %d images in blocks of %s px; %s", large, plan.block_px, objects)
    unusable = plate.fields.where("problem", bool)
    for field in unusable[:_MOST_UNUSABLE]:
        _log.error("Field %s can't be used: %s", field.key, field.problem, extra=SHOWN)
    if len(unusable) > _MOST_UNUSABLE:
        _log.error("%d more fields can't be used: see files.csv", len(unusable) - _MOST_UNUSABLE)
    for sentence in prepared.warnings:
        _log.warning(sentence, extra=SHOWN)


def log_totals(totals: Totals, folder: RunFolder) -> None:
    """Logs the totals of the tables, and warns about absent pixels and flagged fields."""
    _log.info(
        "Tables written: %d nuclei, %d fields done, %d failed; files: %d used, %d ignored, %d quarantined",
        totals.nuclei,
        totals.fields_done,
        totals.fields_failed,
        totals.files_used,
        totals.files_ignored,
        totals.files_quarantined,
    )
    if totals.absent_chunks:
        absent = absent_text(totals.absent_chunks, totals.chunks)
        _log.warning("%s, read as background. See reason in %s", absent, folder.files, extra=IN_REPORT)
    if totals.stage:
        _log.info("%s", totals.stage, extra=SHOWN)
    for flag, count in totals.flagged.items():
        _log.warning("Flagged %s: %d fields. See Flags in %s", flag, count, folder.fields, extra=IN_REPORT)


class _Notes(logging.Handler):
    """Passes messages for the user to a function that shows them."""

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__()
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "note", False):
            self._show(record.getMessage())


class _Warnings(LogFile):
    """Writes nucbatch's own warnings for the report, each text once."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _WarningAsJson())
        self.setLevel(logging.WARNING)
        self._kept: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if (
            record.levelno == logging.WARNING  # failed fields have a list of their own
            and record.name.partition(".")[0] == PROJECT
            and not getattr(record, "in_report", False)
            and text not in self._kept
            and len(self._kept) < _MOST_WARNINGS
        ):
            self._kept.add(text)
            super().emit(record)


class _WarningAsJson(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps({"time": round(record.created), "text": record.getMessage()})
