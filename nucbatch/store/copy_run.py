"""Copies a run's folder, finished or not, to an object store and back; every file is compared by its SHA-256.

Each object is read back after it is written, so the comparison does not rest on what the store says. What is
there already with the same content is not written again, so the same command continues an interrupted copy.
The list of all files with their digests goes last, as ``.nucbatch/copied.json``: a copy without it is not
whole, and is not copied back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from nucbatch.core.errors import ImageUnavailable, InputError, InputNotFound, StoreError
from nucbatch.object_store import ObjectPath
from nucbatch.object_store.list_objects import objects
from nucbatch.object_store.writing import objects_below, put
from nucbatch.store.atomic import PARTIAL, replacing
from nucbatch.store.lock import run_lock
from nucbatch.store.remote.compared import NOTHING, Known, bring, of_file, of_object
from nucbatch.store.remote.compared import send as send_file
from nucbatch.store.remote.ledger import Files, RemoteLedger, read_rest
from nucbatch.store.remote.lock import require_unlocked
from nucbatch.store.run_folder import RunFolder

LIST = ".nucbatch/copied.json"
_LAST = (".nucbatch/ledger.jsonl", ".nucbatch/format")
"""Files that make a folder a run: copied when all others are there."""
_LEFT_OUT = (".nucbatch/lock", ".nucbatch/lock.holder", LIST)
_AT_ONCE = 8

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Copied:
    """Files and bytes of a copy, and how many of the files were there before."""

    files: int
    size_bytes: int
    there_before: int


def upload(folder: Path, target: ObjectPath, tell: Callable[[int], None]) -> Copied:
    """Copies the folder of a run, or of a screen, below an address.

    Args:
        folder: the run's folder; no driver may work in it.
        target: where it goes.
        tell: called with the number of files of each step.

    Raises:
        InputNotFound, InputError: it is no run; the store refuses. RunLocked: a driver works in it.
        StoreError: an object does not hold what was written.
    """
    runs = _runs_in(folder)
    if RemoteLedger.found(target) is not None:
        raise InputError(f"{target} holds a run of its own, made with -o {target}: choose another address.")
    there = {one["path"]: one["size"] for one in objects_below(target.bucket, target.key)}
    with ExitStack() as locks:
        for run in runs:
            locks.enter_context(run_lock(RunFolder(run)))
        known: dict[str, Known] = {}
        before = 0

        def send(name: str) -> tuple[str, Known, bool]:
            place = target / name
            if place.key in there:
                found = of_file(folder / name)
                if there[place.key] == found[0] and of_object(place) == found:
                    return name, found, True
            return name, send_file(folder / name, place), False

        for name, found, was_there in _each(send, _names(folder), tell):
            known[name] = found
            before += was_there
        with replacing(_list_of(folder)) as path:
            path.write_text(json.dumps(known, indent=0, sort_keys=True) + "\n", encoding="utf-8")
            put(target.bucket, (target / LIST).key, path)
    return Copied(len(known), sum(size for size, _ in known.values()), before)


def write_copied(target: ObjectPath, files: Files) -> None:
    """Writes the list of the files of a run that was copied to an address.

    Raises:
        InputError: the store refuses, or does not answer.
    """
    content = json.dumps(files, indent=0, sort_keys=True) + "\n"
    put(target.bucket, (target / LIST).key, content.encode())


def download(source: ObjectPath, folder: Path, tell: Callable[[int], None]) -> Copied:
    """Copies a run from an address into a folder, which is empty or holds an earlier attempt.

    The run was copied there, or was sent there while it ran.

    Raises:
        InputNotFound: there is no whole copy of a run. StoreError: an object differs from the run's file.
        RunLocked: a driver works there.
    """
    ledger = RemoteLedger.found(source)
    known = copied_files(source) if ledger is None else _sent(source, ledger)

    def fetch(name: str) -> tuple[str, bool]:
        path = folder / name
        if path.is_file() and of_file(path) == known[name]:
            return name, True
        if not bring(source / name, path, known[name]):
            raise StoreError(f"{source / name} is not the file of the run any more: copy the run again.")
        return name, False

    ordered = sorted(known, key=lambda name: (_rank(name), name))
    before = sum(was_there for _, was_there in _each(fetch, iter(ordered), tell))
    if ledger is not None:
        with replacing(folder / _LAST[0]) as path, path.open("wb") as file:
            file.writelines(line.content for line in ledger.lines() if line.files is None)
        RunFolder(folder).create()
    return Copied(len(known), sum(size for size, _ in known.values()), before)


def copied_files(source: ObjectPath) -> dict[str, Known]:
    """Reads the list of the files of a run that was copied to an address.

    Raises:
        InputNotFound: there is no whole copy. InputError: the list is damaged, or leads out of the folder; or
            there is no such bucket.
    """
    try:
        return {
            name: (size, digest)
            for name, (size, digest) in json.loads((source / LIST).read_bytes()).items()
            if is_inside(name)
        }
    except FileNotFoundError as error:
        next(objects(source.bucket, source.key), None)  # raises if there is no such bucket
        raise InputNotFound(
            f"{source} holds no whole copy of a run (it has no {LIST}), and no run that was made with -o: "
            "give the address of a run."
        ) from error
    except (ImageUnavailable, ValueError, AttributeError) as error:
        raise InputError(f"{source / LIST} can't be read ({error}).") from error


def _sent(source: ObjectPath, ledger: RemoteLedger) -> dict[str, Known]:
    """Returns the files of a run that was sent to a store while it ran; finished or not.

    Raises:
        RunLocked: a driver works there.
    """
    require_unlocked(source)
    fields: dict[str, Files] = {}
    for line in ledger.lines():
        fields |= line.files or {}
        if line.receipt is not None and line.receipt.status != "done":
            fields.pop(line.receipt.field, None)
    known = {name: one for files in fields.values() for name, one in files.items()} | read_rest(source)
    return {name: one for name, one in known.items() if one != NOTHING and is_inside(name)}


def _each(work: Callable[[str], T], names: Iterator[str], tell: Callable[[int], None]) -> Iterator[T]:
    """Yields the results of work on each file, several at once; files of _LAST wait for all before them."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        running: set[Future[T]] = set()
        for name in names:
            while running and (len(running) >= 2 * _AT_ONCE or _rank(name)):
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (one.result() for one in done)
                tell(len(done))
            running.add(pool.submit(work, name))
        yield from (one.result() for one in running)
        tell(len(running))


