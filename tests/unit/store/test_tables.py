"""Fragments of the nuclei table, their concatenation, and the fields table."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from nucbatch.core.errors import DamagedFile, InputError, StoreError
from nucbatch.core.plate import Field, Plane, Plate
from nucbatch.store import tables
from nucbatch.store.fragments import read_columns, read_note, schema_of, write_fragment
from nucbatch.store.receipt import Receipt, field_digest
from nucbatch.store.stamps import stamp_of
from nucbatch.store.tables import identity_columns
from tests.run_tables import join_fragments, write_receipts


def _field(site: int, problem: str = "") -> Field:
    return Field("B03", site, 0, f"B/3/{site}", f"P_B03_s{site}", (), 64, 80, "uint8", 0.5, problem)


def _fragment(folder: Path, site: int, nuclei: int) -> Path:
    path = folder / "fragments" / f"{site}.parquet"
    areas = {
        "Nuclei_AreaShape_Area": np.arange(nuclei),
        "Nuclei_Intensity_MeanIntensity_DAPI": np.ones(nuclei),
    }
    write_fragment(path, identity_columns("P", _field(site), nuclei) | areas)
    return path


def test_fragments_are_concatenated_in_order_with_one_schema(tmp_path: Path) -> None:
    out = tmp_path / "nuclei.parquet"
    assert join_fragments([_fragment(tmp_path, site, site % 3) for site in (4, 3, 2, 1)], out) == 4
    table = pd.read_parquet(out)
    assert table["Metadata_Site"].tolist() == [4, 2, 2, 1]
    assert table["Metadata_ObjectNumber"].tolist() == [1, 1, 2, 1]
    assert table["Metadata_Image"].tolist() == ["B/3/4", "B/3/2", "B/3/2", "B/3/1"]
    assert table["Metadata_Well"].tolist() == ["B03"] * 4
    assert [str(field.type) for field in pq.read_schema(out)] == [
        *["string", "string", "int64", "int64", "string", "int64"],
        *["int64", "double"],
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fragments", "nuclei.parquet"]


def test_an_empty_fragment_has_the_same_columns_and_types(tmp_path: Path) -> None:
    assert schema_of(_fragment(tmp_path, 1, 0)) == schema_of(_fragment(tmp_path, 2, 5))


def test_a_run_without_nuclei_has_all_columns(tmp_path: Path) -> None:
    out = tmp_path / "nuclei.parquet"
    assert join_fragments([_fragment(tmp_path, site, 0) for site in (1, 2)], out) == 0
    assert pd.read_parquet(out).shape == (0, 8)


def test_a_run_without_any_fragment_has_the_identity_columns(tmp_path: Path) -> None:
    out = tmp_path / "nuclei.parquet"
    assert join_fragments([], out) == 0
    names = list(identity_columns("P", _field(1), 1))
    assert pq.read_schema(out).names == names
    assert pq.read_schema(out).types == schema_of(_fragment(tmp_path, 1, 2)).types[: len(names)]


def test_fields_of_few_nuclei_do_not_wait_as_tables_of_their_own(tmp_path: Path) -> None:
    """Each took 60 kB of memory, and 100,000 empty fields as many as 100,000 full ones."""
    few, none = _fragment(tmp_path, 1, 1), _fragment(tmp_path, 2, 0)
    held: list[int] = []

    def fragments() -> Iterator[Path]:
        for number in range(2_000):
            held.append(tracemalloc.get_traced_memory()[0])
            yield few if number % 2 else none

    tracemalloc.start()
    try:
        assert join_fragments(fragments(), tmp_path / "out") == 1_000
    finally:
        tracemalloc.stop()
    assert max(held) - held[0] < 1_000_000
    assert len(pd.read_parquet(tmp_path / "out")) == 1_000


def test_the_same_values_give_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name in "ab":
        paths = [_fragment(tmp_path / name, site, 5) for site in (1, 2)]
        join_fragments(paths, tmp_path / name / "out")
        contents.append([path.read_bytes() for path in [*paths, tmp_path / name / "out"]])
    assert contents[0] == contents[1]


def test_notes_are_stored_in_fragments_but_not_in_the_table(tmp_path: Path) -> None:
    path, out = tmp_path / "a.parquet", tmp_path / "out"
    write_fragment(path, {"a": [1]}, b"its receipt")
    assert read_note(path) == b"its receipt"
    assert read_note(tmp_path / "no.parquet") == b""
    join_fragments([path], out)
    assert read_note(out) == b""
    assert b"its receipt" not in out.read_bytes()


def test_a_fragment_with_a_wrong_checksum_is_rejected(tmp_path: Path) -> None:
    path = _fragment(tmp_path, 1, 3)
    stamp, _ = stamp_of(path)
    assert join_fragments([path], tmp_path / "out", stamps={path: stamp}) == 3
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=r"has other bytes than were written.*--verify"):
        join_fragments([path], tmp_path / "out", stamps={path: stamp})


def test_concatenation_reads_fragments_one_by_one_and_writes_even_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROWS_PER_GROUP", 10)
    out = tmp_path / "nuclei.parquet"

    def one_at_a_time() -> Iterator[Path]:
        # Each is removed when the next is asked for, so none can be read late or twice.
        for site in range(1, 8):
            path = _fragment(tmp_path, site, 4)
            yield path
            path.unlink()

    assert join_fragments(one_at_a_time(), out) == 28
    metadata = pq.read_metadata(out)
    groups = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    assert groups == [10, 2, 10, 2, 4]
    assert pd.read_parquet(out)["Metadata_Site"].tolist() == [site for site in range(1, 8) for _ in range(4)]


@pytest.mark.parametrize("damage", [b"", b"PAR1 not"])
def test_a_damaged_or_missing_fragment_keeps_the_old_table(damage: bytes, tmp_path: Path) -> None:
    good, bad, out = _fragment(tmp_path, 1, 2), tmp_path / "bad.parquet", tmp_path / "nuclei.parquet"
    join_fragments([good], out)
    before = out.read_bytes()
    for _ in range(2):
        with pytest.raises(StoreError, match=r"bad\.parquet can't be read.*same command again"):
            join_fragments([good, bad], out)
        bad.write_bytes(damage)
    assert out.read_bytes() == before
    assert not list(tmp_path.glob("*.partial"))


def test_fragments_with_different_columns_are_rejected(tmp_path: Path) -> None:
    write_fragment(tmp_path / "a.parquet", {"a": [1]})
    write_fragment(tmp_path / "b.parquet", {"a": [1.0]})
    with pytest.raises(StoreError, match=r"b\.parquet has other columns"):
        join_fragments([tmp_path / "a.parquet", tmp_path / "b.parquet"], tmp_path / "out")


def test_invalid_columns_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"have \[1, 2\] rows"):
        write_fragment(tmp_path / "a.parquet", {"a": [1], "b": [1, 2]})
    for values in (np.zeros((2, 2)), [None], [1j], np.array([1, "x"], object)):
        with pytest.raises(InputError, match="it must be text or numbers"):
            write_fragment(tmp_path / "a.parquet", {"a": values})


def test_columns_are_converted_to_the_tables_types(tmp_path: Path) -> None:
    columns = {
        "i": np.ones(2, np.uint16),
        "f": np.ones(2, np.float32),
        "t": ["µ", ""],
        "o": np.array(["a", "b"], object),
    }
    write_fragment(tmp_path / "a.parquet", columns)
    assert [str(kind) for kind in schema_of(tmp_path / "a.parquet").types] == [
        "int64",
        "double",
        "string",
        "string",
    ]


def test_zero_nuclei_failed_quarantined_and_pending_are_distinct(tmp_path: Path) -> None:
    fields = tuple(_field(site, "cut short" if site == 3 else "") for site in range(1, 5))
    done = Receipt("B/3/1", "done", "", 0, "", {"QC_Mean": 7.0, "QC_Focus": 0.5}, {"read": 1.0}, "w")
    failed = replace(done, field="B/3/2", status="failed", reason="no memory", qc={})
    path = tmp_path / "fields.parquet"
    receipts = {"B/3/2": failed, "B/3/1": done}
    write_receipts(
        path, Plate("P", "/", "x", (), fields, ()), receipts, {"B/3/1": ["absent-pixels", "other"]}
    )
    table = pd.read_parquet(path)
    assert table["Metadata_Site"].tolist() == [1, 2, 3, 4]
    assert table["Status"].tolist() == ["done", "failed", "quarantined", "pending"]
    assert table["Reason"].tolist() == ["", "no memory", "cut short", "not processed yet"]
    assert table["Flags"].tolist() == ["absent-pixels; other", "", "", ""]
    assert table["Count_Nuclei"].iloc[0] == 0
    assert table["Count_Nuclei"].isna().tolist() == [False, True, True, True]
    assert table["QC_Mean"].isna().tolist() == [False, True, True, True]
    assert list(table.columns[-2:]) == ["QC_Focus", "QC_Mean"]
    assert table["PixelSize_um"].tolist() == [0.5] * 4


def test_positions_and_nuclei_that_count_in_another_field_are_recorded(tmp_path: Path) -> None:
    placed = replace(_field(1), position_um=(-315.0, 20.5), acquisition="2", time="14:44:46")
    done = Receipt("B/3/1", "done", "", 7, "", {}, {}, "w")
    plate = Plate("P", "/", "x", (), (placed, _field(2), _field(3, "cut short")), ())
    receipts = {"B/3/1": done, "B/3/2": replace(done, field="B/3/2", nuclei=2)}
    write_receipts(tmp_path / "a", plate, receipts, elsewhere={"B/3/1": 3})
    table = pd.read_parquet(tmp_path / "a")
    assert table["Metadata_PositionX_um"].tolist()[0] == 20.5
    assert table["Metadata_PositionY_um"].tolist()[0] == -315
    assert table["Metadata_PositionY_um"].isna().tolist() == [False, True, True]
    assert table["Metadata_Acquisition"].tolist() == ["2", "", ""]
    assert table["Metadata_TimeStamp"].tolist() == ["14:44:46", "", ""]
    assert table["Count_Nuclei"].tolist()[:2] == [4, 2]
    assert table["Count_Nuclei_Seen"].tolist()[:2] == [7, 2]
    assert table[["Count_Nuclei", "Count_Nuclei_Seen"]].isna().all(axis=1).tolist() == [False, False, True]


def test_without_positions_the_table_of_fields_has_no_columns_for_them(tmp_path: Path) -> None:
    write_receipts(tmp_path / "a", Plate("P", "/", "x", (), (_field(1),), ()), {})
    names = set(pd.read_parquet(tmp_path / "a").columns)
    assert not {name for name in names if "Position" in name or "Seen" in name or "Acquisition" in name}


def test_nuclei_that_count_in_another_field_are_marked(tmp_path: Path) -> None:
    paths = [_fragment(tmp_path, site, 3) for site in (1, 2)]
    out, pixel = tmp_path / "nuclei.parquet", {path: [("Metadata_PixelSize_um", 0.5)] for path in paths}
    not_counted = {paths[1]: {"overlap": np.array([1, 3])}}
    assert join_fragments(paths, out, metadata=pixel, not_counted=not_counted) == 6
    table = pd.read_parquet(out)
    assert table["Metadata_Counted"].tolist() == [True, True, True, False, True, False]
    assert table.columns.tolist()[5:9] == [
        "Metadata_ObjectNumber",
        "Metadata_Counted",
        "Metadata_ReasonNotCounted",
        "Metadata_PixelSize_um",
    ]
    join_fragments(paths, out, not_counted={})
    assert pd.read_parquet(out)["Metadata_Counted"].all()
    join_fragments(paths, out)
    assert "Metadata_Counted" not in pd.read_parquet(out)


def test_columns_of_a_fragment_are_read_in_parts(tmp_path: Path) -> None:
    names = ["Metadata_ObjectNumber", "Nuclei_AreaShape_Area"]
    parts = list(read_columns(_fragment(tmp_path, 1, 4), names))
    assert [part["Metadata_ObjectNumber"].tolist() for part in parts] == [[1, 2, 3, 4]]
    assert [
        len(part["Nuclei_AreaShape_Area"]) for part in read_columns(_fragment(tmp_path, 2, 0), names)
    ] == [0]
    bad = _fragment(tmp_path, 3, 4)
    bad.write_bytes(bad.read_bytes()[:100])
    with pytest.raises(DamagedFile):
        list(read_columns(bad, names))


def test_the_projection_of_z_steps_is_recorded(tmp_path: Path) -> None:
    deep = replace(_field(1), planes=tuple(Plane("a.tif", "x", z, z) for z in range(5)))
    write_receipts(tmp_path / "a", Plate("P", "/", "x", (), (deep, _field(2)), ()), {})
    assert pd.read_parquet(tmp_path / "a")["Projection"].tolist() == ["5 z-steps, by maximum", ""]


def test_the_fields_table_has_no_workers_or_times(tmp_path: Path) -> None:
    plate = Plate("P", "/", "x", (), (_field(1),), ())
    one = Receipt("B/3/1", "done", "", 4, "", {"QC_Mean": 7.0}, {"read": 1.0}, "w1")
    two = replace(one, seconds={"read": 2.0, "write": 1.0}, worker="w2")
    write_receipts(tmp_path / "a", plate, {"B/3/1": one})
    write_receipts(tmp_path / "b", plate, {"B/3/1": two})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_plate_without_fields_has_a_table(tmp_path: Path) -> None:
    write_receipts(tmp_path / "a", Plate("P", "/", "x", (), (), ()), {})
    assert "Count_Nuclei" in pd.read_parquet(tmp_path / "a").columns


def test_fields_of_different_channels_share_one_table_with_nulls(tmp_path: Path) -> None:
    grey, colour = tmp_path / "a.parquet", tmp_path / "b.parquet"
    write_fragment(grey, {"Metadata_ObjectNumber": [1], "Nuclei_Intensity_MeanIntensity_Grey": [2.5]})
    write_fragment(
        colour, {"Metadata_ObjectNumber": [1, 2], "Nuclei_Intensity_MeanIntensity_Red": [3.0, 4.0]}
    )
    out = tmp_path / "nuclei.parquet"
    assert join_fragments([colour, grey, colour], out, examples=[grey, colour]) == 5
    table = pq.read_table(out)
    assert table.column_names == [
        "Metadata_ObjectNumber",
        "Nuclei_Intensity_MeanIntensity_Grey",
        "Nuclei_Intensity_MeanIntensity_Red",
    ]
    assert table["Nuclei_Intensity_MeanIntensity_Grey"].to_pylist() == [None, None, 2.5, None, None]
    assert table["Nuclei_Intensity_MeanIntensity_Red"].to_pylist() == [3.0, 4.0, None, 3.0, 4.0]


def test_the_users_columns_are_in_both_tables_with_one_type(tmp_path: Path) -> None:
    values: list[tuple[tuple[str, str | float | None], ...]] = [
        (("Metadata_Dose", 0.5), ("Metadata_Drug", "")),
        (("Metadata_Dose", None), ("Metadata_Drug", "µ-thing")),
        (("Metadata_Dose", None), ("Metadata_Drug", "x")),
    ]
    fields = [replace(_field(site), metadata=metadata) for site, metadata in enumerate(values, start=1)]
    for field, nuclei in zip(fields, (2, 1, 0), strict=True):
        columns = identity_columns("P", field, nuclei) | {"Nuclei_A": np.arange(nuclei, dtype=float)}
        write_fragment(tmp_path / f"{field.site}.parquet", columns)
    paths = [tmp_path / f"{site}.parquet" for site in (1, 2, 3)]
    assert (
        join_fragments(paths, tmp_path / "nuclei.parquet", metadata=dict(zip(paths, values, strict=True)))
        == 3
    )
    nuclei = pd.read_parquet(tmp_path / "nuclei.parquet")
    assert list(nuclei.columns[5:]) == ["Metadata_ObjectNumber", "Metadata_Dose", "Metadata_Drug", "Nuclei_A"]
    assert nuclei["Metadata_Dose"].tolist()[:2] == [0.5, 0.5]
    assert np.isnan(nuclei["Metadata_Dose"].iloc[2])
    assert nuclei["Metadata_Drug"].tolist() == ["", "", "µ-thing"]
    write_receipts(tmp_path / "fields.parquet", Plate("P", "/", "x", (), tuple(fields), ()), {})
    table = pd.read_parquet(tmp_path / "fields.parquet")
    assert table["Metadata_Dose"].isna().tolist() == [False, True, True]
    assert table["Metadata_Drug"].tolist() == ["", "µ-thing", "x"]


def test_the_users_columns_do_not_change_digests() -> None:
    field = _field(1)
    assert field_digest(field) == field_digest(replace(field, metadata=(("Metadata_Dose", 1.0),)))


def test_lengths_and_areas_are_there_in_micrometres_where_a_pixel_size_is_known(tmp_path: Path) -> None:
    fragments = [_fragment(tmp_path, 1, 2), _fragment(tmp_path, 2, 1)]
    sizes = {fragments[0]: 0.5, fragments[1]: None}
    join_fragments(fragments, tmp_path / "known.parquet", pixel_sizes_um=sizes)
    known = pq.read_table(tmp_path / "known.parquet")
    at = known.column_names.index("Nuclei_AreaShape_Area")
    assert known.column_names[at + 1] == "Nuclei_AreaShape_Area_um2"
    areas = known["Nuclei_AreaShape_Area"].to_pylist()
    assert known["Nuclei_AreaShape_Area_um2"].to_pylist() == [areas[0] / 4, areas[1] / 4, None]
    join_fragments(fragments, tmp_path / "unknown.parquet", pixel_sizes_um=dict.fromkeys(fragments))
    assert "Nuclei_AreaShape_Area_um2" not in pq.read_table(tmp_path / "unknown.parquet").column_names
