"""Whether what the ledger says is done is there: asked by workers beside the run, some at a time.

The decision owned here: a resumed run begins with what was never done, and looks at what was while the
workers are at it, however much that is. That a field was committed is believed until it is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nucbatch.planning.plan import Plan
from nucbatch.plate import Field
from nucbatch.store.folder import RunFolder
from nucbatch.store.ledger import Receipt
from nucbatch.store.verify import fragment_holds, group_is_whole, labels_hold

TOGETHER = 64
"""Fields in a bundle; a large image goes alone."""


@dataclass(frozen=True, slots=True)
class CheckTask:
    """A bundle of fields with the receipts that the ledger has of them, and how the run keeps its masks."""

    folder: RunFolder
    is_plate: bool
    kept: Literal["zarr", "tiff", "both"]
    committed: tuple[tuple[Field, Receipt], ...]

    @classmethod
    def of(cls, plan: Plan, folder: RunFolder, committed: tuple[tuple[Field, Receipt], ...]) -> CheckTask:
        """The bundle, as a worker gets it."""
        return cls(folder, plan.plate.is_plate, plan.settings.labels, committed)

    @property
    def key(self) -> str:
        """A name that no other work in the run has."""
        return f"check of {self.committed[0][0].key}"

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of all its fields."""
        return tuple(field.key for field, _ in self.committed)

    def run(self) -> tuple[str, ...]:
        """The keys of the fields whose outputs are not what their receipts say."""
        return tuple(field.key for field, receipt in self.committed if not self._stands(field, receipt))

    def _stands(self, field: Field, receipt: Receipt) -> bool:
        """Whether what the field's task committed is there: fragment and labels by digest, a TIFF by name."""
        zarr_stands = self.kept == "tiff" or (
            group_is_whole(self.folder.store(self.is_plate), field.group)
            and labels_hold(self.folder, receipt)
        )
        tiff_stands = self.kept == "zarr" or self.folder.label_tiff(field.name).is_file()
        return fragment_holds(self.folder, receipt) and zarr_stands and tiff_stands
