"""Selecting a part of a plate by wells, sites and time points."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucbatch.core.errors import InputError
from nucbatch.core.plate import Channel, Field, Plate
from nucbatch.core.plate_geometry import row_letters, well_name
from nucbatch.core.selection import Selection


def field(well: str, site: int = 1, t: int = 0) -> Field:
    return Field(well, site, t, f"{well}/{site}t{t}", f"{well}_{site}_{t}", (), 4, 4, "uint8")


def plate(*fields: Field, is_plate: bool = True) -> Plate:
    return Plate("P", "/", "x", (Channel("DAPI", 0),), fields, (), is_plate=is_plate)


WHOLE = [field(well_name(row, column)) for row in "ABCDEFGH" for column in range(1, 13)]


def chosen(wells: str) -> list[str]:
    selection = Selection.parse(wells=wells)
    selection.require_in(plate(*WHOLE))
    return [one.well for one in WHOLE if selection.includes(one)]


@pytest.mark.parametrize(
    ("wells", "expected"),
    [
        ("B02", ["B02"]),
        ("b2, h12", ["B02", "H12"]),
        ("C03-C05", ["C03", "C04", "C05"]),
        ("B02-C03", ["B02", "B03", "C02", "C03"]),
        ("A01-C01", ["A01", "B01", "C01"]),
        ("B11-B24", ["B11", "B12"]),
        ("H", [f"H{column:02d}" for column in range(1, 13)]),
        ("12", [f"{row}12" for row in "ABCDEFGH"]),
        ("G-H,A01", ["A01", *(f"{row}{column:02d}" for row in "GH" for column in range(1, 13))]),
        ("01-02", [f"{row}0{column}" for row in "ABCDEFGH" for column in (1, 2)]),
        ("B02,B02-B03", ["B02", "B03"]),
    ],
)
def test_wells_are_chosen_singly_by_rectangle_by_row_and_by_column(wells: str, expected: list[str]) -> None:
    assert chosen(wells) == expected


@given(
    rows=st.tuples(st.integers(0, 31), st.integers(0, 31)).map(sorted),
    columns=st.tuples(st.integers(1, 48), st.integers(1, 48)).map(sorted),
    row=st.integers(0, 31),
    column=st.integers(1, 48),
)
def test_a_range_holds_the_wells_between_its_two_ends(
    rows: list[int], columns: list[int], row: int, column: int
) -> None:
    ends = [well_name(row_letters(at), number) for at, number in zip(rows, columns, strict=True)]
    selection = Selection.parse(wells="-".join(ends))
    inside = rows[0] <= row <= rows[1] and columns[0] <= column <= columns[1]
    assert selection.includes(field(well_name(row_letters(row), column))) == inside


@pytest.mark.parametrize(
    "wells",
    ["B02-", "B02-5", "C-3", "?", "B0", "ABC1", "W0021", "B02;C03", "-B02", "B02-C03-D04", "B02,,C03"],
)
def test_what_is_no_well_is_refused_with_its_text_and_the_allowed_form(wells: str) -> None:
    with pytest.raises(InputError, match=r"--wells '.*give wells .B02., ranges"):
        Selection.parse(wells=wells)


@pytest.mark.parametrize("wells", ["C10-C03", "D05-B02", "D02-B05", "H-A", "9-8"])
def test_a_range_that_runs_backwards_is_refused(wells: str) -> None:
    with pytest.raises(InputError, match=f"'{wells}' runs backwards"):
        Selection.parse(wells=wells)


def test_wells_that_the_plate_lacks_are_refused_with_the_nearest_that_it_has() -> None:
    few = plate(field("B02"), field("B03"), field("G11"))
    with pytest.raises(
        InputError, match=r"--wells B05: P has no such well. The nearest that it has: B03, B02"
    ):
        Selection.parse(wells="B02,B05").require_in(few)
    with pytest.raises(InputError, match=r"--wells H10-H12: .*: G11, "):
        Selection.parse(wells="H10-H12").require_in(few)
    Selection.parse(wells="B02-B12").require_in(few)  # a range needs one of its wells only


@pytest.mark.parametrize("wells", ["AG01", "A49", "AF48-AG48"])
def test_wells_that_no_plate_has_are_refused_with_the_last_row_and_column(wells: str) -> None:
    assert Selection.parse(wells="AF48")
    with pytest.raises(InputError, match=r"is not understood: .*; rows go to AF, columns to 48\."):
        Selection.parse(wells=wells)


def test_sites_and_times_are_numbers_and_ranges_from_1_and_from_0() -> None:
    fields = [field("B02", site, t) for site in (1, 2, 3) for t in (0, 1)]
    selection = Selection.parse(sites="1,3-9", times="0")
    assert [(one.site, one.t) for one in fields if selection.includes(one)] == [(1, 0), (3, 0)]
    with pytest.raises(InputError, match=r"--sites '0' is not understood: give numbers from 1"):
        Selection.parse(sites="0")
    with pytest.raises(InputError, match=r"--times '-1' is not understood: give numbers from 0"):
        Selection.parse(times="-1")
    with pytest.raises(InputError, match=r"--sites '4-2' runs backwards"):
        Selection.parse(sites="4-2")
    with pytest.raises(InputError, match=r"--sites 9-12: P has no such site. It has 1-3"):
        Selection.parse(sites="1,9-12").require_in(plate(*fields))
    with pytest.raises(InputError, match=r"--times 2: P has no such time point. It has 0-1"):
        Selection.parse(times="2").require_in(plate(*fields))


def test_a_selection_without_any_field_is_refused() -> None:
    with pytest.raises(InputError, match="no field of P is in all that is selected"):
        Selection.parse(wells="B03", sites="2").require_in(plate(field("B02", 2), field("B03", 1)))


def test_a_collection_has_no_wells_to_select() -> None:
    with pytest.raises(InputError, match="without wells"):
        Selection.parse(wells="B02").require_in(plate(field(""), is_plate=False))


def test_no_selection_selects_everything() -> None:
    assert not Selection.parse()
    assert Selection.parse().includes(field("H12", 9, 9))
    Selection.parse().require_in(plate())
