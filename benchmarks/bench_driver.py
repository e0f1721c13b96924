"""Memory and CPU time of the driver until its first block is ready, for many fields planned and committed.

    python -m benchmarks.bench_driver                 # 10,000 and 100,000 fields
    python -m benchmarks.bench_driver 1000000         # an hour on a busy machine: 10^6 headers are read

A plate of tiny fields is made by linking one file under many names. The driver's own steps run on it in a
process each, without a cluster: first as in a new run, which reads all headers; then as in a resumed run with
nothing committed; then with all fields but a few committed, as lines of the ledger without their files, which
workers look at later. The time of a resumed run is given twice: that of the first one compares all committed
fields with the input; if nothing has changed, the sessions after it need not.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import tifffile
from rich.console import Console
from rich.table import Table

from benchmarks.bench_resume import NEW, SITES, link, name

_STEPS = ("new", "none committed", "committed", "committed, compared before")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("fields", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--steps", nargs=2, type=Path, metavar=("PLATE", "OUT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.steps:
        print(json.dumps(steps(*asked.steps)))
        return
    columns = ("imports", "plate opened", "until the first block", "peak", "of the process that opens it")
    table = Table("fields", "session", *columns, title="The driver's own steps, in CPU time")
    for fields in asked.fields:
        with tempfile.TemporaryDirectory() as scratch:
            plate, out = make_plate(Path(scratch), fields), Path(scratch, "out")
            for session in _STEPS:
                if session == "committed":
                    commit(plate, out)
                found = run(plate, out)
                table.add_row(
                    f"{fields:,}",
                    session,
                    f"{found['imports_s']:.2f} s",
                    f"{found['open_s']:.2f} s",
                    f"{found['ready_s']:.2f} s",
                    f"{found['peak_mib']:.0f} MiB",
                    f"{found['apart_mib']:.0f} MiB" if found["apart_mib"] else "",
                )
    Console(width=130).print(table)


def run(plate: Path, out: Path) -> dict[str, float]:
    """Runs the driver's steps in a new process."""
    command = [sys.executable, "-m", "benchmarks.bench_driver", "--steps", str(plate), str(out)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


def steps(plate: Path, out: Path) -> dict[str, float]:
    """Opens a plate and queues its fields as ``nucbatch run`` does; CPU seconds and MiB."""
    from nucbatch.core.gc_pause import gc_frozen

    with gc_frozen():
        import distributed  # noqa: F401  # as a run's session

        from nucbatch.core.settings import RunSettings
        from nucbatch.execution.job import made_of_field
        from nucbatch.execution.moved_plate import about
        from nucbatch.execution.prepared import prepare
        from nucbatch.execution.session_steps import _remember
        from nucbatch.execution.work_queue import NetworkInUse, WorkQueue
        from nucbatch.readers.find import open_plate
        from nucbatch.store.compared import input_digest, record_compared, were_compared
        from nucbatch.store.ledger import Ledger, latest_receipts, make_header, plate_digest
        from nucbatch.store.recover import recover
        from nucbatch.store.run_folder import RunFolder

    imported = time.process_time()
    folder = RunFolder(out)
    folder.create()
    read = open_plate(plate, remembered=folder.plate)
    opened, apart = time.process_time(), resource.getrusage(resource.RUSAGE_CHILDREN)
    prepared = prepare(read, RunSettings(model="otsu-watershed"))
    plan = prepared.plan
    digest, begun = plate_digest(plan.plate), folder.ledger.exists()
    recover(
        folder,
        lambda: make_header(plan.settings, digest),
        ((one, made_of_field(plan, one)) for one in plan.usable),
    )
    held = latest_receipts(folder)
    with Ledger(folder, plan.settings, digest, about={} if begun else about(plan.plate)):
        _remember(folder, read)
        network = NetworkInUse("", prepared.grid, 1, prepared.scale.given)
        same = input_digest(plan.plate, plan.settings)
        queue = WorkQueue(plan, folder, network, held, compared=were_compared(folder, same))
        record_compared(folder, same)
        if queue.next_field() is None:
            raise RuntimeError("no field is left to do")
    return {
        "imports_s": imported,
        "open_s": opened - imported + apart.ru_utime + apart.ru_stime,
        "ready_s": time.process_time() - opened,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
        "apart_mib": apart.ru_maxrss / 2**10,
    }


def commit(plate: Path, out: Path) -> None:
    """Writes receipts of all fields but the last few."""
    from nucbatch.core.settings import RunSettings
    from nucbatch.execution.prepared import prepare
    from nucbatch.readers.find import open_plate
    from nucbatch.store.receipt import Receipt, field_digest, line_of
    from nucbatch.store.run_folder import RunFolder

    folder = RunFolder(out)
    fields = prepare(
        open_plate(plate, remembered=folder.plate), RunSettings(model="otsu-watershed")
    ).plan.usable
    figures = {f"QC_Figure{number}": number / 7 for number in range(12)}
    names = " ".join(f"{level}/zarr.json" for level in range(7))
    with folder.ledger.open("ab") as ledger:
        for number, field in enumerate(fields):
            if number == len(fields) - NEW:
                break
            source = field_digest(field)
            receipt = Receipt(field.key, "done", "", 99, "0" * 64, figures, {}, "", source, names, "0" * 112)
            ledger.write(line_of(asdict(receipt)))
    folder.compared.unlink()  # as if another session had written them


def make_plate(scratch: Path, fields: int) -> Path:
    """Links one image under the names of many fields; a file has at most so many links."""
    plate = scratch / "plate"
    plate.mkdir()
    sites = max(SITES, -(-fields // 500))  # no plate has more than 1,536 wells
    tifffile.imwrite(plate / name(0, sites), np.zeros((32, 32), np.uint16))
    for number in range(1, fields):
        link(plate / name(number - 1, sites), plate / name(number, sites))
    return plate


if __name__ == "__main__":
    main()
