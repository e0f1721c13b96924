"""Checks the chain of a TIFF's directories before tifffile follows it.

tifffile follows links from directory to directory. It notices a link back to an earlier one only among the
first hundred, and otherwise follows the loop until memory is full. It reads every value that a directory
claims, although directories may overlap and share values, so that a small file can claim terabytes. It also
skips tags whose values lie beyond the end: a truncated file looks like a smaller one.

The time of the walk is in proportion to the size of the file, since no directory is visited twice and the
bytes of all directories and values are limited.

Sources: TIFF 6.0, BigTIFF.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

import tifffile

from nucbatch.core.errors import UnreadableImage

MOST_TAGS = 4096
"""Most tags of a directory, as in tifffile."""
CLAIMED_RATIO = 16
"""Bytes that directories may claim per byte of the file. Writers share values between pages rarely."""
_LEAST_CLAIMED = 1 << 20
_LOOPS_NOTICED = 99
"""tifffile notices a loop among so many directories."""

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_TYPE_BYTES |= dict.fromkeys((16, 17, 18), 8)
_PRIVATE = 32768
_TELLING = frozenset({33628, 33629, 34412, 50838, 50839, 51123})
"""Private tags that describe planes: those of MetaMorph, Zeiss, ImageJ and Micro-Manager."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Directories of a TIFF in the order of their links.

    Attributes:
        offsets: where each begins.
        back: number of the directory, from 0, to which the last one links back; None if the chain ends.
        lost: message about the next directory, which should follow the last one and is not there or damaged.
    """

    offsets: tuple[int, ...]
    back: int | None = None
    lost: str = ""


@dataclass(frozen=True, slots=True)
class _Form:
    """Layout of directories: of the number of tags, of a tag, and of a link."""

    count: struct.Struct
    tag: struct.Struct
    link: struct.Struct
    inline_bytes: int


def tiff_file(file: BinaryIO, chain: Chain) -> Any:
    """Opens a TIFF with tifffile.

    Args:
        file: the open file.
        chain: its directories.

    Raises:
        UnreadableImage: a link back to an earlier directory hides some of them.
    """
    tiff = tifffile.TiffFile(file)
    # Some writers end the chain with a link back to an earlier directory, mostly that of a single page.
    if chain.back is not None and len(tiff.pages) != len(chain.offsets):
        tiff.close()
        raise _endless(chain)
    return tiff


def directories_of(file: BinaryIO, size_bytes: int, *, values: bool = True) -> Chain:
    """Lists the directories of an open TIFF; SubIFDs are not among them. The file is left at its begin.

    Args:
        file: the open file.
        size_bytes: its size.
        values: check the values of the directories too; slower, and not needed where the
            header was checked before.

    Raises:
        UnreadableImage: there is no directory, or a loop that tifffile does not notice; values of the first
            directory lie beyond the end; or all directories claim too many bytes.
    """
    file.seek(0)
    form, offset = _form(file.read(16))
    numbers: dict[int, int] = {}
    claimed = 0
    limit = max(CLAIMED_RATIO * size_bytes, _LEAST_CLAIMED)
    lost = ""
    while offset and offset not in numbers:
        try:
            entries, following = _directory(file, form, offset, len(numbers) + 1, size_bytes)
        except UnreadableImage as error:
            lost = str(error)
            break
        claimed += len(entries)
        if values:
            claimed += _claimed(entries, form, size_bytes, first=not numbers)
        numbers[offset] = len(numbers)
        if claimed > limit:
            raise UnreadableImage(
                f"damaged header (its first {len(numbers):,} directories claim {claimed:,} bytes from a file "
                f"of {size_bytes:,}; the limit is {limit:,}): save it again from its source"
            )
        offset = following
    if not numbers:
        raise UnreadableImage(lost or "truncated: a TIFF without a directory")
    file.seek(0)
    chain = Chain(tuple(numbers), numbers.get(offset), lost)
    if chain.back is not None and len(numbers) > _LOOPS_NOTICED:
        raise _endless(chain)
    return chain


def _endless(chain: Chain) -> UnreadableImage:
    """Builds the error for a chain that links back to an earlier directory, so that pages are lost."""
    return UnreadableImage(
        f"damaged header (directory {len(chain.offsets):,} links back to number {(chain.back or 0) + 1:,}, "
        "so that the list of pages never ends; it should link to a new one, or to none): save it again from "
        "its source"
    )


def _form(start: bytes) -> tuple[_Form, int]:
    """Returns the layout, and the offset of the first directory."""
    order = ">" if start.startswith(b"MM") else "<"
    if start[2:4] in (b"+\0", b"\0+"):
        link = struct.Struct(order + "Q")
        form = _Form(link, struct.Struct(order + "HHQQ"), link, 8)
        return form, link.unpack_from(start, 8)[0] if len(start) >= 16 else 0
    link = struct.Struct(order + "I")
    form = _Form(struct.Struct(order + "H"), struct.Struct(order + "HHII"), link, 4)
    return form, link.unpack_from(start, 4)[0] if len(start) >= 8 else 0


def _directory(file: BinaryIO, form: _Form, offset: int, number: int, size_bytes: int) -> tuple[bytes, int]:
    """Returns the tags of a directory as bytes, and the offset of the next directory."""
    missing = UnreadableImage(
        f"truncated: directory {number:,} should lie at byte {offset:,} of {size_bytes:,}, and is not there"
    )
    if offset + form.count.size > size_bytes:
        raise missing
    file.seek(offset)
    (tags,) = form.count.unpack(file.read(form.count.size))
    if tags > MOST_TAGS:
        raise UnreadableImage(
            f"damaged header (directory {number:,}, at byte {offset:,}, has {tags:,} tags; the limit is "
            f"{MOST_TAGS:,}): save it again from its source"
        )
    length = tags * form.tag.size
    data = file.read(length + form.link.size)
    if len(data) < length + form.link.size:
        raise missing
    return data[:length], form.link.unpack_from(data, length)[0]


def _claimed(entries: bytes, form: _Form, size_bytes: int, first: bool) -> int:
    """Returns the number of bytes of a directory's values that lie outside of it, and in the file.

    In the first directory, values beyond the end are damage. Private tags of no use here may be wrong.
    """
    inline, sizes = form.inline_bytes, _TYPE_BYTES
    outside = [
        (code, length, at)
        for code, kind, count, at in form.tag.iter_unpack(entries)
        if (length := count * sizes.get(kind, 0)) > inline
    ]
    total = 0
    for code, length, at in outside:
        if at + length <= size_bytes:
            total += length
        elif first and (code < _PRIVATE or code in _TELLING):
            raise UnreadableImage(
                f"truncated: the value of its tag {code} should lie at bytes {at:,} to {at + length:,} of "
                f"{size_bytes:,}"
            )
    return total
