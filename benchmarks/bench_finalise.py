"""CPU time of the end of a run: tables, OME-Zarr's lists and report of many fields.

    python -m benchmarks.bench_finalise [1000 10000]

One field of each well is segmented by Otsu's method and committed. Its files and receipt stand for those of
all others of its well, in a ledger that the run's own code writes. Then the run's end is timed here.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile

from benchmarks.bench_resume import link, name
from nucbatch.core.settings import RunSettings
from nucbatch.execution.field_task import FieldTask
from nucbatch.execution.prepared import prepare
from nucbatch.execution.run_card import Timings, run_card
from nucbatch.readers.find import open_plate
from nucbatch.store.images import create_images
from nucbatch.store.ledger import Ledger, latest_receipts, plate_digest
from nucbatch.store.receipt import Receipt, field_digest
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.sheets import write_run
from nucbatch.synthetic.field import make_field


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fields", type=int, nargs="*", default=[1_000, 10_000])
    for fields in parser.parse_args().fields:
        with tempfile.TemporaryDirectory(prefix="bench-finalise-") as scratch:
            measure(Path(scratch), fields)


def measure(scratch: Path, fields: int) -> None:
    """Prints the CPU time of the parts of a run's end."""
    plate, folder = scratch / "plate", RunFolder(scratch / "out")
    plate.mkdir()
    tifffile.imwrite(plate / name(0), make_field(96, np.random.default_rng(0), nuclei=5)[0][0])
    for number in range(1, fields):
        link(plate / name(0), plate / name(number))
    settings = RunSettings(model="otsu-watershed", ome_zarr="0.5")
    prepared = prepare(open_plate(plate), settings)
    plan = prepared.plan
    folder.create()
    of_wells: dict[str, Receipt] = {}
    receipts = []
    for field in plan.usable:
        known = of_wells.get(field.well)
        if known is None:
            began = time.process_time()
            known = of_wells[field.well] = FieldTask.of(plan, field, folder, str(prepared.weights)).run()
            one_s = time.process_time() - began
            source, group = folder.fragment(field.key), folder.plate_zarr / field.key
        else:
            folder.fragment(field.key).parent.mkdir(parents=True, exist_ok=True)
            link(source, folder.fragment(field.key))
            shutil.copytree(group, folder.plate_zarr / field.key, copy_function=link)
        receipts.append(replace(known, field=field.key, source=field_digest(field)))
    with Ledger(folder, plan.settings, plate_digest(plan.plate)) as ledger:
        ledger.append(*receipts)
    began = time.process_time()
    create_images(folder, plan.plate, left_out=set(), version="0.5")
    create_s = time.process_time() - began

    from nucbatch.execution.finalise import finalise
    from nucbatch.report.page import write_report

    began = time.process_time()
    held = latest_receipts(folder)
    read_s, began = time.process_time() - began, time.process_time()
    totals = finalise(folder, plan.plate, held, ome_zarr="0.5", scale=prepared.scale)
    tables_s, began = time.process_time() - began, time.process_time()
    card = run_card(
        plan, prepared.described, held, Timings(1.0, fields), totals.quality, str(plan.plate.root)
    )
    write_run(folder.run_json, card)
    write_report(folder.path)
    report_s = time.process_time() - began
    print(
        f"{fields:,} fields, {totals.nuclei:,} nuclei: ledger {read_s:.1f} s, tables {tables_s:.1f} s, "
        f"report {report_s:.1f} s of CPU time; OME-Zarr's lists at the start {create_s:.1f} s; a field's own "
        f"task {1000 * one_s:.1f} ms",
        flush=True,
    )


if __name__ == "__main__":
    main()
