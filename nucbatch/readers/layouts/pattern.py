"""Layout of plates and images whose file names match a regex: the user's, or a built-in one.

:mod:`nucbatch.readers.layouts.name_pattern` explains the groups of a regex. The built-in patterns ignore case
and are tried in a fixed order without being asked for. The first that matches at least half of the images is
used.
"""

from __future__ import annotations

import re

from nucbatch.core.errors import InputError
from nucbatch.core.plate import Plate
from nucbatch.core.plate_geometry import row_index
from nucbatch.readers.contract import Example, ReadOptions
from nucbatch.readers.layouts.from_names import plate_from_names
from nucbatch.readers.layouts.name_pattern import PatternName, compiled, read_match
from nucbatch.readers.layouts.stains import STAIN, is_numbered_channel, is_stain
from nucbatch.readers.layouts.well_columns import are_padded, counts_columns_from_zero
from nucbatch.readers.listing import Listing

_END = r"(?:\.ome)?\.(?:tiff?|btf|tf8|png|jpe?g|c01|stk|lsm)$"
_ROW_AND_COLUMN = re.compile(
    r"(?<![a-z])r(?:ow)?[ _-]?[0-9]{1,2}[ _-]?c(?:ol(?:umn)?)?[ _-]?[0-9]{1,2}(?![0-9])", re.IGNORECASE
)
_WELL = r"(?P<well>(?:[A-Z]|A[A-F])[0-9]{2}|[A-P][0-9])"


def _ahead(group: str, value: str) -> str:
    """Returns a lookahead for a part anywhere in the rest of the name, captured as ``group``."""
    return rf"(?=[^/]*[ _-]{value.replace('<>', f'<{group}>')}(?![0-9a-z]))"


_SITE_WORD = r"(?:site|field|fov|position|pos|point|[sf])[ _-]?"
_CHANNEL_WORD = r"(?:channel|ch?|w)[ _-]?"
_SITE_AHEAD = _ahead("site", rf"{_SITE_WORD}(?P<>[0-9]+)")
_AFTER_CHANNEL_WORD = r"(?:(?<=[chlw])|(?<=[chlw][ _-]))"
_CHANNEL_AHEAD = _ahead("channel", rf"(?:{_CHANNEL_WORD}(?=[0-9]))?(?P<>{_AFTER_CHANNEL_WORD}[0-9]+|{STAIN})")
_Z_AHEAD, _T_AHEAD = _ahead("z", "z[ _-]?(?P<>[0-9]+)"), _ahead("t", "t[ _-]?(?P<>[0-9]+)")
_PARTS = rf"(?:[ _-](?:(?:{_SITE_WORD}|{_CHANNEL_WORD}|[zt][ _-]?)[0-9]+|{STAIN}))+"
_COUNT = re.compile(
    "(?:[A-Z]|replicate|rep|day|img|image|tile|pos|position|point|plane|frame|field|fov|site|scan|run|exp|sample)"
    "(?:0[0-9]*|[1-9][0-9]?)",
    re.IGNORECASE,
)
BUILT_IN = {
    # B03_s1_c2_z0_t0.tif, plate_B03_DAPI_f01.tif: each number with its letter, in any order after the well
    "lettered": rf"(?i)(?:^|[/ _-])(?:well[ _-]?)?{_WELL}{_SITE_AHEAD}(?:{_CHANNEL_AHEAD})?"
    rf"(?:{_Z_AHEAD})?(?:{_T_AHEAD})?{_PARTS}{_END}",
    # B03_1_DAPI.tif, B03_DAPI.tif: well, perhaps a site, the stain's name
    "well and stain": rf"(?i)(?:^|[/_-]){_WELL}[_-](?:(?P<site>[0-9]+)[_-])?"
    rf"(?P<channel>[A-Z]+[0-9]{{0,5}}){_END}",
}


class PatternReader:
    """Reads plates whose file names match the user's pattern, or one of :data:`BUILT_IN`."""

    name = "pattern"
    priority = 40
    example = Example(
        {
            **{f"A0{c}_s1_c{w}.tif": None for w in (1, 2) for c in (1, 2, 3)},
            "A04_s1_c2.tif": b"II*\0",
            "notes.csv": b"a,b",
            "odd.tif": None,
        }
    )

    def recognise(self, listing: Listing) -> bool:
        """Returns whether a built-in pattern matches at least half of the images."""
        return not listing.single and _built_in(listing) is not None

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """Returns the plate described by the matched names.

        Raises:
            InputError: an invalid pattern, a pattern that matches no file, or several plates.
        """
        regex = compiled(options.pattern) if options.pattern else _built_in(listing)
        if regex is None:
            raise InputError(
                f"no built-in pattern ({', '.join(BUILT_IN)}) fits the names in {listing.name}: "
                "give --pattern."
            )
        return plate_from_names(listing, regex, layout=self.name)


def _built_in(listing: Listing) -> re.Pattern[str] | None:
    images = listing.images()
    for name, pattern in BUILT_IN.items():
        regex = re.compile(pattern)
        matches = [
            match
            for file in images
            if (match := regex.search(file.path)) and not _names_the_well_before(match)
        ]
        if counts_columns_from_zero(match["well"] for match in matches):
            continue
        fitting = [match for match in matches if isinstance(read_match(match), PatternName)]
        if not fitting or 2 * len(fitting) < len(images):
            continue
        plausible = {row_index(_row(match)) for match in fitting}
        if min(plausible) > row_index("P") or (name == "well and stain" and not _is_well_and_stain(fitting)):
            continue
        return regex
    return None


def _names_the_well_before(match: re.Match[str]) -> bool:
    """Returns whether row and column precede what looks like a well, as before ``f1`` in ``r02c03-f1-C1``."""
    return _ROW_AND_COLUMN.search(match.string, 0, match.end("well")) is not None


def _is_well_and_stain(matches: list[re.Match[str]]) -> bool:
    """Distinguishes ``B3_DAPI`` and ``B03_treated`` from ``M1_control``, which may be a mouse.

    The text is a well if most names have a known stain, or if all wells are written with two digits. A text
    other than a stain that differs between wells, but not in any of them, is a treatment and no channel.
    """
    written = {match["well"] for match in matches}
    letters = {well[0].upper() for well in written}
    if len(letters) == 1 and letters <= set("CFP") and not are_padded(written):
        return False  # f1_DAPI may be field 1, c1 a cell or a condition, p1 a position
    channels = [match["channel"] for match in matches]
    counts = [
        channel for channel in channels if _COUNT.fullmatch(channel) and not is_numbered_channel(channel)
    ]
    if len(set(counts)) > 1 and 2 * len(counts) >= len(channels):
        return False  # P01 may be a position, rep1 a replicate, F03 a second well
    texts = set(zip((match["well"] for match in matches), (c.casefold() for c in channels), strict=True))
    stained = sum(1 for channel in channels if is_stain(channel) or is_numbered_channel(channel))
    if 2 * stained > len(matches):
        return True
    differ = len({channel.casefold() for channel in channels}) > 1
    return are_padded(written) and not (differ and len(texts) == len(written))


def _row(match: re.Match[str]) -> str:
    return str(match["well"]).rstrip("0123456789")
