"""Commands of a run at an address in a store do what they do in a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result
from s3_server import KEY, SECRET, Bucket

import nucbatch as nb
from nucbatch.cli.main import nucbatch
from nucbatch.core.errors import InputError
from nucbatch.object_store import ObjectPath
from nucbatch.store.remote.ledger import RemoteLedger
from nucbatch.store.remote.lock import remote_lock
from nucbatch.synthetic.field import make_field

pytestmark = pytest.mark.slow

OWN = ("run.json", "report.html")  # name the input and times


SAID: list[str] = []


def command(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(nucbatch, [str(one) for one in arguments])
    SAID.append(result.output)
    return result


def done(*arguments: str | Path, code: int = 0) -> str:
    result = command(*arguments)
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


@dataclass
class Made:
    """A plate, its run in a folder, measurements of the run's masks in a folder and at an address."""

    plate: Path
    run: Path
    measured: Path
    address: str


@pytest.fixture(scope="module")
def made(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("addresses")
    plate = folder / "plate"
    plate.mkdir()
    for seed, well in enumerate(("A01", "B02")):
        pixels = make_field(200, np.random.default_rng(seed), nuclei=4)[0][0]
        tifffile.imwrite(plate / f"{well}_s1_DAPI.tif", pixels)
    one = Made(plate, folder / "run", folder / "measured", "s3://screens/at/measured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        done("run", plate, "-o", one.run, "--workers", "1", "--model", "otsu-watershed")
        for out in (one.measured, one.address):
            done("measure", plate, "--labels", one.run, "-o", out, "--workers", "1")
        yield one


def digests(content: dict[str, bytes]) -> dict[str, str]:
    return {
        name: hashlib.sha256(one).hexdigest()
        for name, one in content.items()
        if ".nucbatch" not in name and name.rpartition("/")[2] not in OWN
    }


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def objects_in(bucket: Bucket, address: str) -> dict[str, bytes]:
    start = address.removeprefix(f"{bucket.url}/") + "/"
    return {key.removeprefix(start): one for key, one in bucket.content().items() if key.startswith(start)}


def test_masks_are_measured_into_a_store_as_into_a_folder(bucket: Bucket, made: Made) -> None:
    known = digests(files_in(made.measured))
    assert "nuclei.parquet" in known
    found = objects_in(bucket, made.address)
    assert digests(found) == known
    assert {".nucbatch/begun/session.json", ".nucbatch/begun/plate.json"} <= found.keys()  # for status


def test_status_of_an_address_is_that_of_a_folder(made: Made) -> None:
    shown = [json.loads(done("status", out, "--json")) for out in (made.measured, made.address)]
    for one in shown:
        for of_time in ("log", "record_age_s", "session_per_s", "recent_per_s"):
            one.pop(of_time)
    assert shown[0]["state"] == "finished"
    assert shown[0] == shown[1]
    missing = command("status", "s3://screens/at/nothing")
    assert "holds no whole copy of a run" in str(missing.exception)
    missing = command("status", "s3://no-such-bucket/run")
    assert "there is no bucket s3://no-such-bucket" in str(missing.exception)


def test_a_report_is_written_again_in_the_store(bucket: Bucket, made: Made, tmp_path: Path) -> None:
    drug = ("--metadata", tmp_path / "wells.csv", "--positive", "Drug=a", "--negative", "Drug=b")
    (tmp_path / "wells.csv").write_text("Well,Drug\nA01,a\nB02,b\n", encoding="utf-8")
    for out in (made.measured, made.address):
        assert "report.html" in done("report", out, *drug)
    found = objects_in(bucket, made.address)
    assert digests(found) == digests(files_in(made.measured))
    assert b"Drug" in found["wells.csv"]
    assert "assay.csv" in found
    done("copy", made.address, tmp_path / "back")
    assert (tmp_path / "back" / "report.html").read_bytes() == found["report.html"]
    with remote_lock(ObjectPath(made.address)):
        assert "is in use by process" in str(command("report", made.address).exception)


def test_masks_are_exported_and_scored_from_a_store(made: Made, tmp_path: Path) -> None:
    copied = "s3://screens/at/copied"
    done("copy", made.measured, copied)
    formats = ("--labels", "png", "--outlines", "geojson", "--table", "csv")
    for out, name in ((made.measured, "folder"), (made.address, "sent"), (copied, "copied")):
        done("export", out, *formats, "-o", tmp_path / name)
    known = files_in(tmp_path / "folder")
    assert known["nuclei.csv"].count(b"\n") > 4
    assert files_in(tmp_path / "sent") == files_in(tmp_path / "copied") == known
    for pred, truth in ((made.address, made.run), (made.run, f"{copied}/plate.zarr"), (made.run, copied)):
        done("score", pred, "--gt", truth, "--json", tmp_path / "score.json")
        scores = json.loads((tmp_path / "score.json").read_text(encoding="utf-8"))["per_image"]
        assert [image["object_f1_95"] for image in scores] == [1.0, 1.0]
    assert nb.score(made.address, copied).totals.loc["pooled", "object_f1_95"] == 1.0
    for wrong in (nb.suggest, nb.view):
        with pytest.raises(InputError, match=f"is an address .*nucbatch copy {made.address} FOLDER"):
            wrong(made.address)


def test_a_run_that_was_killed_is_shown_and_exported_as_far_as_it_is(
    bucket: Bucket, made: Made, tmp_path: Path
) -> None:
    place = "s3://screens/at/stopped"
    ended = (".nucbatch/files.json", ".nucbatch/session.json", ".nucbatch/plate.json")
    for name, content in objects_in(bucket, made.address).items():
        if "/" in name and name not in ended:
            bucket.put(f"at/stopped/{name}", content)
    ledger = RemoteLedger.found(ObjectPath(place))
    assert ledger is not None
    parts = [name for name in objects_in(bucket, place) if "/ledger/" in name]
    last = next(line.receipt for line in reversed(list(ledger.lines())) if line.receipt)
    name, lines = max(parts), bucket.content()[f"at/stopped/{max(parts)}"].splitlines(keepends=True)
    kept = [line for line in lines if last.field.encode() not in line.split(b",")[0]]
    bucket.put(f"at/stopped/{name}", b"".join(kept))
    assert "stopped before its end" in done("status", place, code=1)
    assert "report.html" in done("report", place)
    assert b"1 field not processed yet" in objects_in(bucket, place)["report.html"]
    shown = done("export", place, "--labels", "png", "-o", tmp_path / "export", code=3)
    assert "1 field exported; 0 failed; 1 without masks" in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "RUN", "--table", "csv", "-o", "s3://screens/at/export"),
        ("compare", "RUN", "--models", "default,otsu-watershed", "-o", "s3://screens/at/compare"),
        ("score", "RUN", "--gt", "RUN", "--json", "s3://screens/at/score.json"),
        ("train", "s3://screens/at/data", "-o", "OUT"),
        ("train", "RUN", "-o", "s3://screens/at/trained"),
        ("demo", "-o", "s3://screens/at/demo"),
        ("suggest", "ADDRESS"),
        ("view", "ADDRESS"),
        ("measure", "RUN", "--labels", "ADDRESS", "-o", "OUT"),
    ],
)
def test_what_takes_no_address_says_so_and_writes_nothing(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"RUN": str(made.run), "ADDRESS": made.address, "OUT": str(tmp_path / "out")}
    result = command(*(places.get(one, one) for one in arguments))
    assert result.exit_code == 2
    assert "is an address" in " ".join(result.output.replace("│", "").split())
    assert not list(tmp_path.iterdir())


def test_no_command_writes_credentials(bucket: Bucket, made: Made, tmp_path: Path) -> None:
    plate = bucket.upload(made.plate, "at/plate")
    asked = "run", plate, "--model", "otsu-watershed"
    done(*asked, "-o", tmp_path / "out", "--workers", "1", "--verbose")
    done(*asked, "-o", "s3://screens/at/jobs", "--work", tmp_path, "--scheduler", "slurm", "--dry-run")
    assert "#SBATCH" in SAID[-1]
    written = files_in(tmp_path) | files_in(made.plate.parent) | objects_in(bucket, "s3://screens/at")
    assert any(name.endswith(".log") for name in written)
    written |= {f"output {number}": text.encode() for number, text in enumerate(SAID)}
    assert not [name for name, one in written.items() if KEY.encode() in one or SECRET.encode() in one]
