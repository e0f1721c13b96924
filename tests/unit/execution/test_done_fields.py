"""The fields that are done, by column."""

import tracemalloc

from nucbatch.core.plate import Field, Plane, Plate
from nucbatch.execution.done_fields import DoneFields, Troubles, as_read
from nucbatch.inference.scale import AS_IT_IS
from nucbatch.store.held_receipts import HeldReceipts
from nucbatch.store.receipt import Receipt
from nucbatch.store.stamps import TABLE, Stamp, Stamps

FILES = Stamps.of({TABLE: Stamp(1_000, 2**32 - 1)})


def field(site: int) -> Field:
    planes = Plane(f"{site}_a.tif", "DAPI"), Plane(f"{site}_b.tif", "GFP")
    return Field("B03", site, 0, f"B/3/{site}", f"p_{site}", planes, 40, 40, "uint8")


def receipt(one: Field, nuclei: int) -> Receipt:
    qc = {f"QC_Figure{number}": number / 7 + nuclei for number in range(20)} | {"QC_NuclearDiameter": 12.5}
    return Receipt(one.key, "done", "", nuclei, "", qc, {}, "", names=FILES.names, stamps=FILES.packed)


def plate(*fields: Field) -> Plate:
    return Plate("p", "/", "x", (), fields, ())


def test_only_done_fields_are_held_in_the_plates_order():
    fields = [field(site) for site in range(1, 5)]
    failed = Receipt(fields[1].key, "failed", "no memory", 0, "", {}, {}, "")
    held = HeldReceipts.of([receipt(fields[3], 4), failed, receipt(fields[0], 1)])
    done = DoneFields.of(plate(*fields), held, AS_IT_IS, None)
    assert [one.key for one in done.fields] == ["B/3/1", "B/3/4"]
    assert done.nuclei.tolist() == [1, 4]
    assert done.stamp(1) == Stamp(1_000, 2**32 - 1)
    assert done.diameters_px.tolist() == [12.5, 12.5]
    assert Troubles.of(held) == Troubles({fields[1].key: "no memory"}, {})


def test_a_channel_that_proved_damaged_is_missing_and_flagged():
    fields = [field(1), field(2)]
    lost = Receipt(
        *(fields[1].key, "done", "", 3, "", {}, {}, ""),
        names=FILES.names,
        stamps=FILES.packed,
        lacking=(("GFP", "2_b.tif: cut short"),),
    )
    held = HeldReceipts.of([receipt(fields[0], 1), lost])
    lacking = Troubles.of(held).lacking
    assert lacking == {fields[1].key: {"GFP": "2_b.tif: cut short"}}
    done = DoneFields.of(as_read(plate(*fields), lacking), held, AS_IT_IS, None)
    assert [plane.channel for plane in done.fields[1].planes] == ["DAPI"]
    assert done.flags == {1: ([], ["missing-channel GFP"])}


def test_a_field_takes_some_hundred_bytes():
    count = 4_000
    fields = plate(*map(field, range(1, count + 1)))
    held = HeldReceipts.of(receipt(one, one.site) for one in fields.fields)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        done = DoneFields.of(fields, held, AS_IT_IS, None)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(done) == count
    assert after - before < 300 * count
