"""Escapes untrusted text (file names, metadata) for display in a terminal.

Characters that Python does not call printable are shown as escapes such as ``\\x1b`` or ``\\udcff``. A file
name can then not move the cursor, hide a line, reverse the reading direction, or fail to be encoded.
"""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    r"""Returns ``text`` with non-printable characters as Python escapes, except those in ``keep``.

    >>> printable("plate\x1b[2J")
    'plate\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in keep else repr(letter)[1:-1] for letter in text
    )
