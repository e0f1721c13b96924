"""Parses Harmony's ``FlatfieldProfile``: the illumination of a channel as a polynomial.

The text looks like JSON without quotes: ``{Background: {Character: NonFlat, Mean: 373.7, Profile:
{Coefficients: [[1.13], [-0.02, 0.03]], Dims: [1080, 1080], Origin: [539.5, 539.5], Scale: [0.0009, 0.0009],
Type: Polynomial}}, Channel: 1, ChannelName: DAPI, Foreground: {…}, Version: Acapella:2013}``. Numbers may be
``NaN`` and ``INF``; names may hold quotes, brackets and commas.

The profile of the foreground is used where there is one, and else that of the background. Both have a mean of
1. Row n of the coefficients belongs to x**n, x**(n-1) y, … y**n. This order is not documented: in real images
it fits the background better than the transposed one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from nucbatch.core.flat_field import LEAST_GAIN, FlatField
from nucbatch.readers.formats.xml_stream import Element
from nucbatch.readers.listing import Listing

_MOST_CHARACTERS = 1 << 16
_MOST_ORDERS = 12
_MOST_DEPTH = 8
_MOST_PX = 1 << 16
_LARGEST = 1e6
_NAME = re.compile(
    r",\s*\"?ChannelName\"?\s*:.*?(?=,\s*\"?(?:Foreground\"?\s*:\s*\{|Version\"?\s*:)|\}\s*$)", re.DOTALL
)
_PIECE = re.compile(r"\s*([{}\[\],:]|\"[^\"]*\"|[^{}\[\],:\"]+)")


class UnusableProfile(ValueError):
    """A profile cannot be used; the message is the reason."""


def parse_profile(text: str) -> FlatField | None:
    """Parses the text of a profile.

    Returns:
        The illumination; None if the profile says that there is nothing to correct.

    Raises:
        UnusableProfile: the text is malformed, of another kind, or no illumination.
    """
    if len(text) > _MOST_CHARACTERS:
        raise UnusableProfile(f"it has {len(text):,} characters")
    parsed = _Parser(_NAME.sub("", text, count=1)).whole() if text.strip() else {}
    if not isinstance(parsed, dict):
        raise UnusableProfile("it is no list of properties")
    for part in ("Foreground", "Background"):
        found = parsed.get(part)
        profile = found.get("Profile") if isinstance(found, dict) else None
        if not isinstance(found, dict) or not isinstance(profile, dict):
            continue
        if found.get("Character") != "Null" and profile.get("Type") != "Identity":
            return _polynomial(profile)
    return None


def read_profiles(listing: Listing, path: str) -> dict[int, str]:
    """Reads the texts of profiles by number of the channel from a file of ``FFC_Profile``.

    Raises:
        UnreadableImage: it is damaged; the message is a reason.
        ImageUnavailable: it does not answer in time.
    """

    def texts(elements: Iterator[Element]) -> dict[int, str]:
        entries = [(one.attributes.get("ChannelID", ""), one.value("FlatfieldProfile")) for one in elements]
        return {int(number): text for number, text in entries if re.fullmatch(r"[0-9]{1,9}", number)}

    return listing.read_elements(path, {"Entry"}, texts)


def _polynomial(profile: dict[str, Any]) -> FlatField:
    if profile.get("Type") != "Polynomial":
        raise UnusableProfile(f"it is of type {profile.get('Type')}, and not a polynomial")
    rows = profile.get("Coefficients")
    if not isinstance(rows, list) or not 0 < len(rows) <= _MOST_ORDERS:
        raise UnusableProfile("it has no coefficients")
    coefficients = tuple(
        _numbers(row, n + 1, f"row {n + 1} of its coefficients") for n, row in enumerate(rows)
    )
    wide, high = _numbers(profile.get("Dims"), 2, "Dims")
    origin = _numbers(profile.get("Origin"), 2, "Origin")
    scale = _numbers(profile.get("Scale"), 2, "Scale")
    if not (0 < wide <= _MOST_PX and 0 < high <= _MOST_PX and wide == int(wide) and high == int(high)):
        raise UnusableProfile(f"its Dims are {wide:g} × {high:g}")
    flat = FlatField(coefficients, (int(wide), int(high)), (origin[0], origin[1]), (scale[0], scale[1]))
    least = flat.least_gain()
    if not least >= LEAST_GAIN:
        raise UnusableProfile(f"its illumination falls to {least:g} of its mean; the least is {LEAST_GAIN:g}")
    return flat


def _numbers(value: Any, count: int, what: str) -> tuple[float, ...]:
    numbers = tuple(_number(one) for one in value) if isinstance(value, list) else ()
    if len(numbers) != count or not all(abs(number) <= _LARGEST for number in numbers):
        raise UnusableProfile(f"{what}: {count} numbers up to {_LARGEST:,.0f} are expected")
    return numbers


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


class _Parser:
    """Parser of nested properties and lists; every scalar is a text."""

    def __init__(self, text: str) -> None:
        self._pieces = [match[1].strip() for match in _PIECE.finditer(text)]
        self._next = 0
        if "".join(self._pieces).replace(" ", "") != re.sub(r"\s", "", text):
            raise UnusableProfile("it is malformed")

    def whole(self) -> Any:
        """Returns the only value."""
        value = self._value(0)
        if self._next != len(self._pieces):
            raise UnusableProfile("it is malformed behind its end")
        return value

    def _take(self) -> str:
        if self._next >= len(self._pieces):
            raise UnusableProfile("it ends too early")
        self._next += 1
        return self._pieces[self._next - 1]

    def _peek(self) -> str:
        return self._pieces[self._next] if self._next < len(self._pieces) else ""

    def _value(self, depth: int) -> Any:
        if depth > _MOST_DEPTH:
            raise UnusableProfile("it is nested too deeply")
        piece = self._take()
        if piece == "{":
            return self._properties(depth)
        if piece == "[":
            return self._list(depth)
        if piece in "}],:":
            raise UnusableProfile(f"it is malformed at {piece!r}")
        while self._peek() == ":":  # Acapella:2013
            piece += self._take() + self._take()
        return piece.strip('"')

    def _properties(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self._peek() != "}":
            key = self._take().strip('"')
            if self._take() != ":":
                raise UnusableProfile(f"it is malformed after {key[:40]!r}")
            found[key] = self._value(depth + 1)
            if self._peek() == ",":
                self._take()
        self._take()
        return found

    def _list(self, depth: int) -> list[Any]:
        found: list[Any] = []
        while self._peek() != "]":
            found.append(self._value(depth + 1))
            if self._peek() == ",":
                self._take()
        self._take()
        return found
