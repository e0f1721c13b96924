"""Whole runs of a plate from a folder, from an object store, and from one that answers late.

    python -m benchmarks.bench_store_run PLATE [--latency-ms 20] [--rounds 3] [--zarr] [-- OPTIONS OF RUN]
    python -m benchmarks.bench_store_run PLATE --reads

Each round is one run of each, in turn. The store is a bare server on this machine (``range_server.py``) that
waits as long before each answer. The table has medians, and the median over the rounds of the time from the
folder divided by the time from the store. CPU time is that of the command and its workers. ``--zarr`` reads
the plate as an OME-Zarr that ``nucbatch convert`` makes of it.

``--reads`` only plans the plate and reads its fields, two at once as a worker does, in this process: on a
machine that is busy with other work, what waits for a store can be told from what waits for a core.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.range_server import Counts, served
from nucbatch.core.plate import Channel, Field
from nucbatch.object_store import as_path
from nucbatch.readers.find import open_plate
from nucbatch.readers.pixels import FieldReader

_OWN = ("run.json", "report.html")


@dataclass
class Figures:
    """What was measured of the runs from one place."""

    seconds: list[float] = field(default_factory=list)
    blocks: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    requests: int = 0
    sent_bytes: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plate", type=Path)
    parser.add_argument("--latency-ms", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--zarr", action="store_true")
    parser.add_argument("--reads", action="store_true")
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    asked, options = parser.parse_args(sys.argv[1:end]), sys.argv[end + 1 :]
    with tempfile.TemporaryDirectory(prefix="bench-store-") as scratch:
        plate = converted(asked.plate, Path(scratch)) if asked.zarr else asked.plate.resolve()
        objects = {
            f"{plate.name}/{path.relative_to(plate).as_posix()}": path.read_bytes()
            for path in sorted(plate.rglob("*"))
            if path.is_file()
        }
        places: dict[str, float | None] = {
            "folder": None,
            "store": 0.0,
            f"store, {asked.latency_ms:g} ms": asked.latency_ms / 1000,
        }
        if asked.reads:
            only_read(plate, objects, places, asked.rounds)
            return
        found = {place: Figures() for place in places}
        known: set[str] = set()
        for number in range(asked.rounds):
            for place, latency_s in places.items():
                with ExitStack() as stack:
                    counts = None if latency_s is None else stack.enter_context(served(objects, latency_s))
                    source = str(plate) if counts is None else f"s3://bench/{plate.name}"
                    out = Path(scratch, f"out{number}")
                    known.add(one_run(source, out, options, found[place], counts))
                    subprocess.run(["rm", "-r", str(out)], check=True)
        assert len(known) == 1, "the results differ"
    table = Table(title=f"{plate.name}: {len(objects):,} files, {asked.rounds} rounds")
    for column in (
        "read from",
        "s",
        "folder / this",
        "blocks, s",
        "folder / this",
        "CPU s",
        "requests",
        "MB",
    ):
        table.add_column(column, justify="right")
    local = found["folder"]
    for place, figures in found.items():
        table.add_row(
            place,
            f"{statistics.median(figures.seconds):.1f}",
            f"{ratio(local.seconds, figures.seconds):.2f}",
            f"{statistics.median(figures.blocks):.1f}",
            f"{ratio(local.blocks, figures.blocks):.2f}",
            f"{statistics.median(figures.cpu_s):.1f}",
            f"{figures.requests:,}",
            f"{figures.sent_bytes / 1e6:.1f}",
        )
    Console().print(table)


def only_read(plate: Path, objects: dict[str, bytes], places: dict[str, float | None], rounds: int) -> None:
    """Plans the plate and reads all of its fields from each place, and prints the shortest times."""
    table = Table(title=f"{plate.name}: {len(objects):,} files, the best of {rounds} rounds")
    for column in ("read from", "planned in, s", "requests", "fields/s, two at once", "CPU ms of a field"):
        table.add_column(column, justify="right")
    for place, latency_s in places.items():
        planned, rates, cpu_ms, requests = [], [], [], 0
        for _ in range(rounds):
            with ExitStack() as stack:
                counts = None if latency_s is None else stack.enter_context(served(objects, latency_s))
                source = plate if counts is None else as_path(f"s3://bench/{plate.name}")
                began = time.perf_counter()
                read = open_plate(source)
                planned.append(time.perf_counter() - began)
                requests = counts.take()[0] if counts else 0
                fields, reader = [one for one in read.fields if not one.problem], FieldReader.of(read)
                began, cpu_s = time.perf_counter(), time.process_time()
                with ThreadPoolExecutor(2) as pool:
                    list(pool.map(partial(_read_one, reader, read.channels), fields))
                rates.append(len(fields) / (time.perf_counter() - began))
                cpu_ms.append(1000 * (time.process_time() - cpu_s) / len(fields))
        shown = f"{min(planned):.2f}", f"{requests:,}", f"{max(rates):.1f}", f"{min(cpu_ms):.1f}"
        table.add_row(place, *shown)
    Console().print(table)


def _read_one(reader: FieldReader, channels: tuple[Channel, ...], one: Field) -> int:
    return reader.read_whole(one, channels).nbytes


def converted(plate: Path, scratch: Path) -> Path:
    """Makes an OME-Zarr of a plate."""
    out = scratch / f"{plate.name}.zarr"
    command = [sys.executable, "-m", "nucbatch", "convert", str(plate), "-o", str(out), "--quiet"]
    assert subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode in (0, 3)
    return out


def one_run(source: str, out: Path, options: list[str], figures: Figures, counts: Counts | None) -> str:
    """Runs the command, adds what was measured, and returns a digest of the tables."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "nucbatch", "run", source, "-o", str(out), "--quiet", *options]
    code = subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode
    assert code in (0, 3), code
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    ledger = out / ".nucbatch" / "ledger.jsonl"
    written = [json.loads(line).get("committed_ns", 0) for line in ledger.read_text().splitlines()[1:]]
    figures.seconds.append(seconds)
    figures.cpu_s.append(cpu_s)
    figures.blocks.append((max(written) - min(written)) / 1e9)
    if counts is not None:
        figures.requests, figures.sent_bytes = counts.take()
    digests = sorted((out / name).read_bytes() for name in ("nuclei.parquet", "fields.parquet", "wells.csv"))
    where = f"{seconds:.1f} s, {cpu_s:.1f} s of CPU time, blocks {figures.blocks[-1]:.1f} s"
    print(source, where, figures.requests, flush=True)
    return hashlib.sha256(b"".join(digests)).hexdigest()


def ratio(local: list[float], other: list[float]) -> float:
    """Returns the median of the ratios of the rounds."""
    return statistics.median(one / two for one, two in zip(local, other, strict=True))


if __name__ == "__main__":
    main()
