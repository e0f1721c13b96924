"""Stores of Google and Azure.

moto speaks the part of S3's protocol that Google Cloud Storage shares (its XML API), so ``gs://`` is tested
against it. No server of Azure's can be installed with pip.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from s3_server import Bucket

from nucbatch.core.errors import ImageUnavailable, InputError
from nucbatch.object_store import ObjectPath
from nucbatch.object_store.requests import stamp_ns
from nucbatch.readers.find import open_plate
from nucbatch.readers.listing import scan
from nucbatch.readers.pixels import FieldReader


def use_google(monkeypatch: pytest.MonkeyPatch, folder: Path, address: str) -> None:
    account = {"gcs_base_url": address, "disable_oauth": True, "client_email": "", "private_key": ""}
    (folder / "account.json").write_text(json.dumps(account | {"private_key_id": ""}), encoding="utf-8")
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(folder / "account.json"))


def test_a_plate_of_google_is_read(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_google(monkeypatch, tmp_path, bucket.address)
    for value in (1, 2):
        tifffile.imwrite(tmp_path / "image.tif", np.full((40, 30), value, np.uint8))
        bucket.put("google/A01_s1_DAPI.tif", (tmp_path / "image.tif").read_bytes())
        bucket.publish("google/A01_s1_DAPI.tif")
        if value == 1:
            plate = open_plate(ObjectPath("gs://screens/google"))
            reader = FieldReader.of(plate)
            assert (reader.read_whole(plate.fields[0], plate.channels) == 1).all()
    with pytest.raises(ImageUnavailable, match="has changed since the run was planned"):
        reader.read_whole(plate.fields[0], plate.channels)
    with pytest.raises(InputError, match=r"there is no bucket gs://no-such-bucket: .*GOOGLE_APPLICATION"):
        scan(ObjectPath("gs://no-such-bucket/plate"))


@pytest.mark.parametrize(("scheme", "variable"), [("gs", "GOOGLE_ALLOW_HTTP"), ("az", "AZURE_ALLOW_HTTP")])
def test_an_address_that_is_not_encrypted_is_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scheme: str, variable: str
) -> None:
    use_google(monkeypatch, tmp_path, "http://192.0.2.1:9000")
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", "http://192.0.2.1:9000")
    with pytest.raises(InputError, match=f"is not encrypted and leaves this machine.*{variable}=true"):
        scan(ObjectPath(f"{scheme}://screens/plate"))


def test_a_version_is_the_same_where_its_tag_is_listed_without_quotes() -> None:
    listed, fetched = (
        {"last_modified": None, "e_tag": tag} for tag in ("0x24E85C6383C4AA0", '"0x24E85C6383C4AA0"')
    )
    assert stamp_ns(listed) == stamp_ns(fetched)
