"""Text from strangers (names of files, what files say of themselves) as a terminal may show it.

Decision owned here: whatever Python does not call printable is shown as an escape, ``\\x1b`` or ``\\udcff``,
so that no name can move a cursor, hide a line, reverse the reading direction, or fail to be encoded.
"""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """The text with every character that is neither printable nor in ``keep`` as Python would escape it."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in keep else repr(letter)[1:-1] for letter in text
    )
