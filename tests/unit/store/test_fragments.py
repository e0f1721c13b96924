"""Table fragments of fields, as they are written now and as earlier versions wrote them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nucbatch.core.errors import DamagedFile
from nucbatch.store.fragments import (
    parts_of,
    read_columns,
    read_fragment,
    read_note,
    schema_of,
    write_fragment,
    write_fragments,
)
from nucbatch.store.stamps import stamp_of
from tests.run_tables import join_fragments

COLUMNS = {
    "text": ["a", "µ", ""],
    "number": np.array([1, 2, 3]),
    "area": np.array([0.5, np.inf, 2.0]),
    "edge": np.array([True, False, True]),
}
TABLE = pa.table({name: pa.array(values) for name, values in COLUMNS.items()})


@pytest.fixture(params=["a field's", "a large image's", "an earlier version's"])
def fragment(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A fragment with a note."""
    path = tmp_path / "1.parquet"
    if request.param == "a field's":
        write_fragment(path, COLUMNS, b"its receipt")
    elif request.param == "a large image's":
        write_fragments(path, [TABLE.slice(0, 1), TABLE.slice(1)], b"its receipt")
    else:
        noted = TABLE.replace_schema_metadata({b"nucbatch": b"its receipt"})
        pq.write_table(noted, path, compression="none", use_dictionary=False, write_page_checksum=True)
    return path


def test_rows_columns_types_and_note_are_read_back(fragment: Path) -> None:
    assert read_fragment(fragment).equals(TABLE)
    assert schema_of(fragment) == TABLE.schema
    assert read_note(fragment) == b"its receipt"
    (part,) = read_columns(fragment, ["area", "number"])
    assert list(part) == ["area", "number"]
    np.testing.assert_array_equal(part["area"], COLUMNS["area"])
    (chosen,) = parts_of(fragment, names=["edge", "text"])
    assert chosen.column_names == ["edge", "text"]


def test_fragments_of_several_versions_make_one_table(fragment: Path, tmp_path: Path) -> None:
    other, out = tmp_path / "2.parquet", tmp_path / "nuclei.parquet"
    write_fragment(other, COLUMNS)
    stamps = {path: stamp_of(path)[0] for path in (fragment, other)}
    assert join_fragments([fragment, other], out, [fragment], stamps=stamps) == 6
    assert pq.read_table(out).equals(pa.concat_tables([TABLE, TABLE]))


def test_any_changed_byte_of_the_rows_is_found(tmp_path: Path) -> None:
    path = tmp_path / "1.parquet"
    write_fragment(path, COLUMNS)
    sound = path.read_bytes()
    for place in range(0, len(sound), 7):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 64]) + sound[place + 1 :])
        with pytest.raises(DamagedFile, match="can't be read"):
            read_fragment(path)
    for length in range(0, len(sound), 97):
        path.write_bytes(sound[:length])
        with pytest.raises(DamagedFile, match="can't be read"):
            read_fragment(path)


def test_a_fragment_is_a_stream_of_arrow(tmp_path: Path) -> None:
    write_fragment(tmp_path / "1.parquet", COLUMNS)
    with pa.OSFile(str(tmp_path / "1.parquet")) as file:
        assert pa.ipc.open_stream(file).read_all().equals(TABLE)


def test_a_missing_column_is_damage(fragment: Path) -> None:
    with pytest.raises(DamagedFile, match="can't be read"):
        list(read_columns(fragment, ["no"]))


def test_a_measurement_without_a_value_stays_nan(tmp_path: Path) -> None:
    write_fragment(tmp_path / "1.parquet", {"a": np.array([np.nan, 1.0])})
    assert read_fragment(tmp_path / "1.parquet")["a"].null_count == 0
    (part,) = read_columns(tmp_path / "1.parquet", ["a"])
    np.testing.assert_array_equal(part["a"], [np.nan, 1.0])
