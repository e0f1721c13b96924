"""Checks and removes a run's labels in the user's own OME-Zarr, for all images of a plan."""

from __future__ import annotations

from pathlib import Path

from nucbatch.core.errors import InputError
from nucbatch.core.plate import Plate
from nucbatch.object_store import is_address
from nucbatch.planning.plan import Plan
from nucbatch.store.atomic import remove_partials
from nucbatch.store.images import labels_path
from nucbatch.store.in_place import remove_labels, require_free, version_of
from nucbatch.store.ledger import read_header
from nucbatch.store.ngff import Version
from nucbatch.store.run_folder import RunFolder


def version_of_input(plate: Plate) -> Version:
    """Returns the version of OME-Zarr of a plate's first image; 0.5 if it is none."""
    paths = (plane.path for field in plate.fields for plane in field.planes)
    first = next(paths, "")
    is_local = first.endswith("/") and not is_address(plate.root)
    return version_of(Path(plate.root, first)) if is_local else "0.5"


def require_images_of_their_own(plan: Plan) -> None:
    """Checks that each field is an OME-Zarr image of its own, so that it can hold the field's labels.

    Raises:
        InputError: the input is no OME-Zarr, an image has several time points, the run has another version of
            OME-Zarr than the input, or its pixel size is not the input's.
    """
    plate, settings = plan.plate, plan.settings
    if is_address(plate.root):
        raise InputError(
            f"--in-place can't write to {plate.root}: leave it out, and copy the results with nucbatch copy."
        )
    if settings.pixel_size_um is not None:
        raise InputError(
            f"--pixel-size {settings.pixel_size_um:g} can't be given with --in-place: labels would have "
            "another scale than their image. Correct the pixel size in the OME-Zarr."
        )
    owners: dict[str, str] = {}
    for field in plan.usable:
        paths = {plane.path for plane in field.planes}
        if len(paths) != 1 or not (path := paths.pop()).endswith("/"):
            raise InputError(
                f"--in-place writes labels into the images of an OME-Zarr, and {plate.name} (layout "
                f"{plate.layout}) is none: leave it out, or convert the input with nucbatch convert."
            )
        if path in owners:
            raise InputError(
                f"{path} holds several time points, {owners[path]} and {field.name} among them: --in-place "
                "is for images of one time point each. Leave it out."
            )
        owners[path] = field.name
        found = version_of(Path(plate.root, path))
        if found != settings.ome_zarr:
            raise InputError(
                f"{path} is OME-Zarr {found}, and labels in it can't be {settings.ome_zarr}: leave out "
                "--ome-zarr, or run stores of different versions alone."
            )


def require_free_images(plan: Plan, folder: RunFolder) -> None:
    """Checks that no selected image has other labels of the name; see ``store.in_place.require_free``.

    Raises:
        StoreError: an image has, or can't be written to.
    """
    if folder.in_place is not None:
        for field in plan.selected:
            require_free(folder.image_group(plan.plate.is_plate, field), plan.settings.digest())


def remove_partials_in_place(plan: Plan, folder: RunFolder) -> None:
    """Removes the temporary files that killed workers left in the labels of the plan's images."""
    if folder.in_place is not None:
        for field in plan.usable:
            remove_partials(labels_path(folder.image_group(plan.plate.is_plate, field)))


def remove_earlier_labels(plan: Plan, folder: RunFolder) -> None:
    """Removes the labels that an earlier run in the same folder wrote into the plan's images.

    Raises:
        StoreError: a file can't be removed.
    """
    header = read_header(folder)
    if header.get("settings", {}).get("labels") != "in-place":
        return
    for field in plan.usable:
        paths = {plane.path for plane in field.planes}
        for path in paths:
            if path.endswith("/"):
                remove_labels(Path(plan.plate.root, path), str(header.get("settings_sha256", "")))
