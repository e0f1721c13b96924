"""What of a plan is still to be done, in the order in which it goes out.

The decision owned here: what was never done comes first, checks of what was come last, and what does not pass
its check is done again. Fields that failed in an earlier sitting, or whose files have changed since they were
done, are tried again. What is claimed as done is
not proven by being claimed, so a sitting ends only when all of it was looked at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from nucbatch.execution.block import FieldTask
from nucbatch.execution.check import TOGETHER, CheckTask
from nucbatch.execution.large.image import LargeImage
from nucbatch.planning.plan import Plan
from nucbatch.plate import Field
from nucbatch.store.folder import RunFolder
from nucbatch.store.ledger import Receipt, changed_fields
from nucbatch.tiles import TileGrid


@dataclass(frozen=True, slots=True)
class Network:
    """What the driver must know of a network: its weights, tiles, maps, and the scale at which it sees."""

    weights: str
    tiles: TileGrid
    outputs: int
    zoom: float


class Todo:
    """Fields, large images and checks that have not gone out yet."""

    def __init__(
        self, plan: Plan, folder: RunFolder, network: Network, receipts: Mapping[str, Receipt]
    ) -> None:
        """Sorts the plan's fields by what the ledger has of them.

        Raises:
            SettingsConflict: most of what is done was done of other files.
        """
        self.changed = changed_fields(folder, plan.plate, receipts)
        stale = set(self.changed)
        self._plan, self._folder, self._network = plan, folder, network
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

    def next_image(self) -> LargeImage | None:
        """The next image of several blocks."""
        if not self._images:
            return None
        network = self._network
        sight = network.tiles, network.outputs, network.zoom, self._plan.block_px
        return LargeImage.of(self._plan, self._images.popleft(), self._folder, network.weights, *sight)

    def next_check(self) -> CheckTask | None:
        """The next bundle of fields to look at."""
        bundle: list[tuple[Field, Receipt]] = []
        while self._claimed and len(bundle) < TOGETHER:
            if self._plan.is_large(self._claimed[0][0]) and bundle:
                break
            bundle.append(self._claimed.popleft())
            if self._plan.is_large(bundle[-1][0]):
                break
        return CheckTask.of(self._plan, self._folder, tuple(bundle)) if bundle else None

    def again(self, check: CheckTask, broken: Iterable[str]) -> list[Receipt]:
        """Takes up fields (by key) that did not pass their check; the receipts that don't count any more."""
        keys = set(broken)
        gone = [(field, receipt) for field, receipt in check.committed if field.key in keys]
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
            broken = list(pool.map(CheckTask.run, checks))
        for check, keys in zip(checks, broken, strict=True):
            self.again(check, keys)
        lost = {key for keys in broken for key in keys}
        return [receipt for check in checks for _, receipt in check.committed if receipt.field not in lost]

    def _add(self, field: Field) -> None:
        (self._images if self._plan.is_large(field) else self._fields).append(field)
