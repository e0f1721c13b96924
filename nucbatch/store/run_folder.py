"""Layout of a run's folder, and which of its files belong to the run.

A folder with ``.nucbatch/format`` or a ledger is a run. A folder that holds anything else is never written
to. Clearing removes only files written by a run: a hand-drawn label group inside the OME-Zarr, or a note
beside the tables, stays.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nucbatch.core.errors import StoreError
from nucbatch.core.plate import Field
from nucbatch.store.atomic import PARTIAL, cannot_write, write_text
from nucbatch.store.label_tiff import is_label_tiff

FORMAT = "3"

_NAMES = re.compile(r"[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*")
_CHUNK = re.compile(r"\d+/(c[/.])?\d+([/.]\d+)+$")
_DOCUMENTS = frozenset({"zarr.json", ".zgroup", ".zattrs", ".zarray"})


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
        return self._format.is_file() or self.ledger.is_file()

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
            write_text(self._format, f"{FORMAT}\n")

    def clear(self, *, keep_maps: bool = False, keep_images: bool = False, keep: Path | None = None) -> None:
        """Removes the files of a run and prepares the folder for a new one, under the run lock.

        The ledger goes first, then the table fragments. If clearing is interrupted, no field counts as done
        whose files are incomplete.

        Args:
            keep_maps: keep the probabilities, the large images' other intermediate files, and the description
                of the experiment, for a run that is made anew from them.
            keep_images: keep the OME-Zarr, which has the copies of large images.
            keep: a log file to keep.

        Raises:
            StoreError: the folder is not a run, or a file cannot be removed.
        """
        if not self.is_run():
            raise StoreError(
                f"{self.path} is no run of nucbatch (it has no {self._format.relative_to(self.path)}), so "
                "nothing in it was removed. Leave out --restart, or choose a run's folder with -o."
            )
        try:
            self.ledger.unlink(missing_ok=True)
            _remove_below(self.fragments, lambda path, below: True)  # the ledger could be rebuilt from them
            tables = self.nuclei, self.nuclei_csv, self.fields, self.wells, self.files, self.images_csv
            of_experiment = self.assay, self.doses, self.normalised
            described = () if keep_maps else (self.metadata, self.run_json)
            for path in (*tables, *of_experiment, *described, self.report, self.session):
                path.unlink(missing_ok=True)
            if not keep_images:
                for store in (self.plate_zarr, self.images_zarr, *filter(None, [self.zarr])):
                    _remove_below(store, _is_own_zarr_file)
            _remove_below(self.labels, _is_own_tiff)
            _remove_below(self.logs, lambda path, below: path != keep)
            if not keep_maps:
                for top in (self.scratch, self.probabilities):
                    _remove_below(top, lambda path, below: True)
            for path in self.path.glob(f".*{PARTIAL}"):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"{error.filename or self.path} can't be removed: {error.strerror or error}. Set the "
                "permissions and give --restart again."
            ) from error
        self.create()

    @property
    def _format(self) -> Path:
        return self.hidden / "format"

    def _found_format(self) -> str:
        """Reads the folder's format; empty if its file is missing or damaged."""
        if not self._format.is_file():
            return ""
        found = self._format.read_bytes().strip()
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


def _remove_below(top: Path, is_own: Callable[[Path, str], bool]) -> None:
    """Removes a run's own files below ``top``, then empty folders, ``top`` included; ignores links."""
    if top.is_symlink():
        return
    for where, _, names in os.walk(top, topdown=False):
        folder = Path(where)
        for name in names:
            path = folder / name
            if name.endswith(PARTIAL) or is_own(path, path.relative_to(top).as_posix()):
                path.unlink()
        with os.scandir(folder) as left:
            empty = next(left, None) is None
        if empty:
            folder.rmdir()


def _is_own_zarr_file(path: Path, below: str) -> bool:
    """Returns whether a run writes this file; label groups other than ``nuclei`` belong to the user."""
    parts = below.split("/")
    # The first part is a plate's row or a collection's image, which may itself have the name "labels".
    at = parts.index("labels", 1) if "labels" in parts[1:] else None
    if at is not None and parts[at + 1] not in {"nuclei", *_DOCUMENTS}:
        return False
    return path.name in _DOCUMENTS or _CHUNK.search(below) is not None


def _is_own_tiff(path: Path, below: str) -> bool:
    """Returns whether a run wrote this label TIFF."""
    return path.suffix == ".tif" and not path.is_symlink() and is_label_tiff(path)
