"""Streams a vendor's XML side file: gives the elements of chosen names one by one, in bounded memory.

Layouts call ``Listing.read_elements``. A record of a vendor's index (an ``Image`` of Harmony, a
``MeasurementRecord`` of CellVoyager) is one element with everything inside it; all else is dropped while
parsing. An index of 268 MiB therefore needs no more memory than its largest record.

As in :mod:`nucbatch.readers.formats.hardened_xml`, defusedxml rejects document types, entities and external
references, and depth, names, tags and the size of a record have limits.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, ParseError

from nucbatch.core.errors import UnreadableImage
from nucbatch.readers.formats.hardened_xml import LONGEST_TAG_BYTES, MOST_DEPTH, MOST_NAMES
from nucbatch.readers.read_timeout import Beat

MOST_FILE_BYTES = 1 << 32
"""Largest side file. A Harmony index of 384 wells × 9 fields × 5 channels × 10 z-steps has 268 MiB."""
MOST_RECORD_ELEMENTS = 200_000
"""Most elements inside one streamed element."""
MOST_RECORD_CHARACTERS = 1 << 24
"""Most characters of text and attributes inside one streamed element."""

_SLICE_BYTES = 1 << 16
_DECLARATION = re.compile(r"<\?xml[^>]*>")
_DECLARED = re.compile(rb"<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._:-]+)")


class ForbiddenXml(UnreadableImage):
    """XML declares a document type or entities."""


@dataclass(slots=True)
class Element:
    """Element of an XML file with everything inside it.

    Attributes:
        tag: local name, without namespace.
        attributes: by local name.
        parent: local name of the enclosing element; empty for the root.
        text: its own text, without surrounding white space.
        children: elements directly inside it, in document order.
    """

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    parent: str = ""
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def child(self, tag: str) -> Element | None:
        """Returns the first child of this name."""
        return next((child for child in self.children if child.tag == tag), None)

    def value(self, tag: str) -> str:
        """Returns the text of the first child of this name; empty if there is none."""
        found = self.child(tag)
        return found.text if found else ""


def stream_elements(
    path: Path,
    wanted: Collection[str],
    *,
    heads: Collection[str] = (),
    undeclared: str = "utf-8",
    beat: Beat | None = None,
) -> Iterator[Element]:
    """Yields elements of an XML file in document order, in memory bounded by one element and 64 KiB.

    Args:
        path: the file.
        wanted: local names of the elements to yield, each with everything inside it when it ends. An element
            inside another wanted one is a child of that and not yielded itself. ``parent`` tells elements of
            one name apart.
        heads: local names of elements to yield when they begin, with attributes only, for a root element.
            The elements inside them are looked at as any other.
        undeclared: encoding of a file without byte order mark and declaration, such as ``"iso-8859-1"``.
        beat: called after each slice of the file.

    Raises:
        UnreadableImage: the file cannot be read, is no well-formed XML (or ends too early), declares a
            document type or entities, or exceeds a limit. The message is a reason without the path.
    """
    try:
        with path.open("rb") as file:
            yield from _elements(file, wanted, heads, undeclared, beat)
    except UnreadableImage:
        raise
    except OSError as error:
        raise UnreadableImage(f"it can't be read ({error.strerror or error})") from error


def text_elements(
    xml: str, wanted: Collection[str], *, heads: Collection[str] = (), beat: Beat | None = None
) -> Iterator[Element]:
    """Yields elements of an XML text, such as an image's description, as :func:`stream_elements`."""
    content = _DECLARATION.sub("", xml.strip("\0\r\n\t \ufeff")).encode()
    yield from _elements(BytesIO(content), wanted, heads, "utf-8", beat)


