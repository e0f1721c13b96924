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
from itertools import islice

from nucbatch.core.plate import Field
from nucbatch.core.tiles import TileGrid
from nucbatch.execution.check import TOGETHER, CheckResult, CheckTask
from nucbatch.execution.field_task import FieldTask
from nucbatch.execution.large.image import LargeImage
from nucbatch.execution.large.scale_task import ScaleTask
from nucbatch.inference.scale import Fit
from nucbatch.labels.given_masks import GivenMask
from nucbatch.planning.plan import Plan
from nucbatch.store.held_receipts import HeldReceipts
from nucbatch.store.ledger import changed_fields
from nucbatch.store.receipt import Receipt
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stamps import TABLE, stamp_of

_CHECKS_AT_ONCE = 256


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
        receipts: HeldReceipts,
        *,
        compared: bool = False,
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
            receipts: latest receipt of each field.
            compared: the done fields are known to be made from the input as it is.
            verify: checks read every file of done fields, instead of comparing sizes and times only.
            masks: masks made elsewhere by the field's key; None where the network finds the nuclei.
            keeps_maps: fields keep their probabilities, and use those that they kept before.
            tables_alone: the fields' other files are in a store, where they were looked for.

        Raises:
            SettingsConflict: most done fields were made from other files.
        """
        stale = set() if compared else set(changed_fields(folder, plan.plate, receipts))
        self._usable, self._receipts = plan.usable, receipts
        self.changed = [key for key in self._usable.values("group") if key in stale] if stale else []
        """Keys of done fields whose files have changed: they are queued again."""
        self.gone = sorted(stale - set(self.changed))
        """Keys of done fields that the input no longer has, or whose files can't be used any more."""
        self._plan, self._folder, self._network, self._verify = plan, folder, network, verify
        self._masks = masks or {}
        self._keeps_maps, self._tables_alone = keeps_maps, tables_alone
        self.checked = CheckResult()
        """The combined result of all checks so far."""
        # Places in the rows of usable fields: the fields themselves are made when they are submitted.
        self._fields: deque[int] = deque()
        self._images: deque[int] = deque()
        self._claimed: deque[int] = deque()
        self._again: deque[Field] = deque()
        selected = set(plan.selected.values("group")) if plan.selection else None
        claimed_nuclei = 0
        each = zip(self._usable.values("group"), plan.large(self._usable), strict=True)
        for place, (key, is_large) in enumerate(each):
            nuclei = None if key in stale else receipts.nuclei_of_done(key)
            if nuclei is not None:
                self._claimed.append(place)
                claimed_nuclei += nuclei
            elif selected is None or key in selected or key in stale:
                (self._images if is_large else self._fields).append(place)
        self.claimed = len(self._claimed), claimed_nuclei
        """Number of committed fields when the session begins, and of their nuclei."""
        self.total = len(self._claimed) + self.waiting
        """Number of fields that are done at the end of the session, if none fails."""

    @property
    def verify(self) -> bool:
        """Whether checks read every file, instead of comparing sizes and times only."""
        return self._verify

    @property
    def waiting(self) -> int:
        """Number of fields and images still to be processed, not counting those that may fail a check."""
        return len(self._fields) + len(self._images) + len(self._again)

    def next_field(self) -> FieldTask | None:
        """Takes the next field of one block; None if there is none."""
        field = self._next(self._fields, large=False)
        if field is None:
            return None
        mask = self._masks.get(field.key)
        more = mask, self._keeps_maps
        return FieldTask.of(self._plan, field, self._folder, self._network.weights, *more)

    def next_image(self) -> LargeImage | ScaleTask | None:
        """Takes the next image of several blocks, or the task that measures its scale; None without one."""
        field = self._next(self._images, large=True)
        if field is None:
            return None
        network = self._network
        sight = network.tiles, network.outputs, network.fit or Fit(), self._plan.block_px
        image = LargeImage.of(self._plan, field, self._folder, network.weights, *sight)
        return image if network.fit is not None else ScaleTask(image)

    def next_check(self) -> CheckTask | None:
        """Takes the next check of committed fields; None if there is none."""
        bundle: list[tuple[Field, Receipt]] = []
        while self._claimed and len(bundle) < TOGETHER:
            field = self._usable[self._claimed[0]]
            is_large = self._plan.is_large(field)
            if is_large and bundle:
                break
            self._claimed.popleft()
            bundle.append((field, self._receipts[field.key]))
            if is_large:
                break
        if not bundle:
            return None
        if not self._claimed:  # nothing here needs them any more, and those of 10⁶ fields take 100 MB
            self._receipts = HeldReceipts.of(())
        return CheckTask.of(self._plan, self._folder, tuple(bundle), self._verify, self._tables_alone)

    def accept_check(self, check: CheckTask, checked: CheckResult) -> list[Receipt]:
        """Queues the fields that failed a check again, and returns their receipts, now invalid."""
        self.checked += checked
        gone = [(field, receipt) for field, receipt in check.committed if field.key in checked.wrong]
        self._again.extend(field for field, _ in gone)
        return [receipt for _, receipt in gone]

    def check_all_here(self, threads: int) -> tuple[int, int]:
        """Checks all committed fields in this process; used when no other work needs a cluster.

        Returns:
            Number of fields whose results are as their receipts say, and of their nuclei.
        """
        fields, nuclei = self.claimed
        with ThreadPoolExecutor(threads) as pool:
            while checks := list(islice(iter(self.next_check, None), _CHECKS_AT_ONCE)):
                for check, checked in zip(checks, pool.map(CheckTask.run, checks), strict=True):
                    wrong = self.accept_check(check, checked)
                    fields -= len(wrong)
                    nuclei -= sum(receipt.nuclei for receipt in wrong)
        return fields, nuclei

    def requeue_damaged_tables(self, receipts: HeldReceipts, threads: int) -> list[Receipt]:
        """Queues done fields again whose table fragment has changed, and returns their receipts."""

        def stands(field: Field) -> bool:
            try:
                found = stamp_of(self._folder.fragment(field.key))[0]
            except OSError:
                return False
            return found == receipts[field.key].files.stamp(TABLE)

        done = iter(self._plan.usable.where("group", receipts.is_done))
        gone: list[Field] = []
        with ThreadPoolExecutor(threads) as pool:
            while some := list(islice(done, _CHECKS_AT_ONCE)):
                gone += [
                    field for field, stand in zip(some, pool.map(stands, some), strict=True) if not stand
                ]
        self._again.extend(gone)
        return [receipts[field.key] for field in gone]

    def _next(self, places: deque[int], *, large: bool) -> Field | None:
        """Takes the next field or image, and then those that are to be done again."""
        if places:
            return self._usable[places.popleft()]
        for field in self._again:
            if self._plan.is_large(field) == large:
                self._again.remove(field)
                return field
        return None
