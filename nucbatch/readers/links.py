"""The error for a folder in which every image is a symbolic link out of it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from nucbatch.core.escape import printable
from nucbatch.core.plate import FileStatus
from nucbatch.readers.listing import LINK_OUT, LINK_TO_NOTHING, Listing


def only_links(listing: Listing) -> str:
    """The error's text if the input holds nothing but links that lead out of it; else empty."""
    refused = [record for record in listing.settled if record.status is FileStatus.QUARANTINED]
    links = [record.path for record in refused if record.reason in (LINK_OUT, LINK_TO_NOTHING)]
    if not links or len(links) < len(refused) or listing.images():
        return ""
    targets = [Path(os.path.realpath(Path(listing.root, link))) for link in links]
    there = [target if target.is_dir() else target.parent for target in targets if target.exists()]
    first = f"{printable(links[0])} to {printable(str(targets[0]))}"
    said = (
        f"{printable(listing.name)} holds no image of its own, only {len(links):,} symbolic links "
        f"that lead out of it ({first}). Links are not followed out of the input."
    )
    if not there:
        return f"{said} Their targets don't exist either: give the folder that holds the images."
    root, shared = (printable(shlex.quote(path)) for path in (listing.root, os.path.commonpath(there)))
    return (
        f"{said} Give the folder that holds the files, or a folder of copies (cp -rlL makes hard links "
        "instead, on the same disk):\n"
        f"  nucbatch inspect {shared}\n  cp -rL {root} COPY && nucbatch inspect COPY"
    )
