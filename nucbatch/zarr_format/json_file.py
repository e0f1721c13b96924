"""Reads JSON metadata of limited size, and turns errors on malformed metadata into one kind of error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nucbatch.core.errors import UnreadableImage

MOST_JSON_BYTES = 1 << 28  # ten times the largest consolidated plate metadata seen


def read_json(path: Path) -> Any:
    """Reads a JSON metadata file.

    Raises:
        UnreadableImage: the file is too large.
        OSError, ValueError, RecursionError: it cannot be read, is not JSON, or has text that is not Unicode.
    """
    size = path.stat().st_size
    if size > MOST_JSON_BYTES:
        raise UnreadableImage(
            f"its {path.name} has {size:,} bytes, more than the limit of {MOST_JSON_BYTES:,}: rewrite the "
            "metadata"
        )
    text = path.read_bytes()
    value = json.loads(text)
    if b"\\ud" in text.lower():  # a lone surrogate, which no table could hold, is always written as an escape
        json.dumps(value, ensure_ascii=False).encode()
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
