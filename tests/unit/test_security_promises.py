"""Each promise in SECURITY.md names tests that exist, and its limits are those of the code."""

import re
from pathlib import Path

from nucbatch.readers.formats.hardened_xml import (
    MOST_ATTRIBUTES,
    MOST_DEPTH,
    MOST_ELEMENTS,
    MOST_NAMES,
    MOST_XML,
)
from nucbatch.readers.formats.pixel_info import (
    BOMB_BYTES,
    BOMB_RATIO,
    LARGEST_DECODED_BYTES,
    MOST_PIXELS,
    MOST_PROJECTED,
    MOST_SCANS,
)
from nucbatch.readers.formats.xml_stream import MOST_FILE_BYTES, MOST_RECORD_CHARACTERS, MOST_RECORD_ELEMENTS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (?!promise \| test)(.+) \| (.+) \|$", TEXT, re.MULTILINE)


def test_every_promise_names_tests_that_are_there():
    assert len(ROWS) > 10
    for promise, tests in ROWS:
        named = re.findall(r"`(tests/[\w/]+\.py)`", tests)
        assert named, promise
        assert all((ROOT / path).is_file() for path in named), promise


def test_the_limits_are_those_of_the_code():
    assert f"{MOST_XML:,} characters, {MOST_ELEMENTS:,} elements, {MOST_DEPTH} levels" in TEXT
    assert f"{MOST_ATTRIBUTES:,} attributes or {MOST_NAMES:,} different names" in TEXT
    assert f"{MOST_RECORD_ELEMENTS:,} elements, {MOST_RECORD_CHARACTERS:,} characters" in TEXT
    assert f"the file may have {MOST_FILE_BYTES >> 30} GiB" in TEXT
    assert f"{BOMB_RATIO:,} times its size (or {BOMB_BYTES >> 20} MiB)" in TEXT
    assert f"a tile or chunk {LARGEST_DECODED_BYTES >> 30} GiB" in TEXT
    assert f"a field {MOST_PROJECTED:,} z-steps" in TEXT
    assert f"a JPEG may have {MOST_SCANS} scans" in TEXT
    assert MOST_PIXELS == 2**40
    assert "an image 2⁴⁰ pixels" in TEXT
