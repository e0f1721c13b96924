"""A sample of a plate's fields, from which what all fields share is measured."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from nucbatch.core.plate import Field

SAMPLE = 64
"""The most fields that are looked at."""


def sampled(fields: Iterable[Field]) -> list[Field]:
    """Up to ``SAMPLE`` fields by the hash of their keys (well, site and time), so in any order the same."""
    return sorted(fields, key=lambda field: hashlib.sha256(field.key.encode()).digest())[:SAMPLE]
