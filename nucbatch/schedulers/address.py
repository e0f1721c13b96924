"""Backend for an existing Dask cluster, given by its scheduler's address or scheduler file.

Workers must have the same version of nucbatch; otherwise the run is refused. Different package versions and
unlimited library threads only cause a warning. The cluster is left running afterwards. An unencrypted
connection that leaves this machine is refused unless the user accepts it with ``--insecure``.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed import Client
from distributed.comm import connect
from distributed.security import Security
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nucbatch.core.errors import InputError, InputNotFound, SchedulerError
from nucbatch.core.validation import validation_problems
from nucbatch.schedulers.contract import Cluster, Place, Resources
from nucbatch.schedulers.environment import WORKER_ENVIRONMENT
from nucbatch.schedulers.worker_monitor import WorkerMonitor
from nucbatch.version import __version__

_NO_LIMIT = 2**62
"""Memory of a worker without a memory limit, in bytes."""


class AddressSettings(BaseModel):
    """Settings of a connection to an existing scheduler.

    ``tls_ca``, ``tls_cert``, ``tls_key``: PEM files; by default those of Dask's configuration.
    ``answer_timeout_s``: the longest wait for the scheduler's first answer. ``workers_timeout_s``: the
    longest time without any worker.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    answer_timeout_s: float = Field(default=30.0, gt=0)
    workers_timeout_s: float = Field(default=600.0, gt=0)


class Address:
    """Uses the workers of an existing Dask scheduler."""

    def preview(self, resources: Resources, place: Place) -> str:
        """Describes the cluster in one sentence, without connecting to it.

        See :class:`nucbatch.schedulers.contract.Backend`.
        """
        settings = _settings(place)
        address = allowed_address(place)
        _security(address, settings)
        return f"The workers that are connected to the scheduler at {address}."

    @contextmanager
    def connect(self, resources: Resources, place: Place) -> Iterator[Cluster]:
        """Connects a client to the scheduler; see :class:`nucbatch.schedulers.contract.Backend`."""
        settings = _settings(place)
        address = allowed_address(place)
        security = _security(address, settings)
        try:
            # Test the connection first: Dask's client waits for the handshake without a timeout.
            asyncio.run(_greet(address, security, settings.answer_timeout_s))
            client = Client(address, security=security, timeout=settings.answer_timeout_s)
        except (OSError, TimeoutError) as error:
            raise SchedulerError(
                f"the scheduler at {address} does not answer within {settings.answer_timeout_s:.0f} s "
                f"({error or 'no answer'}). Check that it runs, that this machine can reach it and, with "
                "tls://, that the certificate and key are those of the scheduler."
            ) from error
        with client:
            monitor = WorkerMonitor(client, address, settings.workers_timeout_s, place.tell)
            monitor.wait(place.leaving)
            _require_nucbatch(client, address, place)
            workers = monitor.workers()
            threads = max((info["nthreads"] for info in workers), default=1)
            worker_bytes = min((info["memory_limit"] or _NO_LIMIT for info in workers), default=_NO_LIMIT)
            if resources.process_bytes + threads * resources.block_bytes > worker_bytes:
                place.tell(
                    f"Workers at {address} run {threads} blocks at once, for which "
                    f"{worker_bytes / 2**30:.1f} GiB may be too little: start them with fewer threads "
                    "(--nthreads) or more memory."
                )
            count = min(resources.workers or len(workers), len(workers))
            yield Cluster(client, max(1, count), threads, worker_bytes, monitor.watch)


async def _greet(address: str, security: Security | None, timeout_s: float) -> None:
    """Tests the connection to a scheduler: opens it and closes it again.

    Raises:
        OSError, TimeoutError: no answer in time, or the TLS handshake fails.
    """
    arguments = (security or Security()).get_connection_args("client")
    greeting = connect(address, timeout=timeout_s, **arguments)
    comm = await asyncio.wait_for(greeting, timeout_s)
    await comm.close()


