"""Sample of a plate's fields, used to measure values for the whole plate."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from heapq import nsmallest
from itertools import compress, count, repeat

from nucbatch.core.plate import Field
from nucbatch.core.rows import Rows

SAMPLE = 64
"""Largest number of fields in the sample."""


def sampled(fields: Rows[Field], flags: Iterable[bool] = repeat(True)) -> list[Field]:
    """Chooses up to ``SAMPLE`` fields by the hash of their keys (well, site, time), whatever the order.

    Args:
        fields: the fields.
        flags: which of them may be chosen.
    """
    digests = (hashlib.sha256(key.encode()).digest() for key in fields.values("group"))
    chosen = nsmallest(SAMPLE, compress(zip(digests, count(), strict=False), flags))
    return [fields[place] for _, place in chosen]
