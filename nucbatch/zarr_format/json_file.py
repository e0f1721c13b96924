"""Reads JSON metadata of limited size, and turns errors on malformed metadata into one kind of error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nucbatch.core.errors import UnreadableImage
from nucbatch.object_store import ObjectPath

MOST_JSON_BYTES = 1 << 28  # ten times the largest consolidated plate metadata seen


def read_json_if_there(path: Path) -> Any:
    """Reads a JSON metadata file; None if there is none. An object of a store takes one request.

    Raises:
        UnreadableImage: the file is too large.
        OSError, ValueError, RecursionError: it cannot be read, is not JSON, or has text that is not Unicode.
    """
    if not isinstance(path, ObjectPath):
        if not path.is_file():
            return None
        _require_size(path, path.stat().st_size)
        return _parsed(path.read_bytes())
    content = path.if_there(path.stored_bytes)
    if content is None:
        return None
    _require_size(path, content.size)
    return _parsed(content.read_at(0, content.size))


def _require_size(path: Path, size: int) -> None:
    if size > MOST_JSON_BYTES:
        raise UnreadableImage(
            f"its {path.name} has {size:,} bytes, more than the limit of {MOST_JSON_BYTES:,}: rewrite the "
            "metadata"
        )


def _parsed(text: bytes) -> Any:
    value = json.loads(text)
    if b"\\ud" in text.lower():  # a lone surrogate, which no table could hold, is always written as an escape
        json.dumps(value, ensure_ascii=False).encode()
    if value is None:
        raise ValueError("null instead of metadata")
    return value


@contextmanager
def damage() -> Iterator[None]:
    """Converts Python errors on malformed metadata into an UnreadableImage."""
    try:
        yield
    except UnreadableImage:
        raise
    except OSError as error:
        raise UnreadableImage(f"its metadata can't be read ({error.strerror or error})") from error
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        StopIteration,
        TypeError,
        ValueError,
    ) as error:
        raise UnreadableImage(f"its metadata are damaged ({type(error).__name__}: {error})") from error
