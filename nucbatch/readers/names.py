"""Safe and unique names for fields and groups in the Zarr.

Names become file names, Zarr groups and ledger keys, so they contain only A-Z, a-z, 0-9, ``-``, ``_`` and
``.``. A name depends on the names in its collection, never on the order in which they were found.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

GREY = "Grey"

_LONGEST = 120
"""Longest name, in characters. File systems allow 255 bytes; suffixes and temporary names need 80."""


def safe_name(text: str) -> str:
    """Replaces characters that file systems or NGFF do not allow by ``_``; never empty.

    A result of more than 120 characters is shortened to its first 109, ``-``, and the first 10 hex digits of
    its SHA-256, so that long names with different ends stay different.
    """
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._")
    if len(cleaned) > _LONGEST:
        digest = _digest(text)
        return f"{cleaned[: _LONGEST - len(digest) - 1]}-{digest}"
    return cleaned or "unnamed"


def unique_names(paths: Iterable[str]) -> dict[str, str]:
    """Returns a safe and unique name for each path: its stem; with folders if stems clash; else with a hash.

    Uniqueness ignores case, because some file systems do.
    """
    ordered = sorted(set(paths))
    names = {path: safe_name(PurePosixPath(path).stem) for path in ordered}
    for widen in (_with_folders, _with_hash):
        counts = Counter(name.casefold() for name in names.values())
        names = {path: name if counts[name.casefold()] == 1 else widen(path) for path, name in names.items()}
    return names


def _with_folders(path: str) -> str:
    return safe_name(path[-_LONGEST:])


def _with_hash(path: str) -> str:
    return f"{safe_name(path[-_LONGEST:])}-{_digest(path)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:10]


def plural(count: int, noun: str) -> str:
    """Formats a count with its noun: ``1 file``, ``2 files``, ``1,234 files``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def natural_key(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key that puts ``"c2"`` before ``"c10"``: numbers by value, the rest by letter."""
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return [
        (0, int(part), "") if part[0] in "0123456789" else (1, 0, part.casefold()) for part in parts
    ], text
