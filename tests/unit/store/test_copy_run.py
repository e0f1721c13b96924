"""A run's folder is copied to a store and back, and every file is compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from fault_proxy import faulty
from s3_server import Bucket

from nucbatch.cli.main import nucbatch
from nucbatch.core.errors import InputError, InputNotFound, RunLocked, StoreError
from nucbatch.object_store import ObjectPath
from nucbatch.store.copy_run import LIST, download, upload
from nucbatch.store.lock import run_lock
from nucbatch.store.run_folder import RunFolder

CONTENT = {
    "nuclei.parquet": b"table" * 1000,
    "plate.zarr/A/1/1/0/c/0/0": bytes(300_000),
    ".nucbatch/ledger.jsonl": b"{}\n",
    "empty.csv": b"",
}


def ignore(files: int) -> None:
    pass


def a_run(path: Path) -> Path:
    RunFolder(path).create()
    for name, content in CONTENT.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    (path / ".nuclei.parquet.partial").write_bytes(b"half")
    return path


def content_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "lock" not in path.name and not path.name.endswith(".partial")
    }


def test_a_run_comes_back_from_a_store_as_it_was(bucket: Bucket, tmp_path: Path) -> None:
    run, target = a_run(tmp_path / "run"), ObjectPath("s3://screens/copies/whole")
    copied = upload(run, target, ignore)
    assert (copied.files, copied.there_before) == (len(CONTENT) + 1, 0)
    names = {key.removeprefix("copies/whole/") for key in bucket.content() if key.startswith("copies/whole/")}
    assert names == {*CONTENT, ".nucbatch/format", LIST}
    assert download(target, tmp_path / "back", ignore).there_before == 0
    back = content_of(tmp_path / "back")
    assert back == {name: content for name, content in content_of(run).items() if name != LIST}
    assert download(target, tmp_path / "back", ignore).there_before == copied.files


def test_the_same_command_writes_only_what_differs_and_the_run_becomes_whole_last(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, target = a_run(tmp_path / "run"), ObjectPath("s3://screens/copies/again")
    with faulty(bucket.address) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        upload(run, target, ignore)
        written = [request.split("/again/")[1] for request in proxy.requests if request.startswith("PUT")]
        assert written[-3:] == [".nucbatch/ledger.jsonl", ".nucbatch/format", LIST]
        bucket.put("copies/again/nuclei.parquet", b"TABLE" * 1000)
        proxy.requests.clear()
        copied = upload(run, target, ignore)
        written = [request.split("/again/")[1] for request in proxy.requests if request.startswith("PUT")]
        assert written == ["nuclei.parquet", LIST]
        assert copied.there_before == copied.files - 1


def test_a_copy_that_is_not_whole_or_has_changed_does_not_come_back(bucket: Bucket, tmp_path: Path) -> None:
    run, target = a_run(tmp_path / "run"), ObjectPath("s3://screens/copies/changed")
    upload(run, target, ignore)
    known = bucket.content()[f"copies/changed/{LIST}"]
    bucket.put("copies/changed/nuclei.parquet", b"TABLE" * 1000)
    with pytest.raises(StoreError, match=r"nuclei\.parquet is not the file of the run any more"):
        download(target, tmp_path / "back", ignore)
    assert not (tmp_path / "back" / "nuclei.parquet").exists()
    assert not RunFolder(tmp_path / "back").is_run()
    outside = {"../outside": json.loads(known)["empty.csv"]}
    bucket.put(f"copies/changed/{LIST}", json.dumps(outside).encode())
    with pytest.raises(InputError, match="leads out of its folder"):
        download(target, tmp_path / "back", ignore)
    with pytest.raises(InputNotFound, match="holds no whole copy of a run"):
        download(ObjectPath("s3://screens/copies/none"), tmp_path / "none", ignore)


def test_a_run_that_is_worked_on_or_is_none_is_not_copied(bucket: Bucket, tmp_path: Path) -> None:
    run, target = a_run(tmp_path / "run"), ObjectPath("s3://screens/copies/locked")
    with run_lock(RunFolder(run)), pytest.raises(RunLocked):
        upload(run, target, ignore)
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match="is no run of nucbatch"):
        upload(tmp_path / "other", target, ignore)
    assert not [key for key in bucket.content() if key.startswith("copies/locked")]


def test_what_only_a_disk_takes_is_refused_with_the_way_to_copy_it(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        nucbatch, ["compare", str(tmp_path), "--models", "a,b", "-o", "s3://bucket/out"]
    )
    assert result.exit_code == 2
    assert "nucbatch copy FOLDER s3://bucket/out" in " ".join(result.output.replace("│", "").split())
    for command in ("suggest", "view"):
        result = CliRunner().invoke(nucbatch, [command, "s3://bucket/out"])
        assert result.exit_code == 2
        assert "`nucbatch copy s3://bucket/out FOLDER`" in " ".join(result.output.replace("│", "").split())
    with pytest.raises(InputError, match="between two folders use cp -r"):
        CliRunner().invoke(nucbatch, ["copy", "a", "b"], catch_exceptions=False)
