"""Sentence for layouts that were written from public code and manuals, without a real plate."""

from __future__ import annotations


def untried(names: str, parts: str = "wells, fields and channels") -> str:
    """Returns the remark of such a layout.

    >>> untried("Names of IN Cell", "wells")
    'Names of IN Cell are known from public code and not tried on a real plate: check wells.'
    """
    return f"{names} are known from public code and not tried on a real plate: check {parts}."
