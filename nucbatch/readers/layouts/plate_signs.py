"""Detects plates in what would be read as a folder of images, and rejects them.

Read as a folder, each channel and z-step of a plate would count as an image of its own. A plate is detected
by a microscope's side files, by a microscope's file names, or by names with a well, a channel or a z-step.
These names must be those of most images, or of most images in one folder. The message says what was found,
what would read it, and how to read the input as a folder anyway.
"""

from __future__ import annotations

import csv
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from nucbatch.core.errors import InputError, UnreadableImage
from nucbatch.core.escape import printable
from nucbatch.readers.layouts.grammars import GRAMMARS, Grammar, side_file_of
from nucbatch.readers.layouts.name_columns import NameTable, name_tables
from nucbatch.readers.layouts.suggest_pattern import derive_pattern, first_working_pattern
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.names import plural

_SAMPLE = 500  # names tried with all grammars; the others only with grammars that match one of these
_FEWEST = 4  # images with plate names that make their folder a plate beside folders of pictures
_MOST_TABLES, _TABLE_BYTES = 20, 1 << 16
_LOADDATA = "CellProfiler's LoadData"


@dataclass(frozen=True, slots=True)
class PlateEvidence:
    """Evidence that the input is a plate.

    Attributes:
        makers: number of images with the file names of each instrument.
        side_files: instrument by path of its side file.
        grammars: grammars of the names, the most frequent first.
        tables: names with a well, a channel or a z-step.
        folders: folders in which most images have such names.
    """

    makers: dict[str, int]
    side_files: dict[str, str]
    grammars: tuple[Grammar, ...]
    tables: tuple[NameTable, ...]
    folders: tuple[str, ...]


def refuse_plates(listing: Listing, images: Sequence[FoundFile]) -> None:
    """Checks that the images are not those of a plate.

    Raises:
        InputError: names or side files belong to one plate or several.
    """
    paths = [file.path for file in images]
    signs = _evidence(listing, paths)
    named = sum(signs.makers.values())
    in_tables = sum(len(table.paths) for table in signs.tables)
    mostly = 2 * named >= len(paths) > 0 or 2 * in_tables > len(paths)
    if not (signs.side_files or mostly or signs.folders):
        return
    mends = _mends(listing, paths, signs) if signs.side_files or mostly else _beside_pictures(listing, signs)
    raise InputError(
        f"{printable(listing.name)} looks like a plate, not a folder of pictures: {_seen(signs, paths)}. "
        "Read as a folder, each channel, z-step and field would count as an image of its own.\n"
        f"{mends}\n"
        "If each file really is an image of its own, add --layout folder."
    )


