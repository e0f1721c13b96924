"""Finds labels that are a run's own predictions, unchanged: learned as truth they teach a model its errors.

A run's receipts hold a digest of each label image, so that corrected labels are told from untouched ones;
label TIFFs that a run wrote are known by their tag, wherever they were copied to. Other programs write their
own.
"""

from __future__ import annotations

from pathlib import Path

from nucbatch.core.errors import StoreError
from nucbatch.labels.contract import Pixels, Source, some
from nucbatch.labels.files import FilePair
from nucbatch.store.digest import labels_digest
from nucbatch.store.folder import RunFolder
from nucbatch.store.label_tiff import is_label_tiff
from nucbatch.store.ledger import latest_receipts


def digests_of_run(folder: Path) -> tuple[frozenset[str], list[str]]:
    """Digests of the label images that a run predicted, if the folder or its parent is a run's folder.

    Returns:
        The digests, and a warning for each run whose ledger can't be read: it is learned from, but its
        predictions can't be told from corrected labels.
    """
    digests: set[str] = set()
    warnings = []
    for run in map(RunFolder, (folder, folder.absolute().parent)):
        if not run.is_run():
            continue
        try:
            digests |= {receipt.labels_sha256 for receipt in latest_receipts(run).values()}
        except (StoreError, OSError):  # the message is about continuing the run: no help to a training
            warnings.append(
                f"{run.ledger}, the ledger of a run, can't be read (damaged, or of another nucbatch), so its "
                "own predictions can't be told from corrected labels: make sure that all were corrected."
            )
    return frozenset(digests), warnings


def is_prediction(source: Source, pixels: Pixels, digests: frozenset[str]) -> bool:
    """Whether an image's labels are as a run left them. ``digests``: of the run that they may be of."""
    if isinstance(source, FilePair):
        return source.labels.suffix.lower() in (".tif", ".tiff") and is_label_tiff(source.labels)
    return bool(digests) and labels_digest(pixels.labels) in digests


def warning_of(folder: Path, names: list[str], total: int) -> list[str]:
    """A warning that these of a folder's images have predictions for labels; none if there are none."""
    if not names:
        return []
    return [
        f"In {folder} the labels of {len(names)} of {total} images are nucbatch's own predictions, "
        f"unchanged: {some(sorted(names))}. They are learned as the truth, with every mistake in them. "
        "Correct them first, or train on labels that people drew."
    ]
