"""Soak test: a run is interrupted repeatedly by all faults of a cluster, and must give the same results.

    python -m benchmarks.faults                  # 2,016 fields, 54 faults, about a quarter of an hour
    python -m benchmarks.faults --wells 8 --sites 8 --faults 18

At random points something is killed, disconnected or filled up (``faults_catalogue.py``), or a file of the
run is emptied, truncated, filled with zeros or removed (``damage.py``); then the same command is given again.
In the end labels and tables must have the same hashes as those of an undisturbed run, no field may be missing
or occur twice, and no committed field may have been repeated unless it was damaged on purpose. Needs root,
for a small file system that can be filled and made read-only.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.external_cluster import Outside
from benchmarks.faults_catalogue import FAULTS, Fault
from nucbatch.store.ledger import receipts
from nucbatch.store.run_folder import RunFolder
from nucbatch.synthetic import make_plate

DISK = "900m"
OPTIONS = ("--channel", "DAPI", "--labels", "both")
HEEDS_INTERRUPTS = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs with it ignored
if __name__ == "__main__":
    from nucbatch.cli.main import main
    main()
"""


@dataclass
class Seen:
    """The results of one kind of fault."""

    times: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    sentences: set[str] = field(default_factory=set)
    in_flight: int = 0


class Soak:
    """One run under test, and the faults that are applied to it."""

    def __init__(self, plate: Path, folder: RunFolder, outside: Outside, seed: int) -> None:
        self.plate, self.folder, self.outside = plate, folder, outside
        self.chance = random.Random(seed)
        self.damaged: set[str] = set()
        self.seen: dict[str, Seen] = {}
        self.sessions = 0
        self._log = folder.path.parent.parent / "session.log"
        self._begun_at = 0
        self._is_outside = False
        self.driver: subprocess.Popen[str]

    def begin(self, *, outside: bool) -> None:
        """Starts the command."""
        if outside:
            self.outside.mend()
        options = ["--scheduler", self.outside.address] if outside else ["--workers", "2"]
        self._begun_at, self._is_outside = self.committed(), outside
        self.sessions += 1
        with self._log.open("w") as log:
            self.driver = subprocess.Popen(
                [sys.executable, "-c", HEEDS_INTERRUPTS, *self._command(*options)],
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def second_driver(self) -> int:
        """Runs the same command beside it and waits for it."""
        ended = subprocess.run(
            [sys.executable, "-m", "nucbatch", *self._command("--workers", "1")],
            capture_output=True,
            text=True,
        )
        _require_sentence(ended.stderr)
        return ended.returncode

    def meet(self, fault: Fault, after: int) -> None:
        """Applies a fault after ``after`` more fields were committed, and checks the run's reaction."""
        if self.driver.poll() is None and fault.outside != self._is_outside:
            self.driver.terminate()
            self.driver.wait()
        if self.driver.poll() is not None:
            self.begin(outside=fault.outside)
        if fault.outside:
            self.outside.mend()  # what an earlier fault has taken from a run that went on
        target = self.committed() + after
        while self.driver.poll() is None and self.committed() < target:
            time.sleep(0.02)
        if self.driver.poll() == 0:
            raise SystemExit(
                f"all fields were done before {fault.name!r}: more --wells or --sites, or fewer --faults."
            )
        if self.driver.poll() is not None:
            raise AssertionError(f"before {fault.name!r} the run ended by itself: {self._log.read_text()}")
        seen = self.seen.setdefault(fault.name, Seen())
        seen.times += 1
        fault.breaks(self)
        if not fault.ends:
            seen.ends["goes on"] += 1
            target = self.committed() + 1  # it must commit something new, or its return can't be seen
            while self.driver.poll() is None and self.committed() < target:
                time.sleep(0.02)
            if self.driver.poll() is not None:
                raise AssertionError(f"{fault.name!r} ended the run: {self._log.read_text()}")
            return
        code = self.driver.wait()
        seen.in_flight = max(seen.in_flight, self.not_committed())
        if fault.then:
            fault.then(self)
        said = self._log.read_text()
        if code not in fault.ends:
            raise AssertionError(f"{fault.name!r} ended the run with {code}: {said}")
        if code > 0:
            seen.sentences.add(_require_sentence(said))
        seen.ends[f"exit {code}" if code >= 0 else f"signal {-code}"] += 1

    def finish(self) -> None:
        """Lets the run finish."""
        if self.driver.poll() is not None:
            self.begin(outside=False)
        if self.driver.wait() != 0:
            raise AssertionError(
                f"left alone, the run ended with {self.driver.returncode}: {self._log.read_text()}"
            )

    def committed(self) -> int:
        """Lines of the ledger without its header."""
        ledger = self.folder.ledger
        return max(0, ledger.read_bytes().count(b"\n") - 1) if ledger.exists() else 0

    def not_committed(self) -> int:
        """Fields whose results are on disk, but whose receipt is not in the ledger."""
        done = {receipt.field for receipt in receipts(self.folder)}
        there = {
            path.relative_to(self.folder.fragments).with_suffix("").as_posix()
            for path in self.folder.fragments.rglob("*.parquet")
            if not path.name.startswith(".")
        }
        return len(there - done)

    def _command(self, *options: str) -> list[str]:
        return ["run", str(self.plate), "-o", str(self.folder.path), *OPTIONS, *options]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--wells", type=int, default=96)
    parser.add_argument("--sites", type=int, default=21)
    parser.add_argument("--size", type=int, default=96, help="side of a field in px")
    parser.add_argument(
        "--faults", type=int, default=54, help="number of faults, spread evenly over the kinds"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[], help="kinds of faults, by words of their names")
    asked = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as scratch:
        plate = Path(scratch, "plate")
        wells = [f"{row}{column:02}" for row in "ABCDEFGH" for column in range(1, 13)][: asked.wells]
        make_plate(
            plate, wells=wells, sites=asked.sites, channels=("DAPI",), size_px=asked.size, seed=asked.seed,
            empty_well=wells[-1], truncated=False, thumbnails=False,
        )  # fmt: skip
        fields = asked.sites * len(wells)
        console.print(f"{fields:,} fields; undisturbed first ...")
        began = time.perf_counter()
        alone = RunFolder(Path(scratch, "alone"))
        command = ["run", str(plate), "-o", str(alone.path), *OPTIONS, "--workers", "2"]
        subprocess.run([sys.executable, "-m", "nucbatch", *command], check=True, stdout=subprocess.DEVNULL)
        undisturbed_s = time.perf_counter() - began
        with small_disk(Path(scratch, "disk")) as disk:
            outside = Outside(Path(scratch))
            soak = Soak(plate, RunFolder(disk / "out"), outside, asked.seed)
            try:
                began = time.perf_counter()
                run(console, soak, wanted(asked.only), asked.faults, fields)
                soak_s = time.perf_counter() - began
            finally:
                outside.close()
            report(console, soak, alone, fields)
        console.print(f"undisturbed {undisturbed_s:.0f} s, with all this {soak_s:.0f} s")


def wanted(words: list[str]) -> list[Fault]:
    """The faults whose names contain one of the words; all without any."""
    return [fault for fault in FAULTS if not words or any(word in fault.name for word in words)]


def run(console: Console, soak: Soak, some: list[Fault], faults: int, fields: int) -> None:
    """Applies a number of faults of several kinds, shuffled and spread over the run."""
    kinds = [some[index % len(some)] for index in range(faults)]
    soak.chance.shuffle(kinds)
    soak.begin(outside=kinds[0].outside)
    for number, fault in enumerate(kinds, start=1):
        room = max(2, (fields - soak.committed()) // (faults - number + 2))
        soak.meet(fault, soak.chance.randrange(1, room))
        console.print(f"{number:3} {fault.name}: {soak.committed():,} of {fields:,} committed")
    soak.finish()


def report(console: Console, soak: Soak, alone: RunFolder, fields: int) -> None:
    """Prints the table and the verdict."""
    table = Table("fault", "times", "ended as", "done, not committed (most)", title="What was broken")
    for fault in FAULTS:
        if fault.name in soak.seen:
            seen = soak.seen[fault.name]
            ends = ", ".join(f"{end} × {times}" for end, times in seen.ends.items())
            table.add_row(fault.name, str(seen.times), ends, str(seen.in_flight) if fault.ends else "")
    console.print(table)
    for sentence in sorted({sentence for seen in soak.seen.values() for sentence in seen.sentences}):
        console.print(f"  {sentence}", markup=False)
    lines = Counter(receipt.field for receipt in receipts(soak.folder))
    again = {key for key, times in lines.items() if times > 1}
    nuclei = pd.read_parquet(soak.folder.nuclei)
    named = ["Metadata_Well", "Metadata_Site", "Metadata_ObjectNumber"]
    doubled = int(nuclei.duplicated(named).sum())
    same = digests(soak.folder) == digests(alone)
    console.print(
        f"{sum(seen.times for seen in soak.seen.values())} faults in {soak.sessions} sessions; "
        f"fields lost {fields - len(lines)}, nuclei doubled {doubled}; "
        f"fields done again after their commit {len(again)}, damaged on purpose {len(soak.damaged)}; "
        f"hashes of labels and tables equal: {'yes' if same else 'NO'}"
    )
    if not same or doubled or len(lines) != fields or not again <= soak.damaged:
        sys.exit("The run is not what it would have been undisturbed.")


def digests(folder: RunFolder) -> dict[str, str]:
    """SHA-256, by path, of every result file of a run, except the report and the run card."""
    tables = [folder.nuclei, folder.wells, folder.fields, folder.files]
    pixels = [path for top in (folder.plate_zarr, folder.labels) for path in top.rglob("*") if path.is_file()]
    return {
        path.relative_to(folder.path).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (*tables, *pixels)
    }


@contextmanager
def small_disk(at: Path) -> Iterator[Path]:
    """A separate file system that can be filled and made read-only."""
    if os.geteuid() != 0:
        sys.exit("This needs root: it mounts a small file system, to fill it and to make it read-only.")
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def _require_sentence(said: str) -> str:
    """Checks that the last line that a command printed is not the end of a traceback."""
    if "Traceback" in said:
        raise AssertionError(f"a traceback where a sentence was due: {said}")
    return said.strip().splitlines()[-1]


if __name__ == "__main__":
    main()
