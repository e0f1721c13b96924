"""The latest receipt of each field in a ledger, parsed when it is asked for.

A resumed run of 10⁵ finished fields needs their names before its first block, and their receipts later, a few
at a time. So one pass over the ledger checks the lines and keeps where each is; a receipt is read from there.
"""

from __future__ import annotations

import json
import os
import re
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

from nucbatch.core.errors import StoreError
from nucbatch.core.gc_pause import gc_paused
from nucbatch.store.name_index import NameIndex
from nucbatch.store.receipt import Receipt, checked_json, line_of, receipt_of

_HEAD = re.compile(rb'\{"field":("(?:[^"\\]|\\.)*"),"status":"(done|failed)",')
_SOURCE = re.compile(rb'"source":"([0-9a-f]*)"')
_NO_LOSS = b'"lacking":[],'
_NUCLEI = re.compile(rb'"nuclei":([0-9]+),')


class HeldReceipts(Mapping[str, Receipt]):
    """Receipts by the field's key; of several of a field the last one counts.

    Args:
        lines: the ledger's lines, without the first.
        read: reads a number of bytes at a place; for the lines as given, one after the other.
        first: place of the first line.
        damaged: makes the error for a damaged line, of which it gets the number.

    Raises:
        StoreError: a line is damaged.
    """

    def __init__(
        self,
        lines: Iterable[bytes],
        read: Callable[[int, int], bytes],
        first: int,
        damaged: Callable[[int], StoreError],
    ) -> None:
        self._read, self._damaged = read, damaged
        self._begins, self._lengths = array("q"), array("i")
        self._done, self._sound, self._nuclei = bytearray(), bytearray(), array("q")
        self._names = NameIndex(self._keys(lines, first))
        self._forgotten: set[int] = set()

    def _keys(self, lines: Iterable[bytes], at: int) -> Iterator[str]:
        """Keeps where each line is and what it says in short; yields the keys of their fields."""
        for number, line in enumerate(lines, start=2):
            if not line.endswith(b"\n"):
                return
            head, nuclei = _HEAD.match(line), _NUCLEI.search(line)
            if not (head and nuclei and checked_json(line)):
                raise self._damaged(number)
            self._begins.append(at)
            self._lengths.append(len(line))
            self._done.append(head[2] == b"done")
            self._sound.append(head[2] == b"done" and _NO_LOSS in line)
            self._nuclei.append(int(nuclei[1]))
            at += len(line)
            name = head[1]
            yield json.loads(name) if b"\\" in name else name[1:-1].decode()

    @classmethod
    def of_ledger(cls, path: Path, damaged: Callable[[int], StoreError]) -> HeldReceipts:
        """Reads a ledger; there are no receipts without one. A last line without its end is skipped."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return cls.of(())
        with file, gc_paused():
            descriptor = os.dup(file.fileno())
            try:
                first = len(file.readline())
                held = cls(file, lambda count, at: os.pread(descriptor, count, at), first, damaged)
            except BaseException:
                os.close(descriptor)
                raise
        weakref.finalize(held, os.close, descriptor)
        return held

    @classmethod
    def of(cls, receipts: Iterable[Receipt]) -> HeldReceipts:
        """Holds receipts that are at hand."""
        lines = [line_of(asdict(receipt)) for receipt in receipts]
        return cls(lines, partial(_part, b"".join(lines)), 0, lambda number: StoreError(f"line {number}"))

    def __getitem__(self, key: str) -> Receipt:
        place = self._place(key)
        receipt = receipt_of(self._line(place))
        if receipt is None:
            raise self._damaged(place + 2)
        return receipt

    def __iter__(self) -> Iterator[str]:
        return map(self._names.name, self._valid())

    def __len__(self) -> int:
        return sum(1 for _ in self._valid())

    def __contains__(self, key: object) -> bool:
        return self._known(key) is not None

    def is_done(self, key: str) -> bool:
        """Tells whether a field is done; it may also have failed, or have no receipt."""
        place = self._known(key)
        return place is not None and bool(self._done[place])

    def done(self) -> Iterator[str]:
        """Yields the keys of the fields that are done."""
        return (self._names.name(place) for place in self._valid() if self._done[place])

    def troubled(self) -> Iterator[str]:
        """Yields the keys of the fields that have failed or may lack a channel."""
        return (self._names.name(place) for place in self._valid() if not self._sound[place])

    def nuclei_of_done(self, key: str) -> int | None:
        """Number of nuclei of a field that is done; None for any other."""
        place = self._known(key)
        return self._nuclei[place] if place is not None and self._done[place] else None

    def source_of_done(self, key: str) -> str | None:
        """Digest of a field's definition and files when it was done; None if it is not done."""
        place = self._known(key)
        if place is None or not self._done[place]:
            return None
        found = _SOURCE.search(self._line(place))
        return found[1].decode() if found else ""

    def forget(self, keys: Iterable[str]) -> None:
        """Leaves out the receipts of some fields, which are not valid."""
        known = (self._names.find(key) for key in keys)
        self._forgotten.update(place for place in known if place is not None)

    def _valid(self) -> Iterator[int]:
        """Yields the place of each receipt."""
        return (place for place in self._names.places() if place not in self._forgotten)

    def _known(self, key: object) -> int | None:
        place = self._names.find(key)
        return None if place in self._forgotten else place

    def _place(self, key: str) -> int:
        place = self._known(key)
        if place is None:
            raise KeyError(key)
        return place

    def _line(self, place: int) -> bytes:
        return self._read(self._lengths[place], self._begins[place])


def _part(content: bytes, count: int, at: int) -> bytes:
    return content[at : at + count]