def allowed_address(place: Place) -> str:
    """Returns the scheduler's address, read from a scheduler file where one is given.

    Raises:
        InputNotFound: the scheduler file does not exist.
        InputError: not a scheduler file, not a Dask address, or an unencrypted address beyond this machine
            without ``--insecure``.
    """
    address = place.address
    if "://" not in address:
        address = _from_file(Path(address))
    scheme, _, rest = address.partition("://")
    if scheme not in ("tls", "tcp") or not rest.rpartition(":")[2].isdecimal():
        raise InputError(
            f"{address!r} is not a scheduler's address: write tls://HOST:PORT or tcp://127.0.0.1:PORT."
        )
    if scheme == "tcp" and not place.insecure and not _is_loopback(rest.rpartition(":")[0]):
        raise InputError(
            f"{address} is not encrypted and leaves this machine: anyone on that network could read the "
            "data, and run programs as you on every worker. Start the scheduler with TLS and use tls://, "
            "or accept the risk with --insecure."
        )
    return address


def _from_file(path: Path) -> str:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputNotFound(f"the scheduler file {path} does not exist.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read as a scheduler file (JSON): {error}.") from error
    address = content.get("address") if isinstance(content, dict) else None
    if not isinstance(address, str) or "://" not in address:
        raise InputError(
            f"{path} is not a scheduler file: it has no address. Write one with "
            "`dask scheduler --scheduler-file`."
        )
    return address


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False  # a host name, which may resolve to another machine later


def _settings(place: Place) -> AddressSettings:
    try:
        return AddressSettings.model_validate(dict(place.settings))
    except ValidationError as error:
        allowed = ", ".join(AddressSettings.model_fields)
        raise InputError(
            f"invalid settings for a scheduler's address: {validation_problems(error)}. Allowed: {allowed}."
        ) from error


def _security(address: str, settings: AddressSettings) -> Security | None:
    """Returns the TLS configuration for a ``tls://`` address, and None for other addresses.

    Raises:
        InputError: no certificate is configured. InputNotFound: a certificate or key file does not exist.
    """
    if not address.startswith("tls://"):
        return None
    given = {
        "tls_ca_file": settings.tls_ca,
        "tls_client_cert": settings.tls_cert,
        "tls_client_key": settings.tls_key,
    }
    paths = {name: str(path) for name, path in given.items() if path is not None}
    security = Security(require_encryption=True, **paths)
    found = security.get_tls_config_for_role("client")
    if not found["ca_file"] or not found["cert"]:
        raise InputError(
            f"{address} needs a certificate: give --tls-ca, --tls-cert and --tls-key, or name them in Dask's "
            "configuration (distributed.comm.tls.ca-file, .client.cert, .client.key)."
        )
    for path in (found["ca_file"], found["cert"], found["key"]):
        if path and "\n" not in path and not Path(path).is_file():
            raise InputNotFound(f"the certificate or key {path} does not exist.")
    return security


def _require_nucbatch(client: Client, address: str, place: Place) -> None:
    """Requires this version of nucbatch on every worker, and warns of other differences.

    Raises:
        SchedulerError: a worker has no nucbatch, or another version.
    """
    reports = client.run(worker_report, on_error="return")
    for worker, report in reports.items():
        if isinstance(report, Exception):
            raise SchedulerError(
                f"the worker {worker} at {address} can't run nucbatch: {report}. Install nucbatch "
                f"{__version__} in the workers' environment."
            )
    versions = {version for version, _ in reports.values()}
    if versions - {__version__}:
        raise SchedulerError(
            f"workers at {address} have nucbatch {', '.join(sorted(versions))}, and this is {__version__}: "
            "install the same version everywhere, so that results are the same."
        )
    if any(not one_thread for _, one_thread in reports.values()):
        wanted = " ".join(f"{name}=1" for name, value in WORKER_ENVIRONMENT.items() if value == "1")
        place.tell(f"Libraries of the workers at {address} use all cores: start them with {wanted}.")
    try:
        client.get_versions(check=True)
    except ValueError as error:
        place.tell(f"Packages differ between this machine and the workers at {address}.\n{error}")


def worker_report() -> tuple[str, bool]:
    """Runs on a worker: returns its version of nucbatch, and whether libraries are limited to one thread."""
    one_thread = all(
        os.environ.get(name) == "1" for name, value in WORKER_ENVIRONMENT.items() if value == "1"
    )
    return __version__, one_thread
