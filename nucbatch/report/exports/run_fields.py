"""The fields of a run that can be exported, finished or not, and their masks by box."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from nucbatch.core.errors import InputNotFound, StoreError, UnreadableImage
from nucbatch.core.plate import Field, Plate, field_rows, file_rows
from nucbatch.core.selection import Selection
from nucbatch.core.tiles import Box
from nucbatch.object_store import ObjectPath
from nucbatch.readers.formats import open_plane
from nucbatch.readers.plate_cache import load_plate
from nucbatch.store.ledger import latest_receipts, read_header
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stored_images import open_labels_of
from nucbatch.store.stored_run import stored_run

_LARGEST_PX = 4096
"""Longest side of an image whose masks are held as a whole."""


@dataclass(frozen=True, slots=True)
class RunField:
    """One field: its place, its status as in fields.parquet, why it has no masks, and its nuclei."""

    field: Field
    status: str
    reason: str
    nuclei: int | None


@dataclass(frozen=True, slots=True)
class RunFields:
    """The fields of a run, in the plate's order. ``plate``: name of the plate."""

    folder: RunFolder
    plate: str
    fields: tuple[RunField, ...]

    def selected(self, selection: Selection) -> RunFields:
        """Leaves the fields of some wells, sites and time points.

        Raises:
            InputError: the run has none of what is selected.
        """
        fields = field_rows(one.field for one in self.fields)
        selection.require_in(
            Plate(self.plate, "", "", (), fields, file_rows(()), bool(fields and fields[0].well))
        )
        return RunFields(
            self.folder, self.plate, tuple(one for one in self.fields if selection.includes(one.field))
        )


class Masks(Protocol):
    """Labels of one field, read by box."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(Y, X) in px."""
        ...

    def read(self, box: Box) -> npt.NDArray[np.uint32]:
        """Reads the labels (Y, X) of a box."""
        ...


def fields_of(path: Path) -> RunFields:
    """Reads the fields of a run, and how far each is.

    Raises:
        InputNotFound: there is no such folder. StoreError: it is no run, or has not begun.
    """
    folder = RunFolder(path)
    if not path.exists():
        raise InputNotFound(f"{path} does not exist: give the output folder of a run.")
    if not folder.is_run():
        raise StoreError(f"{path} is no run of nucbatch: give the folder that was the -o of nucbatch run.")
    return fields_in(folder)


@contextmanager
def fields_at(out: Path) -> Iterator[RunFields]:
    """Opens the fields of a run in a folder, or at an address in a store.

    Raises:
        As :func:`fields_of`. InputError: the store refuses, or does not answer.
    """
    if isinstance(out, ObjectPath):
        with stored_run(out, fragments=True) as run:
            yield fields_in(run.folder)
    else:
        yield fields_of(out)


def fields_in(folder: RunFolder) -> RunFields:
    """Reads the fields of a run in a folder, or of one in a store whose tables were fetched.

    Raises:
        StoreError: the run has not begun.
    """
    receipts = latest_receipts(folder)
    found = []
    for field, status, reason, nuclei in _listed(folder):
        receipt = receipts.get(field.key)
        if receipt is not None:
            status, reason, nuclei = receipt.status, receipt.reason, receipt.nuclei
        found.append(RunField(field, status, reason, nuclei if status == "done" else None))
    return RunFields(folder, str(read_header(folder).get("plate", "")), tuple(found))


@contextmanager
def masks_of(folder: RunFolder, field: Field) -> Iterator[Masks]:
    """Opens the masks of a field that is done.

    Raises:
        StoreError: they are missing, or lie in the input (``--in-place``).
    """
    tiff = folder.label_tiff(field.name)
    if folder.has_zarr:
        yield open_labels_of(folder, field.group)
    elif tiff.is_file():
        with ExitStack() as stack:
            try:
                plane = stack.enter_context(open_plane(tiff))
            except UnreadableImage as error:
                raise StoreError(f"{tiff} can't be read: {error}.") from error
            yield plane
    else:
        raise StoreError(
            f"{folder.path} has no masks of {field.name}. Those of a run with --in-place are in the images "
            "of its input: convert them with another program, or run again without --in-place."
        )


def is_large(masks: Masks) -> bool:
    """Tells whether masks are to be read in parts."""
    return max(masks.shape) > _LARGEST_PX


def whole(masks: Masks) -> npt.NDArray[np.uint32]:
    """Reads all labels (Y, X) uint32 of a field.

    Raises:
        StoreError: they can't be read.
    """
    return read(masks, Box(0, 0, masks.shape[0], masks.shape[1]))


def read(masks: Masks, box: Box) -> npt.NDArray[np.uint32]:
    """Reads the labels (Y, X) uint32 of a box.

    Raises:
        StoreError: they can't be read.
    """
    try:
        return np.asarray(masks.read(box), np.uint32)
    except UnreadableImage as error:
        raise StoreError(f"the masks can't be read: {error}.") from error


def _listed(folder: RunFolder) -> Iterator[tuple[Field, str, str, int | None]]:
    """The fields in the table of a finished run; else in the plate as the run has read it.

    Raises:
        StoreError: there is neither.
    """
    if folder.fields.is_file():
        names = [
            "Name",
            "Metadata_Image",
            "Metadata_Well",
            "Metadata_Site",
            "Metadata_Time",
            "Status",
            "Reason",
        ]
        table = pd.read_parquet(folder.fields, columns=[*names, "Count_Nuclei"])
        for name, group, well, site, t, status, reason, nuclei in table.itertuples(index=False, name=None):
            field = Field(well or "", int(site), int(t), group, name, (), 0, 0, "")
            yield field, status, reason or "", None if pd.isna(nuclei) else int(nuclei)
        return
    known = ""
    if folder.plate.is_file():
        with folder.plate.open("rb") as file:
            known = file.readline().decode(errors="replace").partition(" ")[0]
    plate = load_plate(folder.plate, known, "") if known else None
    if plate is None:
        raise StoreError(
            f"{folder.path} has neither fields.parquet nor a list of its fields: finish the run first, with "
            "the same command again."
        )
    for field in plate.fields:
        yield field, "quarantined" if field.problem else "pending", field.problem, None
