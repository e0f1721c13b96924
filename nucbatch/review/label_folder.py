"""A folder of images and labels for ``nucbatch train``, filled from a run, with the origin of each pair.

``images/`` and ``labels/`` hold files of one name. ``split.csv`` keeps images of one well in one split.
``provenance.csv`` records, for each pair, the run, field and model that it comes from, and what was changed.
Labels that a person has not saved keep the mark of a run's own label images, so that training warns of them.

An image that the network saw at another scale is saved at that scale, because a network is trained at the
scale of its images.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from nucbatch.core.errors import InputError, StoreError
from nucbatch.core.tiles import Box, scaled_shape
from nucbatch.inference.resample import resampled
from nucbatch.review.reviewed_run import ReviewedRun
from nucbatch.store.atomic import cannot_write, write_bytes, write_text
from nucbatch.store.label_tiff import write_label_tiff
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.sheets import neutral

_SPLIT, _PROVENANCE = "split.csv", "provenance.csv"


@dataclass(frozen=True, slots=True)
class Origin:
    """A row of provenance.csv.

    Attributes:
        id: name of the pair's files, without ``.tif``.
        group: plate and well, or the image's name; images of one group stay in one split.
        run: the run's folder.
        image: the field's group inside the run's OME-Zarr.
        top_px: upper side of the window in the field; 0 for a whole field.
        left_px: left side, likewise.
        height_px: height in pixels of the field.
        width_px: width, likewise.
        zoom: scale at which the pair is saved.
        channel: the segmented channel; empty for RGB.
        model: name of the model that found the nuclei.
        model_sha256: hash of its weights.
        nucbatch_settings_sha256: digest of the run's settings.
        foreground: threshold from which the correction started.
        peak: likewise.
        nuclei_found: number of nuclei that the run found there.
        nuclei_saved: number of nuclei in the labels.
        changed_px: number of pixels, in the field, whose nucleus is another than in the run.
        corrected: whether a person saved the labels ("yes"), or they are the run's own ("no").
        saved: date and time in UTC.
    """

    id: str
    group: str
    run: str
    image: str
    top_px: int
    left_px: int
    height_px: int
    width_px: int
    zoom: float
    channel: str
    model: str
    model_sha256: str
    nucbatch_settings_sha256: str
    foreground: float
    peak: float
    nuclei_found: int
    nuclei_saved: int
    changed_px: int
    corrected: str
    saved: str


class LabelFolder:
    """The folder, opened for adding pairs."""

    def __init__(self, path: Path) -> None:
        """Opens a folder; a new one is created when the first pair is added.

        Raises:
            InputError: it is a run's folder, a file, or holds labelled images from elsewhere.
        """
        self.path = path
        if RunFolder(path).is_run():
            raise InputError(f"{path} is the output of a run: choose another folder for labelled images.")
        if path.exists() and not path.is_dir():
            raise InputError(f"{path} is a file: choose a folder for labelled images.")
        if path.is_dir() and not (path / _PROVENANCE).is_file() and any(path.iterdir()):
            raise InputError(
                f"{path} is not empty and has no {_PROVENANCE}, so its content is not from nucbatch: choose "
                "a new folder. nucbatch train takes several folders together."
            )

    def origins(self) -> dict[str, dict[str, str]]:
        """Reads the rows of provenance.csv by id; empty for a new folder.

        Raises:
            StoreError: the file is damaged.
        """
        path = self.path / _PROVENANCE
        if not path.is_file():
            return {}
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        if any(not row.get("id") or not row.get("run") for row in rows):
            raise StoreError(f"{path} has a row without id or run: restore the file, or choose a new folder.")
        return {row["id"]: row for row in rows}

    def add(
        self,
        run: ReviewedRun,
        group: str,
        box: Box,
        labels: NDArray[np.integer],
        *,
        corrected: bool,
        foreground: float | None = None,
        peak: float | None = None,
    ) -> Origin:
        """Writes a field or a window of it with its labels; an earlier pair of the same place is replaced.

        A pair that was corrected is not replaced by the run's own labels.

        Args:
            run: the run.
            group: of the field.
            box: the window; the whole field if it is as large.
            labels: (Y, X) of the window; objects with one number are one nucleus.
            corrected: whether a person has saved them.
            foreground: threshold from which the correction started; None for the run's.
            peak: likewise.

        Raises:
            InputError: the folder holds a pair of this name from another run.
            StoreError: a file can't be read or written.
        """
        known = self.origins()
        found = run.labels(group, box)
        whole = run.window(group, box) is None
        zoom, objects = run.zoom(group), run.settings.objects
        row = run.row(group)
        name = str(row["Name"]).replace("/", "__") + ("" if whole else f"_y{box.y0}_x{box.x0}")
        well = str(row["Metadata_Well"])
        origin = Origin(
            id=name,
            group=f"{row['Metadata_Plate']}/{well}" if well else str(row["Name"]),
            run=str(run.folder.path.resolve()),
            image=group,
            top_px=box.y0,
            left_px=box.x0,
            height_px=box.shape[0],
            width_px=box.shape[1],
            zoom=zoom,
            channel=run.settings.channel,
            model=run.settings.model,
            model_sha256=run.settings.model_hash,
            nucbatch_settings_sha256=run.settings.digest(),
            foreground=objects.foreground if foreground is None else foreground,
            peak=objects.peak if peak is None else peak,
            nuclei_found=len(np.unique(found[found > 0])),
            nuclei_saved=len(np.unique(labels[labels > 0])),
            changed_px=changed_px(found, labels),
            corrected="yes" if corrected else "no",
            saved=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        before = known.get(name)
        if before is not None and before["run"] != origin.run:
            raise InputError(
                f"{self.path} holds {name} of another run, {before['run']}: choose another folder. nucbatch "
                "train takes several folders together."
            )
        if before is not None and before["corrected"] == "yes" and not corrected:
            return origin
        image = run.image(group, box)
        if zoom != 1:
            image, labels = _at_scale(image, zoom), _labels_at_scale(labels, zoom)
        self._write(name, image, labels, corrected=corrected)
        known[name] = {key: str(value) for key, value in asdict(origin).items()}
        self._write_tables(known)
        return origin

    def _write(
        self, name: str, image: NDArray[np.generic], labels: NDArray[np.integer], *, corrected: bool
    ) -> None:
        content = io.BytesIO()
        kind = "rgb" if image.ndim == 3 else "minisblack"
        tifffile.imwrite(content, image, photometric=kind, compression="zlib", metadata=None)
        try:
            (self.path / "images").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        write_bytes(self.path / "images" / f"{name}.tif", content.getbuffer())
        write_label_tiff(self.path / "labels" / f"{name}.tif", labels.astype(np.uint32), by_person=corrected)

    def _write_tables(self, rows: Mapping[str, Mapping[str, str]]) -> None:
        ordered = [rows[name] for name in sorted(rows)]
        names = [field.name for field in fields(Origin)]
        write_text(self.path / _PROVENANCE, _csv(names, ordered))
        write_text(self.path / _SPLIT, _csv(["id", "group"], ordered))


def changed_px(before: NDArray[np.integer], after: NDArray[np.integer]) -> int:
    """Counts the pixels that belong to another object than before, whatever the objects' numbers.

    An object after is the same as the object before with which it shares most pixels, if it is that one's
    too.
    """
    old, new = np.unique(before, return_inverse=True), np.unique(after, return_inverse=True)
    pairs, counts = np.unique(np.stack([old[1].ravel(), new[1].ravel()], axis=1), axis=0, return_counts=True)
    kept = int(counts[(old[0][pairs[:, 0]] == 0) & (new[0][pairs[:, 1]] == 0)].sum())
    taken: tuple[set[int], set[int]] = set(), set()
    for place in np.argsort(-counts, kind="stable"):
        one, other = int(pairs[place, 0]), int(pairs[place, 1])
        if old[0][one] == 0 or new[0][other] == 0 or one in taken[0] or other in taken[1]:
            continue
        taken[0].add(one)
        taken[1].add(other)
        kept += int(counts[place])
    return before.size - kept


def _csv(names: list[str], rows: list[Mapping[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([neutral(row.get(name, "")) for name in names] for row in rows)
    return text.getvalue()


def _at_scale(image: NDArray[np.generic], zoom: float) -> NDArray[np.generic]:
    """Resamples an image (Y, X) or (Y, X, 3) as the network saw it, in its own number type."""
    shape = (image.shape[0], image.shape[1])
    seen = scaled_shape(shape, zoom)
    planes = np.atleast_3d(image).transpose(2, 0, 1).astype(np.float32)
    scaled = resampled(planes, Box(0, 0, *shape), Box(0, 0, *seen), seen, shape)
    if image.dtype.kind in "iu":
        scaled = np.rint(scaled)
    pixels = scaled.astype(image.dtype).transpose(1, 2, 0)
    return pixels if image.ndim == 3 else np.ascontiguousarray(pixels[..., 0])


def _labels_at_scale(labels: NDArray[np.integer], zoom: float) -> NDArray[np.integer]:
    """Takes the label at the centre of each pixel of the scaled image."""
    rows, columns = (
        np.minimum(((np.arange(seen) + 0.5) / seen * length).astype(np.int64), length - 1)
        for seen, length in zip(
            scaled_shape((labels.shape[0], labels.shape[1]), zoom), labels.shape, strict=True
        )
    )
    return np.asarray(labels[rows[:, np.newaxis], columns])
