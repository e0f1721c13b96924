"""How far a run is, read from its folder by a process that takes no lock and writes nothing.

The ledger is read once, line by line. A hash of the field's key, the status and the number of nuclei of each
line are kept, 13 bytes, because the last line of a field is the one that counts.
"""

from __future__ import annotations

import json
import os
import re
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nucbatch.core.errors import DamagedFile, InputNotFound, StoreError
from nucbatch.core.numeric_kind import in_words
from nucbatch.object_store import ObjectPath
from nucbatch.store.ledger import read_header
from nucbatch.store.lock import Holder, holder
from nucbatch.store.receipt import receipt_of
from nucbatch.store.remote.lock import remote_holder
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.scratch import Scratch, read_values
from nucbatch.store.session_record import SessionRecord, read_session
from nucbatch.store.stored_run import stored_run
from nucbatch.store.units import read_units

RECENT_S = 300.0
"""The recent rate is that of the last five minutes."""

_MOST_REASONS = 254  # the rest share one
_MOST_TAIL_BYTES = 32 * 2**20
_CLOCK_SKEW_S = 60.0
_FINISH = "finish"
_NAMED_FILE = re.compile(r"\A.*?\.\w{1,8}(?: \([^)]*\))?: ")

State = Literal["not started", "running", "stopped", "finished"]


