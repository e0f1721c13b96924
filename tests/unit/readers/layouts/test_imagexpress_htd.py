"""Wells and wavelengths from an .HTD."""

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


@given(st.text())
def test_any_text_is_parsed_without_error(text):
    assert parse_htd("p.HTD", text).path == "p.HTD"
