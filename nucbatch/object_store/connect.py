"""Connections to stores, one for each bucket and process, and where their credentials come from.

Credentials come from the environment, or for S3 from a profile or role as boto3 finds them. They are read
where they are used, on each machine, and never stored, sent to workers or logged. Without any, requests to
S3 are not signed, which public buckets accept.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nucbatch.core.errors import InputError

_RETRIES = {
    "max_retries": 8,
    "retry_timeout": timedelta(seconds=120),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=10), "base": 2},
}
_ALLOWED_BY = {"az": "AZURE_ALLOW_HTTP", "gs": "GOOGLE_ALLOW_HTTP"}
_TIMEOUT = timedelta(seconds=60)
_SETTINGS = ("AWS_", "GOOGLE_", "AZURE_")
_SERVICE_ACCOUNTS = ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH")
_OTHERS = {
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS", *_SERVICE_ACCOUNTS, "GOOGLE_SERVICE_ACCOUNT_KEY"),
    "az": ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_CLIENT_ID"),
}


def require_library() -> None:
    """Checks that the extra for object stores is installed.

    Raises:
        InputError: it is not.
    """
    try:
        import obstore  # noqa: F401 (only whether it is installed)
    except ImportError as error:
        raise InputError(
            "addresses such as s3://bucket/plate need the package obstore: pip install 'nucbatch[cloud]'."
        ) from error


def connected(bucket: str) -> Any:
    """Returns the store of a bucket's address.

    Raises:
        InputError: obstore is missing, or the address or a setting of the environment is invalid.
    """
    settings = frozenset(item for item in os.environ.items() if item[0].startswith(_SETTINGS))
    return _connected(bucket, os.getpid(), settings)


@lru_cache(maxsize=16)
def _connected(bucket: str, _process: int, _settings: frozenset[tuple[str, str]]) -> Any:
    require_library()
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    scheme = bucket.partition("://")[0]
    try:
        if scheme == "s3":
            return _s3(bucket)
        plain = scheme == "http" or _may_be_plain(_endpoint(scheme), _ALLOWED_BY.get(scheme, ""))
        options = {"allow_http": plain, "timeout": _TIMEOUT}
        return from_url(bucket, client_options=options, retry_config=_RETRIES)
    except InputError:
        raise
    except (BaseError, ValueError) as error:
        raise InputError(
            f"{bucket} can't be opened: check the address and the environment's settings."
        ) from error


def _s3(bucket: str) -> Any:
    from obstore.store import S3Store

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    session = _profile()
    settings: dict[str, Any] = {}
    if endpoint:
        settings["endpoint"] = endpoint
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    settings["region"] = region or (session.region_name if session else None) or "us-east-1"
    provider = None
    if not _in_environment():
        if session is not None and session.get_credentials() is not None:
            from obstore.auth.boto3 import Boto3CredentialProvider

            provider = Boto3CredentialProvider(session)
        else:
            settings["skip_signature"] = True
    plain = _may_be_plain(endpoint, "AWS_ALLOW_HTTP")
    return S3Store(
        bucket.partition("://")[2],
        config=settings,
        client_options={"allow_http": plain, "timeout": _TIMEOUT},
        retry_config=_RETRIES,
        **({"credential_provider": provider} if provider else {}),
    )


def _in_environment() -> bool:
    return bool(os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY"))


def _profile() -> Any:
    """Returns boto3's session of AWS_PROFILE or the default; None where the environment has all.

    Raises:
        InputError: there is no such profile.
    """
    if _in_environment() or os.environ.get("AWS_SKIP_SIGNATURE", "").lower() == "true":
        return None
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.Session()
    except BotoCoreError as error:
        raise InputError(f"AWS_PROFILE={os.environ.get('AWS_PROFILE', '')}: {error}.") from error


def credentials_from(bucket: str) -> str:
    """Returns the name of the credentials' source for messages, without any secret; empty without any."""
    scheme = bucket.partition("://")[0]
    if scheme != "s3":
        return next((name for name in _OTHERS.get(scheme, ()) if os.environ.get(name)), "")
    if _in_environment():
        return "AWS_ACCESS_KEY_ID"
    session = _profile()
    if session is None or session.get_credentials() is None:
        return ""
    return f"the profile {session.profile_name}"


def _endpoint(scheme: str) -> str:
    """Returns the address of a store other than the provider's own, as the environment names it."""
    if scheme == "az":
        return os.environ.get("AZURE_STORAGE_ENDPOINT") or os.environ.get("AZURE_ENDPOINT") or ""
    for name in _SERVICE_ACCOUNTS if scheme == "gs" else ():
        if path := os.environ.get(name):
            try:
                account = json.loads(Path(path).read_bytes())
            except (OSError, ValueError) as error:
                raise InputError(f"{name}={path} can't be read: {error}.") from error
            return str(account.get("gcs_base_url") or "") if isinstance(account, dict) else ""
    return ""


def _may_be_plain(endpoint: str, allowed_by: str) -> bool:
    """Returns whether requests may go unencrypted: on this machine, or where the user allows it.

    Raises:
        InputError: they would, and may not.
    """
    plain = _is_loopback(endpoint) or os.environ.get(allowed_by, "").lower() == "true"
    if endpoint.startswith("http://") and not plain:
        raise InputError(
            f"{endpoint} is not encrypted and leaves this machine: use https://, or accept that others on "
            f"the network can read the images with {allowed_by}=true."
        )
    return plain


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
