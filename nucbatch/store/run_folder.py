"""Layout of a run's folder.

A folder with ``.nucbatch/format`` or a ledger is a run. A folder that holds anything else is never written
to.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nucbatch.core.errors import StoreError
from nucbatch.core.plate import Field
from nucbatch.store.atomic import cannot_write, write_text

FORMAT = "3"

_NAMES = re.compile(r"[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths of a run's folder; :meth:`create` is the first to touch the disk.

    Attributes:
        path: the folder.
        zarr: OME-Zarr store outside the folder that holds the images; None for one inside.
        in_place: root of the input, an OME-Zarr of the user's into whose images the labels are written; None
            if they aren't.
    """

    path: Path
    zarr: Path | None = None
    in_place: Path | None = None

    @property
    def plate_zarr(self) -> Path:
        """OME-Zarr HCS store of a plate."""
        return self.path / "plate.zarr"

    @property
    def images_zarr(self) -> Path:
        """OME-Zarr images of a collection that is not a plate."""
        return self.path / "images.zarr"

    @property
    def labels(self) -> Path:
        """Folder of label TIFFs."""
        return self.path / "labels"

    @property
    def nuclei(self) -> Path:
        """Table with one row per nucleus."""
        return self.path / "nuclei.parquet"

    @property
    def nuclei_csv(self) -> Path:
        """The same table as CSV, on request."""
        return self.path / "nuclei.csv"

    @property
    def fields(self) -> Path:
        """Table with one row per field."""
        return self.path / "fields.parquet"

    @property
    def wells(self) -> Path:
        """Table with one row per well."""
        return self.path / "wells.csv"

    @property
    def assay(self) -> Path:
        """Table of the controls' separation, if controls are named."""
        return self.path / "assay.csv"

    @property
    def doses(self) -> Path:
        """Table of dose-response curves, if doses are named."""
        return self.path / "doses.csv"

    @property
    def normalised(self) -> Path:
        """Table of the wells relative to their controls, if controls are named."""
        return self.path / "normalised.csv"

    @property
    def metadata(self) -> Path:
        """The user's table of wells, as it was given."""
        return self.hidden / "metadata.csv"

    @property
    def files(self) -> Path:
        """Table with one row per file found."""
        return self.path / "files.csv"

    @property
    def images_csv(self) -> Path:
        """Table of a conversion, with one row per image."""
        return self.path / "images.csv"

    @property
    def report(self) -> Path:
        """Report, a single file."""
        return self.path / "report.html"

    @property
    def run_json(self) -> Path:
        """Versions, settings, environment, timings."""
        return self.path / "run.json"

    @property
    def hidden(self) -> Path:
        """Folder of files that only nucbatch reads."""
        return self.path / ".nucbatch"

    @property
    def ledger(self) -> Path:
        """Append-only record of committed fields."""
        return self.hidden / "ledger.jsonl"

    @property
    def lock(self) -> Path:
        """File whose lock a driver holds while it works here."""
        return self.hidden / "lock"

    @property
    def session(self) -> Path:
        """What the last session set out to do, for ``nucbatch status``."""
        return self.hidden / "session.json"

    @property
    def plate(self) -> Path:
        """Cached plate, so that file headers need not be read again."""
        return self.hidden / "plate.json"

    @property
    def compared(self) -> Path:
        """Record of the input with which all done fields were compared."""
        return self.hidden / "compared"

    @property
    def fragments(self) -> Path:
        """Folder of the table fragments, one per field."""
        return self.hidden / "fragments"

    @property
    def scratch(self) -> Path:
        """Folder of large images' intermediate files; their probabilities stay there."""
        return self.hidden / "scratch"

    @property
    def probabilities(self) -> Path:
        """Folder of the probabilities of fields of one block, kept on request."""
        return self.hidden / "probabilities"

    @property
    def logs(self) -> Path:
        """Folder of the logs: one file per session, and those of workers and SLURM jobs."""
        return self.hidden / "logs"

    @property
    def warnings(self) -> Path:
        """The warnings of all sessions, one JSON object per line, for the report."""
        return self.logs / "warnings.jsonl"

    @property
    def has_zarr(self) -> bool:
        """Whether there is an OME-Zarr of the run, in the folder or outside it."""
        return self.zarr is not None or self.plate_zarr.is_dir() or self.images_zarr.is_dir()

    def store(self, is_plate: bool) -> Path:
        """Returns the OME-Zarr store of a plate, or of a collection that is not a plate."""
        if self.zarr is not None:
            return self.zarr
        return self.plate_zarr if is_plate else self.images_zarr

    def image_group(self, is_plate: bool, field: Field) -> Path:
        """Returns the OME-Zarr group of a field's image, into which its labels are written.

        Raises:
            StoreError: the group would lie outside the store.
        """
        if self.in_place is not None:
            return self.in_place.joinpath(*PurePosixPath(field.planes[0].path).parts)
        return inside(self.store(is_plate), field.group)

    def shown(self, path: Path) -> str:
        """Returns a path for a message: below the folder, or whole if it lies elsewhere."""
        return str(path.relative_to(self.path) if path.is_relative_to(self.path) else path)

    def fragment(self, key: str) -> Path:
        """Returns the path of a field's table fragment.

        Its suffix is that of earlier versions, so that their runs continue; see
        :mod:`nucbatch.store.fragments` for what it holds.

        Raises:
            StoreError: the key would lead outside the folder.
        """
        below = inside(self.fragments, key)
        return below.with_name(f"{below.name}.parquet")

    def kept_maps(self, key: str) -> Path:
        """Returns the path of a field's kept probabilities.

        Raises:
            StoreError: the key would lead outside the folder.
        """
        below = inside(self.probabilities, key)
        return below.with_name(f"{below.name}.maps")

    def label_tiff(self, name: str) -> Path:
        """Returns the path of a field's label TIFF.

        Raises:
            StoreError: the name would lead outside the folder.
        """
        below = inside(self.labels, name)
        return below.with_name(f"{below.name}.tif")

    def is_run(self) -> bool:
        """Returns whether a run was started here, even if its format file is missing."""
        return self.format_file.is_file() or self.ledger.is_file()

    def require_usable(self) -> None:
        """Checks that a run can be started or continued here. Writes nothing.

        Raises:
            StoreError: the path is a file, a non-empty folder that is not a run, a run of another format, not
                writeable, or not valid UTF-8.
        """
        try:
            str(self.path).encode()
        except UnicodeEncodeError as error:
            shown = os.fsencode(self.path).decode(errors="backslashreplace")
            raise StoreError(f"{shown} is not valid UTF-8: choose another folder with -o.") from error
        try:
            there = next(path for path in (self.path, *self.path.absolute().parents) if path.exists())
            if not there.is_dir():
                raise StoreError(
                    f"{there} is a file: a run needs a folder. Choose an empty or a new one with -o."
                )
            if not os.access(there, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(there))
            if self.path.exists():
                self._check_format() if self.is_run() else self._check_empty()
        except StoreError:
            raise
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def create(self) -> None:
        """Creates the folder, or prepares an existing run's folder.

        Raises:
            StoreError: as :meth:`require_usable`.
        """
        self.require_usable()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.hidden.mkdir(exist_ok=True)
            self.fragments.mkdir(exist_ok=True)
            self.logs.mkdir(exist_ok=True)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        if not self._found_format():
            write_text(self.format_file, f"{FORMAT}\n")

    @property
    def format_file(self) -> Path:
        """The format of the folder, by which a run is recognised."""
        return self.hidden / "format"

    def _found_format(self) -> str:
        """Reads the folder's format; empty if its file is missing or damaged."""
        if not self.format_file.is_file():
            return ""
        found = self.format_file.read_bytes().strip()
        return found.decode() if found.isdigit() else ""

    def _check_format(self) -> None:
        found = self._found_format()
        if found not in (FORMAT, ""):
            raise StoreError(
                f"{self.path} has format {found} of a run's folder, this version of nucbatch reads format "
                f"{FORMAT}. Use the version that wrote it, or choose another folder with -o."
            )

    def _check_empty(self) -> None:
        foreign = sorted(entry.name for entry in self.path.iterdir() if entry != self.hidden)
        if foreign:
            shown = ", ".join(foreign[:3]) + (f" and {len(foreign) - 3} more" if len(foreign) > 3 else "")
            raise StoreError(
                f"{self.path} is no run of nucbatch and not empty: it holds {shown}. Choose an empty or a "
                "new folder with -o."
            )


def inside(folder: Path, name: str) -> Path:
    """Returns the path of ``name`` (parts divided by ``/``) below ``folder``.

    Raises:
        StoreError: a part is empty, ``.`` or ``..``, or has characters other than A-Z a-z 0-9 . _ and -.
    """
    if not all(_NAMES.fullmatch(part) for part in name.split("/")):
        raise StoreError(
            f"{name!r} is not a valid name in a run's folder: its parts must consist of A-Z, a-z, 0-9, '.', "
            "'_' and '-', and not of dots alone."
        )
    return folder.joinpath(*PurePosixPath(name).parts)
