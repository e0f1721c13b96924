"""Well names, row letters and standard plate sizes."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucbatch.core.errors import InputError
from nucbatch.core.plate_geometry import (
    parse_row,
    plate_size,
    plausible_well,
    row_index,
    row_letters,
    split_well,
    well_name,
)


@pytest.mark.parametrize(
    ("text", "parts"), [("B03", ("B", 3)), ("b3", ("B", 3)), ("AF48", ("AF", 48)), (" h12 ", ("H", 12))]
)
def test_a_well_name_is_split_in_any_spelling(text: str, parts: tuple[str, int]) -> None:
    assert split_well(text) == parts


@pytest.mark.parametrize("text", ["", "3B", "B", "B0", "B00", "ABC1", "B100", "B-1"])
def test_an_invalid_well_name_is_rejected(text: str) -> None:
    with pytest.raises(InputError, match="no well name"):
        split_well(text)


@given(st.from_regex(r"[A-Z]{1,2}", fullmatch=True), st.integers(1, 99))
def test_a_well_name_round_trips(row: str, column: int) -> None:
    assert split_well(well_name(row, column)) == (row, column)


@pytest.mark.parametrize(("row", "index"), [("A", 0), ("H", 7), ("Z", 25), ("AA", 26), ("AF", 31)])
def test_row_index_continues_after_z(row: str, index: int) -> None:
    assert row_index(row) == index


@given(st.integers(1, 702))
def test_row_numbers_and_letters_agree(number):
    letters = parse_row(str(number))
    assert set(letters) <= set(string.ascii_uppercase)
    value = 0
    for letter in letters:
        value = value * 26 + ord(letter) - 64
    assert value == number


@pytest.mark.parametrize(
    ("text", "well"),
    [
        ("b3", "B03"),
        ("AF48", "AF48"),
        ("AG01", ""),
        ("A49", ""),
        ("A0", ""),
        ("x", ""),
        ("W0021", ""),
        ("W021", ""),
        ("w21", "W21"),
    ],
)
def test_wells_beyond_the_largest_plate_are_rejected(text, well):
    assert plausible_well(text) == well


@pytest.mark.parametrize("index", [0, 25, 26, 31, 51, 52, 701])
def test_row_letters_invert_row_index(index: int) -> None:
    assert row_index(row_letters(index)) == index


@pytest.mark.parametrize(
    ("wells", "size", "at_least_96"),
    [
        (["A01"], (2, 3), (8, 12)),
        (["B02", "H01"], (8, 12), (8, 12)),
        (["H12"], (8, 12), (8, 12)),
        (["I01"], (16, 24), (16, 24)),
        (["A13"], (16, 24), (16, 24)),
        (["A25"], (32, 48), (32, 48)),
        (["AF48"], (32, 48), (32, 48)),
        (["AG01"], (33, 1), (33, 1)),
    ],
)
def test_plate_size_is_the_smallest_standard_plate(
    wells: list[str], size: tuple[int, int], at_least_96: tuple[int, int]
) -> None:
    places = [(row_index(row), column) for row, column in map(split_well, wells)]
    assert plate_size(places) == size
    assert plate_size(places, least_wells=96) == at_least_96
