"""Whole runs from an object store and into one: the same bytes as from and in a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result
from fault_proxy import faulty
from s3_server import KEY, SECRET, Bucket

import nucbatch as nb
from nucbatch.cli.main import nucbatch
from nucbatch.object_store import ObjectPath
from nucbatch.object_store.writing import delete
from nucbatch.store.ledger import latest_receipts
from nucbatch.store.remote import publish
from nucbatch.store.remote.ledger import RemoteLedger
from nucbatch.store.remote.unfinished import Unfinished
from nucbatch.store.run_folder import RunFolder
from nucbatch.synthetic.field import make_field

pytestmark = pytest.mark.slow

OWN = ("run.json", "report.html")  # name the input and times


def run(source: str, out: Path | str, *options: str) -> Result:
    command = ["run", source, "-o", str(out), "--workers", "1", "--model", "otsu-watershed"]
    return CliRunner().invoke(nucbatch, [*command, *options])


def digests(out: Path) -> dict[str, str]:
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and ".nucbatch" not in path.parts and path.name not in OWN
    }


@pytest.fixture(scope="module")
def runs(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Runs of a folder, of its copy in a store, and of the copy in small blocks, with faults of the store."""
    folder = tmp_path_factory.mktemp("store") / "plate"
    folder.mkdir()
    for seed, well in enumerate(("A01", "B02")):
        pixels = make_field(300, np.random.default_rng(seed), nuclei=6)[0][0]
        tifffile.imwrite(folder / f"{well}_s1_DAPI.tif", pixels, compression="zlib")
    (folder / "C03_s1_DAPI.tif").write_bytes(b"II*\0cut")
    (folder / "notes.txt").write_bytes(b"beside")
    url, out = bucket.upload(folder, "runs/plate"), folder.parent
    made = {name: out / name for name in ("local", "store", "faults")}
    with faulty(bucket.address) as proxy, pytest.MonkeyPatch.context() as patch:
        assert run(str(folder), made["local"]).exit_code == 3
        assert run(url, made["store"]).exit_code == 3
        patch.setenv("AWS_ENDPOINT_URL", proxy.address)
        proxy.faults[:] = ["503", "", "reset", "", "", "429", "", "", "", "truncated", "range", "", "short"]
        assert run(url, made["faults"], "--block-size", "128").exit_code == 3
        assert not proxy.faults
        yield made


def test_results_from_a_store_are_those_from_a_folder(runs: dict[str, Path]) -> None:
    known = digests(runs["local"])
    assert "nuclei.parquet" in known
    assert digests(runs["store"]) == known
    assert digests(runs["faults"]) == known


def test_no_file_of_a_run_holds_credentials(runs: dict[str, Path]) -> None:
    for out in runs.values():
        for path in out.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                assert KEY.encode() not in content, path
                assert SECRET.encode() not in content, path
    settings = json.loads((runs["store"] / "run.json").read_text(encoding="utf-8"))
    assert "s3://screens/runs/plate" in json.dumps(settings)


def test_inspect_shows_a_plate_in_a_store(bucket: Bucket, runs: dict[str, Path]) -> None:
    shown = CliRunner().invoke(nucbatch, ["inspect", "s3://screens/runs/plate", "--json"])
    assert shown.exit_code == 3
    assert json.loads(shown.output)["root"] == "s3://screens/runs/plate"
    refused = CliRunner().invoke(nucbatch, ["inspect", "s3://no-such-bucket/plate"])
    assert "there is no bucket s3://no-such-bucket" in str(refused.exception)


def test_an_unfinished_run_goes_on_from_its_copy(
    bucket: Bucket, runs: dict[str, Path], tmp_path: Path
) -> None:
    known, back = digests(runs["local"]), tmp_path / "back"
    ledger = runs["local"] / ".nucbatch" / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().rpartition(b"\n{")[0] + b"\n")  # without the last field
    target = "s3://screens/runs/unfinished"
    for places in ([str(runs["local"]), target], [target, str(back)]):
        assert CliRunner().invoke(nucbatch, ["copy", *places]).exit_code == 0
    assert run(str(runs["local"].parent / "plate"), back).exit_code == 3
    assert digests(back) == known


