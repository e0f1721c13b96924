"""Wells and wavelengths from an .HTD."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucbatch.readers.layouts.imagexpress_htd import parse_htd

TEXT = """"HTSInfoFile", Version 1.0
"Description", "a, b"
"XWells", 3
"WellsSelection1", FALSE, FALSE, TRUE
"WellsSelection27", TRUE
"WellsSelectionX", TRUE
"NWavelengths", 2
"WaveName1", "DAPI"
"WaveName2", "Texas Red"
"EndFile"
"""


def test_selected_wells_and_wave_names():
    htd = parse_htd("p.HTD", TEXT)
    assert htd.wells == ("A03", "AA01")
    assert htd.wave_names == {1: "DAPI", 2: "Texas Red"}


@pytest.mark.parametrize(
    ("lines", "size"),
    [
        ('"XWells", 12\n"YWells", 8', (8, 12)),
        ('"XWells", 24\n"YWells", 16', (16, 24)),
        ('"XWells", 12', (0, 0)),
        ('"XWells", 0\n"YWells", 8', (0, 0)),
        ('"XWells", 99999999\n"YWells", 8', (0, 0)),
        ('"XWells", x\n"YWells", 8', (0, 0)),
    ],
)
def test_the_size_of_the_plate(lines, size):
    htd = parse_htd("p.HTD", lines)
    assert (htd.rows, htd.columns) == size


def test_selected_sites():
    lines = '"SiteSelection1", TRUE, FALSE\n"SiteSelection2", TRUE, TRUE\n'
    assert parse_htd("p.HTD", f'"Sites", TRUE\n{lines}').sites == 3
    assert parse_htd("p.HTD", f'"Sites", FALSE\n{lines}').sites == 0


@given(st.text())
def test_any_text_is_parsed_without_error(text):
    assert parse_htd("p.HTD", text).path == "p.HTD"
