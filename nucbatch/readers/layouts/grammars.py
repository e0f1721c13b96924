"""Table of the file names that microscopes write, and of their side files.

A grammar is a regex that is searched in the path, with ``/`` between folders and without regard to case. Its
groups are those of :mod:`nucbatch.readers.layouts.name_pattern`, and ``acquisition``. Three kinds of entries:

- ``unasked``: the names alone identify well, site, channel, z and t. :mod:`.instrument_names` reads them.
- ``reads``: the instrument has a layout of its own, or the names need the user's consent. If no layout reads
  the input, the regex is suggested as a ``--pattern``.
- Others only identify the instrument.

To add names of an instrument, add an entry here and a golden tree to ``tests/golden``. Where the meaning of a
part is not certain, it goes into ``constant``: plates in which it varies are rejected with ``doubt``.

Sources: names of real files (``seen``), or names quoted in public readers (pe2loaddata, faim-ipa,
fractal-uzh-converters, plateviewer, Bio-Formats) and in manuals.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from nucbatch.readers.layouts.name_pattern import FROM_ONE, GROUPS, FirstNumbers
from nucbatch.readers.layouts.squid_tables import SideTables, squid_tables
from nucbatch.readers.layouts.stains import STAIN
from nucbatch.readers.listing import Listing

_END = r"\.(?:tiff?|png|jpe?g|c01|stk|lsm)$"
_LETTERED = r"(?P<well>(?:[A-Z]|A[A-F])[0-9]{1,2})"
_FROM_ZERO = FirstNumbers(0, 0, 0)
_GEN5_CHANNEL = r"(?P<channel>[^_/\[\]]+|[^/]*\[[^/]*\])"
_SITE = r"(?:site|field|fld|fov|position|pos|point|[sf])[ _-]?(?P<{}>[0-9]{{1,4}})"
_CHANNEL = rf"(?P<channel>(?:channel|ch|c|w)[ _-]?[0-9]{{1,3}}|{STAIN})"
_AHEAD, _NO_MORE = r"[^/]*?[ _-]?", r"(?![0-9A-Za-z])"
_Z_AND_T = r"(?:[ _-]z[ _-]?(?P<z>[0-9]{1,4}))?(?:[ _-]t[ _-]?(?P<t>[0-9]{1,4}))?"


@dataclass(frozen=True, slots=True)
class Grammar:
    """File name grammar of an instrument.

    Attributes:
        maker: name of the instrument, or what distinguishes the names.
        pattern: the regex.
        reads: the regex can be used as a ``--pattern``.
        unasked: the names are read without being asked for.
        seen: the names are those of real files; otherwise they are quoted by others.
        first: number from which the instrument counts sites, z-steps and time points.
        constant: groups that must have one value in the whole plate, because their meaning is not certain.
        doubt: explains ``constant`` to the user.
        bare_wells: folders that are named like wells may be samples (``M1/DAPI.tif``), so together they must
            look like wells of a plate.
        tables: reads the side files of the instrument, if any are known.
    """

    maker: str
    pattern: str
    reads: bool = True
    unasked: bool = False
    seen: bool = False
    first: FirstNumbers = FROM_ONE
    constant: tuple[str, ...] = ()
    doubt: str = ""
    bare_wells: bool = False
    tables: Callable[[Listing], SideTables] | None = None

    def compiled(self) -> re.Pattern[str]:
        """Returns the compiled regex, with case ignored."""
        return _compiled(self.pattern)

    def as_user_pattern(self) -> str:
        """Returns the regex without the groups that ``--pattern`` does not know."""
        return re.sub(r"\(\?P<(\w+)>", lambda m: m[0] if m[1] in GROUPS else "(?:", self.pattern)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


GRAMMARS = (
    Grammar(
        "Harmony (Operetta, Opera Phenix)",
        r"r(?P<row>[0-9]{2})c(?P<column>[0-9]{2})f(?P<field>[0-9]+)p(?P<z>[0-9]+)-ch(?P<channel>[0-9]+)"
        rf"(?:sk|t)(?P<t>[0-9]+)(?:fk[0-9]+fl[0-9]+)?{_END}",
    ),
    Grammar(
        "Operetta (older export) or Columbus",
        r"(?:^|[/_ ])(?P<row>[0-9]{3})(?P<column>[0-9]{3})-(?P<field>[0-9]+)-(?P<z>[0-9]{3})(?P<t>[0-9]{3})"
        rf"(?P<channel>[0-9]{{3}}){_END}",
        unasked=True,
        constant=("z", "t", "channel"),
        doubt="it is not certain that the last nine digits mean plane, time and channel, in this order",
    ),
    Grammar(
        "Opera",
        r"(?:^|/)(?P<row>0(?:0[1-9]|[12][0-9]|3[0-2]))(?P<column>0(?:0[1-9]|[1-3][0-9]|4[0-8]))(?P<field>[0-9]{3})"
        rf"{_END}",
    ),
    Grammar(
        "Opera (FLEX)",
        r"(?:^|/)(?P<row>0(?:0[1-9]|[12][0-9]|3[0-2]))(?P<column>0(?:0[1-9]|[1-3][0-9]|4[0-8]))(?P<field>[0-9]{3})"
        r"\.flex$",
        unasked=True,
    ),
    Grammar(
        "Yokogawa CellVoyager",
        rf"_{_LETTERED}_T(?P<t>[0-9]{{4}})F(?P<field>[0-9]{{3}})L[0-9]{{2}}A[0-9]{{2}}Z(?P<z>[0-9]{{2,3}})"
        rf"C(?P<channel>[0-9]{{2}}){_END}",
    ),
    Grammar(
        "Yokogawa CQ1",
        r"W(?P<well_of_96>[0-9]{4})F(?P<field>[0-9]{4})T(?P<t>[0-9]{4})Z(?P<z>[0-9]{3})C(?P<channel>[0-9]+)"
        rf"{_END}",
    ),
    Grammar(
        "ScanR",
        rf"(?:^|/){_LETTERED}--W[0-9]{{5}}--P(?P<field>[0-9]{{5}})--Z(?P<z>[0-9]{{5}})--T(?P<t>[0-9]{{5}})--"
        rf"(?P<channel>[^/]+?){_END}",
    ),
    Grammar(
        "ScanR",
        r"--W(?P<well_of_96>[0-9]{5})--P(?P<field>[0-9]{5})--Z(?P<z>[0-9]{5})--T(?P<t>[0-9]{5})--"
        rf"(?P<channel>[^/]+?){_END}",
    ),
    Grammar(
        "EMBL (ALMF) or Leica",
        r"(?:^|/)[^/]*--W(?P<well_of_96>[0-9]{4})--P(?P<field>[0-9]+)--T(?P<t>[0-9]+)--Z(?P<z>[0-9]+)--C(?P<channel>[0-9]+)"
        rf"(?:\.ome)?{_END}",
    ),
    Grammar(
        "Leica MatrixScreener",
        r"image--L[0-9]+--S[0-9]+--U[0-9]+--V[0-9]+--J[0-9]+--E[0-9]+--O[0-9]+--X[0-9]+--Y[0-9]+--T[0-9]+--Z[0-9]+"
        rf"--C[0-9]+(?:\.ome)?{_END}",
        reads=False,
    ),
    Grammar(
        "ImageXpress",
        r"_(?P<well>[A-Z]{1,2}[0-9]{2})_(?:s(?P<site>[0-9]+)_)?w(?P<channel>[0-9])(?:_?thumb)?"
        rf"(?:_?\[?[0-9A-F]{{8}}(?:-[0-9A-F]{{4}}){{3}}-[0-9A-F]{{12}}\]?)?{_END}",
    ),
    Grammar(
        "EVOS",
        rf"(?:^|/)(?P<scan>scan_Plate_[^/]*)_{_LETTERED}f(?P<field>[0-9]+)(?P<channel>d[0-9]+){_END}",
        unasked=True,
        first=_FROM_ZERO,
        constant=("scan",),
        doubt="the text before the well differs, and it is not certain what it means (R, D, TD, p00)",
    ),
    Grammar(
        "Cellomics or CellInsight",
        rf"(?:^|[/_]){_LETTERED}f(?P<field>[0-9]+)(?P<channel>d[0-9]+){_END}",
        unasked=True,
        seen=True,
        first=_FROM_ZERO,
    ),
    Grammar(
        "BioTek Gen5 (Cytation, Lionheart)",
        rf"(?:^|/){_LETTERED}_(?P<acquisition>-?[0-9]+)_[0-9]+_(?P<field>[0-9]+)_{_GEN5_CHANNEL}_"
        rf"(?P<t>[0-9]{{3}}){_END}",
        unasked=True,
        seen=True,
    ),
    Grammar(
        "BioTek Gen5 (Cytation, Lionheart), field before channel",
        rf"(?:^|/){_LETTERED}_(?P<field>[0-9]+)(?:Z(?P<z>[0-9]+))?_{_GEN5_CHANNEL}_[0-9]+_(?P<t>[0-9]{{3}})_"
        rf"(?P<acquisition>-?[0-9]+)?{_END}",
        unasked=True,
        first=FirstNumbers(z=0),
    ),
    Grammar(
        "BioTek Gen5 (Cytation, Lionheart), z-steps or montages",
        rf"(?:^|/){_LETTERED}_[0-9]+_[0-9]+_(?P<field>[0-9]+)Z(?P<z>[0-9]+)_(?P<channel>[^_/]+)_"
        rf"(?P<t>[0-9]{{3}}){_END}",
    ),
    Grammar(
        "IN Cell",
        r"(?P<row>[A-Z]{1,2}) - (?P<column>[0-9]+) ?\(fld (?P<field>[0-9]+) wv (?P<channel>[^/]+?)"
        rf"(?: z (?P<z>[0-9]+))?(?: time (?P<t>[0-9]+)[^/]*)?\){_END}",
    ),
    Grammar(
        "Incucyte",
        rf"_{_LETTERED}_(?P<field>[0-9]+)_[0-9]{{2}}d[0-9]{{2}}h[0-9]{{2}}m{_END}",
    ),
    Grammar(
        "Incucyte",
        rf"_{_LETTERED}_(?P<field>[0-9]+)_[0-9]{{4}}y[0-9]{{2}}m[0-9]{{2}}d_[0-9]{{2}}h[0-9]{{2}}m{_END}",
        reads=False,
    ),
    Grammar(
        "Incucyte",
        rf"(?:^|/){_LETTERED}-(?P<field>[0-9]+)-(?P<channel>C[0-9]+|Ph){_END}",
    ),
    Grammar(
        "Squid",
        rf"(?:^|/)(?:(?P<t>[0-9]+)/)?{_LETTERED}_(?P<field>[0-9]+)_(?P<z>[0-9]+)_"
        rf"(?P<channel>(?:Fluorescence|BF|DF)_[^/]+?){_END}",
        unasked=True,
        first=_FROM_ZERO,
        tables=squid_tables,
    ),
    Grammar(
        "Squid, older",
        rf"(?:^|/)(?:[A-Z]{{1,2}}[0-9]{{1,2}}_)?[0-9]+_[0-9]+_[0-9]+_(?:Fluorescence|BF|DF)_[^/]+{_END}",
        reads=False,
    ),
    Grammar(
        "Micro-Manager",
        rf"(?:^|[/_]){_LETTERED}-Site_(?P<site>[0-9]+)/(?:Default/)?img_channel(?P<channel>[0-9]+)_position[0-9]+_"
        rf"time(?P<t>[0-9]+)_z(?P<z>[0-9]+){_END}",
    ),
    Grammar(
        "Micro-Manager",
        rf"_MMStack_{_LETTERED}-Site_(?P<site>[0-9]+)(?:_[0-9]+)?\.ome\.tiff?$",
    ),
    Grammar(
        "Nikon NIS-Elements JOBS",
        rf"Well{_LETTERED}(?:_Point(?:[^/]*_)?[A-Z]{{1,2}}[0-9]{{1,2}}_(?P<site>[0-9]+))?"
        rf"_Channel(?:(?P<channel>[^/,]+)|[^/]+)_Seq[0-9]+{_END}",
        unasked=True,
        first=FirstNumbers(site=0),
    ),
    Grammar(
        "BD Pathway",
        r"(?:^|/)Well (?P<well>(?:[A-Z]|A[A-F])[0-9]{1,3})/(?P<channel>[^/]+?) - n(?P<t>[0-9]+)"
        rf"{_END}",
        unasked=True,
        first=FirstNumbers(t=0),
        constant=("t",),
        doubt="it is not certain whether the number after n counts times or z-steps",
    ),
    Grammar(
        "Keyence BZ-X",
        rf"Image_XY(?P<site>[0-9]+)_(?:[0-9]+_)?(?:Z(?P<z>[0-9]+)_)?CH(?P<channel>[0-9]+){_END}",
    ),
    Grammar(
        "MetaMorph",
        r"(?:^|/)(?P<site>(?:[^/]*_)?)w(?P<channel>[0-9][A-Z][^_/]*)(?:_s[0-9]+)?(?:_t[0-9]+)?"
        rf"{_END}",
        reads=False,
    ),
    Grammar(
        "the Broad Institute",
        r"(?:^|/)(?P<channel>[A-Z][\w ]*)-[0-9]+-(?P<row>[A-Z]|A[A-F])-(?P<column>[0-9]{2})"
        rf"(?:-(?P<site>[0-9]{{2}}))?{_END}",
        unasked=True,
        seen=True,
        first=FirstNumbers(site=0),
    ),
    Grammar(
        "plates with a folder for each well",
        rf"(?:^|/)(?:well[ _-]?)?{_LETTERED}/(?:{_SITE.format('site')}/)?(?:{_SITE.format('field')}[ _-])?"
        rf"{_CHANNEL}{_Z_AND_T}{_END}",
        unasked=True,
        bare_wells=True,
    ),
    Grammar(
        "plates by row, column and field",
        r"(?:^|[/_ -])r(?:ow)?[ _-]?(?P<row>[0-9]{1,2})[ _-]?c(?:ol(?:umn)?)?[ _-]?(?P<column>[0-9]{1,2})"
        rf"[ _-]?(?:f|fld|fov|field|s|site)[ _-]?(?P<field>[0-9]+)(?:(?={_AHEAD}{_CHANNEL}{_NO_MORE}))?"
        rf"(?:(?={_AHEAD}z[ _-]?(?P<z>[0-9]+){_NO_MORE}))?(?:(?={_AHEAD}t[ _-]?(?P<t>[0-9]+){_NO_MORE}))?"
        rf"(?:[ _-]?(?:(?:channel|ch|c|w|z|t)[ _-]?[0-9]+|{STAIN}))*{_END}",
        unasked=True,
    ),
)

_SIDE_FILES = (
    (r".*\.(?:mlf|mrf|mes|wpi|wpp)", "Yokogawa CellVoyager"),
    (r"MeasurementResult(?:\.ome)?\.xml", "Yokogawa CQ1"),
    (r"Index[^/]*\.xml|.*\.ColumbusIDX\.xml", "Harmony (Operetta, Opera Phenix)"),
    (r".*\.(?:htd|hts|mbt)", "ImageXpress"),
    (r".*\.xdce", "IN Cell"),
    (r"experiment_descriptor\.(?:xml|dat)|AcquisitionLog\.dat", "ScanR"),
    (r".*\.companion\.ome|metadata\.ome\.xml", "OME-TIFF with its metadata in one file"),
    (r"acquisition[ _]parameters\.json", "Squid"),
    (r".*\.nd", "MetaMorph"),
    (r"load_?data[^/]*\.(?:csv|parquet)", "CellProfiler's LoadData"),
)
_SIDE_FILE = tuple((re.compile(pattern, re.IGNORECASE), maker) for pattern, maker in _SIDE_FILES)


def side_file_of(name: str) -> str:
    """Returns the instrument that writes a side file of this name (without folders); empty if unknown."""
    return next((maker for regex, maker in _SIDE_FILE if regex.fullmatch(name)), "")
