"""Time and memory of ``nucbatch status`` on a long ledger, beside reading the file's bytes.

python -m benchmarks.bench_status             # a ledger of 1,000,000 fields, about 1 GB
python -m benchmarks.bench_status 100000
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from nucbatch.core.settings import RunSettings
from nucbatch.store.ledger import Ledger
from nucbatch.store.receipt import Receipt, line_of
from nucbatch.store.run_folder import RunFolder

_LINES_AT_ONCE = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("fields", type=int, nargs="?", default=1_000_000, help="number of committed fields")
    fields = parser.parse_args().fields
    with tempfile.TemporaryDirectory() as scratch:
        folder = RunFolder(Path(scratch, "out"))
        folder.create()
        write_ledger(folder, fields)
        began = time.process_time()
        with folder.ledger.open("rb", buffering=0) as file:
            while file.read(2**24):
                pass
        read_s = time.process_time() - began
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        shown = subprocess.run(
            [sys.executable, "-m", "nucbatch", "status", str(folder.path)], capture_output=True, text=True
        )
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        status_s = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
        table = Table("fields", "ledger", "status: CPU time", "reading alone", "most memory", title="Status")
        table.add_row(
            f"{fields:,}",
            f"{folder.ledger.stat().st_size / 1e6:,.0f} MB",
            f"{status_s:.2f} s",
            f"{read_s:.2f} s",
            f"{used.ru_maxrss / 1024:.0f} MiB",
        )
        Console().print(table)
        print(shown.stdout)


def write_ledger(folder: RunFolder, fields: int) -> None:
    """Writes a ledger of done fields whose lines are as long as those of a plate."""
    with Ledger(folder, RunSettings(), "p"):
        pass
    qc = dict.fromkeys((f"QC_Figure{number}" for number in range(10)), 0.0922688552073245)
    receipt = Receipt(
        "KEY", "done", "", 74, "9" * 64, qc, {"segment": 0.62, "network": 0.33}, "tls://127.0.0.1:1"
    )
    line = line_of(asdict(receipt) | {"names": "0/c.0.0.0 " * 16, "stamps": "A" * 192, "committed_ns": 1})
    before, after = line.split(b"KEY")
    with folder.ledger.open("ab") as file:
        for begin in range(0, fields, _LINES_AT_ONCE):
            some = range(begin, min(fields, begin + _LINES_AT_ONCE))
            file.write(b"".join(b"%sA/1/%d%s" % (before, number, after) for number in some))


if __name__ == "__main__":
    main()
