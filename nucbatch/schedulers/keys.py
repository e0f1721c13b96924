"""TLS keys of one sitting: only who holds them can use its scheduler, workers and nannies.

One pair for driver, scheduler and workers, made anew for each sitting. On one machine it is handed to the
worker processes in memory; for other machines it lies in files that only the user can read, in a folder of
the run that only the user can enter, and goes with the sitting. The certificate is its own authority, so both
sides of a connection prove that they hold this sitting's key.
"""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from distributed.security import Security

from nucbatch.core.errors import SchedulerError

_CLOCKS_DIFFER = datetime.timedelta(minutes=10)
_LONGEST_SITTING = datetime.timedelta(days=365)


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Where a sitting's certificate and private key lie."""

    certificate: Path
    key: Path

    def security(self) -> Security:
        """The keys for driver, scheduler and workers alike; without encryption nothing is said."""
        return _security(str(self.certificate), str(self.key))

    @property
    def worker_arguments(self) -> dict[str, str]:
        """What a worker must be told on its command line."""
        certificate = str(self.certificate)
        return {"--tls-ca-file": certificate, "--tls-cert": certificate, "--tls-key": str(self.key)}


def security_in_memory() -> Security:
    """New keys that no file keeps, for processes on this machine."""
    certificate, key = _pair()
    return _security(certificate.decode(), key.decode())


def _security(certificate: str, key: str) -> Security:
    """One pair for every role; each is a path or the PEM itself."""
    return Security(
        require_encryption=True,
        tls_ca_file=certificate,
        tls_client_cert=certificate,
        tls_client_key=key,
        tls_scheduler_cert=certificate,
        tls_scheduler_key=key,
        tls_worker_cert=certificate,
        tls_worker_key=key,
    )


def key_files(folder: Path) -> KeyFiles:
    """Where the keys of a run's folder (its ``.nucbatch``) lie while a sitting lasts."""
    return KeyFiles(folder / "keys" / "sitting.crt", folder / "keys" / "sitting.key")


@contextmanager
def sitting_keys(folder: Path) -> Iterator[KeyFiles]:
    """Makes a sitting's keys, in place of any that a killed one left, and removes them in the end.

    Raises:
        SchedulerError: the folder can't be written, or others could read what is in it.
    """
    files = key_files(folder)
    try:
        _make(files)
    except OSError as error:
        raise SchedulerError(
            f"keys for this sitting can't be put into {files.key.parent}: {error.strerror or error}. Make "
            "room, give write permission, or put the run's folder elsewhere."
        ) from error
    try:
        yield files
    finally:
        shutil.rmtree(files.key.parent, ignore_errors=True)


def _make(files: KeyFiles) -> None:
    folder = files.key.parent
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700, parents=True)
    for path, content in zip((files.certificate, files.key), _pair(), strict=True):
        # Made with its mode, not changed to it afterwards: there is no moment at which others can open it.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
    if files.key.stat().st_mode & 0o077:
        shutil.rmtree(folder)
        raise SchedulerError(
            f"{files.key} could be read by others, because its file system keeps no permissions: put the "
            "run's folder on one that does."
        )


def _pair() -> tuple[bytes, bytes]:
    """A new self-signed certificate and its private key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nucbatch-sitting")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + _LONGEST_SITTING)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
