"""Layout of plates that an instrument wrote without a side file: names that identify every plane.

The names are those of one grammar of :data:`~nucbatch.readers.layouts.grammars.GRAMMARS`, for instance of
Cellomics, Gen5 or BD Pathway. Only what names can tell for certain is read: a grammar lists the parts whose
meaning is a guess, and a plate in which they vary is rejected.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from dataclasses import replace

from nucbatch.core.errors import InputError
from nucbatch.core.escape import printable
from nucbatch.core.plate import Plate
from nucbatch.core.plate_geometry import row_index, split_well
from nucbatch.readers.contract import Example, ReadOptions
from nucbatch.readers.layouts.from_names import plate_from_names
from nucbatch.readers.layouts.grammars import GRAMMARS, Grammar
from nucbatch.readers.layouts.name_pattern import PatternName, counts_from_zero, read_match
from nucbatch.readers.layouts.well_columns import are_wells, counts_columns_from_zero
from nucbatch.readers.listing import Listing
from nucbatch.readers.rules import ignored
from nucbatch.readers.untried import untried

_SAMPLE = 100  # names tried before all names are
_FEWEST = 4  # names of another instrument that make it a plate of its own
_STRIDE = 7919  # a prime, so that the sample has no period


class InstrumentNamesReader:
    """Reads plates whose file names follow the grammar of an instrument."""

    name = "names"
    priority = 38
    example = Example(
        {
            **{f"run_1_B0{c}f0{f}d{w}.TIF": None for w in (0, 1) for f in (0, 1) for c in (2, 3)},
            "run_1_C02f00d0.TIF": b"II*\0",
            "notes.csv": b"a,b",
            "odd.tif": None,
        }
    )

    def recognise(self, listing: Listing) -> bool:
        """Returns whether at least half of the images have names of one instrument."""
        return not listing.single and _grammar(listing) is not None

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """Returns the plate that the names describe.

        Raises:
            InputError: the names are of no instrument or of several plates or acquisitions, or a part of them
                whose meaning is not certain varies.
        """
        grammar = _grammar(listing)
        if grammar is None:
            makers = ", ".join(dict.fromkeys(grammar.maker for grammar in GRAMMARS if grammar.unasked))
            raise InputError(f"the names in {printable(listing.name)} are none of {makers}: give --pattern.")
        matches = [match for file in listing.images() if (match := grammar.compiled().search(file.path))]
        if counts_from_zero(matches):
            raise _doubtful(listing, grammar, "rows or columns are counted from 0 here, elsewhere from 1")
        if any(len({match[group] for match in matches}) > 1 for group in grammar.constant):
            raise _doubtful(listing, grammar, grammar.doubt)
        listing, acquisition = _one_acquisition(listing, grammar, matches, options.acquisition)
        tables = grammar.tables(listing) if grammar.tables else None
        plate = plate_from_names(
            listing,
            grammar.compiled(),
            layout=self.name,
            first=grammar.first,
            tables=tables,
            remarks=(_remark(grammar),),
        )
        return replace(plate, acquisition=acquisition)


def _grammar(listing: Listing) -> Grammar | None:
    """Returns the first grammar that at least half of the images follow."""
    images = listing.images()
    sample = [images[number * _STRIDE % len(images)] for number in range(min(_SAMPLE, len(images)))]
    for grammar in GRAMMARS:
        search = grammar.compiled().search
        if not grammar.unasked or not any(search(file.path) for file in sample):
            continue
        found = [match for file in images if (match := search(file.path))]
        if "well" in grammar.compiled().groupindex and counts_columns_from_zero(
            match["well"] or "" for match in found
        ):
            continue
        wells = [name.well for match in found if isinstance(name := read_match(match), PatternName)]
        if wells and 2 * len(wells) >= len(images) and _plausible(grammar, found, wells):
            return None if _mixed(listing, grammar) else grammar
    return None


def _plausible(grammar: Grammar, matches: list[re.Match[str]], wells: list[str]) -> bool:
    """Returns whether the wells are those of a plate: it has no row Q without a row before it."""
    if min(row_index(split_well(well)[0]) for well in set(wells)) > row_index("P"):
        return False
    if not grammar.bare_wells or all(match["site"] or match["field"] for match in matches):
        return True
    bare = {match["well"] for match in matches if not match[0].lstrip("/").casefold().startswith("well")}
    return not bare or are_wells(bare, {"channel"})


def _mixed(listing: Listing, grammar: Grammar) -> bool:
    """Returns whether other images follow the grammar of another instrument: plates of several kinds."""
    rest = [file.path for file in listing.images() if not grammar.compiled().search(file.path)]
    others = (other for other in GRAMMARS if other.maker != grammar.maker)
    return any(sum(1 for path in rest if other.compiled().search(path)) >= _FEWEST for other in others)


def _one_acquisition(
    listing: Listing, grammar: Grammar, matches: list[re.Match[str]], wanted: str
) -> tuple[Listing, str]:
    """Returns the listing with the files of one acquisition, the others ignored by rule, and its name.

    Raises:
        InputError: there are several, and none is chosen or another.
    """
    if "acquisition" not in grammar.compiled().groupindex:
        return listing, ""
    files = {match.string: match["acquisition"] or "none" for match in matches}
    counts = Counter(files.values())
    if len(counts) < 2 and wanted in ("", *counts):
        return listing, wanted
    if wanted not in counts:
        root = printable(shlex.quote(listing.root))
        commands = "\n".join(f"  nucbatch inspect {root} --acquisition={name}" for name in sorted(counts))
        raise InputError(
            f"{printable(listing.name)} holds the acquisitions (read steps) {', '.join(sorted(counts))}"
            + (f", not {wanted!r}" if wanted else "")
            + f". Read each alone:\n{commands}"
        )
    others = {path for path, acquisition in files.items() if acquisition != wanted}
    records = (ignored(path, "other-acquisition") for path in others)
    settled = sorted((*listing.settled, *records), key=lambda record: record.path)
    kept = tuple(file for file in listing.files if file.path not in others)
    return replace(listing, files=kept, settled=tuple(settled)), wanted


def _doubtful(listing: Listing, grammar: Grammar, doubt: str) -> InputError:
    pattern = f"(?i){grammar.as_user_pattern()}"
    example = next(file.path for file in listing.images() if grammar.compiled().search(file.path))
    return InputError(
        f"{printable(listing.name)} has names like those of {grammar.maker}, such as {printable(example)}, "
        f"but {doubt}. If this pattern reads them correctly, give it; otherwise change its groups:\n"
        f"  nucbatch inspect {printable(shlex.quote(listing.root))} --pattern {shlex.quote(pattern)}"
    )


def _remark(grammar: Grammar) -> str:
    if grammar.seen:
        return f"File names are those of {grammar.maker}."
    return untried(f"File names of {grammar.maker}")
