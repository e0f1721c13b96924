"""Sample of a plate's fields, used to measure values for the whole plate."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from nucbatch.core.plate import Field

SAMPLE = 64
"""Largest number of fields in the sample."""


def sampled(fields: Iterable[Field]) -> list[Field]:
    """Chooses up to ``SAMPLE`` fields by the hash of their keys (well, site, time), whatever the order."""
    return sorted(fields, key=lambda field: hashlib.sha256(field.key.encode()).digest())[:SAMPLE]
