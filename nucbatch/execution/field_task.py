"""The task of one field, as the driver makes it and sends it to a worker."""

from __future__ import annotations

from dataclasses import dataclass

from nucbatch.core.plate import Field
from nucbatch.execution.job import FieldJob
from nucbatch.labels.given_masks import GivenMask
from nucbatch.store.receipt import Receipt


@dataclass(frozen=True, slots=True)
class FieldTask(FieldJob):
    """The task of a field that fits in one block.

    ``mask``: reads the mask to measure; None where the network finds the nuclei. ``keeps_maps``: whether to
    keep the field's probabilities, and to use those that were kept.
    """

    mask: GivenMask | None = None
    keeps_maps: bool = False

    @property
    def key(self) -> str:
        """The task's unique name in the run."""
        return self.field.key

    def run(self) -> Receipt:
        """Runs :func:`nucbatch.execution.process_field.process_field`."""
        # It loads PyTorch. The driver, which makes the task, does not need it.
        from nucbatch.execution.process_field import process_field

        return process_field(self)


def failed(field: Field, reason: str, worker: str = "") -> Receipt:
    """Builds the receipt of a field that failed."""
    return Receipt(
        field.key,
        "failed",
        reason=reason,
        nuclei=0,
        labels_sha256="",
        qc={},
        seconds={},
        worker=worker,
    )
