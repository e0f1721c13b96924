"""A Dask cluster that is there already, named by its scheduler's address or scheduler file.

The decision owned here: what of somebody else's workers must hold for a run (that they have nucbatch, of this
version), what is only told (other versions of packages, threads that get in each other's way), and that they
are left as they were found. Nothing is said to a scheduler over a network that others can read, unless the
user says so.
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
from nucbatch.core.settings import validation_problems
from nucbatch.schedulers.contract import Cluster, Place, Resources
from nucbatch.schedulers.environment import WORKER_ENVIRONMENT
from nucbatch.schedulers.monitor import Presence
from nucbatch.version import __version__

_NO_LIMIT = 2**62
"""Bytes of a worker that has no limit."""


class AddressSettings(BaseModel):
    """``tls_ca``, ``tls_cert``, ``tls_key``: PEM files; those of Dask's own configuration if not given.
    ``answer_timeout_s``: for a scheduler's first answer; ``workers_timeout_s``: for there to be a worker."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    answer_timeout_s: float = Field(default=30.0, gt=0)
    workers_timeout_s: float = Field(default=600.0, gt=0)


class Address:
    """Workers that somebody else started."""

    def preview(self, resources: Resources, place: Place) -> str:
        """One sentence; nobody is asked. See :class:`nucbatch.schedulers.contract.Backend`."""
        settings = _settings(place)
        address = allowed_address(place)
        _security(address, settings)
        return f"The workers that are connected to the scheduler at {address}."

    @contextmanager
    def connect(self, resources: Resources, place: Place) -> Iterator[Cluster]:
        """A client of that scheduler; see :class:`nucbatch.schedulers.contract.Backend`."""
        settings = _settings(place)
        address = allowed_address(place)
        security = _security(address, settings)
        try:
            # First a greeting: Dask's client waits for the answer to its own without an end.
            asyncio.run(_greet(address, security, settings.answer_timeout_s))
            client = Client(address, security=security, timeout=settings.answer_timeout_s)
        except (OSError, TimeoutError) as error:
            raise SchedulerError(
                f"the scheduler at {address} does not answer within {settings.answer_timeout_s:.0f} s "
                f"({error or 'silence'}). See whether it runs, whether this machine reaches it, and, with "
                "tls://, whether the keys are its own."
            ) from error
        with client:
            presence = Presence(client, address, settings.workers_timeout_s, place.tell)
            presence.wait(place.leaving)
            _require_nucbatch(client, address, place)
            workers = presence.workers()
            threads = max((info["nthreads"] for info in workers), default=1)
            worker_bytes = min((info["memory_limit"] or _NO_LIMIT for info in workers), default=_NO_LIMIT)
            if resources.process_bytes + threads * resources.block_bytes > worker_bytes:
                place.tell(
                    f"Workers at {address} take {threads} blocks at once, for which "
                    f"{worker_bytes / 2**30:.1f} GiB may be too little: start them with fewer threads "
                    "(--nthreads) or more memory."
                )
            count = min(resources.workers or len(workers), len(workers))
            yield Cluster(client, max(1, count), threads, worker_bytes, presence.watch)


async def _greet(address: str, security: Security | None, timeout_s: float) -> None:
    """Connects and hangs up.

    Raises:
        OSError, TimeoutError: no answer, or not one of a scheduler with these keys.
    """
    arguments = (security or Security()).get_connection_args("client")
    greeting = connect(address, timeout=timeout_s, **arguments)
    comm = await asyncio.wait_for(greeting, timeout_s)
    await comm.close()


def allowed_address(place: Place) -> str:
    """The scheduler's address, from a scheduler file if one is named.

    Raises:
        InputNotFound: no such file. InputError: it is no scheduler file, no address that Dask has, or one at
        which others could listen.
    """
    address = place.address
    if "://" not in address:
        address = _from_file(Path(address))
    scheme, _, rest = address.partition("://")
    if scheme not in ("tls", "tcp") or not rest.rpartition(":")[2].isdecimal():
        raise InputError(
            f"{address!r} is no scheduler's address: write tls://HOST:PORT or tcp://127.0.0.1:PORT."
        )
    if scheme == "tcp" and not place.insecure and not _is_loopback(rest.rpartition(":")[0]):
        raise InputError(
            f"{address} is not encrypted and leaves this machine: whoever is on that network could read what "
            "is sent, and run programs as you on every worker. Start the scheduler with TLS and use tls://, "
            "or accept that with --insecure."
        )
    return address


def _from_file(path: Path) -> str:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputNotFound(f"there is no scheduler file {path}.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read as a scheduler file (JSON): {error}.") from error
    address = content.get("address") if isinstance(content, dict) else None
    if not isinstance(address, str) or "://" not in address:
        raise InputError(f"{path} is no scheduler file: it has no address. `dask scheduler` writes one.")
    return address


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False  # a name; where it leads may change


def _settings(place: Place) -> AddressSettings:
    try:
        return AddressSettings.model_validate(dict(place.settings))
    except ValidationError as error:
        allowed = ", ".join(AddressSettings.model_fields)
        raise InputError(
            f"a scheduler's address has other settings ({allowed}): {validation_problems(error)}."
        ) from error


def _security(address: str, settings: AddressSettings) -> Security | None:
    """The keys for ``tls://``.

    Raises:
        InputError: there are none. InputNotFound: they are not where they should be.
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
            raise InputNotFound(f"there is no certificate or key {path}.")
    return security


def _require_nucbatch(client: Client, address: str, place: Place) -> None:
    """Refuses workers that can't do the work, and tells what may disturb it."""
    about = client.run(about_worker, on_error="return")
    for worker, answer in about.items():
        if isinstance(answer, Exception):
            raise SchedulerError(
                f"the worker {worker} at {address} can't run nucbatch: {answer}. Install nucbatch "
                f"{__version__} in the environment that the workers run in."
            )
    versions = {answer[0] for answer in about.values()}
    if versions - {__version__}:
        raise SchedulerError(
            f"workers at {address} have nucbatch {', '.join(sorted(versions))}, and this is {__version__}: "
            "install the same everywhere, so that results are the same."
        )
    if any(not one_thread for _, one_thread in about.values()):
        wanted = " ".join(f"{name}=1" for name, value in WORKER_ENVIRONMENT.items() if value == "1")
        place.tell(f"Workers at {address} let each library take all cores: start them with {wanted}.")
    try:
        client.get_versions(check=True)
    except ValueError as error:
        place.tell(f"Packages differ between this machine and the workers at {address}.\n{error}")


def about_worker() -> tuple[str, bool]:
    """On a worker: nucbatch's version there, and whether its libraries keep to one thread."""
    one_thread = all(
        os.environ.get(name) == "1" for name, value in WORKER_ENVIRONMENT.items() if value == "1"
    )
    return __version__, one_thread