def test_results_in_a_store_are_those_in_a_folder(
    bucket: Bucket, runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plate, out = str(runs["local"].parent / "plate"), ObjectPath("s3://screens/runs/out")
    monkeypatch.setattr(publish, "_TOGETHER", 1)  # a part of the ledger for each field
    with faulty(bucket.address) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        proxy.faults[:] = [
            "",
            "cut",
            "503",
            "",
            "",
            "lost",
            "",
            "short",
            "truncated",
            "",
            "",
            "reset",
            "",
            "429",
        ] * 3
        stored = run(plate, str(out), "--block-size", "128", "--work", str(tmp_path))
        assert stored.exit_code == 3, stored.output
        assert not proxy.faults
        monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.address)
    assert objects_of(bucket, "runs/out/") == digests(runs["local"])
    assert not list(tmp_path.iterdir())
    content = {key: one for key, one in bucket.content().items() if key.startswith("runs/out/")}
    assert not [key for key, one in content.items() if KEY.encode() in one or SECRET.encode() in one]
    assert not [key for key in content if "lock" in key]

    opened, known = nb.open_run(str(out)), nb.open_run(runs["local"])
    assert opened.nuclei.equals(known.nuclei)
    assert opened.wells.equals(known.wells)
    for read in ("image", "labels"):
        pixels = [getattr(one, read)("A01").compute() for one in (opened, known)]
        np.testing.assert_array_equal(*pixels)

    ledger = RemoteLedger.found(out)
    assert ledger is not None
    fields = [line.receipt for line in ledger.lines() if line.receipt]
    assert sorted(receipt.field for receipt in fields) == ["A/1/1", "B/2/1"]
    # As if it had been killed before it committed the last field, and its machine were lost.
    delete(bucket.url, [key for key in content if key.endswith(f"{ledger.parts - 1:08d}.jsonl")])
    again = run(plate, str(out), "--work", str(tmp_path / "elsewhere"))
    assert f"{len(fields) - 1} of 2 fields are done already" in again.output
    assert objects_of(bucket, "runs/out/") == digests(runs["local"])


@pytest.mark.parametrize(
    ("address", "options", "said"),
    [
        ("s3://bucket/out", ["--keep-probabilities"], "--keep-probabilities needs a folder on a disk"),
        ("s3://bucket/out", ["--scheduler", "slurm"], "Name a folder that all of them see with --work"),
        ("s3://bucket", [], "is a whole bucket: name a folder in it, such as s3://bucket/run"),
        ("https://host/out", [], "results go to s3://, gs:// or az://, not to a web server"),
        ("out", ["--work", "w"], "--work w: results go to out at once"),
    ],
)
def test_what_a_store_does_not_take_is_refused(
    runs: dict[str, Path], address: str, options: list[str], said: str
) -> None:
    refused = run(str(runs["local"].parent / "plate"), address, *options)
    assert said in str(refused.exception)


def objects_of(bucket: Bucket, prefix: str) -> dict[str, str]:
    """The results of a run in a store, as those of a folder."""
    return {
        key.removeprefix(prefix): hashlib.sha256(content).hexdigest()
        for key, content in bucket.content().items()
        if key.startswith(prefix) and ".nucbatch" not in key and key.rpartition("/")[2] not in OWN
    }


@pytest.fixture(scope="module")
def stored(bucket: Bucket, runs: dict[str, Path]) -> tuple[Path, str]:
    """The OME-Zarr of a run in a folder, and the address of its copy in a store."""
    converted = runs["local"] / "plate.zarr"
    return converted, bucket.upload(converted, "zarr/plate.zarr")


@pytest.mark.parametrize(("inside", "code"), [("", 3), ("/A/1/1", 0)], ids=["plate", "image"])
def test_results_from_an_ome_zarr_in_a_store_are_those_from_a_folder(
    stored: tuple[Path, str], tmp_path: Path, inside: str, code: int
) -> None:
    folder, url = stored
    places = {"local": (f"{folder}{inside}",), "store": (f"{url}{inside}", "--block-size", "128")}
    for name, arguments in places.items():
        done = run(arguments[0], tmp_path / name, *arguments[1:])
        assert done.exit_code == code, done.output
    known = digests(tmp_path / "local")
    assert "nuclei.parquet" in known
    assert digests(tmp_path / "store") == known


def test_a_large_image_goes_on_elsewhere_from_what_the_network_has_done(
    bucket: Bucket, tmp_path: Path
) -> None:
    picture, address = tmp_path / "slide.tif", ObjectPath("s3://screens/runs/large")
    tifffile.imwrite(picture, make_field(600, np.random.default_rng(3), nuclei=30)[0][0], tile=(256, 256))
    cut = ("--block-size", "256")
    assert run(str(picture), tmp_path / "out", *cut).exit_code == 0
    # As if the driver of a run in the store had been killed, and its machine were lost.
    RemoteLedger.begun(address)
    unfinished = Unfinished(RunFolder(tmp_path / "out"), address)
    unfinished.send_new()
    assert not [key for key in bucket.content() if "runs/large/.nucbatch/scratch" in key]
    unfinished.send_new()
    assert [key for key in bucket.content() if key.endswith("/scratch/slide/units.txt")]

    done = run(str(picture), str(address), *cut, "--work", str(tmp_path / "elsewhere"))
    assert done.exit_code == 0, done.output
    assert "1 large image that another session has begun" in done.output
    assert objects_of(bucket, "runs/large/") == digests(tmp_path / "out")
    ledger = RemoteLedger.found(address)
    assert ledger is not None
    (receipt,) = [line.receipt for line in ledger.lines() if line.receipt]
    assert "network" not in receipt.seconds
    assert "network" in latest_receipts(RunFolder(tmp_path / "out"))[receipt.field].seconds
    assert not [key for key in bucket.content() if "runs/large/.nucbatch/scratch" in key]
