"""``.nucbatch/session.json``: what the last session of a run set out to do, and whether it has ended.

The driver writes it when its work queue is known, and again when the run is finalised. ``nucbatch status``
reads it. The folder's results do not depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from nucbatch.store.atomic import write_text
from nucbatch.store.run_folder import RunFolder


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session of a run.

    Attributes:
        began: start of the session, in seconds since 1970 (UTC).
        fields: number of fields that are done at its end, if none fails.
        done_before: how many of them were done when it began.
        unusable: number of further fields whose files can't be used.
        ledger_bytes: size of the ledger when it began.
        ended: when the tables and the report were written; None while it runs, or if it was stopped.
    """

    began: float
    fields: int
    done_before: int
    unusable: int
    ledger_bytes: int
    ended: float | None = None


_RECORD = TypeAdapter(SessionRecord)


def write_session(folder: RunFolder, record: SessionRecord) -> None:
    """Writes the record of the current session.

    Raises:
        StoreError: the file can't be written.
    """
    write_text(folder.session, _RECORD.dump_json(record).decode() + "\n", durable=False)


def read_session(folder: RunFolder) -> SessionRecord | None:
    """Reads the record of the last session; None if it is absent or damaged."""
    try:
        return _RECORD.validate_json(folder.session.read_bytes())
    except (OSError, ValidationError):
        return None
