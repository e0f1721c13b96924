"""``nucbatch.open_run``: the tables, images and labels of a run's folder."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pandas as pd

from nucbatch.api.lazy_images import label_tiff, source_array, stored_array
from nucbatch.core.errors import InputError, InputNotFound, StoreError
from nucbatch.core.plate_geometry import plausible_well
from nucbatch.labels.run_images import RunImages
from nucbatch.object_store import ObjectPath, as_path
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stored_images import image_array, labels_array

if TYPE_CHECKING:
    import dask.array as da

_TEXT = ("Metadata_Plate", "Metadata_Well", "Series", "Measure", "path", "reason", "plate", "well", "channel")
_MOST_SHOWN = 12


def open_run(out: str | Path) -> Run:
    """Opens the folder of a run that has ended, or was stopped and has tables of an earlier session.

    Args:
        out: the folder or the address, as given to ``nucbatch.run`` or to ``nucbatch run -o``.

    Raises:
        InputNotFound: there is no such folder.
        StoreError: it is not a run's folder.

    Examples:
        >>> import nucbatch as nb
        >>> run = nb.open_run("out")
        >>> sorted(run.wells["Metadata_Well"])
        ['B02', 'B03']
        >>> run.labels("B02").shape, run.image("B02").shape, run.image("B02", channel="FITC").shape
        ((160, 160), (2, 160, 160), (160, 160))
    """
    folder = RunFolder(as_path(out))
    in_store = isinstance(folder.path, ObjectPath)
    if not in_store and not folder.path.exists():
        raise InputNotFound(f"{out} does not exist: give the folder that was the output of a run.")
    if not (folder.run_json.is_file() if in_store else folder.is_run()):
        raise StoreError(f"{out} is no run of nucbatch: give the folder that was the output of a run.")
    return Run(folder)


class Run:
    """A run's folder: its tables as pandas, its images and labels as Dask arrays.

    Tables are read when they are first used, pixels when an array is computed.

    Attributes:
        path: the folder.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self.path = folder.path

    def __repr__(self) -> str:
        if not self._folder.fields.is_file():
            return f"<run in {self.path}: not finished>"
        status = self.fields["Status"].value_counts().to_dict()
        fields = ", ".join(f"{count:,} {name}" for name, count in status.items())
        nuclei = int(self.fields["Count_Nuclei"].sum())
        return f"<run in {self.path}: {nuclei:,} nuclei; fields: {fields}>"

    @cached_property
    def nuclei(self) -> pd.DataFrame:
        """One row per nucleus."""
        return pd.read_parquet(self._readable(self._folder.nuclei))

    @cached_property
    def fields(self) -> pd.DataFrame:
        """One row per field, with its status and reason."""
        return pd.read_parquet(self._readable(self._folder.fields))

    @cached_property
    def wells(self) -> pd.DataFrame:
        """One row per well and time point."""
        return self._csv(self._folder.wells)

    @cached_property
    def files(self) -> pd.DataFrame:
        """One row per file found: used, ignored or quarantined, and why."""
        return self._csv(self._folder.files)

    @cached_property
    def assay(self) -> pd.DataFrame:
        """Controls of each measure: their means, Z' and SSMD."""
        return self._csv(self.path / "assay.csv", "the controls: give positive and negative")

    @cached_property
    def doses(self) -> pd.DataFrame:
        """One row per fitted dose–response curve."""
        return self._csv(self.path / "doses.csv", "the doses: give dose, the column that holds them")

    @cached_property
    def settings(self) -> dict[str, Any]:
        """run.json: versions, settings, model and timings."""
        path = self._existing(self._folder.run_json)
        try:
            content = json.loads(path.read_bytes())
        except ValueError as error:
            raise StoreError(f"{path} is not JSON ({error}): the same run again rewrites it.") from error
        if not isinstance(content, dict):
            raise StoreError(f"{path} is not a JSON object: the same run again rewrites it.")
        return content

    @cached_property
    def channels(self) -> list[str]:
        """Names of the channels, as they are in the first counted field."""
        done = self.fields[self.fields["Status"] == "done"]
        if done.empty:
            raise InputError(f"no field of {self.path} was counted: see .fields for the reasons.")
        self._require_images()
        return self._images.channels(str(done["Metadata_Image"].iloc[0]))

    @property
    def report(self) -> Path:
        """The report, a single HTML file."""
        return self._folder.report

    def image(
        self,
        name: str = "",
        *,
        channel: str | Iterable[str] | None = None,
        site: int | None = None,
        time: int | None = None,
        level: int = 0,
    ) -> da.Array:
        """The image of a field, as it was read.

        With ``images="none"`` it is read from the files of the input.

        Args:
            name: a well, such as "B03"; or the name of an image that belongs to no plate. May be left out if
                the run has one field.
            channel: name of the channel, or several names; by default all channels.
            site: of the well's fields the one with this number, from 1; may be left out if it has one.
            time: time point, from 0; likewise.
            level: of the pyramid; 0 is the full resolution, each further one has half of it.

        Returns:
            (Y, X) of a channel that is named, or the only one; else (C, Y, X), in the order of the names, or
            in that of ``channels``.

        Raises:
            InputError: there is no such field or channel, there are several such fields, or the field wasn't
                counted.
            StoreError: the run has no images, or they can't be read; with ``images="none"`` when the array is
                computed.
        """
        field = self._field(name, site, time)
        self._require_images()
        group = str(field["Metadata_Image"])
        if self._images.are_copied:
            pixels = stored_array(image_array(self._folder, group, level))
        else:
            pixels = source_array(self._images.source(group), level)
        names = self._images.channels(group)
        if channel is None:
            return pixels if len(names) > 1 else pixels[0]
        wanted = [channel] if isinstance(channel, str) else list(channel)
        if missing := [one for one in wanted if one not in names]:
            raise InputError(f"{field['Name']} has no channel {missing[0]}: it has {', '.join(names)}.")
        chosen = pixels[[names.index(one) for one in wanted]]
        return chosen[0] if isinstance(channel, str) else chosen

    def labels(
        self, name: str = "", *, site: int | None = None, time: int | None = None, level: int = 0
    ) -> da.Array:
        """The labels of a field: (Y, X) uint32, the numbers are ``Metadata_ObjectNumber`` of ``nuclei``.

        Args:
            name: as of :meth:`image`, like the others.
            site: number of the field.
            time: time point.
            level: of the pyramid.

        Raises:
            InputError: there is no such field, there are several, or it wasn't counted.
            StoreError: the run has no labels of its own, or they can't be read.
        """
        field = self._field(name, site, time)
        if self._labels_in == "tiff":
            self._require_folder("label TIFFs alone")
            if level:
                raise InputError(f"level {level} does not exist: label TIFFs have the full resolution alone.")
            shape = int(field["Height_px"]), int(field["Width_px"])
            return label_tiff(self._folder.label_tiff(str(field["Name"])), shape)
        self._require_images()
        return stored_array(labels_array(self._folder, str(field["Metadata_Image"]), level))

    @cached_property
    def _images(self) -> RunImages:
        return RunImages(self._folder)

    @property
    def _labels_in(self) -> str:
        settings = self.settings.get("settings")
        return str(settings.get("labels") if isinstance(settings, dict) else "")

    def _require_images(self) -> None:
        settings = self.settings.get("settings")
        if isinstance(settings, dict) and settings.get("images") == "none":
            self._require_folder("no copies of the images")
        if self._labels_in == "tiff":
            raise StoreError(
                f"{self.path} has label TIFFs alone, and no copy of the images: run it with labels "
                '"zarr" or "both" to keep them.'
            )
        if self._labels_in == "in-place":
            raise StoreError(
                f"{self.path} was run in place: images and labels are in the OME-Zarr that was its input. "
                "Open them there, in labels/nuclei of each image."
            )

    def _require_folder(self, what: str) -> None:
        if isinstance(self.path, ObjectPath):
            raise StoreError(
                f"{self.path} has {what}, which only a folder opens: `nucbatch copy {self.path} DIR`."
            )

    def _field(self, name: str, site: int | None, time: int | None) -> pd.Series[Any]:
        """The row of one counted field.

        Raises:
            InputError: there is none, there are several, or it wasn't counted.
        """
        found = self.fields
        if name:
            well = plausible_well(name)
            named = (found["Metadata_Well"] == well) & bool(well)
            named |= (found["Name"] == name) | (found["Metadata_Image"] == name)
            if not named.any():
                every = [one for one in dict.fromkeys(found["Metadata_Well"]) if one] or list(found["Name"])
                raise InputError(f"{self.path} has no well or image {name!r}: it has {_listed(every)}.")
            found = found[named]
        for column, key, value in (("Metadata_Site", "site", site), ("Metadata_Time", "time", time)):
            there = sorted(set(found[column]))
            if value is not None and value not in there:
                raise InputError(f"{name or self.path} has no {key} {value!r}: it has {_listed(there)}.")
            if value is not None:
                found = found[found[column] == value]
        if len(found) > 1:
            raise InputError(f"{name or self.path} has {len(found):,} fields: {_difference(found)}.")
        field = found.iloc[0]
        if field["Status"] != "done":
            raise InputError(f"{field['Name']} was not counted ({field['Status']}): {field['Reason']}.")
        return field

    def _csv(self, path: Path, asked: str = "") -> pd.DataFrame:
        # A well or a plate may be named NA or 001: only an empty cell is a missing value.
        text = dict.fromkeys(_TEXT, str)
        return pd.read_csv(self._readable(path, asked), keep_default_na=False, na_values=[""], dtype=text)

    def _readable(self, path: Path, asked: str = "") -> Path | BinaryIO:
        """Returns a table's path, or its bytes if it is an object."""
        path = self._existing(path, asked)
        return BytesIO(path.read_bytes()) if isinstance(path, ObjectPath) else path

    def _existing(self, path: Path, asked: str = "") -> Path:
        if path.is_file():
            return path
        if asked and self._folder.fields.is_file():
            raise StoreError(f"{self.path} has no {path.name}, because the run wasn't told {asked}.")
        raise StoreError(f"{self.path} has no {path.name}: the same run again finishes it.")


def _listed(values: Iterable[object]) -> str:
    every = list(map(str, values))
    more = f" and {len(every) - _MOST_SHOWN} more" if len(every) > _MOST_SHOWN else ""
    return ", ".join(every[:_MOST_SHOWN]) + more


def _difference(found: pd.DataFrame) -> str:
    """Continues "B03 has 4 fields: " with how to name one."""
    for column, key in (
        ("Metadata_Well", "the first argument"),
        ("Metadata_Site", "site"),
        ("Metadata_Time", "time"),
    ):
        values = list(dict.fromkeys(found[column]))
        if len(values) > 1:
            return f"choose one with {key}: {_listed(values)}"
    return f"choose one by its name: {_listed(found['Name'])}"