@dataclass(frozen=True, slots=True)
class ImageStatus:
    """How far a large image is: (stage, done units, all units) of the stages, in order."""

    name: str
    stages: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How far a run is.

    Attributes:
        state: *running*: a driver works on it. *stopped*: none does, and its tables are not written.
        fields: number of fields to be done; None if no session has got so far.
        done: number of fields that are done.
        failed: number of fields that failed; while a driver runs, those that it has tried in this session.
        unusable: number of further fields whose files can't be used.
        to_do: number of fields that are left; None as for ``fields``.
        nuclei: number of nuclei in the masks of the done fields, before repeats in overlaps are left out.
        reasons: the most frequent reasons of failed fields, without the name of the file, and their numbers.
        recent_per_s: fields done per second in the last :data:`RECENT_S` seconds before now, or before the
            last result if no driver runs; None without any.
        session_per_s: fields done per second in the last session; None without any.
        left_s: time left in seconds at the recent rate; None if no driver runs or there is no rate.
        driver: the driver that holds the lock, or was killed while it held it; None if there is none.
        log: log file of the last session; None if there is none.
        record_age_s: time since the last result was committed; None if none was.
        images: large images that the last session has begun and not finished.
        arithmetic: in what the network computes, in words; empty if it isn't known, or there is no network.
    """

    state: State
    fields: int | None
    done: int
    failed: int
    unusable: int
    to_do: int | None
    nuclei: int
    reasons: tuple[tuple[str, int], ...]
    recent_per_s: float | None
    session_per_s: float | None
    left_s: float | None
    driver: Holder | None
    log: Path | None
    record_age_s: float | None
    images: tuple[ImageStatus, ...]
    arithmetic: str


def read_status(path: Path, *, most_reasons: int = 5) -> RunStatus:
    """Reads how far the run in a folder, or at an address in a store, is.

    Args:
        path: the run's folder or address.
        most_reasons: largest number of reasons of failed fields.

    Raises:
        InputNotFound: there is no such folder, or no run at the address.
        StoreError: it holds no run, or can't be read. InputError: the store refuses.
    """
    if isinstance(path, ObjectPath):
        with stored_run(path, tables=False) as run:
            return _status_of(run.folder, remote_holder(path), path, most_reasons)
    folder = RunFolder(path)
    if not path.exists():
        raise InputNotFound(f"{path} does not exist: give the output folder of a run.")
    if not path.is_dir() or not folder.is_run():
        raise StoreError(
            f"{path} is no run of nucbatch (it has no .nucbatch/format): give the folder named with -o."
        )
    return _status_of(folder, holder(folder), path, most_reasons)


def _status_of(folder: RunFolder, driver: Holder | None, named: Path, most_reasons: int) -> RunStatus:
    """Reads how far a run is whose driver is known; ``named`` is its name in messages."""
    if "model" not in read_header(folder).get("settings", {"model": ""}):
        raise StoreError(
            f"{named} belongs to a conversion, which has no fields to count: see its images.csv."
        )
    try:
        return _status(folder, driver, most_reasons)
    except DamagedFile:
        raise
    except OSError as error:
        raise StoreError(f"{error.filename or named} can't be read: {error.strerror or error}.") from error


def _status(folder: RunFolder, driver: Holder | None, most_reasons: int) -> RunStatus:
    now, session = time.time(), read_session(folder)
    runs = driver is not None and driver.runs
    begins_at = session.ledger_bytes if session else 0
    fields = _Fields.read(folder.ledger, begins_at if runs else 0, begins_at)
    done, total, to_do = fields.done, None, None
    if session is not None:
        # Receipts of fields whose files have changed, or are gone, don't count for the session.
        done = min(done - max(0, fields.done_before - session.done_before - fields.repeated), session.fields)
        total, to_do = session.fields, max(0, session.fields - done - fields.failed)
    last = _changed(folder.ledger) if fields.lines else None
    images = _images(folder, session)
    recent_per_s = _recent_rate(folder.ledger, now if runs else last, session)
    session_per_s = None
    if session is not None and fields.in_session and last is not None:
        spent_s = (now if runs else last) - session.began
        session_per_s = fields.in_session / spent_s if spent_s > 0 else None
    pace = recent_per_s or session_per_s
    return RunStatus(
        state=_state(runs, session, fields.lines),
        fields=total,
        done=done,
        failed=fields.failed,
        unusable=session.unusable if session else 0,
        to_do=to_do,
        nuclei=fields.nuclei,
        reasons=tuple(fields.reasons.most_common(most_reasons)),
        recent_per_s=recent_per_s,
        session_per_s=session_per_s,
        left_s=to_do / pace if runs and pace and to_do is not None else None,
        driver=driver,
        log=_log(folder),
        record_age_s=None if last is None else max(0.0, now - last),
        images=images,
        arithmetic=_arithmetic(folder),
    )


def _arithmetic(folder: RunFolder) -> str:
    settings = read_header(folder).get("settings", {})
    kind = settings.get("precision", "") if settings.get("masks") == "network" else ""
    return in_words(kind) if kind else ""


def _state(runs: bool, session: SessionRecord | None, lines: int) -> State:
    if runs:
        return "running"
    if session is None:
        return "stopped" if lines else "not started"
    return "stopped" if session.ended is None else "finished"


@dataclass(slots=True)
class _Fields:
    """What the ledger's lines say. ``failed``: the last line of a field after some place in the ledger."""

    lines: int = 0
    done: int = 0
    failed: int = 0
    nuclei: int = 0
    done_before: int = 0
    repeated: int = 0
    in_session: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @classmethod
    def read(cls, ledger: Path, failed_from: int, session_from: int) -> _Fields:
        """Counts the fields of a ledger.

        Args:
            ledger: the file.
            failed_from: failures in lines before this place don't count, as the driver tries them again.
            session_from: place in bytes at which the session's own lines begin.
        """
        keys, nuclei, kinds = array("q"), array("i"), bytearray()  # kind: 0 done, else reason + 1
        reasons: dict[str, int] = {}
        first_failed = first_of_session = -1
        at = 0
        if not ledger.exists():
            return cls()
        with ledger.open("rb") as file:
            at += len(file.readline())
            for line in file:
                if not line.endswith(b"\n"):
                    break  # being written, or truncated by a kill
                if first_failed < 0 and at >= failed_from:
                    first_failed = len(keys)
                if first_of_session < 0 and at >= session_from:
                    first_of_session = len(keys)
                at += len(line)
                parts = line.split(b'"', 14)
                if len(parts) == 15 and parts[7] == b"done" and parts[13] == b"nuclei":
                    count = parts[14]
                    keys.append(hash(parts[3]))
                    nuclei.append(int(count[1 : count.index(b",")]))
                    kinds.append(0)
                elif (receipt := receipt_of(line)) is not None:
                    keys.append(hash(json.dumps(receipt.field)[1:-1].encode()))
                    nuclei.append(receipt.nuclei)
                    kinds.append(0 if receipt.status == "done" else _number(reasons, receipt.reason))
        return cls._counted(keys, nuclei, kinds, list(reasons), (first_failed, first_of_session))

    @classmethod
    def _counted(
        cls,
        keys: array[int],
        nuclei: array[int],
        kinds: bytearray,
        reasons: list[str],
        begins: tuple[int, int],
    ) -> _Fields:
        count = len(keys)
        if not count:
            return cls()
        first_failed, first_of_session = (count if begin < 0 else begin for begin in begins)
        names = np.frombuffer(keys, np.int64)
        kind = np.frombuffer(kinds, np.uint8)
        last = count - 1 - np.unique(names[::-1], return_index=True)[1]
        is_done = kind[last] == 0
        done = last[is_done]
        failed = last[~is_done]
        failed = failed[failed >= first_failed]
        before = names[:first_of_session]
        ended = len(before) - 1 - np.unique(before[::-1], return_index=True)[1]
        done_before = before[ended[kind[:first_of_session][ended] == 0]]
        own = done[done >= first_of_session]
        return cls(
            lines=count,
            done=len(done),
            failed=len(failed),
            nuclei=int(np.frombuffer(nuclei, np.int32)[done].sum(dtype=np.int64)),
            done_before=len(done_before),
            repeated=int(np.isin(names[own], done_before).sum()),
            in_session=len(own),
            reasons=Counter(reasons[number - 1] for number in kind[failed].tolist()),
        )


