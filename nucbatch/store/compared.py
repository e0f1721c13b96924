"""Records that all done fields of a run were made from one input, so that they need not be compared again.

A resumed run compares the digest of each done field with the input as it is now. For 10⁵ fields that takes a
second, before the first block. If nothing below the input has changed since a session that found no
difference, there is none now: later lines of the ledger are of sessions with the same input.
"""

from __future__ import annotations

import hashlib
import json

from nucbatch.core.plate import Plate
from nucbatch.core.settings import RunSettings
from nucbatch.store.atomic import write_text
from nucbatch.store.ledger import plate_digest
from nucbatch.store.run_folder import RunFolder
from nucbatch.version import __version__


def input_digest(plate: Plate, settings: RunSettings) -> str:
    """Identifies an input and the settings with which its fields are planned; empty if it can't be known.

    Args:
        plate: as planned; its ``listed`` is the fingerprint of all its files.
        settings: of the run.
    """
    if not plate.listed:
        return ""
    known = [__version__, plate.listed, plate_digest(plate), settings.digest()]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def were_compared(folder: RunFolder, digest: str) -> bool:
    """Returns whether all done fields are known to be made from this input."""
    try:
        recorded, ledger_bytes = folder.compared.read_text().split()
        return bool(digest) and recorded == digest and folder.ledger.stat().st_size >= int(ledger_bytes)
    except (OSError, ValueError):
        return False


def record_compared(folder: RunFolder, digest: str) -> None:
    """Records that all done fields are made from this input; an empty digest, that some are not.

    It must be on the disk before the session adds lines to the ledger.

    Raises:
        StoreError: the file can't be written.
    """
    if not were_compared(folder, digest):
        write_text(folder.compared, f"{digest} {folder.ledger.stat().st_size}\n")
