"""Requests to a store through the package obstore (extra ``cloud``), with errors in plain words.

Interrupted requests, server errors and limits on the rate are retried with growing pauses, by obstore and,
for answers that it takes for whole though they are not, here. Messages never quote a server's answer: one
that refuses a signature holds the name of the access key.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from nucbatch.core.errors import ImageUnavailable, InputError
from nucbatch.object_store.connect import connected

_TRIES = 4
_PAUSE_S = 0.2
_STATUS = re.compile(r"\b(?:status(?: code)?:?|code:?|HTTP)\s*:?\s*\"?([1-5][0-9]{2})\b")

T = TypeVar("T")


def fetch(
    bucket: str, key: str, offset: int, count: int, e_tag: str | None = None
) -> tuple[bytes, dict[str, Any]]:
    """Fetches bytes of an object.

    Args:
        bucket: address of its bucket.
        key: its name.
        offset: place of the first byte.
        count: number of bytes; fewer are returned at the end only.
        e_tag: the version to read; None for the latest.

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
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise ImageUnavailable(refusal(bucket)) from error
        except (_Incomplete, exceptions.BaseError) as error:
            if number + 1 == _TRIES or not _passing(error):
                raise ImageUnavailable(
                    f"{bucket} does not answer properly ({_reason(error)}); the request was repeated: give "
                    "the same command again once the store does"
                ) from error
        time.sleep(_PAUSE_S * 2**number)
    raise AssertionError("unreachable")


def _passing(error: Exception) -> bool:
    """Returns whether the same request may succeed later."""
    return isinstance(error, _Incomplete) or not _status(error).startswith(("3", "4"))


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
        "AWS_SECRET_ACCESS_KEY (gs://: GOOGLE_APPLICATION_CREDENTIALS; az://: AZURE_STORAGE_ACCOUNT_NAME and "
        "AZURE_STORAGE_ACCOUNT_KEY)"
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
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise InputError(f"{refusal(bucket)}.") from error
    except exceptions.BaseError as error:
        if _status(error) == "404":
            raise _no_bucket(bucket) from error
        raise InputError(
            f"{bucket} does not answer properly ({_reason(error)}): check its name, the region (AWS_REGION) "
            "and the address of the store (AWS_ENDPOINT_URL)."
        ) from error


def _no_bucket(bucket: str) -> InputError:
    return InputError(f"there is no bucket {bucket}: check its name, and the region (AWS_REGION).")