def _number(reasons: dict[str, int], reason: str) -> int:
    """Returns the number, from 1, of a reason without the name of its file; the rarest share the last one."""
    reason = _NAMED_FILE.sub("", reason)
    if reason not in reasons and len(reasons) >= _MOST_REASONS:
        reason = "other reasons"
    return reasons.setdefault(reason, len(reasons) + 1)


def _recent_rate(ledger: Path, until: float | None, session: SessionRecord | None) -> float | None:
    """Returns the fields done per second in the last minutes before ``until``, from the ledger's end."""
    if until is None or not ledger.exists():
        return None
    since = max(until - RECENT_S, session.began if session else 0.0)
    committed = [ns / 1e9 for ns in _committed_ns(ledger) if ns / 1e9 >= since]
    if not committed:
        return None
    if len(committed) == 1 or until - since <= 0:
        return None
    return len(committed) / (until - since)


def _committed_ns(ledger: Path) -> Iterator[int]:
    """Yields the times of the last results in the ledger, in nanoseconds since 1970."""
    with ledger.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        begin = max(0, end - _MOST_TAIL_BYTES)
        file.seek(begin)
        file.readline()
        for line in file:
            at = line.rfind(b'"committed_ns":')
            digits = line[at + 15 : line.find(b",", at)] if at >= 0 else b""
            if digits.isdigit() and digits != b"0":
                yield int(digits)


def _images(folder: RunFolder, session: SessionRecord | None) -> tuple[ImageStatus, ...]:
    """Returns the large images that the session has begun and not finished, the latest first."""
    since = session.began - _CLOCK_SKEW_S if session else 0.0
    found: list[tuple[float, ImageStatus]] = []
    for where, folders, names in os.walk(folder.scratch):
        scratch = Scratch(Path(where))
        if scratch.units.name not in names:
            continue
        folders.clear()
        changed = _changed(scratch.units)
        if changed is not None and changed >= since and (status := _image(scratch)) is not None:
            found.append((changed, status))
    return tuple(status for _, status in sorted(found, key=lambda one: -one[0]))


def _image(scratch: Scratch) -> ImageStatus | None:
    """Returns how far an image is; None if it is finished, or its files are being written."""
    try:
        noted: dict[str, Any] = read_values(scratch.stages)
        places = {(unit.stage, unit.row, unit.column) for unit in read_units(scratch.units)}
    except OSError:
        return None
    grids = noted["stages"]
    done = Counter(
        stage
        for stage, row, column in places
        if stage in grids and row < grids[stage][1] and column < grids[stage][2]
    )
    if done[_FINISH]:
        return None
    return ImageStatus(
        noted["image"],
        tuple((doing, done[name], rows * columns) for name, (doing, rows, columns) in grids.items()),
    )


def _log(folder: RunFolder) -> Path | None:
    """Returns the log of the last session; logs are named by the time."""
    return max(folder.logs.glob("[0-9]*Z*.log"), default=None)


def _changed(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
