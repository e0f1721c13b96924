"""Runs whose results go to an object store.

The run works in a folder on a disk, as any other. Each batch of finished fields is sent to the store, first
the data and then the ledger's part, and its pixels are removed from the folder. Tables and report follow at
the end, and the folder is removed.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nucbatch.core.errors import InputError, StoreError
from nucbatch.core.log_file import NOTE
from nucbatch.execution.prepared import Prepared
from nucbatch.execution.run_progress import Progress
from nucbatch.execution.session import RunResult, execute
from nucbatch.object_store import ObjectPath
from nucbatch.object_store.writing import put
from nucbatch.planning.plan import Plan
from nucbatch.readers.names import plural
from nucbatch.schedulers.contract import Scheduling
from nucbatch.store.held_receipts import HeldReceipts
from nucbatch.store.ledger import latest_receipts
from nucbatch.store.receipt import Receipt
from nucbatch.store.remote.ledger import BEGUN, MOST_PARTS, RemoteLedger
from nucbatch.store.remote.lock import RemoteLock, remote_lock
from nucbatch.store.remote.publish import Publisher, publish_rest
from nucbatch.store.remote.unfinished import Unfinished
from nucbatch.store.remote.working_folder import UpToDate, bring_up_to_date, discard, working_folder
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.verify_files import file_problems, places_of

_HERE = ("local", "cuda")
"""Schedulers whose workers see every folder of this machine."""

_MOST_LINES = 20

_log = logging.getLogger(__name__)


def execute_to(prepared: Prepared, out: Path, *, work: Path | None = None, **session: Any) -> RunResult:
    """Executes a prepared run whose results go to a folder or an address, as the functions for each.

    Raises:
        InputError: ``work`` is given for a folder. Others: as these functions.
    """
    if isinstance(out, ObjectPath):
        return execute_in_store(prepared, out, work, **session)
    work_in(out, work)
    return execute(prepared, out, **session)


def work_in(out: Path, work: Path | None) -> Path:
    """Returns the folder in which a run works: ``out``, or the working folder of an address.

    Raises:
        InputError: ``work`` is given for a folder.
    """
    if isinstance(out, ObjectPath):
        return working_folder(out, work).path
    if work is not None:
        raise InputError(f"--work {work}: results go to {out} at once; --work is for an address as -o.")
    return out


def execute_in_store(
    prepared: Prepared,
    address: ObjectPath,
    work: Path | None = None,
    *,
    restart: bool = False,
    verify: bool = False,
    progress: Progress | None = None,
    **session: Any,
) -> RunResult:
    """Executes a prepared run whose results go to a store, or resumes the run that was started there.

    Args:
        prepared: the run.
        address: where the results go.
        work: the folder for the working folder; None for the user's cache folder.
        restart: delete what an earlier run left below the address.
        verify: read every object of done fields and compare its SHA-256.
        progress: reports to the user; None: nothing is reported.
        session: further arguments of :func:`nucbatch.execution.session.execute`.

    Raises:
        InputError: an option can't be used with a store, or the store refuses or does not answer.
        RunLocked: another driver works there. StoreError: the address holds something else, the store does
            not answer, or the working folder can't be written.
        Others: as :func:`nucbatch.execution.session.execute`.
    """
    require_possible(prepared, address, work, session)
    folder = working_folder(address, work)
    with remote_lock(address) as lock:
        if progress is not None:
            progress.note(f"Results go to {address}; those that are not sent yet are in {folder.path}.")
        ledger = RemoteLedger.opened(address, restart=restart)
        found = bring_up_to_date(folder, ledger, verify=verify)
        if ledger.parts > MOST_PARTS:
            ledger.compact(folder.hidden)
        with RunInStore(folder, ledger, lock, found) as to_store:
            result = execute(
                prepared,
                folder.path,
                restart=restart,
                verify=verify,
                progress=progress,
                to_store=to_store,
                **session,
            )
        try:
            publish_rest(folder, address, to_store.groups_of_failed())
            to_store.finished()
        except (InputError, StoreError) as error:
            raise StoreError(
                f"{error} Tables and report are kept in {folder.path}: give the same command again once the "
                "store answers."
            ) from error
        discard(folder)
    return replace(result, folder=RunFolder(address))


def require_possible(
    prepared: Prepared, address: ObjectPath, work: Path | None, session: Mapping[str, Any]
) -> None:
    """Checks that a run can have its results in a store; starts and writes nothing.

    Raises:
        InputError: it can't; the message says what to do.
    """
    require_address(address, work, session.get("scheduling") or Scheduling())
    if prepared.plan.settings.labels == "in-place":
        raise InputError(
            f"--in-place writes into the images of the input, and {address} is a store: leave it out, or "
            "give a folder with -o for the tables."
        )
    for name in ("keep_probabilities", "reuse_probabilities"):
        if session.get(name):
            raise InputError(
                f"--{name.replace('_', '-')} needs a folder on a disk: give one with -o, and copy it with "
                f"`nucbatch copy FOLDER {address}`."
            )


def require_address(address: ObjectPath, work: Path | None, scheduling: Scheduling) -> None:
    """Checks that results can go to an address; starts and writes nothing.

    Raises:
        InputError: they can't; the message says what to do.
    """
    if not address.lists:
        raise InputError(f"{address}: results go to s3://, gs:// or az://, not to a web server.")
    if not address.key:
        raise InputError(f"{address} is a whole bucket: name a folder in it, such as {address}/run.")
    if work is None and scheduling.name not in _HERE:
        raise InputError(
            f"--scheduler {scheduling.name}: workers on other machines write to the working folder before it "
            f"is sent to {address}. Name a folder that all of them see with --work."
        )


class RunInStore:
    """The part of a session that sends its results to a store; a context manager.

    Args:
        folder: the working folder.
        ledger: the ledger in the store.
        lock: the lock of the address.
        found: what is in the store.
    """

    def __init__(self, folder: RunFolder, ledger: RemoteLedger, lock: RemoteLock, found: UpToDate) -> None:
        self._folder, self._ledger, self._lock, self._found = folder, ledger, lock, found
        self._unfinished = Unfinished(folder, ledger.address)
        self._open = ExitStack()
        self._publisher: Publisher | None = None
        self._plan: Plan | None = None

    def begin(self, plan: Plan, held: HeldReceipts) -> None:
        """Starts to send, first what an earlier session has finished and not sent.

        Args:
            plan: the run's plan.
            held: the latest receipt of each field; forgets those whose files are missing or damaged.
        """
        is_plate = plan.plate.is_plate
        fields = {field.key: field for field in plan.usable}
        folder = replace(self._folder, in_place=None)
        self._plan = plan
        self._open.enter_context(self._unfinished)
        self._publisher = self._open.enter_context(
            Publisher(
                folder,
                self._ledger,
                self._lock,
                lambda key: places_of(folder, is_plate, fields[key]),
                seen=True,
                unfinished=self._unfinished,
            )
        )
        wrong = dict(self._found.damaged)
        waiting = []
        known = self._found.there | self._found.damaged.keys()
        for key in sorted((held.keys() & fields.keys()) - known):  # also those recovered from tables
            if held.is_done(key):
                problems = file_problems(places_of(folder, is_plate, fields[key]), held[key], verify=True)
                if problems:
                    wrong[key] = f"{next(iter(problems))} {next(iter(problems.values()))}"
                else:
                    waiting.append(held[key])
        for number, (key, what) in enumerate(wrong.items()):
            if number < _MOST_LINES:
                _log.warning("%s is done again: %s", key, what, extra=NOTE)
        if len(wrong) > _MOST_LINES:
            _log.warning("%d more fields are done again", len(wrong) - _MOST_LINES, extra=NOTE)
        self._publisher.remove_sent(sorted(self._found.there & fields.keys()))
        self._publisher.commit(waiting)
        held.forget(wrong)
        to_do = {field.group for field in plan.usable if not held.is_done(field.key)}
        if fetched := self._unfinished.fetch(to_do):
            what = f"{plural(fetched, 'large image')} that another session has begun"
            _log.info("%s: what was sent of the network's work is fetched", what, extra=NOTE)

    def finished(self) -> None:
        """Removes from the store what is of use to an unfinished run alone.

        Raises:
            InputError: the store refuses, or does not answer.
        """
        self._unfinished.remove_all()

    def begun(self) -> None:
        """Sends the session's record and the plate, so that others see how far the run is.

        Raises:
            InputError: the store refuses, or does not answer.
        """
        for path in (self._folder.session, self._folder.plate):
            if path.is_file():
                place = self._ledger.address / BEGUN / path.name
                put(place.bucket, place.key, path)

    def commit(self, receipts: Collection[Receipt]) -> None:
        """Queues committed fields to be sent.

        Raises:
            StoreError, RunLocked: sending has failed; what was not sent stays in the working folder.
        """
        if self._publisher is not None:
            self._publisher.commit(receipts)

    def drain(self) -> None:
        """Waits until all fields are sent.

        Raises:
            StoreError, RunLocked: as :meth:`commit`.
        """
        if self._publisher is not None:
            self._publisher.drain()

    @property
    def shown(self) -> RunFolder:
        """The working folder with the images in the store, for the report."""
        return replace(self._folder, zarr=self._images)

    @property
    def _images(self) -> ObjectPath:
        """The OME-Zarr in the store."""
        is_plate = self._plan is not None and self._plan.plate.is_plate
        return self._ledger.address / self._folder.store(is_plate).name

    def groups_of_failed(self) -> list[ObjectPath]:
        """Returns the groups in the store of fields that have failed in the end."""
        if self._plan is None:
            return []
        receipts = latest_receipts(self._folder)
        return [
            self._images / field.group
            for field in self._plan.plate.fields
            if field.key in receipts and receipts[field.key].status == "failed"
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)
