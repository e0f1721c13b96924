"""CPU time and memory of the end of a run: tables, OME-Zarr's lists and report of many fields.

    python -m benchmarks.bench_finalise [1000 10000]
    python -m benchmarks.bench_finalise 1000000     # 10^6 headers are read: half an hour
    python -m benchmarks.bench_finalise 20000 --no-wells     # a folder of images

One field of each well is segmented and committed. Its files and receipt stand for those of all others of its
well, in a ledger that the run's own code writes. Then the run's end is timed here in a process of its own,
which holds the plate and the receipts as the driver does. Memory is the largest resident size of each part,
above that of the process before it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import tifffile

from benchmarks.bench_resume import SITES, link, name
from nucbatch.core.settings import RunSettings
from nucbatch.execution.field_task import FieldTask
from nucbatch.execution.prepared import prepare
from nucbatch.execution.run_card import Timings, run_card
from nucbatch.readers.find import open_plate
from nucbatch.readers.plate_cache import cache_content
from nucbatch.store.images import create_images
from nucbatch.store.ledger import Ledger, latest_receipts, plate_digest
from nucbatch.store.receipt import Receipt, field_digest
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.sheets import write_run
from nucbatch.synthetic.field import make_field

T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fields", type=int, nargs="*", default=[1_000, 10_000])
    parser.add_argument("--model", default="otsu-watershed", help="which finds the nuclei")
    parser.add_argument("--no-wells", action="store_true", help="the images are no plate")
    parser.add_argument("--folder", type=Path, help="make plate and run here, and keep them")
    parser.add_argument("--end", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.end:
        print(json.dumps(end(asked.end, asked.model)))
        return
    for fields in asked.fields:
        with tempfile.TemporaryDirectory(prefix="bench-finalise-") as scratch:
            place = Path(scratch) if asked.folder is None else asked.folder / str(fields)
            if not (place / "made").exists():
                place.mkdir(parents=True, exist_ok=True)
                make(place, fields, asked.model, wells=not asked.no_wells)
                (place / "made").touch()
            show(fields, place, asked.model)


def show(fields: int, place: Path, model: str) -> None:
    """Ends the run in a new process, and prints what it took."""
    command = [sys.executable, "-m", "benchmarks.bench_finalise", "--end", str(place), "--model", model]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(answer.stdout.splitlines()[-1])
    parts = "; ".join(
        f"{part} {one['cpu_s']:.1f} s, {one['kib'] * 1024 / fields:,.0f} B a field"
        for part, one in found["parts"].items()
    )
    print(
        f"{fields:,} fields, {found['nuclei']:,} nuclei: {parts}; peak {found['peak_kib'] / 1024:,.0f} MiB",
        flush=True,
    )


def make(place: Path, fields: int, model: str, *, wells: bool) -> None:
    """Makes a plate, or a folder of images, and a run's folder in which all of its fields are committed."""
    plate, folder = place / "plate", RunFolder(place / "out")
    plate.mkdir()
    sites = max(SITES, -(-fields // 500))  # no plate has more than 1,536 wells
    names = [name(number, sites) if wells else f"picture-{number:07}.tif" for number in range(fields)]
    tifffile.imwrite(plate / names[0], make_field(96, np.random.default_rng(0), nuclei=5)[0][0])
    for before, own in pairwise(names):
        link(plate / before, plate / own)
    read = open_plate(plate)
    prepared = prepare(read, RunSettings(model=model, ome_zarr="0.5"))
    plan = prepared.plan
    folder.create()
    folder.plate.write_bytes(cache_content(read) or b"")
    create_images(folder, plan.plate, left_out=set(), version="0.5")
    store = folder.store(plan.plate.is_plate)
    well: str | None = None
    with Ledger(folder, plan.settings, plate_digest(plan.plate)) as ledger:
        waiting: list[Receipt] = []
        for field in plan.usable:
            if field.well != well:
                well, first = field.well, FieldTask.of(plan, field, folder, str(prepared.weights)).run()
                source, group = folder.fragment(field.key), store / field.key
            else:
                target = folder.fragment(field.key)
                link(source, target)
                source = target
                (store / field.key).symlink_to(group)
            waiting.append(replace(first, field=field.key, source=field_digest(field)))
            if len(waiting) == 1_000:
                ledger.append(*waiting)
                waiting = []
        ledger.append(*waiting)


def end(place: Path, model: str) -> dict[str, object]:
    """Ends a run as its session does, and returns CPU time and memory of each part."""
    folder = RunFolder(place / "out")
    read = open_plate(place / "plate", remembered=folder.plate)
    prepared = prepare(read, RunSettings(model=model, ome_zarr="0.5"))
    from nucbatch.execution.finalise import finalise
    from nucbatch.report.page import write_report

    parts: dict[str, dict[str, float]] = {}

    def part(label: str, do: Callable[[], T]) -> T:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before, began = memory_kib("VmRSS"), time.process_time()
        done = do()
        peaks.append(memory_kib("VmHWM"))
        parts[label] = {"cpu_s": time.process_time() - began, "kib": peaks[-1] - before}
        return done

    peaks: list[int] = []
    plan = prepared.plan
    held = [part("ledger", lambda: latest_receipts(folder))]
    totals = part(
        "tables",
        lambda: finalise(
            folder,
            plan.plate,
            held[0],
            ome_zarr="0.5",
            scale=prepared.scale,
            calibration=plan.settings.calibration,
        ),
    )

    def card() -> None:
        values = run_card(
            plan, prepared.described, held[0], Timings(1.0, 1), totals.quality, str(plan.plate.root)
        )
        write_run(folder.run_json, values)

    part("run.json", card)
    held.clear()  # as the session does
    part("report", lambda: write_report(folder.path))
    return {"parts": parts, "nuclei": totals.nuclei, "peak_kib": max(peaks)}


def memory_kib(name: str) -> int:
    """A figure of this process's memory: VmRSS is held now, VmHWM was the most."""
    text = Path("/proc/self/status").read_text()
    return int(text.split(f"{name}:")[1].split()[0])


if __name__ == "__main__":
    main()
