import gc
import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucbatch.core.plate import FIELDS, FILES, Field, FileRecord, FileStatus, MaskFile, Plane
from nucbatch.core.rows import Rows

_NAME = st.text(max_size=6)
_NUMBER = st.integers(-(2**70), 2**70)
_SIZE = st.none() | st.floats(allow_nan=False) | st.integers(0, 3)
PLANES = st.builds(
    Plane, _NAME, st.sampled_from(["DAPI", "Actin"]), _NUMBER, size_bytes=_NUMBER, alone=st.booleans()
)
FIELD = st.builds(
    Field,
    _NAME,
    _NUMBER,
    st.integers(0, 1),
    _NAME,
    _NAME,
    st.lists(PLANES, max_size=3).map(tuple),
    _NUMBER,
    _NUMBER,
    st.sampled_from(["uint8", "uint16"]),
    pixel_size_um=_SIZE,
    lacking=st.lists(st.tuples(_NAME, _NAME), max_size=2).map(tuple),
    metadata=st.lists(st.tuples(_NAME, _NAME | _SIZE), max_size=2).map(tuple),
    position_um=st.none() | st.tuples(_SIZE, _SIZE),
    mask=st.none() | st.builds(MaskFile, _NAME, _NAME, _NUMBER, _NUMBER),
)


@settings(max_examples=30)
@given(st.lists(FIELD, max_size=5), st.sampled_from((1, 3, 170)))
def test_records_come_back_as_they_were(fields: list[Field], times: int) -> None:
    """Repeated too, so that columns are held once and blocks end anywhere; 1 and 1.0 are not the same."""
    records = [field for field in fields for _ in range(times)]
    rows = Rows.of(FIELDS, records)
    payload: list[bytes] = []
    described = json.loads(json.dumps(rows.stored(payload)))
    again = Rows.restored(FIELDS, described, BytesIO(b"".join(payload)).read)
    assert repr(list(rows)) == repr(list(again)) == repr(records)
    assert rows == again == tuple(records)
    assert len(rows) == len(records)
    for name in ("well", "mask", "position_um"):
        assert list(rows.values(name)) == [getattr(field, name) for field in records]
    shapes = [tuple((one.channel, one.z) for one in field.planes) for field in records]
    assert list(rows.of_parts("planes", "channel", "z")) == shapes


def _fields(count: int) -> Iterator[Field]:
    """Fields as of a plate with two channels, 20 sites a well."""
    for number in range(count):
        row, column, site = number // 480 % 16, number // 20 % 24, number % 20 + 1
        well = f"{chr(65 + row)}{column + 1:02}"
        planes = tuple(
            Plane(
                f"TimePoint_1/plate_{well}_s{site}_w{w}.tif",
                f"w{w}",
                size_bytes=2**21,
                mtime_ns=1_796_000_000_000_000_000 + number * 987_654_321 + w,
            )
            for w in (1, 2)
        )
        group = f"{well[0]}/{column + 1}/{site}"
        yield Field(well, site, 0, group, f"plate_{well}_s{site}", planes, 1080, 1080, "uint16", 0.65)


def _files(count: int) -> Iterator[FileRecord]:
    for field in _fields(count):
        for plane in field.planes:
            yield FileRecord(
                plane.path,
                FileStatus.USED,
                "",
                field.well,
                field.site,
                plane.channel,
                0,
                0,
                field.group,
            )


def test_a_field_with_two_files_takes_less_than_150_bytes() -> None:
    """As objects they take 1,900: a million of them would not fit into the driver's gigabyte."""
    gc.collect()
    tracemalloc.start()
    try:
        fields, files = Rows.of(FIELDS, _fields(5_000)), Rows.of(FILES, _files(5_000))
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert (len(fields), len(files)) == (5_000, 10_000)
    assert held < 150 * 5_000


def test_a_record_is_found_by_its_place() -> None:
    records, rows = list(_fields(1_300)), Rows.of(FIELDS, _fields(1_300))
    assert [rows[place] for place in (0, 511, 512, 1_299, -1, -1_300)] == [
        records[place] for place in (0, 511, 512, 1_299, -1, -1_300)
    ]
    assert rows[510:514] == tuple(records[510:514])
    for place in (1_300, -1_301):
        with pytest.raises(IndexError):
            rows[place]


def test_records_are_chosen_by_an_attribute() -> None:
    records = list(_fields(1_300))
    rows = Rows.of(FIELDS, records)
    chosen = rows.where("site", lambda site: site in (3, 7))
    assert chosen == tuple(field for field in records if field.site in (3, 7))
    assert list(chosen.values("group")) == [field.group for field in records if field.site in (3, 7)]
    narrower = chosen.where("well", lambda well: well == "B02")
    assert narrower == tuple(field for field in records if field.site in (3, 7) and field.well == "B02")
    assert list(narrower.of_parts("planes", "path")) == [
        tuple((plane.path,) for plane in field.planes) for field in narrower
    ]
    assert narrower[1] == tuple(narrower)[1]
    assert rows.where("dtype", lambda dtype: dtype == "uint16") is rows
    assert not rows.where("dtype", lambda dtype: dtype == "uint8")


def test_records_are_replaced_by_their_place() -> None:
    records = list(_fields(1_300))
    changed = {place: replace(records[place], problem="too dark") for place in (5, 511, 512)}
    rows = Rows.of(FIELDS, records).replaced(changed)
    assert rows == tuple(changed.get(place, field) for place, field in enumerate(records))
    assert list(rows.where("problem", bool)) == list(changed.values())
