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
        left: when it stopped to work on fields, finished or not; None if it worked on none, or was killed.
        ended: when the tables were written; None while it runs, or if it was stopped.
        earlier_s: duration of the earlier sessions that worked on fields.
        earlier_fields: number of fields that those sessions have done, or that failed in them.
        root: folder of the input's files; empty in the records of earlier versions.
    """

    began: float
    fields: int
    done_before: int
    unusable: int
    ledger_bytes: int
    left: float | None = None
    ended: float | None = None
    earlier_s: float = 0.0
    earlier_fields: int = 0
    root: str = ""


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
        return parsed_session(folder.session.read_bytes())
    except OSError:
        return None


def parsed_session(content: bytes) -> SessionRecord | None:
    """Parses the content of the record; None if it is damaged."""
    try:
        return _RECORD.validate_json(content)
    except ValidationError:
        return None


def earlier_work(folder: RunFolder, last_beat: float | None) -> tuple[float, int]:
    """Returns the duration of all sessions so far that worked on fields, in seconds, and the fields of these.

    Args:
        folder: the run's folder, before the new session writes there.
        last_beat: last heartbeat of a driver that was killed, in seconds since 1970; None if none was.
    """
    last = read_session(folder)
    if last is None:
        return 0.0, 0
    if last.left is None and last.ended is not None:  # all fields were done before
        return last.earlier_s, last.earlier_fields
    until = last.ended or last.left or last_beat or last.began
    return last.earlier_s + max(0.0, until - last.began), last.earlier_fields + _lines(
        folder, last.ledger_bytes
    )


def _lines(folder: RunFolder, begin: int) -> int:
    """Counts the ledger's lines from a place in bytes."""
    try:
        with folder.ledger.open("rb") as file:
            file.seek(begin)
            return sum(block.count(b"\n") for block in iter(lambda: file.read(2**20), b""))
    except FileNotFoundError:
        return 0