def _elements(
    file: BinaryIO, wanted: Collection[str], heads: Collection[str], undeclared: str, beat: Beat | None
) -> Iterator[Element]:
    state = _Stream(frozenset(wanted), frozenset(heads))
    ended = False
    try:
        content = file.read(_SLICE_BYTES)
        parser = DefusedXMLParser(target=state, encoding=_encoding(content, undeclared), forbid_dtd=True)
        state.attach(parser.parser)
        if content.lstrip()[:5] == b"<?xml":
            content = content.lstrip()
        fed = 0
        while content:
            fed += len(content)
            if fed > MOST_FILE_BYTES:
                raise _beyond("more bytes", MOST_FILE_BYTES)
            parser.feed(content)
            if fed - parser.parser.CurrentByteIndex > LONGEST_TAG_BYTES + len(content):
                raise _beyond("an element or a comment of more bytes", LONGEST_TAG_BYTES)
            yield from state.take()
            if beat:
                beat()
            content = file.read(_SLICE_BYTES)
        ended = True
        parser.close()
        yield from state.take()
    except DefusedXmlException as error:
        raise ForbiddenXml(
            f"its XML declares a document type or entities ({type(error).__name__}), which could fetch other "
            "files or swell without bound, and no microscope writes any: save it again without"
        ) from error
    except ParseError as error:
        cause = "it ends too early" if ended else "it is damaged"
        raise UnreadableImage(f"{cause} ({error}): copy it again from the microscope") from error
    except (LookupError, ValueError) as error:
        raise UnreadableImage(f"its encoding is not supported ({error}): save it as UTF-8") from error


class _Stream:
    """Handlers of the parser: build the wanted elements and drop all others."""

    def __init__(self, wanted: frozenset[str], heads: frozenset[str]) -> None:
        self._wanted, self._heads = wanted, heads
        self._locals: dict[str, str] = {}  # local name by the parser's name
        self._path: list[str] = []  # local names of the open elements outside a record
        self._record: list[tuple[Element, list[str]]] = []  # open elements of a record, each with its text
        self._elements = self._characters = 0  # of the record
        self._done: list[Element] = []

    def attach(self, parser: Any) -> None:
        """Makes this the receiver of an expat parser's events."""
        parser.ordered_attributes = True
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data

    def take(self) -> list[Element]:
        """Returns the elements finished since the last call."""
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        """Does nothing; required by the parser."""

    def _local(self, name: str) -> str:
        found = self._locals.get(name)
        if found is None:
            if len(self._locals) >= MOST_NAMES:
                raise _beyond("more different names", MOST_NAMES)
            found = self._locals[name] = name.rpartition("}")[2]
        return found

    def _start(self, name: str, values: list[str]) -> None:
        tag = self._locals.get(name) or self._local(name)
        record = self._record
        if len(self._path) + len(record) >= MOST_DEPTH:
            raise _beyond("more elements inside one another", MOST_DEPTH)
        if record:
            above = record[-1][0]
            element = Element(tag, self._attributes(values) if values else {}, above.tag)
            above.children.append(element)
            record.append((element, []))
            self._elements += 1
            if self._elements > MOST_RECORD_ELEMENTS:
                raise _beyond(f"more elements inside one {record[0][0].tag}", MOST_RECORD_ELEMENTS)
            return
        parent = self._path[-1] if self._path else ""
        if tag in self._wanted:
            self._elements = self._characters = 0
            record.append((Element(tag, self._attributes(values), parent), []))
            return
        if tag in self._heads:
            self._done.append(Element(tag, self._attributes(values), parent))
        self._path.append(tag)

    def _attributes(self, values: list[str]) -> dict[str, str]:
        self._count(sum(map(len, values)))
        pairs = iter(values)
        return {self._local(name): value for name, value in zip(pairs, pairs, strict=True)}

    def _data(self, text: str) -> None:
        if self._record:
            self._record[-1][1].append(text)
            self._count(len(text))

    def _count(self, characters: int) -> None:
        self._characters += characters
        if self._characters > MOST_RECORD_CHARACTERS and self._record:
            tag = self._record[0][0].tag
            raise _beyond(f"more characters inside one {tag}", MOST_RECORD_CHARACTERS)

    def _end(self, _: str) -> None:
        if not self._record:
            self._path.pop()
            return
        element, texts = self._record.pop()
        element.text = "".join(texts).strip()
        if not self._record:
            self._done.append(element)


def _encoding(head: bytes, undeclared: str) -> str | None:
    """Returns the encoding of a file that begins with these bytes; None for the one that it declares.

    The bytes win over the declaration: .NET programs write ``encoding="utf-16"`` into files of UTF-8.
    """
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if head[:2] in (b"<\0", b"\0<"):
        return "utf-16le" if head[:1] == b"<" else "utf-16be"
    declared = _DECLARED.match(head.lstrip())
    if declared is None:
        return undeclared
    return "utf-8" if declared[1].lower().startswith((b"utf-16", b"ucs-2", b"unicode")) else None


def _beyond(what: str, limit: int) -> UnreadableImage:
    return UnreadableImage(f"its XML has {what}; the limit is {limit:,}: copy it again from the microscope")
