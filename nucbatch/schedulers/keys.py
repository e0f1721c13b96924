"""TLS keys of one session: only processes that have them can use its scheduler, workers and nannies.

Driver, scheduler and workers share one key pair, generated for each session. On one machine, worker processes
get it in memory. For other machines it is written to files that only the user can read, in a folder of the
run that only the user can enter, and deleted when the session ends. The certificate is self-signed and is its
own certificate authority, so both sides of a connection prove that they hold this session's key.

Dask's own ``Security.temporary()`` is not used. Its certificate becomes valid at the moment it is made, so a
node whose clock is seconds behind would refuse it; ours is valid from ten minutes before. It keeps the keys
in memory only, so files for SLURM's nodes would be needed all the same. And its RSA key takes 50 ms to
generate, ours (an elliptic curve) 0.1 ms. Both use the package ``cryptography``.
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

_CLOCK_SKEW = datetime.timedelta(minutes=10)
_LONGEST_SESSION = datetime.timedelta(days=365)


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Paths of a session's certificate and private key."""

    certificate: Path
    key: Path

    def security(self) -> Security:
        """Returns Dask's security settings for driver, scheduler and workers; encryption is required."""
        return _security(str(self.certificate), str(self.key))

    @property
    def worker_arguments(self) -> dict[str, str]:
        """The TLS options of a worker's command line."""
        certificate = str(self.certificate)
        return {"--tls-ca-file": certificate, "--tls-cert": certificate, "--tls-key": str(self.key)}


def security_in_memory() -> Security:
    """Generates keys that are never written to a file, for processes on this machine."""
    certificate, key = _pair()
    return _security(certificate.decode(), key.decode())


def _security(certificate: str, key: str) -> Security:
    """Uses one key pair for every role; ``certificate`` and ``key`` are paths or PEM text."""
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
    """Returns the paths of a session's keys in ``folder``, the run's ``.nucbatch`` folder."""
    return KeyFiles(folder / "keys" / "session.crt", folder / "keys" / "session.key")


@contextmanager
def session_keys(folder: Path) -> Iterator[KeyFiles]:
    """Writes new session keys, replacing those that a killed session left, and deletes them at the end.

    Args:
        folder: the run's ``.nucbatch`` folder.

    Raises:
        SchedulerError: the folder can't be written, or its files could be read by others.
    """
    files = key_files(folder)
    try:
        _make(files)
    except OSError as error:
        raise SchedulerError(
            f"the session's keys can't be written to {files.key.parent}: {error.strerror or error}. Free "
            "disk space, give write permission, or use another folder for the run."
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
        # Created with its final mode, not changed afterwards, so that others can never open it.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
    if files.key.stat().st_mode & 0o077:
        shutil.rmtree(folder)
        raise SchedulerError(
            f"{files.key} could be read by others, because its file system does not store permissions: put "
            "the run's folder on a file system that does."
        )


def _pair() -> tuple[bytes, bytes]:
    """Generates a self-signed certificate and its private key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nucbatch-session")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _LONGEST_SESSION)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
