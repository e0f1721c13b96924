"""Soak test of a run whose results go to a store: it is interrupted again and again, and must give the same.

    python -m benchmarks.faults_in_a_store                     # 48 fields, 12 faults
    python -m benchmarks.faults_in_a_store --sites 16 --faults 40

At random points the driver, a worker or all processes are killed, the command is asked to end, a second
driver is started, or the store resets every connection until the run gives up. Then the same command is given
again, at random from the same or from another working folder, and now and then in another process namespace,
which is another machine to the lock. In the end all objects must have the SHA-256 of an undisturbed run in a
folder, the ledger in the store must list each field once, and no session may do a field that the ledger had.
Needs root (unshare) and the package's extra ``test``; the store is moto on this machine.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
from rich.console import Console

from nucbatch.synthetic import make_plate

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from fault_proxy import FaultProxy, faulty
from s3_server import KEY, SECRET, Bucket, served

OPTIONS = ("--channel", "DAPI", "--labels", "both", "--model", "otsu-watershed", "--workers", "2")
ADDRESS = "s3://screens/soak/run"
PREFIX = "soak/run/"
OWN = ("run.json", "report.html")
FAULTS = ("all killed", "driver killed", "worker killed", "asked to end", "second driver", "store away")
ELSEWHERE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


class Soak:
    """The run, its sessions and what was done to them."""

    def __init__(self, plate: Path, scratch: Path, bucket: Bucket, proxy: FaultProxy, seed: int) -> None:
        self.plate, self.scratch, self.bucket, self.proxy = plate, scratch, bucket, proxy
        self.chance = random.Random(seed)
        self.sessions, self.seen = 0, Counter[str]()
        self.driver: subprocess.Popen[str]
        self._log = scratch / "session.log"
        self._had = 0

    def begin(self) -> None:
        """Starts the command, from one of two working folders, and now and then from elsewhere."""
        self.sessions += 1
        self._had = self.committed()
        elsewhere = ELSEWHERE if self.chance.random() < 0.25 else ()
        work = self.scratch / self.chance.choice(["one", "two"])
        self.seen["sessions elsewhere"] += bool(elsewhere)
        with self._log.open("w") as log:
            self.driver = subprocess.Popen(
                [*elsewhere, sys.executable, "-m", "nucbatch", *self.command(work)],
                stdout=log, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            )  # fmt: skip

    def command(self, work: Path) -> list[str]:
        """The command's arguments."""
        return ["run", str(self.plate), "-o", ADDRESS, "--work", str(work), *OPTIONS]

    def meet(self, fault: str, after: int) -> bool:
        """Waits until some more fields are committed, and applies a fault; False if the run ended before."""
        if self.driver.poll() is not None:
            self.begin()
        target = self.committed() + after
        while self.driver.poll() is None and self.committed() < target:
            time.sleep(0.05)
        if self.driver.poll() == 0:
            return False
        if self.driver.poll() is not None:
            raise AssertionError(f"before {fault!r} the run ended by itself: {self._log.read_text()}")
        self.seen[fault] += 1
        if fault == "second driver":
            second = subprocess.run(
                [sys.executable, "-m", "nucbatch", *self.command(self.scratch / "three")],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if second.returncode != 1 or "is in use by process" not in second.stderr:
                raise AssertionError(f"a second driver was not refused: {second}")
        elif fault == "worker killed":
            workers = [
                one
                for one in psutil.Process(self.driver.pid).children(recursive=True)
                if "spawn" in " ".join(one.cmdline()) or "forkserver" in " ".join(one.cmdline())
            ]
            with suppress(psutil.NoSuchProcess):
                self.chance.choice(workers).kill()
        elif fault == "store away":
            self.proxy.always = "reset"
            code = self.driver.wait()
            self.proxy.always = ""
            said = self._log.read_text()
            if code != 1 or "Traceback" in said or "give the same command again" not in said:
                raise AssertionError(f"a store that was away ended the run with {code}: {said}")
        elif fault == "asked to end":
            os.killpg(self.driver.pid, signal.SIGTERM)
            self._ended()
        else:
            if fault == "all killed":
                os.killpg(self.driver.pid, signal.SIGKILL)
            else:
                self.driver.kill()
            self._ended()
        return True

    def finish(self) -> None:
        """Lets the run finish."""
        if self.driver.poll() not in (None, 0):
            self.begin()
        if self.driver.wait():
            raise AssertionError(f"left alone, the run ended badly: {self._log.read_text()}")
        self._require_continued()

    def committed(self) -> int:
        """Number of receipts in the store."""
        return sum(self.lines().values())

    def lines(self) -> Counter[str]:
        """Number of receipts in the store by the field's key."""
        parts = [
            one for key, one in self.bucket.content().items() if key.startswith(f"{PREFIX}.nucbatch/ledger/")
        ]
        return Counter(re.findall(r'^{"field":"([^"]*)"', b"".join(parts).decode(), re.MULTILINE))

    def _ended(self) -> None:
        self.driver.wait()
        self._require_continued()

    def _require_continued(self) -> None:
        """Checks that the session began with all fields that the store had."""
        found = re.search(r"(\d+) of \d+ fields are done already", self._log.read_text())
        if self._had and found and int(found[1]) < self._had:
            raise AssertionError(f"the store had {self._had} fields: {self._log.read_text()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wells", type=int, default=4)
    parser.add_argument("--sites", type=int, default=12)
    parser.add_argument("--faults", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    asked, console = parser.parse_args(), Console()
    with (
        tempfile.TemporaryDirectory() as name,
        served() as bucket,
        faulty(bucket.address) as proxy,
    ):
        scratch = Path(name)
        plate, alone = scratch / "plate", scratch / "alone"
        wells = [f"{row}{column:02}" for row in "ABCDEFGH" for column in range(1, 13)][: asked.wells]
        make_plate(
            plate, wells=wells, sites=asked.sites, channels=("DAPI",), size_px=384, seed=asked.seed,
            empty_well=wells[-1], truncated=False, thumbnails=False,
        )  # fmt: skip
        fields = asked.wells * asked.sites
        subprocess.run(
            [sys.executable, "-m", "nucbatch", "run", str(plate), "-o", str(alone), *OPTIONS],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        console.print(f"{fields} fields were done undisturbed")
        os.environ["AWS_ENDPOINT_URL"] = proxy.address
        soak = Soak(plate, scratch, bucket, proxy, asked.seed)
        kinds = [FAULTS[index % len(FAULTS)] for index in range(asked.faults)]
        soak.chance.shuffle(kinds)
        soak.begin()
        for number, fault in enumerate(kinds, start=1):
            room = max(2, (fields - soak.committed()) // (asked.faults - number + 2))
            if not soak.meet(fault, soak.chance.randrange(1, room)):
                console.print(f"all fields were done before {fault!r}: more --sites, or fewer --faults")
                break
            console.print(f"{number:3} {fault}: {soak.committed()} of {fields} in the store")
        soak.finish()
        report(console, soak, alone, fields)


def report(console: Console, soak: Soak, alone: Path, fields: int) -> None:
    """Prints the verdict."""
    known = {
        path.relative_to(alone).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in alone.rglob("*")
        if path.is_file() and ".nucbatch" not in path.parts and path.name not in OWN
    }
    content = {key: one for key, one in soak.bucket.content().items() if key.startswith(PREFIX)}
    found = {
        key.removeprefix(PREFIX): hashlib.sha256(one).hexdigest()
        for key, one in content.items()
        if ".nucbatch" not in key and key.rpartition("/")[2] not in OWN
    }
    lines = soak.lines()
    again = sum(times > 1 for times in lines.values())
    secrets = [key for key, one in content.items() if KEY.encode() in one or SECRET.encode() in one]
    console.print(f"{dict(soak.seen)} in {soak.sessions} sessions")
    console.print(
        f"fields lost {fields - len(lines)}, committed twice {again}; with credentials {len(secrets)}; "
        f"SHA-256 of {len(known)} results equal: {'yes' if found == known else 'NO'}"
    )
    if found != known or again or len(lines) != fields or secrets:
        sys.exit("The run is not what it would have been undisturbed.")


if __name__ == "__main__":
    main()
