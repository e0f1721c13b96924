"""Requests to a store that answers late, wrongly or not at all."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fault_proxy import FaultProxy, faulty
from obstore import exceptions
from s3_server import KEY, SECRET, Bucket

from nucbatch.core.errors import ImageUnavailable, InputError
from nucbatch.object_store import ObjectPath, connect
from nucbatch.object_store.requests import in_words
from nucbatch.readers.find import open_plate
from nucbatch.readers.listing import scan
from nucbatch.readers.pixels import FieldReader

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def proxy(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    bucket.put("faults/a.bin", CONTENT)
    with faulty(bucket.address) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.address)
        yield found


@pytest.mark.parametrize(
    "faults", [["503", "500"], ["429"], ["reset", "reset"], ["truncated"], ["short"], ["range"]], ids="-".join
)
def test_a_request_that_fails_is_repeated(proxy: FaultProxy, faults: list[str]) -> None:
    proxy.faults[:] = faults
    assert ObjectPath("s3://screens/faults/a.bin").read_bytes() == CONTENT
    assert len(proxy.requests) == len(faults) + 1


@pytest.mark.parametrize(("fault", "said"), [("503", "HTTP status 503"), ("short", "not 8,388,608 from 0")])
def test_a_store_that_stays_silent_costs_the_field_and_is_not_damage(
    proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, fault: str, said: str
) -> None:
    monkeypatch.setitem(connect._RETRIES, "max_retries", 1)
    proxy.always = fault
    with pytest.raises(ImageUnavailable, match=f"s3://screens does not answer properly .*{said}"):
        ObjectPath("s3://screens/faults/a.bin").read_bytes()


def test_messages_about_refused_requests_hold_no_credentials(
    proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.always = "403"
    with pytest.raises(ImageUnavailable) as refused:
        ObjectPath("s3://screens/faults/a.bin").read_bytes()
    with pytest.raises(InputError) as listed:
        scan(ObjectPath("s3://screens/faults"))
    for error in (refused.value, listed.value):
        assert "refuses the credentials of AWS_ACCESS_KEY_ID" in str(error)
        assert KEY not in str(error)
        assert SECRET not in str(error)


def test_without_credentials_requests_are_not_signed(
    proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    Bucket(proxy.address, "screens").publish("faults/a.bin")
    assert ObjectPath("s3://screens/faults/a.bin").read_bytes() == CONTENT
    assert "authorization" not in {name.lower() for name in proxy.headers[-1]}
    proxy.always = "403"
    with pytest.raises(InputError, match="is not public, and no credentials were found: set AWS_PROFILE"):
        scan(ObjectPath("s3://screens/faults"))


def test_a_profile_signs_requests(proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    profile = "[lab]\naws_access_key_id = AKIAOFPROFILE\naws_secret_access_key = x\n"
    (tmp_path / "credentials").write_text(profile)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert ObjectPath("s3://screens/faults/a.bin").read_bytes() == CONTENT
    headers = {name.lower(): value for name, value in proxy.headers[-1].items()}
    assert "AKIAOFPROFILE" in headers["authorization"]
    monkeypatch.setenv("AWS_PROFILE", "none")
    with pytest.raises(InputError, match="AWS_PROFILE=none"):
        scan(ObjectPath("s3://screens/faults"))


def test_an_address_that_is_not_encrypted_is_for_this_machine(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://192.0.2.1:9000")
    with pytest.raises(InputError, match="is not encrypted and leaves this machine"):
        scan(ObjectPath("s3://screens/faults"))


def test_a_small_file_takes_one_request_to_check_and_one_to_read(proxy: FaultProxy, tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, np.ones((300, 300), np.uint8))
    ObjectPath("s3://screens")
    Bucket(proxy.address, "screens").put("once/A01_s1_DAPI.tif", path.read_bytes())
    proxy.requests.clear()
    plate = open_plate(ObjectPath("s3://screens/once"))
    asked = [request for request in proxy.requests if "A01_s1_DAPI" in request]
    assert asked == ["GET /screens/once/A01_s1_DAPI.tif"]
    proxy.requests.clear()
    FieldReader.of(plate).read_whole(plate.fields[0], plate.channels)
    assert proxy.requests == ["GET /screens/once/A01_s1_DAPI.tif"]


def test_a_bucket_is_listed_by_pages(proxy: FaultProxy) -> None:
    bucket = Bucket(proxy.address, "screens")
    for number in range(2001):
        bucket.put(f"pages/{number:05d}.txt", b"")
    bucket.put("pages/big.zarr/zarr.json", b"{}")
    for number in range(1500):
        bucket.put(f"pages/big.zarr/0/c/{number}", b"")
    proxy.requests.clear()
    listing = scan(ObjectPath("s3://screens/pages"))
    assert len(listing.files) == 2001
    assert [record.path for record in listing.settled] == ["big.zarr/"]
    pages = [request for request in proxy.requests if "list-type=2" in request]
    assert len(pages) == 1 + 3 + 1  # a look at the bucket, the pages, and what comes after the Zarr


def test_without_the_library_its_installation_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(InputError, match=r"need the package obstore: pip install 'nucbatch\[cloud\]'"):
        scan(ObjectPath("s3://screens/faults"))


def test_the_number_of_a_system_error_is_not_shown_as_an_http_status() -> None:
    def cut() -> None:
        raise exceptions.GenericError("source: hyper::Error(Io, Os { code: 104, kind: ConnectionReset })")

    with pytest.raises(InputError, match=r"s3://screens does not answer properly \(the connection failed"):
        in_words("s3://screens", cut)
