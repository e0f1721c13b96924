"""Kills sessions that send finished fields to a store, many times, and compares what the store has then.

    python -m benchmarks.kills_in_a_store                      # 300 fields, 60 kills
    python -m benchmarks.kills_in_a_store --fields 2000 --kills 400

Fields of a few small files stand in for real ones, so that a session begins within a moment and hundreds of
kills take minutes; ``faults_in_a_store`` kills whole runs. Sessions take turns in three working folders, and
a proxy cuts, loses or refuses some of the requests. In the end every object must be there with its content,
the ledger must list each field once, and no session may do a field that the store had when it began. The
store is moto on this machine; needs the package's extra ``test``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from rich.console import Console

from nucbatch.core.settings import RunSettings
from nucbatch.object_store import ObjectPath
from nucbatch.store.ledger import Ledger, latest_receipts
from nucbatch.store.receipt import Receipt
from nucbatch.store.remote.ledger import MOST_PARTS, Line, RemoteLedger
from nucbatch.store.remote.lock import remote_lock
from nucbatch.store.remote.publish import Publisher, publish_rest
from nucbatch.store.remote.working_folder import bring_up_to_date, discard, working_folder
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stamps import ImagePaths, stamp_of

ADDRESS = ObjectPath("s3://screens/kills/run")
FILES = ("zarr.json", "0/zarr.json", "0/c.0.0.0", "labels/nuclei/0/c.0.0")
FAULTS = ("503", "reset", "lost", "truncated", "429")
_OFTEN = 30
"""One request of so many meets a fault."""


def places(folder: RunFolder, key: str) -> ImagePaths:
    """The files of a field."""
    return ImagePaths(folder.plate_zarr / key, folder.label_tiff(key.replace("/", "_")), folder.fragment(key))


def content(key: str, name: str) -> bytes:
    """The content of a field's file."""
    return random.Random(f"{key} {name}").randbytes(2000)


def process(folder: RunFolder, key: str) -> Receipt:
    """Writes the files of a field, and returns its receipt."""
    of_field = places(folder, key)
    written = [of_field.group / name for name in FILES]
    for path in (*written, of_field.table):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(key, path.relative_to(folder.path).as_posix()))
    stamps, _ = of_field.stamps(written)
    receipt = Receipt(
        key, "done", "", 3, "", {}, {}, "", names=stamps.names, stamps=stamps.packed, source="source"
    )
    return receipt.with_table(*stamp_of(of_field.table))


def session(work: Path, keys: list[str], environment: dict[str, str], done: Path) -> None:
    """Goes on with the run, as a driver does, and notes every field that it computes."""
    os.environ.update(environment)
    folder = working_folder(ADDRESS, work)
    with remote_lock(ADDRESS) as lock:
        remote = RemoteLedger.opened(ADDRESS)
        found = bring_up_to_date(folder, remote)
        if remote.parts > min(MOST_PARTS, 20):
            remote.compact(folder.hidden)
        held = latest_receipts(folder)
        with (
            Publisher(folder, remote, lock, lambda key: places(folder, key), seen=True) as publisher,
            Ledger(folder, RunSettings(), "plate", committed=publisher.commit) as ledger,
        ):
            publisher.remove_sent(found.there)
            publisher.commit([held[key] for key in found.waiting])
            for key in keys:
                if key not in held or key in found.damaged:
                    if key in found.there:
                        raise AssertionError(f"{key} was in the store")
                    receipt = process(folder, key)
                    with done.open("a") as file:
                        file.write(f"{key}\n")
                    ledger.append(receipt)
        (folder.path / "wells.csv").write_bytes(b"wells")
        publish_rest(folder, ADDRESS, [])
        discard(folder)


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from fault_proxy import faulty
    from s3_server import served

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=300)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    asked, console = parser.parse_args(), Console()
    chance = random.Random(asked.seed)
    keys = [f"{chr(65 + at % 8)}/{1 + at // 8 % 12}/{at // 96}" for at in range(asked.fields)]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["nucbatch.store.remote.working_folder", "obstore.store", "boto3"])
    with tempfile.TemporaryDirectory() as name, served() as bucket, faulty(bucket.address) as proxy:
        scratch, kills, sessions = Path(name), 0, 0
        environment = {key: value for key, value in os.environ.items() if key.startswith("AWS_")}
        environment["AWS_ENDPOINT_URL"] = proxy.address
        while True:
            proxy.faults[:] = [
                chance.choice(FAULTS) if chance.randrange(_OFTEN) == 0 else "" for _ in range(20_000)
            ]
            work = scratch / chance.choice(["one", "two", "three"])
            driver = context.Process(target=session, args=(work, keys, environment, scratch / "done"))
            driver.start()
            sessions += 1
            begun = len(bucket.content())
            while driver.is_alive() and kills < asked.kills and len(bucket.content()) == begun:
                time.sleep(0.02)  # a session that sends nothing yet proves little
            driver.join(chance.uniform(0, 3) if kills < asked.kills else None)
            if driver.is_alive():
                driver.kill()
                driver.join()
                kills += 1
            elif driver.exitcode == 0:
                break
            if sessions % 10 == 0:
                fields = sum(line.receipt is not None for line in lines())
                console.print(
                    f"{kills} kills, {sessions} sessions: {fields} of {len(keys)} fields in the store"
                )
        computed = Counter((scratch / "done").read_text().split())
        report(console, keys, bucket.content(), computed, kills, sessions)


def lines() -> list[Line]:
    """The lines of the ledger in the store."""
    ledger = RemoteLedger.found(ADDRESS)
    return [] if ledger is None else list(ledger.lines())


def report(
    console: Console,
    keys: list[str],
    found: dict[str, bytes],
    computed: Counter[str],
    kills: int,
    sessions: int,
) -> None:
    """Prints the verdict."""
    listed = Counter(line.receipt.field for line in lines() if line.receipt is not None)
    names = [f"plate.zarr/{key}/{name}" for key in keys for name in FILES]
    names += [f".nucbatch/fragments/{key}.parquet" for key in keys]
    owner = {name: key for key in keys for name in names if f"/{key}/" in name or f"/{key}.parquet" in name}
    wrong = [name for name in names if found.get(f"{ADDRESS.key}/{name}") != content(owner[name], name)]
    below = {
        name.removeprefix(f"{ADDRESS.key}/") for name in found if name.startswith(f"{ADDRESS.key}/plate")
    }
    again = sum(computed.values()) - len(keys)
    console.print(
        f"{kills} kills in {sessions} sessions; objects missing or wrong {len(wrong)}, objects too many "
        f"{len(below - set(names))}; fields lost {len(keys) - len(listed)}, listed twice "
        f"{sum(times > 1 for times in listed.values())}; computed again {again} "
        f"({again / max(1, kills):.1f} for each kill)"
    )
    if wrong or below - set(names) or set(listed) != set(keys) or max(listed.values()) > 1:
        sys.exit("The store does not hold what an undisturbed run would have sent.")


if __name__ == "__main__":
    main()
