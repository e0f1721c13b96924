"""Streaming of vendors' XML side files."""

import tracemalloc
from pathlib import Path

import pytest

from nucbatch.core.errors import UnreadableImage
from nucbatch.readers.formats import xml_stream
from nucbatch.readers.formats.xml_stream import stream_elements
from nucbatch.readers.listing import Listing


def written(folder: Path, content: bytes | str) -> Path:
    path = folder / "index.xml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def texts(path: Path, tag: str = "a", **options) -> list[str]:
    return [element.text for element in stream_elements(path, {tag}, **options)]


def refused(path: Path, **options) -> str:
    with pytest.raises(UnreadableImage) as caught:
        texts(path, **options)
    return str(caught.value)


def test_elements_come_with_local_names_attributes_children_and_parent(tmp_path):
    path = written(
        tmp_path,
        '<r xmlns="urn:1" xmlns:b="urn:2" Version="2"><b:log><b:a b:Ch="1" Z="2"> x '
        '<c Unit="m">5<d/></c></b:a></b:log><other><a/></other></r>',
    )
    head, first, second = stream_elements(path, {"a"}, heads={"r"})
    assert (head.tag, head.attributes, head.children) == ("r", {"Version": "2"}, [])
    assert (first.tag, first.attributes, first.parent, first.text) == ("a", {"Ch": "1", "Z": "2"}, "log", "x")
    assert [child.tag for child in first.children] == ["c"]
    assert first.child("c").attributes == {"Unit": "m"}
    assert (first.value("c"), first.value("none"), first.child("none")) == ("5", "", None)
    assert [child.tag for child in first.child("c").children] == ["d"]
    assert second.parent == "other"


def test_a_wanted_element_inside_another_is_its_child(tmp_path):
    path = written(tmp_path, "<r><w><a>1</a></w><a>2</a></r>")
    found = list(stream_elements(path, {"w", "a"}))
    assert [(element.tag, element.text, element.parent) for element in found] == [
        ("w", "", "r"),
        ("a", "2", "r"),
    ]
    assert found[0].value("a") == "1"


@pytest.mark.parametrize(
    "content",
    [
        "<r><a>µ</a></r>".encode(),
        b"\xef\xbb\xbf" + '<?xml version="1.0" encoding="utf-8"?><r><a>µ</a></r>'.encode(),
        b"\xef\xbb\xbf" + '<?xml version="1.0" encoding="utf-16"?><r><a>µ</a></r>'.encode(),
        '<?xml version="1.0" encoding="UTF-16"?><r><a>µ</a></r>'.encode(),
        '\n<?xml version="1.0"?>\n<r><a>µ</a></r>\n'.encode(),
        '<?xml version="1.0" encoding="ISO-8859-1"?><r><a>µ</a></r>'.encode("latin-1"),
        '<?xml version="1.0" encoding="windows-1252"?><r><a>µ</a></r>'.encode("cp1252"),
        '<?xml version="1.0" encoding="utf-16"?><r><a>µ</a></r>'.encode("utf-16"),
        '<?xml version="1.0" encoding="utf-8"?><r><a>µ</a></r>'.encode("utf-16"),
        '<?xml version="1.0" encoding="utf-16"?><r><a>µ</a></r>'.encode("utf-16-le"),
        "<r><a>µ</a></r>".encode("utf-16-be"),
    ],
)
def test_encodings_are_read_as_their_bytes_say(tmp_path, content):
    assert texts(written(tmp_path, content)) == ["µ"]


def test_an_undeclared_encoding_is_the_one_given(tmp_path):
    path = written(tmp_path, '<?xml version="1.0"?><r><a>µ</a></r>'.encode("latin-1"))
    assert texts(path, undeclared="iso-8859-1") == ["µ"]
    assert refused(path).startswith("it is damaged (not well-formed")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it ends too early (no element found"),
        (b"<r><a>1</a>", "it ends too early (no element found"),
        (b"<r><a>1</a><a>2</", "it ends too early"),
        (b"<r><a>1</b></r>", "it is damaged (mismatched tag"),
        (b"<r>\0\0\0\0</r>", "it is damaged (not well-formed"),
        (b"no XML", "it is damaged"),
        (b'<?xml version="1.0" encoding="klingon"?><r/>', "its encoding is not supported"),
        (b"<!DOCTYPE r><r><a/></r>", "its XML declares a document type"),
        (b'<!DOCTYPE r [<!ENTITY e "x">]><r><a>&e;</a></r>', "its XML declares a document type"),
        (b'<!DOCTYPE r SYSTEM "file:///etc/passwd"><r/>', "its XML declares a document type"),
        (b"<r>" * 201 + b"</r>" * 201, "its XML has more elements inside one another; the limit is 200"),
        (b"<r><!--" + bytes(97 for _ in range(1 << 21)) + b"--></r>", "its XML has an element or a comment"),
        (
            b"<r>" + b"".join(b"<t%d/>" % n for n in range(10_001)) + b"</r>",
            "its XML has more different names",
        ),
    ],
)
def test_damaged_and_hostile_files_are_refused(tmp_path, content, reason):
    assert refused(written(tmp_path, content)).startswith(reason)


def test_a_record_has_limits(tmp_path, monkeypatch):
    monkeypatch.setattr(xml_stream, "MOST_RECORD_ELEMENTS", 100)
    monkeypatch.setattr(xml_stream, "MOST_RECORD_CHARACTERS", 1000)
    many = b"<r>" + b"<a><b/></a>" * 200 + b"</r>"
    assert len(texts(written(tmp_path, many))) == 200
    assert "more elements inside one a" in refused(written(tmp_path, b"<r><a>" + b"<b/>" * 101 + b"</a></r>"))
    assert "more characters inside one a" in refused(written(tmp_path, b"<r><a>" + b"x" * 1001 + b"</a></r>"))
    monkeypatch.setattr(xml_stream, "MOST_FILE_BYTES", 100)
    assert "more bytes; the limit is 100" in refused(written(tmp_path, many))


def test_a_missing_file_is_a_reason(tmp_path):
    assert refused(tmp_path / "none.xml") == "it can't be read (No such file or directory)"


def test_read_elements_loses_everything_if_the_end_is_damaged(tmp_path):
    written(tmp_path, b"<r>" + b"<a>1</a>" * 50_000 + b"<a>")
    taken = []
    with pytest.raises(UnreadableImage, match="ends too early"):
        Listing(str(tmp_path), "p", ()).read_elements("index.xml", {"a"}, lambda found: taken.extend(found))
    assert taken


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_records(tmp_path):
    record = b'<Image id="0303K1F1P1R1"><State>Ok</State><URL>r03c03f01p01-ch1.tiff</URL></Image>'

    def peak(records: int) -> int:
        path = written(tmp_path, b"<r><Images>" + record * records + b"</Images></r>")
        tracemalloc.start()
        try:
            assert sum(1 for _ in stream_elements(path, {"Image"})) == records
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1000)
    assert peak(30_000) < 1.2 * peak(3_000)