def _evidence(listing: Listing, paths: list[str]) -> PlateEvidence:
    step = max(1, len(paths) // _SAMPLE)
    likely = [g for g in GRAMMARS if any(map(g.compiled().search, paths[::step]))]
    makers: Counter[str] = Counter()
    used: Counter[int] = Counter()
    others = []
    for path in paths:
        fitting = next((i for i, grammar in enumerate(likely) if grammar.compiled().search(path)), None)
        if fitting is None:
            others.append(path)
        else:
            makers[likely[fitting].maker] += 1
            used[fitting] += 1
    side_files = {file.path: maker for file in listing.others() if (maker := side_file_of(_name(file.path)))}
    side_files |= dict.fromkeys(_loaddata_tables(listing, side_files), _LOADDATA)
    tables = tuple(table for table in name_tables(paths) if table.holds)
    plain = set(others).difference(*(table.paths for table in tables))
    pictures = Counter(_folder(path) for path in plain)
    plates = Counter(_folder(path) for path in paths if path not in plain)
    folders = (
        folder for folder, count in plates.items() if count >= _FEWEST and count > pictures.get(folder, 0)
    )
    grammars = tuple(likely[i] for i, _ in used.most_common())
    return PlateEvidence(dict(makers), side_files, grammars, tables, tuple(sorted(folders)))


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _loaddata_tables(listing: Listing, known: dict[str, str]) -> list[str]:
    """Lists CSV files that name images and have a well column, except results of CellProfiler."""
    tables = [file.path for file in listing.others() if file.path.lower().endswith(".csv")]
    return [path for path in tables[:_MOST_TABLES] if path not in known and _names_images(listing, path)]


def _names_images(listing: Listing, path: str) -> bool:
    try:
        text = listing.read_bytes(path, _TABLE_BYTES).decode("utf-8-sig", errors="replace")
        columns = next(csv.reader(text.splitlines()[:1]), [])
    except (OSError, UnreadableImage, csv.Error):
        return False  # an unreadable table is no evidence
    columns = [column.strip().removeprefix("Image_") for column in columns]
    names = any(column.startswith(("FileName_", "URL_")) for column in columns)
    wells = any(column in ("Metadata_Well", "Metadata_Row", "Metadata_Plate") for column in columns)
    results = any(column.startswith(("ModuleError_", "ExecutionTime_", "Count_")) for column in columns)
    return names and wells and not results


def _seen(signs: PlateEvidence, paths: list[str]) -> str:
    seen = []
    if signs.makers:
        makers = ", ".join(
            f"{plural(count, 'name')} like those of {maker}" for maker, count in _ranked(signs.makers)
        )
        example = next(p for p in paths if any(g.compiled().search(p) for g in signs.grammars))
        seen.append(f"it has {makers}, such as {printable(_name(example))}")
    elif signs.tables:
        in_tables = sum(len(table.paths) for table in signs.tables)
        holds = [
            text for text in ("a well", "a channel", "a z-step") if any(text in t.holds for t in signs.tables)
        ]
        seen.append(
            f"{in_tables:,} of {plural(len(paths), 'name')} hold {' and '.join(holds)}, such as "
            f"{printable(signs.tables[0].paths[0])}"
        )
    if signs.side_files:
        by_maker: dict[str, str] = {}
        for path, maker in sorted(signs.side_files.items()):
            by_maker.setdefault(maker, path)
        seen.append(
            "beside the images there is "
            + ", ".join(f"{printable(path)} ({maker})" for maker, path in by_maker.items())
        )
    return "; ".join(seen)


def _ranked(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _mends(listing: Listing, paths: list[str], signs: PlateEvidence) -> str:
    apart = _apart(listing, paths, signs)
    if apart:
        return "It holds plates of several kinds. Look at each alone:\n" + "\n".join(
            f"  nucbatch inspect {printable(shlex.quote(f'{listing.root}/{folder}'))}" for folder in apart
        )
    root = printable(shlex.quote(listing.root))
    manifests = sorted(path for path, maker in signs.side_files.items() if maker == _LOADDATA)
    if manifests:
        return "Give the table of its images instead:\n" + "\n".join(
            f"  nucbatch inspect {printable(shlex.quote(f'{listing.root}/{path}'))}" for path in manifests[:6]
        )
    candidates = [grammar.as_user_pattern() for grammar in signs.grammars if grammar.reads]
    if all(grammar.reads for grammar in signs.grammars):
        candidates += [pattern for table in signs.tables[:3] if (pattern := derive_pattern(table))]
    pattern = first_working_pattern(listing, iter(candidates))
    if pattern:
        counted = re.search(r"\?P<well_of_([0-9]+)>", pattern)
        doubt = (
            f"\nIt counts wells row by row on a plate of {counted[1]} wells: for another plate, change the "
            f"number in well_of_{counted[1]} (6, 12, 24, 48, 96, 384 or 1536)."
            if counted
            else ""
        )
        return (
            f"Its names can be read by a pattern:\n  nucbatch inspect {root} --pattern {shlex.quote(pattern)}"
            f"{doubt}"
        )
    return (
        "Give --pattern with a regex whose groups say well (or row and column), site, channel, z and t; or a "
        "LoadData CSV that names a file for each field and channel; or export the plate as OME-Zarr. If it "
        "holds several plates, give the folder of one."
    )


def _beside_pictures(listing: Listing, signs: PlateEvidence) -> str:
    if signs.folders == ("",):
        return "It holds a plate beside folders of other images: put each into a folder of its own."
    paths = (printable(shlex.quote(f"{listing.root}/{folder}".rstrip("/"))) for folder in signs.folders[:6])
    return "It holds a plate beside other images. Look at the plate alone:\n" + "\n".join(
        f"  nucbatch inspect {path}" for path in paths
    )


def _apart(listing: Listing, paths: list[str], signs: PlateEvidence) -> list[str]:
    """Lists the folders below the input if they hold plates of several instruments and no other images."""
    makers: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        maker = next((g.maker for g in signs.grammars if g.compiled().search(path)), "")
        makers[path.partition("/")[0] if "/" in path else ""].add(maker)
    for path, maker in signs.side_files.items():
        if "/" in path and path.partition("/")[0] in makers:
            makers[path.partition("/")[0]].add(maker)
    known = {maker for of_folder in makers.values() for maker in of_folder if maker}
    if "" in makers or len(makers) < 2 or len(known) < 2:
        return []
    if len({frozenset(of_folder) for of_folder in makers.values()}) < 2:
        return []
    return sorted(makers)
