"""Ways to damage a file: functions of its bytes and a random generator that return other bytes.

Every change is drawn from the random generator alone, so that the same seed and number give the same mutant.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

TRUNCATE = "truncate"
_NUMBER = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?")
_INTERESTING = (
    0,
    1,
    2,
    7,
    127,
    128,
    255,
    256,
    2**15,
    2**16 - 1,
    2**16,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63,
    2**64 - 1,
)
_WRITTEN = (
    b"0",
    b"-1",
    b"1",
    b"3",
    b"65536",
    b"2147483648",
    b"1e308",
    b"1e-320",
    b"99999999999999999999",
    b"NaN",
    b"null",
)
_WRITTEN += (
    b"{}",
    b'"x"',
    b"[" * 64,
    b"[" * 200_000,
    b"0.1",
    b"-0",
    b"0x10",
    b"\xff\xfe",
    b"\\ud800",
    b"'; --",
    b"../../x",
)
_HEADER_BYTES = 1024


def truncate(data: bytes, chance: random.Random) -> bytes:
    """Keeps only the beginning; half of all cuts fall into the last tenth, where little is missing."""
    if chance.random() < 0.5:
        return data[: chance.randrange(len(data))]
    return data[: len(data) - chance.randint(1, max(1, len(data) // 10))]


def flip(data: bytes, chance: random.Random) -> bytes:
    """Changes one to eight bits or bytes, half of them in the header."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        place = _place(len(data), chance)
        changed[place] = (
            chance.randrange(256) if chance.random() < 0.5 else changed[place] ^ 1 << chance.randrange(8)
        )
    return bytes(changed)


def zero_page(data: bytes, chance: random.Random) -> bytes:
    """Fills a page with zeros, as after a write that never reached the disk."""
    size = chance.choice((64, 512, 4096))
    begin = chance.randrange(-(-len(data) // size)) * size
    return data[:begin] + bytes(len(data[begin : begin + size])) + data[begin + size :]


def splice(data: bytes, chance: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """Copies a part of another file, or of this one, over, into or in place of a part of it."""
    source = chance.choice(others) if others and chance.random() < 0.7 else data
    begin = chance.randrange(len(source))
    part = source[begin : begin + chance.randint(1, 2048)]
    place = _place(len(data), chance)
    removed = chance.choice((0, len(part), chance.randint(0, 256)))
    return data[:place] + part + data[place + removed :]


def header_number(data: bytes, chance: random.Random) -> bytes:
    """Replaces a number in the header, or in the text of the metadata, by an unlikely one."""
    numbers = list(_NUMBER.finditer(data)) if _is_text(data) else []
    if numbers:
        found = chance.choice(numbers)
        return data[: found.start()] + chance.choice(_WRITTEN) + data[found.end() :]
    width = chance.choice((1, 2, 4, 8))
    place = min(_place(len(data), chance), max(0, len(data) - width))
    value = chance.choice(_INTERESTING) & (1 << 8 * width) - 1
    return data[:place] + value.to_bytes(width, chance.choice(("little", "big"))) + data[place + width :]


Mutation = Callable[[bytes, random.Random, Sequence[bytes]], bytes]

MUTATIONS: dict[str, Mutation] = {
    TRUNCATE: lambda data, chance, others: truncate(data, chance),
    "flip bits": lambda data, chance, others: flip(data, chance),
    "zero a page": lambda data, chance, others: zero_page(data, chance),
    "splice": splice,
    "change a number": lambda data, chance, others: header_number(data, chance),
}


def mutated(
    data: bytes, name: str, chance: random.Random, others: Sequence[bytes], region: range | None
) -> bytes:
    """The bytes after the mutation of that name.

    With a ``region`` only that part of the file changes, and keeps its length, so that later offsets stay
    valid.
    """
    if region is None:
        return MUTATIONS[name](data, chance, others)
    part = MUTATIONS[name](data[region.start : region.stop], chance, others)
    part = part[: len(region)].ljust(len(region), chance.choice((b" ", b"\0")))
    return data[: region.start] + part + data[region.stop :]


def _place(length: int, chance: random.Random) -> int:
    """A random position, in the whole file or near its ends, where headers and directories lie."""
    kind = chance.random()
    if kind < 0.4:
        return chance.randrange(min(length, _HEADER_BYTES))
    if kind < 0.6:
        return chance.randrange(max(0, length - _HEADER_BYTES), length)
    return chance.randrange(length)


def _is_text(data: bytes) -> bool:
    return not data[:512].translate(None, bytes(range(32, 127)) + b"\t\r\n\xef\xbb\xbf\xc2\xb5")
