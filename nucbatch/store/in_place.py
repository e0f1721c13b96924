"""Labels inside an OME-Zarr that belongs to the user: ``labels/nuclei`` in each image, and nothing else.

The user's arrays and their other labels are never written to. A label image of this name that is not this
run's is refused: those of a run are marked with the digest of its settings before their first pixel is
written. ``labels/nuclei`` is added last to the list of the image's labels, so that no reader sees it half
written.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import StoreError
from nucbatch.core.plate import Field
from nucbatch.store import ngff
from nucbatch.store.atomic import cannot_write
from nucbatch.store.images import labels_path, write_group, write_label_pyramid
from nucbatch.store.pyramid import level_count
from nucbatch.store.stamps import Written

_MARK = "nucbatch"


def version_of(group: Path) -> ngff.Version:
    """Returns the version of OME-Zarr whose Zarr format a group has."""
    return "0.5" if (group / "zarr.json").is_file() else "0.4"


def require_free(group: Path, digest: str) -> None:
    """Checks that the labels of a run with these settings can be written into an image. Writes nothing.

    Raises:
        StoreError: there are other labels of this name, the folder is a link, or it can't be written to.
    """
    nuclei = labels_path(group)
    for folder in (nuclei.parent, nuclei):
        if folder.is_symlink():
            raise StoreError(f"{folder} is a link: labels are written into the image itself only.")
    there = nuclei if nuclei.exists() else nuclei.parent if nuclei.parent.exists() else group
    if not os.access(there, os.W_OK | os.X_OK):
        raise StoreError(f"{there} can't be written to: set its permissions, or leave out --in-place.")
    if nuclei.exists() and _mark_of(nuclei) != digest:
        made = "made by a run with other settings" if _mark_of(nuclei) else "not made by a run in place"
        raise StoreError(
            f"{nuclei} exists, and was {made}. It is not overwritten: rename or remove it, or leave out "
            "--in-place."
        )


def claim(group: Path, digest: str) -> None:
    """Marks an image's ``labels/nuclei`` as those of a run, before their pixels are written.

    Raises:
        StoreError: as :func:`require_free`, or a file cannot be written.
    """
    require_free(group, digest)
    nuclei = labels_path(group)
    if not nuclei.exists():
        write_group(nuclei, {_MARK: {"settings_sha256": digest}}, version_of(group))


def write_labels(group: Path, field: Field, labels: npt.NDArray[np.uint32], digest: str) -> Written:
    """Writes a field's labels (Y, X) and their pyramid into its image, and returns the files.

    Raises:
        StoreError: as :func:`claim`.
    """
    claim(group, digest)
    return write_label_pyramid(group, labels, version_of(group)) | describe_labels(group, field, digest)


def describe_labels(group: Path, field: Field, digest: str) -> Written:
    """Writes the attributes of an image's ``labels/nuclei`` and lists it; returns the files that are ours.

    Raises:
        StoreError: a file cannot be written.
    """
    version, nuclei = version_of(group), labels_path(group)
    space = ngff.Space.of(field, level_count(field.height_px, field.width_px))
    attributes = ngff.nuclei_attributes(space, version) | {_MARK: {"settings_sha256": digest}}
    written = write_group(nuclei, attributes, version)
    listed = _listed(nuclei.parent, version)
    if ngff.LABELS_NAME not in listed:
        _list(nuclei.parent, [*listed, ngff.LABELS_NAME], version)
    return written


def remove_labels(group: Path, digest: str) -> None:
    """Removes the ``labels/nuclei`` of a run with these settings from an image; others stay.

    Raises:
        StoreError: a file cannot be removed.
    """
    nuclei, version = labels_path(group), version_of(group)
    linked = nuclei.is_symlink() or nuclei.parent.is_symlink()
    if linked or not nuclei.is_dir() or _mark_of(nuclei) != digest:
        return
    left = [name for name in _listed(nuclei.parent, version) if name != ngff.LABELS_NAME]
    try:
        _list(nuclei.parent, left, version)
        shutil.rmtree(nuclei)
    except OSError as error:
        raise cannot_write(nuclei, error) from error


def _mark_of(nuclei: Path) -> str:
    """Returns the digest with which labels are marked; empty if they have no mark."""
    mark = _attributes(nuclei).get(_MARK)
    return str(mark.get("settings_sha256", "")) if isinstance(mark, dict) else ""


def _listed(labels: Path, version: ngff.Version) -> list[str]:
    """Returns the names that a ``labels`` group lists; empty if there is no such group."""
    attributes = _attributes(labels)
    ome = attributes if version == "0.4" else attributes.get("ome", {})
    listed = ome.get("labels", []) if isinstance(ome, dict) else []
    return [str(name) for name in listed] if isinstance(listed, list) else []


def _list(labels: Path, names: list[str], version: ngff.Version) -> None:
    """Replaces the names that a ``labels`` group lists; its other attributes stay."""
    attributes = _attributes(labels)
    if version == "0.4":
        attributes = attributes | {"labels": names}
    else:
        ome = attributes.get("ome")
        ome = ome if isinstance(ome, dict) else {}
        attributes = attributes | {"ome": {"version": version} | ome | {"labels": names}}
    write_group(labels, attributes, version)


def _attributes(group: Path) -> dict[str, Any]:
    """Reads a group's attributes; {} if it has none.

    Raises:
        StoreError: they can't be read.
    """
    try:
        if (group / "zarr.json").is_file():
            found = json.loads((group / "zarr.json").read_bytes()).get("attributes", {})
        elif (group / ".zattrs").is_file():
            found = json.loads((group / ".zattrs").read_bytes())
        else:
            return {}
    except (OSError, ValueError, AttributeError) as error:
        raise StoreError(f"the attributes of {group} can't be read ({error}): mend or remove it.") from error
    return dict(found) if isinstance(found, Mapping) else {}
