"""Whole runs of a plate in an object store: the same bytes as from a folder."""

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

from nucbatch.cli.main import nucbatch
from nucbatch.synthetic.field import make_field

pytestmark = pytest.mark.slow

OWN = ("run.json", "report.html")  # name the input and times


def run(source: str, out: Path, *options: str) -> Result:
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
