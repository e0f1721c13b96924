"""Finds labels that are a run's own predictions, unchanged, which would teach a model its own errors.

A run's receipts hold a digest of each label image, so corrected labels differ from unchanged ones. Label
TIFFs of a run carry a tag, and are recognised wherever they were copied; other programs write their own tag.
"""

from __future__ import annotations

from pathlib import Path

from nucbatch.core.errors import StoreError
from nucbatch.labels.label_files import FilePair
from nucbatch.labels.sources import LabelSource, Pixels, some
from nucbatch.store.digest import labels_digest
from nucbatch.store.label_tiff import is_label_tiff
from nucbatch.store.ledger import latest_receipts
from nucbatch.store.run_folder import RunFolder


def digests_of_run(folder: Path) -> tuple[frozenset[str], list[str]]:
    """Digests of the label images that a run predicted, if the folder or its parent is a run's folder.

    Returns:
        The digests, and a warning for each run whose ledger can't be read: the labels of such a run are used,
        but unchanged predictions among them are not found.
    """
    digests: set[str] = set()
    warnings = []
    for run in map(RunFolder, (folder, folder.absolute().parent)):
        if not run.is_run():
            continue
        try:
            digests |= {receipt.labels_sha256 for receipt in latest_receipts(run).values()}
        except (StoreError, OSError):  # the error's advice is for continuing the run, not for training
            warnings.append(
                f"{run.ledger}, the ledger of a run, can't be read (damaged, or of another nucbatch), so its "
                "own predictions can't be distinguished from corrected labels: make sure that all were "
                "corrected."
            )
    return frozenset(digests), warnings


def is_prediction(source: LabelSource, pixels: Pixels, digests: frozenset[str]) -> bool:
    """Whether an image's labels are a run's predictions, unchanged.

    ``digests``: of the labels of the run that they may come from.
    """
    if isinstance(source, FilePair):
        return source.labels.suffix.lower() in (".tif", ".tiff") and is_label_tiff(source.labels)
    return bool(digests) and labels_digest(pixels.labels) in digests


def warning_of(folder: Path, names: list[str], total: int) -> list[str]:
    """A warning that the labels of these images are predictions; none if there are no such images."""
    if not names:
        return []
    return [
        f"In {folder} the labels of {len(names)} of {total} images are nucbatch's own predictions, "
        f"unchanged: {some(sorted(names))}. They are learnt as the truth, including their mistakes. "
        "Correct them first, or train on labels that people drew."
    ]
