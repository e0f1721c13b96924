import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucbatch.core.errors import InputError
from nucbatch.core.plate import row_index, split_well, well_name


@pytest.mark.parametrize(
    ("text", "parts"), [("B03", ("B", 3)), ("b3", ("B", 3)), ("AF48", ("AF", 48)), (" h12 ", ("H", 12))]
)
def test_a_well_is_read_however_it_is_written(text: str, parts: tuple[str, int]) -> None:
    assert split_well(text) == parts


@pytest.mark.parametrize("text", ["", "3B", "B", "B0", "B00", "ABC1", "B100", "B-1"])
def test_what_is_no_well_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="no well name"):
        split_well(text)


@given(st.from_regex(r"[A-Z]{1,2}", fullmatch=True), st.integers(1, 99))
def test_a_well_name_reads_back(row: str, column: int) -> None:
    assert split_well(well_name(row, column)) == (row, column)


@pytest.mark.parametrize(("row", "index"), [("A", 0), ("H", 7), ("Z", 25), ("AA", 26), ("AF", 31)])
def test_rows_count_on_past_z(row: str, index: int) -> None:
    assert row_index(row) == index
