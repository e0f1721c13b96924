"""Parses the XML text of an image's description in a single pass with limits.

Side files are streamed by :mod:`nucbatch.readers.formats.xml_stream` (``read_elements``). No other module
parses XML.

defusedxml rejects document types, entities and external references. No tree is built, because 24 MB of
``<a/>`` as a tree take 2 GiB. Elements, depth, names and attributes are counted during parsing; no microscope
writes XML beyond the limits below.
"""

from __future__ import annotations

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, ParseError

from nucbatch.core.errors import UnreadableImage

MOST_XML = 1 << 26
"""Largest text, in characters."""
MOST_ELEMENTS = 1_000_000
"""OME-XML has up to three elements for each plane."""
MOST_DEPTH = 200
MOST_ATTRIBUTES = 5_000_000
MOST_NAMES = 10_000
"""Different names of elements and attributes; a parser keeps all of them in memory."""
LONGEST_TAG_BYTES = 1 << 20
"""Largest tag: a name with its attributes, which a parser keeps in memory as a whole."""

_SLICE_BYTES = 1 << 16
_KEPT = frozenset({"OME", "Image", "Pixels", "Channel", "TiffData", "UUID", "BinaryOnly"})

Elements = list[tuple[str, dict[str, str]]]


def xml_elements(xml: str) -> Elements:
    """Returns (local tag, attributes) of the elements that describe planes, in document order.

    These are the OME-XML elements in ``_KEPT`` and all elements with an ``id``. The text of an OME ``UUID``
    is returned as an attribute without a name. Malformed XML gives an empty list.

    Raises:
        UnreadableImage: the text declares a document type or entities, or exceeds a limit.
    """
    if len(xml) > MOST_XML:
        raise _beyond(f"{len(xml):,} characters", MOST_XML)
    found = _Found()
    parser = DefusedXMLParser(target=found, encoding="utf-8", forbid_dtd=True)
    try:
        content = xml.strip("\0\r\n\t ").encode()
        for begin in range(0, len(content), _SLICE_BYTES):
            parser.feed(content[begin : begin + _SLICE_BYTES])
            if begin - parser.parser.CurrentByteIndex > LONGEST_TAG_BYTES:
                raise _beyond("an element or a comment of more bytes", LONGEST_TAG_BYTES)
        parser.close()
    except DefusedXmlException as error:
        raise UnreadableImage(
            f"its XML description declares a document type or entities ({type(error).__name__}), which could "
            "fetch other files or swell without bound, and no microscope writes any: save it again without"
        ) from error
    except (ParseError, ValueError):
        return []  # malformed metadata are treated as absent: no pixel depends on them
    return found.elements


class _Found:
    """Parser target: counts all elements and keeps the relevant ones."""

    def __init__(self) -> None:
        self.elements: Elements = []
        self._names: set[str] = set()
        self._count = self._depth = self._attributes = 0
        self._text: list[str] | None = None

    def start(self, tag: str, values: dict[str, str]) -> None:
        self._count += 1
        self._depth += 1
        self._attributes += len(values)
        names = self._names
        names.add(tag)
        names.update(values)
        if (
            self._count > MOST_ELEMENTS
            or self._depth > MOST_DEPTH
            or self._attributes > MOST_ATTRIBUTES
            or len(names) > MOST_NAMES
        ):
            self._refuse()
        local = tag.rpartition("}")[2]
        if local in _KEPT or "id" in values:
            self.elements.append((local, values))
        self._text = [] if local == "UUID" else None

    def _refuse(self) -> None:
        for what, number, limit in (
            ("elements", self._count, MOST_ELEMENTS),
            ("elements inside one another", self._depth, MOST_DEPTH),
            ("attributes", self._attributes, MOST_ATTRIBUTES),
            ("different names", len(self._names), MOST_NAMES),
        ):
            if number > limit:
                raise _beyond(f"more {what}", limit)

    def data(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def end(self, tag: str) -> None:
        self._depth -= 1
        if self._text is not None:
            if text := "".join(self._text).strip():
                self.elements[-1][1][""] = text
            self._text = None

    def close(self) -> None:
        """Does nothing; required by the parser."""


def _beyond(what: str, limit: int) -> UnreadableImage:
    return UnreadableImage(f"its XML description has {what}; the limit is {limit:,}: save it again without")
