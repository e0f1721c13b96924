"""The nuclei table as CSV: the same values, safe in a spreadsheet, in parts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from nucbatch.core.errors import DamagedFile
from nucbatch.store.csv_table import row_groups, write_csv


def table(*plates: str) -> pa.Table:
    return pa.table(
        {
            "Metadata_Plate": pa.array(plates, pa.string()),
            "Metadata_Counted": [True] * len(plates),
            "Nuclei_A": pa.array(np.arange(len(plates)) / 3),
        }
    )


def test_numbers_read_back_as_the_same_and_text_is_no_formula(tmp_path: Path) -> None:
    parts = [table("=1+1", 'a,"b"'), table("P\nQ", "+x")]
    assert write_csv(tmp_path / "a.csv", parts) == 4
    read = pd.read_csv(tmp_path / "a.csv")
    assert read["Metadata_Plate"].tolist() == ["'=1+1", 'a,"b"', "P Q", "'+x"]
    assert read["Metadata_Counted"].all()
    assert np.array_equal(read["Nuclei_A"], [0, 1 / 3, 0, 1 / 3])


def test_missing_values_are_empty_cells(tmp_path: Path) -> None:
    values = pa.table({"Metadata_Plate": ["P", None], "x": [float("nan"), None], "n": pa.array([None, 7])})
    write_csv(tmp_path / "a.csv", [values])
    assert (tmp_path / "a.csv").read_text() == '"Metadata_Plate","x","n"\n"P",,\n,,7\n'


def test_rows_are_chosen_and_an_empty_table_keeps_its_header(tmp_path: Path) -> None:
    none = write_csv(tmp_path / "a.csv", [table("P", "Q")], lambda one: one.filter(pc.equal(one[0], "R")))
    assert none == 0
    assert (tmp_path / "a.csv").read_text() == '"Metadata_Plate","Metadata_Counted","Nuclei_A"\n'


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "nuclei.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(DamagedFile, match=r"nuclei\.parquet can't be read"):
        list(row_groups(tmp_path / "nuclei.parquet"))
