"""A run's sitting: what is still to be done is driven, and its receipts go into the ledger as they arrive.

The decision owned here: what is already committed and still there is not done again.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from nucbatch.execution.block import FieldTask
from nucbatch.execution.driver import Driver, Progress
from nucbatch.execution.large.image import LargeImage
from nucbatch.planning.plan import Plan
from nucbatch.plate import Field
from nucbatch.schedulers.contract import Cluster
from nucbatch.store.folder import RunFolder
from nucbatch.store.ledger import Ledger, Receipt, latest
from nucbatch.store.verify import fragment_holds, group_is_whole, labels_hold
from nucbatch.tiles import TileGrid


@dataclass(frozen=True, slots=True)
class Outcome:
    """Fields that were done, and that failed, in one sitting."""

    done: int
    failed: int


def committed(plan: Plan, folder: RunFolder) -> dict[str, Receipt]:
    """The receipts, by key, of the plan's fields that need not be done again."""
    receipts = latest(folder)
    return {
        field.key: receipts[field.key]
        for field in plan.usable
        if field.key in receipts and _stands(folder, plan, field, receipts[field.key])
    }


@dataclass(frozen=True, slots=True)
class Network:
    """What the driver must know of a network: its weights, tiles, maps, and the scale at which it sees."""

    weights: str
    tiles: TileGrid
    outputs: int
    zoom: float


def drive(
    plan: Plan,
    held: Container[str],
    folder: RunFolder,
    ledger: Ledger,
    cluster: Cluster,
    network: Network,
    progress: Progress,
) -> Outcome:
    """Runs every usable field of the plan whose key is not ``held``.

    Raises:
        StoreError: the run's folder can't be written; what is committed stays, and the same command goes on.
        WeightsError: the weight file is not what it was when the run was prepared.
    """
    waiting = [field for field in plan.usable if field.key not in held]
    fields = (
        FieldTask.of(plan, field, folder, network.weights) for field in waiting if not plan.is_large(field)
    )
    sight = network.tiles, network.outputs, network.zoom, plan.block_px
    images = (
        LargeImage.of(plan, field, folder, network.weights, *sight)
        for field in waiting
        if plan.is_large(field)
    )
    counts = {"done": 0, "failed": 0}
    driver = Driver(cluster, fields, images, progress)
    try:
        for receipts in driver.receipts():
            ledger.append(*receipts)
            for receipt in receipts:
                counts[receipt.status] += 1
                progress.advance(receipt)
    finally:
        driver.close()
    return Outcome(counts["done"], counts["failed"])


def _stands(folder: RunFolder, plan: Plan, field: Field, receipt: Receipt) -> bool:
    """Whether what the field's task committed is there: fragment and labels by digest, a TIFF by name."""
    kept = plan.settings.labels
    zarr_stands = kept == "tiff" or (
        group_is_whole(folder.store(plan.plate.is_plate), field.group) and labels_hold(folder, receipt)
    )
    tiff_stands = kept == "zarr" or folder.label_tiff(field.name).is_file()
    return fragment_holds(folder, receipt) and zarr_stands and tiff_stands
