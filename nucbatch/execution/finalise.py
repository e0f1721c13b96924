"""After the last receipt: tables, wells and the run's card, as a function of what is on disk.

Nothing here looks at what happened in memory: the plate, the ledger and the fragments decide, so that
finalising twice, or after a restart, gives the same files.
"""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from statistics import median
from typing import Any

import pandas as pd

from nucbatch.core.plate import Field, FileStatus, Plate
from nucbatch.experiment.wells import by_well
from nucbatch.features.quality import MISSING_CHANNEL, NUCLEAR_DIAMETER, OTHER_SCALE, ZOOM, flags_of
from nucbatch.inference.scale import AS_IT_IS, Scale
from nucbatch.planning.plan import Plan
from nucbatch.readers.pixels import field_channels
from nucbatch.readers.rules import RULES
from nucbatch.store.fields_table import write_fields
from nucbatch.store.folder import RunFolder
from nucbatch.store.images import create_images
from nucbatch.store.receipt import Receipt
from nucbatch.store.sheets import FileOutcome, write_files_csv, write_wells
from nucbatch.store.stamps import TABLE
from nucbatch.store.tables import concatenate
from nucbatch.version import __version__


@dataclass(frozen=True, slots=True)
class Totals:
    """What a run found: fields and files by fate, nuclei. Quarantined fields count as failed.

    ``nuclei`` are those of all ``time_points``, so one that is followed over time counts in each.
    ``fields_lacking`` are done, but without an image in some channel that is not segmented.
    ``absent_chunks`` of the ``chunks`` of OME-Zarr images that are used are not stored.
    ``flagged``: how many fields that are done bear which flag (:data:`nucbatch.features.quality.FLAGS`).
    ``diameter_px``: the median of the fields' nuclear diameters, None without nuclei; ``rescaled``: how many
    fields the network did not see at their own scale.
    """

    fields_done: int
    fields_failed: int
    nuclei: int
    files_used: int
    files_ignored: int
    files_quarantined: int
    flagged: Mapping[str, int]
    absent_chunks: int = 0
    chunks: int = 0
    time_points: int = 1
    fields_lacking: int = 0
    diameter_px: float | None = None
    rescaled: int = 0

    @property
    def complete(self) -> bool:
        """Nothing failed, nothing was quarantined, and no channel is missing."""
        return self.fields_failed == self.files_quarantined == self.fields_lacking == 0


def finalise(
    folder: RunFolder,
    plate: Plate,
    receipts: Mapping[str, Receipt],
    *,
    pixels: bool,
    scale: Scale = AS_IT_IS,
) -> Totals:
    """Writes the tables and, if the run keeps ``pixels``, the OME-Zarr's list of images.

    ``scale`` is the run's: where it was measured for a whole plate, fields that disagree are flagged.

    Raises:
        DamagedFile: a field's table fragment is not what its receipt says.
        StoreError: a file can't be written.
    """
    unused = unused_files(plate, receipts)
    plate = _as_read(plate, receipts)
    done = [field for field in plate.fields if _is_done(field, receipts)]
    kinds = {field_channels(plate, field): folder.fragment(field.key) for field in done}
    by_order = sorted(kinds, key=lambda channels: [channel.index for channel in channels])
    examples = [kinds[channels] for channels in by_order] if len(kinds) > 1 else ()
    fragments = {folder.fragment(field.key): receipts[field.key].files.stamp(TABLE) for field in done}
    metadata = {
        folder.fragment(field.key): (("Metadata_PixelSize_um", field.pixel_size_um), *field.metadata)
        for field in done
    }
    concatenate(fragments, folder.nuclei, examples, fragments, metadata)
    flags = {
        field.key: [
            *flags_of(receipts[field.key].qc),
            *_other_scale(scale, receipts[field.key]),
            *_missing(field),
        ]
        for field in done
    }
    diameters = [receipts[field.key].qc.get(NUCLEAR_DIAMETER, 0.0) for field in done]
    write_fields(folder.fields, plate, receipts, flags)
    write_wells(folder.wells, by_well(folder.nuclei, pd.read_parquet(folder.fields)))
    fates = write_files_csv(folder.files, plate, unused)
    failures = {key for key, receipt in receipts.items() if receipt.status == "failed"}
    if pixels:
        create_images(folder, plate, failures)
    return Totals(
        fields_done=len(done),
        fields_failed=len(plate.fields) - len(done),
        nuclei=sum(receipts[field.key].nuclei for field in done),
        files_used=fates[FileStatus.USED],
        files_ignored=fates[FileStatus.IGNORED],
        files_quarantined=fates[FileStatus.QUARANTINED],
        time_points=len({field.t for field in plate.fields}),
        fields_lacking=sum(bool(field.lacking) for field in done),
        absent_chunks=sum(file.absent_chunks for file in plate.files if file.status is FileStatus.USED),
        chunks=sum(file.chunks for file in plate.files if file.status is FileStatus.USED),
        flagged=Counter(flag for names in flags.values() for flag in names),
        diameter_px=median(known) if (known := [one for one in diameters if one > 0]) else None,
        rescaled=sum(receipts[field.key].qc.get(ZOOM, 1.0) != 1 for field in done),
    )


