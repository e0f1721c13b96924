"""Rows: an immutable sequence of records that is held by column.

A plate of 10⁶ fields as 10⁶ Python objects takes gigabytes, most of it for values that are the same in all of
them. Here a block of 512 records holds each attribute as one compact column: a value that repeats, binary
numbers, or compressed JSON. A record is made when it is asked for. Passes that need one attribute read its
column alone (:meth:`Rows.values`), which for a value shared by a block costs nothing.

Values are None, booleans, integers, floats, texts and tuples of these; whatever else a record holds is
described by its :class:`Form`.
"""

from __future__ import annotations

import json
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import accumulate, chain, compress, cycle, islice, repeat
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

_BLOCK = 512
_Plain = Any  # None, bool, int, float, str, or a tuple of these


@dataclass(frozen=True)
class Form(Generic[T]):
    """How a dataclass is taken apart into columns.

    Attributes:
        kind: the dataclass; its attributes are in the order of its constructor.
        parts: attributes that are tuples of records, with the form of these.
        plain: attributes of other types: a function to a plain value, and one back from it.
    """

    kind: type[T]
    parts: Mapping[str, Form[Any]] = field(default_factory=dict)
    plain: Mapping[str, tuple[Callable[[Any], _Plain], Callable[[_Plain], Any]]] = field(default_factory=dict)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the attributes."""
        return tuple(one.name for one in fields(self.kind))

    @cached_property
    def values(self) -> Callable[[T], tuple[Any, ...]]:
        """Takes a record apart."""
        return attrgetter(*self.names)


class _Column(Protocol):
    def values(self, length: int) -> Sequence[Any]: ...

    def stored(self, payload: list[bytes]) -> list[Any]: ...


@dataclass(frozen=True, slots=True)
class _Repeated:
    """The same few values again and again; mostly a single one."""

    pattern: tuple[_Plain, ...]

    def values(self, length: int) -> Sequence[Any]:
        return list(islice(cycle(self.pattern), length))

    def stored(self, payload: list[bytes]) -> list[Any]:
        return ["=", self.pattern]


@dataclass(frozen=True, slots=True)
class _Numbers:
    """Integers or floats in the byte order of this machine; ``code`` as in :mod:`array`."""

    code: str
    content: bytes

    def values(self, length: int) -> Sequence[Any]:
        return array(self.code, self.content).tolist()

    def stored(self, payload: list[bytes]) -> list[Any]:
        payload.append(self.content)
        return [self.code, len(self.content)]


@dataclass(frozen=True, slots=True)
class _Text:
    """Compressed JSON of any values; ``nested`` if tuples are among them."""

    content: bytes
    nested: bool

    def values(self, length: int) -> Sequence[Any]:
        found: list[Any] = json.loads(zlib.decompress(self.content))
        return [as_tuple(value) for value in found] if self.nested else found

    def stored(self, payload: list[bytes]) -> list[Any]:
        payload.append(self.content)
        return ["t" if self.nested else "s", len(self.content)]


@dataclass(frozen=True, slots=True)
class _Parts:
    """Tuples of records: how many each has, and all of them as one block."""

    counts: _Column
    block: _Block[Any]

    def values(self, length: int) -> Sequence[Any]:
        each = iter(self.block.records())
        return [tuple(islice(each, count)) for count in self.counts.values(length)]

    def stored(self, payload: list[bytes]) -> list[Any]:
        return ["*", self.counts.stored(payload), self.block.stored(payload)]


@dataclass(frozen=True, slots=True)
class _Block(Generic[T]):
    """A few hundred records by column; ``kept`` are the places of those that belong to it, None for all."""

    form: Form[T]
    length: int
    columns: tuple[_Column, ...]
    kept: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return self.length if self.kept is None else len(self.kept)

    def column(self, name: str) -> _Column:
        return self.columns[self.form.names.index(name)]

    def values(self, name: str) -> Sequence[Any]:
        """The values of an attribute, one for each record."""
        column = self.column(name)
        back = self.form.plain.get(name)
        if isinstance(column, _Repeated) and back:
            column = _Repeated(tuple(map(back[1], column.pattern)))
            found = column.values(self.length)
        else:
            found = column.values(self.length)
            found = list(map(back[1], found)) if back else found
        return found if self.kept is None else [found[place] for place in self.kept]

    def records(self) -> list[T]:
        return list(map(self.form.kind, *map(self.values, self.form.names)))

    def stored(self, payload: list[bytes]) -> list[Any]:
        if self.kept is not None:
            return _block(self.form, self.records()).stored(payload)
        return [self.length, [column.stored(payload) for column in self.columns]]

    def where(self, name: str, wanted: Callable[[Any], bool]) -> _Block[T]:
        column = self.column(name)
        if isinstance(column, _Repeated) and len(column.pattern) == 1 and name not in self.form.plain:
            return self if wanted(column.pattern[0]) else _Block(self.form, self.length, self.columns, ())
        flags = [wanted(value) for value in self.values(name)]
        if all(flags):
            return self
        places = range(self.length) if self.kept is None else self.kept
        return _Block(self.form, self.length, self.columns, tuple(compress(places, flags)))

    def of_parts(self, name: str, attributes: Sequence[str]) -> Iterable[tuple[tuple[Any, ...], ...]]:
        """For each record the named attributes of each of its parts."""
        parts = self.column(name)
        if not isinstance(parts, _Parts):
            raise TypeError(f"{name} holds no records")
        inner, counts = [parts.block.column(one) for one in attributes], parts.counts
        if isinstance(counts, _Repeated) and len(counts.pattern) == 1:
            count = counts.pattern[0]
            if all(isinstance(one, _Repeated) and not count % len(one.pattern) for one in inner):
                shared = tuple(zip(*(one.values(count) for one in inner), strict=True))
                return repeat(shared, len(self))
        each = zip(*(parts.block.values(one) for one in attributes), strict=True)
        found = [tuple(islice(each, count)) for count in counts.values(self.length)]
        return found if self.kept is None else [found[place] for place in self.kept]


class Rows(Sequence[T]):
    """Records of one kind, held by column.

    >>> from nucbatch.core.plate import FILES, FileRecord, FileStatus
    >>> rows = Rows.of(FILES, (FileRecord(f"{n}.tif", FileStatus.USED) for n in range(2000)))
    >>> rows[1999].path, len(rows), set(rows.values("status")) == {FileStatus.USED}
    ('1999.tif', 2000, True)

    Attributes:
        form: how the records are taken apart.
    """

    __slots__ = ("_blocks", "_ends", "_latest", "form")

    def __init__(self, form: Form[T], blocks: Iterable[_Block[T]] = ()) -> None:
        self.form = form
        self._blocks = tuple(block for block in blocks if len(block))
        self._ends = tuple(accumulate(map(len, self._blocks)))
        self._latest: tuple[int, list[T]] = (-1, [])

    @classmethod
    def of(cls, form: Form[T], records: Iterable[T]) -> Rows[T]:
        """Holds the records by column, as they come."""
        if isinstance(records, Rows):
            return records
        each = iter(records)
        return cls(form, (_block(form, some) for some in iter(lambda: list(islice(each, _BLOCK)), [])))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[T]:
        for block in self._blocks:
            yield from block.records()

    @overload
    def __getitem__(self, place: int) -> T: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[T, ...]: ...

    def __getitem__(self, place: int | slice) -> T | tuple[T, ...]:
        if isinstance(place, slice):
            return tuple(self[one] for one in range(*place.indices(len(self))))
        at = place + len(self) if place < 0 else place
        if not 0 <= at < len(self):
            raise IndexError(place)
        number = bisect_right(self._ends, at)
        latest = self._latest
        if latest[0] != number:
            latest = self._latest = number, self._blocks[number].records()
        return latest[1][at - (self._ends[number] - len(self._blocks[number]))]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rows | tuple):
            return NotImplemented
        if len(self) != len(other):
            return False
        return all(one == another for one, another in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))

    def values(self, name: str) -> Iterator[Any]:
        """Yields the values of one attribute, without making the records."""
        return chain.from_iterable(block.values(name) for block in self._blocks)

    def distinct(self, *names: str) -> set[tuple[Any, ...]]:
        """The distinct combinations of some attributes."""
        return set(zip(*map(self.values, names), strict=True))

    def of_parts(self, name: str, *attributes: str) -> Iterator[tuple[tuple[Any, ...], ...]]:
        """Yields for each record the named attributes of each record in its attribute ``name``.

        >>> from nucbatch.core.plate import FIELDS, Field, Plane
        >>> planes = Plane("a.tif", "DAPI"), Plane("b.tif", "Actin", z=1)
        >>> rows = Rows.of(FIELDS, [Field("A01", 1, 0, "A/1/1", "p", planes, 8, 8, "uint8")])
        >>> list(rows.of_parts("planes", "channel", "z"))
        [(('DAPI', 0), ('Actin', 1))]
        """
        return chain.from_iterable(block.of_parts(name, attributes) for block in self._blocks)

    def where(self, name: str, wanted: Callable[[Any], bool]) -> Rows[T]:
        """The records whose attribute is wanted; their columns are shared with these rows."""
        blocks = [block.where(name, wanted) for block in self._blocks]
        unchanged = all(one is another for one, another in zip(blocks, self._blocks, strict=True))
        return self if unchanged else Rows(self.form, blocks)

    def replaced(self, changes: Mapping[int, T]) -> Rows[T]:
        """The rows with other records at some places."""
        by_block: dict[int, dict[int, T]] = {}
        for place, record in changes.items():
            by_block.setdefault(bisect_right(self._ends, place), {})[place] = record
        blocks = list(self._blocks)
        for number, of_block in by_block.items():
            first = self._ends[number] - len(blocks[number])
            records = enumerate(blocks[number].records(), first)
            blocks[number] = _block(self.form, [of_block.get(place, one) for place, one in records])
        return Rows(self.form, blocks) if changes else self

    def stored(self, payload: list[bytes]) -> list[Any]:
        """Describes the rows for JSON, and appends the bytes of their columns to ``payload``."""
        return [block.stored(payload) for block in self._blocks]

    @classmethod
    def restored(cls, form: Form[T], described: list[Any], payload: Callable[[int], bytes]) -> Rows[T]:
        """Reads what :meth:`stored` wrote; ``payload`` gives the next bytes of that length."""
        return cls(form, [_restored_block(form, one, payload) for one in described])


def as_tuple(value: _Plain) -> _Plain:
    """Turns the lists of JSON back into tuples, at any depth."""
    return tuple(map(as_tuple, value)) if type(value) is list else value


def _block(form: Form[T], records: list[T], period: int = 1) -> _Block[T]:
    """Takes records apart; ``period``: after how many of them columns may repeat."""
    columns: list[_Column] = []
    taken = zip(*map(form.values, records), strict=True) if records else repeat((), len(form.names))
    for name, values in zip(form.names, taken, strict=False):
        if name in form.parts:
            counts = [len(parts) for parts in values]
            alike = bool(counts) and counts.count(counts[0]) == len(counts)
            inner = [part for parts in values for part in parts]
            block = _block(form.parts[name], inner, max(1, counts[0]) if alike else 1)
            columns.append(_Parts(_column(counts), block))
        elif name in form.plain:
            columns.append(_column(list(map(form.plain[name][0], values)), period))
        else:
            columns.append(_column(list(values), period))
    return _Block(form, len(records), tuple(columns))


def _column(values: list[_Plain], period: int = 1) -> _Column:
    if not values:
        return _Repeated((None,))
    kinds = set(map(type, values))
    if values.count(values[0]) == len(values) and not _mixed(values, kinds):
        return _Repeated((values[0],))
    if period > 1 and values == values[:period] * (len(values) // period) and not _mixed(values, kinds):
        return _Repeated(tuple(values[:period]))
    if kinds == {float}:
        return _Numbers("d", array("d", values).tobytes())
    if kinds == {int} and min(values) >= -(2**63) and max(values) < 2**63:
        code = "i" if min(values) >= -(2**31) and max(values) < 2**31 else "q"
        return _Numbers(code, array(code, values).tobytes())
    return _Text(zlib.compress(json.dumps(values, separators=(",", ":")).encode(), 1), tuple in kinds)


def _mixed(values: Sequence[_Plain], kinds: set[type]) -> bool:
    """Tells whether equal values may differ, as 1 and 1.0 and True do, or 0.0 and -0.0."""
    if kinds <= {str, type(None)} or kinds in ({int}, {bool}):
        return False
    return len(kinds) > 1 or len(set(map(repr, values))) > len({*values})


def _restored_block(form: Form[T], described: list[Any], payload: Callable[[int], bytes]) -> _Block[T]:
    length, columns = described
    restored = [
        _restored_column(form.parts.get(name), one, payload)
        for name, one in zip(form.names, columns, strict=True)
    ]
    return _Block(form, length, tuple(restored))


def _restored_column(form: Form[Any] | None, one: list[Any], payload: Callable[[int], bytes]) -> _Column:
    tag = one[0]
    if tag == "=":
        return _Repeated(tuple(map(as_tuple, one[1])))
    if tag == "*":
        if form is None:
            raise ValueError("a column of records where none is expected")
        counts = _restored_column(None, one[1], payload)
        return _Parts(counts, _restored_block(form, one[2], payload))
    content = payload(one[1])
    return _Text(content, tag == "t") if tag in "st" else _Numbers(tag, content)