def _runs_in(folder: Path) -> list[Path]:
    """Returns the run's folder, or the folders of a screen's runs."""
    if not folder.is_dir():
        raise InputNotFound(f"{folder} does not exist: give the output folder of a run.")
    if RunFolder(folder).is_run():
        return [folder]
    runs = [path for path in sorted(folder.iterdir()) if path.is_dir() and RunFolder(path).is_run()]
    if not runs:
        raise InputError(f"{folder} is no run of nucbatch: give the folder named with -o.")
    return runs


def _names(folder: Path) -> Iterator[str]:
    """Yields the files of a run, those of _LAST at the end."""
    names = (
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and not path.name.endswith(PARTIAL)
    )
    yield from sorted((name for name in names if not name.endswith(_LEFT_OUT)), key=_rank)


def _rank(name: str) -> int:
    return next((place for place, last in enumerate(_LAST, start=1) if name.endswith(last)), 0)


def _list_of(folder: Path) -> Path:
    (folder / LIST).parent.mkdir(exist_ok=True)
    return folder / LIST


def is_inside(name: str) -> bool:
    """Checks that the name of a file leads to a place below the run's folder; True.

    Raises:
        InputError: it leads out of it.
    """
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or "\0" in name or not parts.parts:
        raise InputError(f"the list of a copied run names {name!r}, which leads out of its folder.")
    return True