def _as_read(plate: Plate, receipts: Mapping[str, Receipt]) -> Plate:
    """The plate without the channels that turned out to be damaged when their pixels were read."""
    lost = {key: dict(receipt.lacking) for key, receipt in receipts.items() if receipt.lacking}
    fields = tuple(field.without(lost.get(field.key, {})) for field in plate.fields)
    return replace(plate, fields=fields) if lost else plate


def _other_scale(scale: Scale, receipt: Receipt) -> list[str]:
    """The flag of a field that would be seen at another scale than its plate, were it alone."""
    seen = receipt.qc.get(NUCLEAR_DIAMETER, 0.0), receipt.qc.get(ZOOM, 1.0)
    return [OTHER_SCALE] if scale.of_plate and scale.differs_alone(*seen) else []


def _missing(field: Field) -> list[str]:
    """A flag for each channel that a field should have; a channel's own ``;`` would end the flag."""
    return [f"{MISSING_CHANNEL} {channel.replace(';', ',')}" for channel, _ in field.lacking]


def unused_files(plate: Plate, receipts: Mapping[str, Receipt]) -> dict[str, FileOutcome]:
    """What became, by path, of files that were to be used and were not.

    A file that could not be read is quarantined; reasons begin with its path. The other files of a field that
    failed are ignored by a rule, unless another field was made of them.
    """
    good: set[str] = set()
    fates: dict[str, FileOutcome] = {}
    for field in plate.fields:
        receipt = receipts.get(field.key)
        is_used = receipt is None or receipt.status == "done"
        reasons = [reason for _, reason in receipt.lacking] if receipt else []
        if is_used:
            lost = dict(receipt.lacking) if receipt else {}
            good.update(plane.path for plane in field.without(lost).planes)
        elif receipt:
            reasons.append(receipt.reason)
        unread = {
            path: reason.removeprefix(f"{path}: ")
            for path in _paths(field)
            for reason in reasons
            if reason.startswith(f"{path}: ")
        }
        fates |= {path: (FileStatus.QUARANTINED, reason) for path, reason in unread.items()}
        if not is_used:
            rule = "incomplete-field" if unread else "failed-field"
            for path in _paths(field):
                fates.setdefault(path, (FileStatus.IGNORED, f"{rule}: {RULES[rule]}"))
    return {
        path: fate for path, fate in fates.items() if fate[0] is FileStatus.QUARANTINED or path not in good
    }


def _paths(field: Field) -> dict[str, None]:
    return dict.fromkeys(plane.path for plane in field.planes)


@dataclass(frozen=True, slots=True)
class Timings:
    """The sitting that ended the run: how long it took, and how many fields came back in it.

    A run that was stopped and begun again has more fields than its last sitting.
    """

    wall_s: float
    fields: int


def run_card(
    plan: Plan, model: Mapping[str, Any], receipts: Mapping[str, Receipt], timings: Timings
) -> dict[str, Any]:
    """What run.json holds: version, model, settings, environment and timings."""
    plate, settings = plan.plate, plan.settings
    stations: dict[str, float] = {}
    for receipt in receipts.values():
        for name, seconds in receipt.seconds.items():
            stations[name] = stations.get(name, 0.0) + seconds
    return {
        "nucbatch": __version__,
        "plate": {"name": plate.name, "layout": plate.layout, "fields": len(plate.fields)},
        "settings": settings.model_dump(mode="json"),
        "settings_sha256": settings.digest(),
        "model": dict(model),
        "environment": {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "cores": os.cpu_count(),
            **{name: version(name) for name in ("torch", "dask", "zarr", "numpy")},
        },
        "timings": {
            "wall_s": round(timings.wall_s, 3),
            "wall_fields": timings.fields,
            "stations_s": {name: round(seconds, 3) for name, seconds in stations.items()},
        },
    }


def _is_done(field: Field, receipts: Mapping[str, Receipt]) -> bool:
    receipt = receipts.get(field.key)
    return not field.problem and receipt is not None and receipt.status == "done"
