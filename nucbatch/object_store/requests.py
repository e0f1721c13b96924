"""Requests to a store through the package obstore (extra ``cloud``), with errors in plain words.

Interrupted requests, server errors and limits on the rate are retried with growing pauses by obstore, and
answers with other bytes than were asked for here. Messages never quote a server's answer: one
that refuses a signature holds the name of the access key.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from nucbatch.core.errors import ImageUnavailable, InputError
from nucbatch.object_store.connect import connected

_TRIES = 4
_PAUSE_S = 0.2
_STATUS = re.compile(r"\b(?:status(?: code)?:?|code:?|HTTP)\s*:?\s*\"?([2-5][0-9]{2})\b")

T = TypeVar("T")


def stamp_ns(found: dict[str, Any]) -> int:
    """Returns the time of an object's version in ns; the part below a second is made from its ETag."""
    modified: datetime | None = found["last_modified"]
    seconds = int(modified.timestamp()) if modified else 0
    tag = str(found["e_tag"] or "").strip('"')  # Azure lists it without quotes
    digest = int.from_bytes(hashlib.sha256(tag.encode()).digest()[:8], "big") % 10**9
    return seconds * 10**9 + (digest if tag else 0)


def fetch(
    bucket: str,
    key: str,
    offset: int,
    count: int,
    e_tag: str | None = None,
    planned: tuple[int, int] = (0, 0),
) -> tuple[bytes, dict[str, Any]]:
    """Fetches bytes of an object.

    Args:
        bucket: address of its bucket.
        key: its name.
        offset: place of the first byte.
        count: number of bytes; fewer are returned at the end only.
        e_tag: the version to read; None for the latest.
        planned: size and time of the version that is expected; (0, 0) if unknown. An answer of this version
            with another size is cut, and asked for again.

    Returns:
        The bytes, and size, last_modified and e_tag of the object.

    Raises:
        FileNotFoundError: there is no such object. ImageUnavailable: it has changed, the store refuses or
            does not answer.
    """
    import obstore

    def attempt() -> tuple[bytes, dict[str, Any]]:
        options: dict[str, Any] = {"if_match": e_tag} if e_tag else {}
        try:
            answer = obstore.get(
                connected(bucket), key, options={**options, "range": (offset, offset + count)}
            )
        except obstore.exceptions.GenericError as error:
            # A range of an empty object, or one from its end on, is refused with 416.
            if offset or _status(error) not in ("416", ""):
                raise
            answer = obstore.get(connected(bucket), key, options=options)
        found = dict(answer.meta)
        data = answer.bytes().to_bytes()
        first, end = answer.range
        if (first, end) != (offset, min(offset + count, found["size"])) or len(data) != end - first:
            raise _Incomplete(f"{len(data):,} bytes from {first:,}, not {count:,} from {offset:,}")
        if stamp_ns(found) == planned[1] and found["size"] != planned[0]:
            raise _Incomplete(f"{found['size']:,} bytes, not {planned[0]:,}")
        return data, found

    return _asked(bucket, key, attempt)


def head(bucket: str, key: str) -> dict[str, Any]:
    """Returns size, last_modified and e_tag of an object.

    Raises:
        FileNotFoundError: there is no such object. ImageUnavailable: the store refuses or does not answer.
    """
    import obstore

    return _asked(bucket, key, lambda: dict(obstore.head(connected(bucket), key)))


class _Incomplete(Exception):
    """An answer holds other bytes than were asked for."""


def _asked(bucket: str, key: str, attempt: Callable[[], T]) -> T:
    from obstore import exceptions

    for number in range(_TRIES):
        try:
            return attempt()
        except FileNotFoundError as error:  # obstore's NotFoundError is one, too
            raise FileNotFoundError(2, f"no object {key} in {bucket}") from error
        except exceptions.PreconditionError as error:
            raise ImageUnavailable("has changed while it was read: give the same command again") from error
        except (_Incomplete, exceptions.BaseError) as error:
            if is_refused(error):
                raise ImageUnavailable(refusal(bucket)) from error
            if number + 1 == _TRIES or not isinstance(error, _Incomplete):
                raise ImageUnavailable(
                    f"{bucket} does not answer properly ({_reason(error)}); the request was repeated: give "
                    "the same command again once the store does"
                ) from error
        time.sleep(_PAUSE_S * 2**number)
    raise AssertionError("unreachable")


def is_refused(error: Exception) -> bool:
    """Returns whether a store refuses a request, so that repeating it has no use."""
    from obstore import exceptions

    refused = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
    return isinstance(error, refused) or _status(error) in ("401", "403")


def _status(error: Exception) -> str:
    found = _STATUS.search(str(error))
    return found[1] if found else ""


def _reason(error: Exception) -> str:
    """Returns the reason without the server's own words."""
    if isinstance(error, _Incomplete):
        return str(error)
    status = _status(error)
    return f"HTTP status {status}" if status else "the connection failed or was cut"


def refusal(bucket: str) -> str:
    """Returns the message for a refused request."""
    from nucbatch.object_store.connect import credentials_from

    source = credentials_from(bucket)
    if source:
        return f"{bucket} refuses the credentials of {source}: ask for the right to read and list this bucket"
    return (
        f"{bucket} is not public, and no credentials were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY (gs://: GOOGLE_APPLICATION_CREDENTIALS, or GOOGLE_SKIP_SIGNATURE=true for "
        "public data; az://: AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or "
        "AZURE_SKIP_SIGNATURE=true)"
    )


def in_words(bucket: str, ask: Callable[[], T]) -> T:
    """Makes a request for a whole bucket or folder; its errors are the user's to mend.

    Raises:
        InputError: there is no such bucket, it refuses, or it does not answer.
    """
    from obstore import exceptions

    try:
        return ask()
    except FileNotFoundError as error:
        raise _no_bucket(bucket) from error
    except exceptions.BaseError as error:
        if is_refused(error):
            raise InputError(f"{refusal(bucket)}.") from error
        if _status(error) == "404":
            raise _no_bucket(bucket) from error
        raise InputError(
            f"{bucket} does not answer properly ({_reason(error)}): check its name, {_settings(bucket)}."
        ) from error


def _no_bucket(bucket: str) -> InputError:
    return InputError(f"there is no bucket {bucket}: check its name, {_settings(bucket)}.")


def _settings(bucket: str) -> str:
    """Returns the settings that decide where a bucket is looked for, for messages."""
    return {
        "gs": "and the credentials (GOOGLE_APPLICATION_CREDENTIALS, or GOOGLE_SKIP_SIGNATURE=true)",
        "az": "the account (AZURE_STORAGE_ACCOUNT_NAME) and its key (AZURE_STORAGE_ACCOUNT_KEY)",
        "s3": "the region (AWS_REGION) and the address of the store (AWS_ENDPOINT_URL)",
    }.get(bucket.partition("://")[0], "and the web server's address")
