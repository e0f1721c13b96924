"""What of a plan is still to be done, in the order in which it goes out.

What was never done comes first, checks of what was come last, and what does not pass its check is done again.
Fields that failed in an earlier session, or whose files have changed since they were done, are tried again. A
session ends only when all that the ledger calls done was looked at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from nucbatch.core.plate import Field
from nucbatch.core.tiles import TileGrid
from nucbatch.execution.block import FieldTask
from nucbatch.execution.check import TOGETHER, CheckTask, Looked
from nucbatch.execution.large.image import LargeImage
from nucbatch.execution.large.scale import ScaleTask
from nucbatch.planning.plan import Plan
from nucbatch.store.folder import RunFolder
from nucbatch.store.ledger import changed_fields
from nucbatch.store.receipt import Receipt
from nucbatch.store.stamps import TABLE, stamp_of


@dataclass(frozen=True, slots=True)
class Network:
    """What the driver must know of a network: its weights, tiles, maps, and the scale at which it sees."""

    weights: str
    tiles: TileGrid
    outputs: int
    zoom: float | None


class Todo:
    """Fields, large images and checks that have not gone out yet."""

    def __init__(
        self,
        plan: Plan,
        folder: RunFolder,
        network: Network,
        receipts: Mapping[str, Receipt],
        *,
        verify: bool = False,
    ) -> None:
        """Sorts the plan's fields by what the ledger has of them.

        ``verify``: of what is done every file is read, not only its size and time looked at.

        Raises:
            SettingsConflict: most of what is done was done of other files.
        """
        self.changed = changed_fields(folder, plan.plate, receipts)
        stale = set(self.changed)
        self._plan, self._folder, self._network, self._verify = plan, folder, network, verify
        self.looked = Looked()
        """What all checks have found, so far."""
        self._fields: deque[Field] = deque()
        self._images: deque[Field] = deque()
        self._claimed: deque[tuple[Field, Receipt]] = deque()
        for field in plan.usable:
            receipt = receipts.get(field.key)
            if receipt is not None and receipt.status == "done" and field.key not in stale:
                self._claimed.append((field, receipt))
            else:
                self._add(field)

    @property
    def verify(self) -> bool:
        """Whether every file of what is done is read, not only its size and time looked at."""
        return self._verify

    @property
    def claimed(self) -> list[Receipt]:
        """Receipts of what is said to be done, and was not checked yet."""
        return [receipt for _, receipt in self._claimed]

    @property
    def waiting(self) -> int:
        """How many fields and images are certainly still to be done."""
        return len(self._fields) + len(self._images)

    def next_field(self) -> FieldTask | None:
        """The next field of ordinary size."""
        if not self._fields:
            return None
        return FieldTask.of(self._plan, self._fields.popleft(), self._folder, self._network.weights)

    def next_image(self) -> LargeImage | ScaleTask | None:
        """The next image of several blocks, or the task that measures at which scale it is seen."""
        if not self._images:
            return None
        network = self._network
        sight = network.tiles, network.outputs, network.zoom or 1.0, self._plan.block_px
        image = LargeImage.of(self._plan, self._images.popleft(), self._folder, network.weights, *sight)
        return image if network.zoom is not None else ScaleTask(image)

    def next_check(self) -> CheckTask | None:
        """The next bundle of fields to look at."""
        bundle: list[tuple[Field, Receipt]] = []
        while self._claimed and len(bundle) < TOGETHER:
            if self._plan.is_large(self._claimed[0][0]) and bundle:
                break
            bundle.append(self._claimed.popleft())
            if self._plan.is_large(bundle[-1][0]):
                break
        return CheckTask.of(self._plan, self._folder, tuple(bundle), self._verify) if bundle else None

    def looked_at(self, check: CheckTask, looked: Looked) -> list[Receipt]:
        """Takes up fields that did not pass their check; the receipts that don't count any more."""
        self.looked += looked
        gone = [(field, receipt) for field, receipt in check.committed if field.key in looked.wrong]
        for field, _ in gone:
            self._add(field)
        return [receipt for _, receipt in gone]

    def check_all_here(self, threads: int) -> list[Receipt]:
        """Looks at everything claimed in this process, for where nothing else is to be done.

        Returns: the receipts that hold.
        """
        checks: list[CheckTask] = []
        while (check := self.next_check()) is not None:
            checks.append(check)
        with ThreadPoolExecutor(threads) as pool:
            for check, looked in zip(checks, pool.map(CheckTask.run, checks), strict=True):
                self.looked_at(check, looked)
        lost = self.looked.wrong
        return [receipt for check in checks for _, receipt in check.committed if receipt.field not in lost]

    def tables_again(self, receipts: Mapping[str, Receipt], threads: int) -> list[Receipt]:
        """Takes up done fields whose table fragment is not what was written; their receipts."""
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
