"""An S3 server on loopback (moto), and what tests put into it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

KEY, SECRET = "AKIANUCBATCHTEST", "a-secret-that-must-not-appear"


@dataclass(frozen=True)
class Bucket:
    """A bucket of a server on this machine; ``address`` is that of the server."""

    address: str
    name: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    def put(self, key: str, content: bytes) -> None:
        self._stored().put_object(self.name, key, content)

    def publish(self, key: str) -> None:
        """Lets anyone read an object."""
        from moto.s3.models import get_canned_acl

        self._stored().put_object_acl(self.name, key, get_canned_acl("public-read"))

    def upload(self, folder: Path, prefix: str) -> str:
        """Puts all files below a folder into the bucket and returns the address of the copy."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())
        return f"{self.url}/{prefix}"

    def content(self) -> dict[str, bytes]:
        """All objects by name."""
        keys = self._stored().get_bucket(self.name).keys
        return {key: found.value for key, found in keys.items()}

    @staticmethod
    def _stored() -> Any:
        from moto.s3.models import s3_backends

        return s3_backends["123456789012"]["aws"]


@contextmanager
def served() -> Iterator[Bucket]:
    """Starts the server with an empty bucket; the environment names it and holds its credentials."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        host, port = server.get_host_and_port()
        for name in ("AWS_PROFILE", "AWS_SKIP_SIGNATURE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_REGION", "us-east-1")
        bucket = Bucket(f"http://{host}:{port}", "screens")
        bucket._stored().create_bucket("screens", "us-east-1")
        try:
            yield bucket
        finally:
            server.stop()
