"""The fields of a run that are most worth labelling first: doubtful, and different from one another.

At most ``among`` fields are looked at, spread evenly over the run, so that the time does not grow with the
plate. Of images of more than ``WHOLE_PX`` a side, windows of ``WINDOW_PX`` are suggested instead. The same
run always gives the same fields.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import InputError, InputNotFound
from nucbatch.core.tiles import Box, Grid
from nucbatch.review.appearance import appearance
from nucbatch.review.choose import choose
from nucbatch.review.doubt import doubt_of
from nucbatch.review.label_folder import LabelFolder
from nucbatch.review.reviewed_run import ReviewedRun
from nucbatch.store.atomic import replacing
from nucbatch.store.sheets import neutral

AMONG = 1000
WHOLE_PX = 2176
WINDOW_PX = 1024

COLUMNS = (
    "Rank", "Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Time", "Metadata_Image", "Name",
    "Window_Top_px", "Window_Left_px", "Window_Height_px", "Window_Width_px", "Count_Nuclei", "Doubt",
    "Fields_StoodFor", "Flags",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Candidate:
    """A field, or a window of a large one, that may be labelled.

    Attributes:
        group: of the field inside the run's OME-Zarr.
        box: the window; the whole field if it is not large.
    """

    group: str
    box: Box


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A field or window to label.

    Attributes:
        candidate: the place.
        doubt: 0 for nuclei that are the same at any threshold, 1 for nuclei that no two thresholds share.
        nuclei: number of nuclei that the run found there.
        stands_for: number of the fields looked at that look more like this one than like another suggestion;
            itself included.
    """

    candidate: Candidate
    doubt: float
    nuclei: int
    stands_for: int


@dataclass(frozen=True, slots=True)
class Suggestions:
    """What is suggested, the most worthwhile first.

    Attributes:
        chosen: the suggestions.
        looked_at: number of fields (or windows) that were looked at.
        of: number that the run has.
        predicted: how many of those looked at had no kept probabilities.
    """

    chosen: tuple[Suggestion, ...]
    looked_at: int
    of: int
    predicted: int


def candidates(run: ReviewedRun, groups: Iterable[str]) -> list[Candidate]:
    """Lists the fields, and the windows of those that are large, in the order of ``groups``."""
    found = []
    for group in groups:
        row = run.row(group)
        height, width = int(row["Height_px"]), int(row["Width_px"])
        if max(height, width) <= WHOLE_PX:
            found.append(Candidate(group, Box(0, 0, height, width)))
            continue
        grid = Grid(height, width, min(WINDOW_PX, height), min(WINDOW_PX, width))
        rows, columns = grid.shape
        boxes = (grid.box(*place) for place in np.ndindex(rows, columns))
        found += [Candidate(group, box) for box in boxes if min(box.shape) * 2 > WINDOW_PX]
    return found


def suggest(
    run: ReviewedRun,
    count: int,
    *,
    groups: Iterable[str] | None = None,
    among: int = AMONG,
    threads: int = 1,
    on_field: Callable[[], None] = lambda: None,
) -> Suggestions:
    """Chooses fields to label.

    Args:
        run: the run.
        count: number of fields.
        groups: the fields to choose from; None for all that were counted.
        among: largest number of fields to look at.
        threads: number of fields to look at at once.
        on_field: called after each field.

    Raises:
        InputError: no field was counted, or no network found the nuclei.
        StoreError, WeightsError: see :meth:`ReviewedRun.maps`.
    """
    if not run.has_network:
        raise InputError(
            f"{run.folder.path} has masks that were made elsewhere: without probabilities there is no doubt "
            "to go by. Give a run of nucbatch run."
        )
    every = candidates(run, run.fields["Metadata_Image"] if groups is None else groups)
    if not every:
        raise InputError(f"{run.folder.path} has no counted field to choose from.")
    looked_at = spread(every, max(among, count))
    doubt, looks, nuclei = np.zeros(len(looked_at)), [], []
    with ThreadPoolExecutor(threads) as pool:
        for place, (doubtful, look, number) in enumerate(pool.map(lambda one: _look(run, one), looked_at)):
            doubt[place] = doubtful
            looks.append(look)
            nuclei.append(number)
            on_field()
    chosen, stands_for = choose(np.array(looks), doubt, count)
    predicted = sum(not run.keeps_maps(one.group, one.box) for one in looked_at)
    suggestions = tuple(
        Suggestion(looked_at[place], float(doubt[place]), nuclei[place], int((stands_for == place).sum()))
        for place in chosen
    )
    return Suggestions(suggestions, len(looked_at), len(every), predicted)


