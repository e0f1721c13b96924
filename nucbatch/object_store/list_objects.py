"""Lists the objects of a bucket by pages, in the order of their names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nucbatch.object_store.connect import connected
from nucbatch.object_store.requests import in_words

_PAGE = 1000


def objects(bucket: str, prefix: str, after: str = "") -> Iterator[dict[str, Any]]:
    """Yields path, size, last_modified and e_tag of all objects below a prefix; one page is kept at a time.

    Args:
        bucket: address of the bucket.
        prefix: folder, without the ``/`` at its end; empty for the whole bucket.
        after: only objects whose names sort after this one.

    Raises:
        InputError: there is no such bucket, or it refuses to list.
    """
    import obstore

    options = {"offset": after} if after else {}
    pages = in_words(
        bucket,
        lambda: obstore.list(connected(bucket), prefix=prefix or None, chunk_size=_PAGE, **options),
    )
    while True:
        page = in_words(bucket, lambda: next(pages, None))
        if page is None:
            return
        yield from page


def children(bucket: str, prefix: str) -> Iterator[str]:
    """Yields the names directly below a folder; those of folders end in ``/``."""
    found = _listed(bucket, prefix)
    start = len(prefix) + 1 if prefix else 0
    yield from (f"{folder[start:].rstrip('/')}/" for folder in found["common_prefixes"])
    yield from (one["path"][start:] for one in found["objects"])


def direct_objects(bucket: str, prefix: str) -> list[dict[str, Any]]:
    """Lists path, size, last_modified and e_tag of the objects directly in a folder."""
    return list(_listed(bucket, prefix)["objects"])


def _listed(bucket: str, prefix: str) -> Any:
    import obstore

    return in_words(bucket, lambda: obstore.list_with_delimiter(connected(bucket), prefix=prefix or None))
