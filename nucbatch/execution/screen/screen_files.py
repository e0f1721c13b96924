"""Files of a screen beside its plates, in a folder or at an address: the record, and the joint tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from nucbatch.core.errors import StoreError
from nucbatch.object_store import ObjectPath
from nucbatch.object_store.writing import put
from nucbatch.store.atomic import write_text
from nucbatch.store.remote.compared import NOTHING, bring, send
from nucbatch.store.remote.ledger import read_rest

RECORD = "screen.json"

_JOINED = ("wells.csv", "files.csv", "run.json", "assay.csv", "doses.csv", "normalised.csv")
_REPORT = "report.html"
_AT_ONCE = 16


def read_record(out: Path) -> bytes:
    """Reads the record of a screen; empty without one.

    Raises:
        OSError, ImageUnavailable: it can't be read.
    """
    if isinstance(out, ObjectPath):
        place = out / RECORD
        return place.if_there(place.read_bytes) or b""
    out.mkdir(parents=True, exist_ok=True)
    return (out / RECORD).read_bytes() if (out / RECORD).is_file() else b""


def write_record(out: Path, text: str) -> None:
    """Writes the record of a screen.

    Raises:
        StoreError, InputError: it can't be written.
    """
    if isinstance(out, ObjectPath):
        put(out.bucket, (out / RECORD).key, text.encode())
    else:
        write_text(out / RECORD, text)


@contextmanager
def tables_here(out: Path, plates: Iterable[str]) -> Iterator[Path]:
    """Gives a folder with the plates' tables, to which the joint tables are written.

    For an address it is a temporary one: the plates' tables are fetched first, and the files that are written
    beside them are sent at the end.

    Raises:
        StoreError, InputError: the store refuses, or does not answer.
    """
    if not isinstance(out, ObjectPath):
        yield out
        return
    with TemporaryDirectory(prefix="nucbatch-screen-") as temporary:
        folder = Path(temporary)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(lambda name: _fetch(out / name, folder / name), plates):
                pass
        yield folder
        for path in sorted(folder.iterdir()):
            if path.is_file():
                send(path, out / path.name)


def _fetch(address: ObjectPath, folder: Path) -> None:
    """Fetches the tables of a plate that are joined; its report stays in the store.

    Raises:
        StoreError: a table has other bytes than were written.
    """
    files = read_rest(address)
    folder.mkdir()
    if _REPORT in files:  # the overview links to it
        (folder / _REPORT).touch()
    for name in _JOINED:
        known = files.get(name, NOTHING)
        if known != NOTHING and not bring(address / name, folder / name, known):
            raise StoreError(f"{address / name} is not the file of the run any more: run this plate again.")