def spread(every: list[Candidate], most: int) -> list[Candidate]:
    """Returns at most ``most`` candidates, spread evenly over the list.

    >>> [one.group for one in spread([Candidate(str(n), Box(0, 0, 1, 1)) for n in range(9)], 3)]
    ['1', '4', '7']
    """
    if len(every) <= most:
        return every
    return [every[(2 * place + 1) * len(every) // (2 * most)] for place in range(most)]


def _look(run: ReviewedRun, one: Candidate) -> tuple[float, NDArray[np.float64], int]:
    """Returns doubt, looks and number of nuclei of a field or window."""
    box = run.window(one.group, one.box)
    labels = run.labels(one.group, one.box)
    doubt = round(doubt_of(run.maps(one.group, box), run.settings.objects), 4)
    looks = appearance(run.image(one.group, box), run.constants(one.group), labels)
    return doubt, looks, len(np.unique(labels[labels > 0]))


def write_suggestions(path: Path, run: ReviewedRun, found: Suggestions) -> None:
    """Writes the suggestions as CSV, one row each, with :data:`COLUMNS`.

    Raises:
        StoreError: the file can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([neutral(value) for value in row] for row in rows_of(run, found))


def read_suggestions(path: Path, run: ReviewedRun, groups: Iterable[str]) -> list[Candidate]:
    """Reads the places of a table of suggestions, in its order; those of other fields are left out.

    Raises:
        InputNotFound: there is no such file.
        InputError: it is no such table, or names a field that the run lacks.
    """
    if not path.is_file():
        raise InputNotFound(f"{path} does not exist: give a table of nucbatch suggest.")
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    wanted, found = set(groups), []
    for row in rows:
        group = row.get("Metadata_Image") or ""
        try:
            top, left, height, width = (
                int(row[f"Window_{side}_px"]) for side in ("Top", "Left", "Height", "Width")
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} is no table of nucbatch suggest ({error}).") from error
        box = Box(top, left, top + height, left + width)
        if group not in run.fields.index or box != box.clipped(Box(0, 0, *run.shape(group))):
            raise InputError(
                f"{path} names {group!r}, which {run.folder.path} has not: it is of another run."
            )
        if group in wanted:
            found.append(Candidate(group, box))
    return found


def rows_of(run: ReviewedRun, found: Suggestions) -> Iterator[tuple[object, ...]]:
    """Yields a row of :data:`COLUMNS` for each suggestion."""
    for rank, one in enumerate(found.chosen, 1):
        row = run.row(one.candidate.group)
        box = one.candidate.box
        yield (
            rank, row["Metadata_Plate"], row["Metadata_Well"], int(row["Metadata_Site"]),
            int(row["Metadata_Time"]), one.candidate.group, row["Name"], box.y0, box.x0, *box.shape,
            one.nuclei, one.doubt, one.stands_for, row["Flags"],
        )  # fmt: skip


def export_suggestions(folder: LabelFolder, run: ReviewedRun, found: Suggestions) -> None:
    """Writes the suggested images, with the run's labels as a start, into a folder for labelling.

    Raises:
        InputError, StoreError: see :meth:`LabelFolder.add`.
    """
    for one in found.chosen:
        labels = run.labels(one.candidate.group, one.candidate.box)
        folder.add(run, one.candidate.group, one.candidate.box, labels, corrected=False)
