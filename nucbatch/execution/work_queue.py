"""Work queue of a run: fields, large images and checks that are still to be submitted.

Fields that were never done come first, checks of committed fields last; fields that fail their check are
queued again. So are fields that failed in an earlier session, or whose files have changed since. All fields
that the ledger lists as done are verified before the session ends, selected or not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from nucbatch.core.plate import Field
from nucbatch.core.tiles import TileGrid
from nucbatch.execution.check import TOGETHER, CheckResult, CheckTask
from nucbatch.execution.field_task import FieldTask
from nucbatch.execution.large.image import LargeImage
from nucbatch.execution.large.scale_task import ScaleTask
from nucbatch.inference.scale import Fit
from nucbatch.labels.given_masks import GivenMask
from nucbatch.planning.plan import Plan
from nucbatch.store.ledger import changed_fields
from nucbatch.store.receipt import Receipt
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stamps import TABLE, stamp_of


@dataclass(frozen=True, slots=True)
class NetworkInUse:
    """The network's properties that the driver needs.

    ``weights``: path of the weight file. ``tiles``: tile grid. ``outputs``: number of maps. ``fit``: scale
    of all images; None if it is measured for each image.
    """

    weights: str
    tiles: TileGrid
    outputs: int
    fit: Fit | None


class WorkQueue:
    """Fields, large images and checks that are not submitted yet."""

    def __init__(
        self,
        plan: Plan,
        folder: RunFolder,
        network: NetworkInUse,
        receipts: Mapping[str, Receipt],
        *,
        verify: bool = False,
        masks: Mapping[str, GivenMask] | None = None,
        keeps_maps: bool = False,
        tables_alone: bool = False,
    ) -> None:
        """Queues the plan's fields according to their receipts.

        Args:
            plan: the plan.
            folder: the run's folder.
            network: properties of the network.
            receipts: latest receipt of each field, by key.
            verify: checks read every file of done fields, instead of comparing sizes and times only.
            masks: masks made elsewhere by the field's key; None where the network finds the nuclei.
            keeps_maps: fields keep their probabilities, and use those that they kept before.
            tables_alone: the fields' other files are in a store, where they were looked for.

        Raises:
            SettingsConflict: most done fields were made from other files.
        """
        stale = set(changed_fields(folder, plan.plate, receipts))
        self.changed = [field.key for field in plan.usable if field.key in stale]
        """Keys of done fields whose files have changed: they are queued again."""
        self.gone = sorted(stale - set(self.changed))
        """Keys of done fields that the input no longer has, or whose files can't be used any more."""
        self._plan, self._folder, self._network, self._verify = plan, folder, network, verify
        self._masks = masks or {}
        self._keeps_maps, self._tables_alone = keeps_maps, tables_alone
        self.checked = CheckResult()
        """The combined result of all checks so far."""
        self._fields: deque[Field] = deque()
        self._images: deque[Field] = deque()
        self._claimed: deque[tuple[Field, Receipt]] = deque()
        for field in plan.usable:
            receipt = receipts.get(field.key)
            if receipt is not None and receipt.status == "done" and field.key not in stale:
                self._claimed.append((field, receipt))
            elif plan.selection.includes(field) or field.key in stale:
                self._add(field)
        self.total = len(self._claimed) + self.waiting
        """Number of fields that are done at the end of the session, if none fails."""

    @property
    def verify(self) -> bool:
        """Whether checks read every file, instead of comparing sizes and times only."""
        return self._verify

    @property
    def claimed(self) -> list[Receipt]:
        """Receipts of committed fields that are not checked yet."""
        return [receipt for _, receipt in self._claimed]

    @property
    def waiting(self) -> int:
        """Number of fields and images still to be processed, not counting those that may fail a check."""
        return len(self._fields) + len(self._images)

    def next_field(self) -> FieldTask | None:
        """Takes the next field of one block; None if there is none."""
        if not self._fields:
            return None
        field = self._fields.popleft()
        mask = self._masks.get(field.key)
        more = mask, self._keeps_maps
        return FieldTask.of(self._plan, field, self._folder, self._network.weights, *more)

    def next_image(self) -> LargeImage | ScaleTask | None:
        """Takes the next image of several blocks, or the task that measures its scale; None without one."""
        if not self._images:
            return None
        network = self._network
        sight = network.tiles, network.outputs, network.fit or Fit(), self._plan.block_px
        image = LargeImage.of(self._plan, self._images.popleft(), self._folder, network.weights, *sight)
        return image if network.fit is not None else ScaleTask(image)

    def next_check(self) -> CheckTask | None:
        """Takes the next check of committed fields; None if there is none."""
        bundle: list[tuple[Field, Receipt]] = []
        while self._claimed and len(bundle) < TOGETHER:
            if self._plan.is_large(self._claimed[0][0]) and bundle:
                break
            bundle.append(self._claimed.popleft())
            if self._plan.is_large(bundle[-1][0]):
                break
        if not bundle:
            return None
        return CheckTask.of(self._plan, self._folder, tuple(bundle), self._verify, self._tables_alone)

    def accept_check(self, check: CheckTask, checked: CheckResult) -> list[Receipt]:
        """Queues the fields that failed a check again, and returns their receipts, now invalid."""
        self.checked += checked
        gone = [(field, receipt) for field, receipt in check.committed if field.key in checked.wrong]
        for field, _ in gone:
            self._add(field)
        return [receipt for _, receipt in gone]

    def check_all_here(self, threads: int) -> list[Receipt]:
        """Checks all committed fields in this process; used when no other work needs a cluster.

        Returns:
            The receipts that are valid.
        """
        checks: list[CheckTask] = []
        while (check := self.next_check()) is not None:
            checks.append(check)
        with ThreadPoolExecutor(threads) as pool:
            for check, checked in zip(checks, pool.map(CheckTask.run, checks), strict=True):
                self.accept_check(check, checked)
        lost = self.checked.wrong
        return [receipt for check in checks for _, receipt in check.committed if receipt.field not in lost]

    def requeue_damaged_tables(self, receipts: Mapping[str, Receipt], threads: int) -> list[Receipt]:
        """Queues done fields again whose table fragment has changed, and returns their receipts."""
        done = [
            (field, receipts[field.key])
            for field in self._plan.usable
            if field.key in receipts and receipts[field.key].status == "done"
        ]

        def stands(one: tuple[Field, Receipt]) -> bool:
            field, receipt = one
            try:
                return stamp_of(self._folder.fragment(field.key))[0] == receipt.files.stamp(TABLE)
            except OSError:
                return False

        with ThreadPoolExecutor(threads) as pool:
            gone = [one for one, stand in zip(done, pool.map(stands, done), strict=True) if not stand]
        for field, _ in gone:
            self._add(field)
        return [receipt for _, receipt in gone]

    def _add(self, field: Field) -> None:
        (self._images if self._plan.is_large(field) else self._fields).append(field)
