"""Measures the nuclei of an image with all installed families, in a fixed order.

The entry points of the group ``nucbatch.features`` alone decide which families run, so that all workers of a
run compute the same columns. An image without nuclei gives the same columns with no rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import numpy.typing as npt

from nucbatch.core.errors import InputError, SettingsConflict
from nucbatch.core.extensions import registered
from nucbatch.core.measure_settings import DEFAULTS, MeasureSettings
from nucbatch.core.rle import Runs
from nucbatch.features.contract import Columns, Family
from nucbatch.features.measured_objects import objects_of
from nucbatch.features.neighbors import CLOSEST, closest_distance

_CENTER = ("Metadata_Nuclei_Location_Center_Y", "Metadata_Nuclei_Location_Center_X")


@cache
def installed_families(optional: tuple[str, ...] = ()) -> tuple[Family, ...]:
    """One instance of each installed family, and of some optional ones, sorted by name.

    Args:
        optional: entry points of the group ``nucbatch.optional_features``.

    Raises:
        InputError: an entry point does not name a family, or two families share a name; or there is no such
            optional family, or the package that computes it is not installed.
    """
    families: dict[str, Family] = {}
    for point in _points(optional):
        family = point.load()()
        if not isinstance(family, Family):
            raise InputError(
                f"{point.value} of nucbatch.features is not a family: it needs name, margin_px() and "
                "measure()."
            )
        if family.name in families:
            raise InputError(f"two families of measurements are named {family.name!r}; remove {point.value}.")
        families[family.name] = family
    return tuple(families[name] for name in sorted(families))


def _points(optional: Iterable[str]) -> list[EntryPoint]:
    """Entry points of all families in use, by name.

    Raises:
        InputError: there is no such optional family.
    """
    further = {point.name: point for point in registered("nucbatch.optional_features")}
    unknown = sorted(set(optional) - further.keys())
    if unknown:
        raise InputError(
            f"there are no measurements named {', '.join(unknown)}: --features takes "
            f"{', '.join(sorted(further))}."
        )
    points = [*registered("nucbatch.features"), *(further[name] for name in optional)]
    return sorted(points, key=lambda point: point.name)


def needing_whole_images(optional: tuple[str, ...]) -> list[str]:
    """Names of the families that can't measure an image in blocks."""
    families = installed_families(optional)
    return [family.name for family in families if getattr(family, "needs_whole_image", False)]


@cache
def families_in_effect(optional: tuple[str, ...] = ()) -> dict[str, str]:
    """Package, version and object of each family in use, by the entry point's name.

    Raises:
        InputError: as :func:`installed_families`.
    """
    installed_families(optional)
    found: dict[str, str] = {}
    for point in _points(optional):
        package = getattr(point.load()(), "package", "")
        own = f"{point.dist.name} {point.dist.version} ({point.value})" if point.dist else point.value
        found[point.name] = f"{own} with {package}" if package else own
    return found


def require_families(wanted: Mapping[str, str] | None, optional: tuple[str, ...] = ()) -> None:
    """Checks that the same families are installed as when the run started.

    Raises:
        SettingsConflict: they differ; the message lists the differences.
    """
    here = families_in_effect(optional)
    if wanted is None or wanted == here:
        return
    differences = [
        f"{name}: {wanted.get(name, 'none')} → {here.get(name, 'none')}"
        for name in sorted(wanted.keys() | here.keys())
        if wanted.get(name) != here.get(name)
    ]
    raise SettingsConflict(
        f"a worker has other measurements than the command. {'; '.join(differences)}. Install the same "
        "packages for both."
    )


def margin_px(settings: MeasureSettings, pixel_size_um: float | None) -> int:
    """How far around an object a window must reach for its measurements to be those of the whole image."""
    families = installed_families(settings.features)
    return max((family.margin_px(settings, pixel_size_um) for family in families), default=0)


def measure(
    labels: npt.NDArray[np.integer],
    image: npt.NDArray[Any],
    channels: Sequence[str],
    *,
    origin_px: tuple[int, int] = (0, 0),
    settings: MeasureSettings = DEFAULTS,
    pixel_size_um: float | None = None,
    whole_px: tuple[int, int] | None = None,
    own: npt.NDArray[np.bool_] | None = None,
    families: Sequence[Family] | None = None,
    further: Sequence[Family] = (),
    runs: Runs | None = None,
) -> Columns:
    """All measurements of all objects, as columns named in CellProfiler's style.

    Args:
        labels: (Y, X), any integer dtype, 0 background, objects 1..N without gaps. Row i is label i + 1.
        image: (C, Y, X), integer or float, as read. C may be 0; then shape is measured alone.
        channels: names of the C channels, all different; they end the names of intensity columns.
        origin_px: (y, x) of the window's first pixel in its image; positions are given in the image.
        settings: what is measured.
        pixel_size_um: needed for a ring in micrometres.
        whole_px: (Y, X) of the image, if the labels are a window of it.
        own: (N,) the objects whose rows are wanted; None for all. The others are neighbours, which a window
            may cut. The window must reach :func:`margin_px` beyond the wanted objects.
        families: used instead of the installed ones.
        further: families that depend on more than the pixels; their columns come last.
        runs: of the labels' pixels, if they are known.

    Returns:
        Columns (N,), or of the wanted objects, int64 or float64, metadata first, in the same order with the
        same dtypes for every image.

    Raises:
        InputError: labels, image and channels don't fit one another, or two families make the same column.
    """
    names = tuple(channels)
    if image.ndim != 3 or image.shape[1:] != labels.shape or len(image) != len(names):
        raise InputError(
            f"an image of shape {image.shape} with channels {', '.join(names) or 'none'} does not fit labels "
            f"of shape {labels.shape}: it must be (C, Y, X) with one name per channel."
        )
    if len(set(names)) != len(names):
        raise InputError(f"channels {', '.join(names)}: names must differ, because columns carry them.")
    if image.dtype.kind not in "uif":
        raise InputError(f"pixels of type {image.dtype} can't be measured: they must be integers or floats.")
    objects = objects_of(labels, origin_px, settings, pixel_size_um, whole_px, runs)
    columns: Columns = {}
    chosen = installed_families(settings.features) if families is None else families
    for family in (*chosen, *further):
        made = family.measure(objects, image, names)
        for name, values in made.items():
            if name in columns or values.shape != (objects.count,):
                raise InputError(
                    f"the family {family.name} made a column {name} of shape {values.shape}: it must be "
                    f"({objects.count},), one value per object, and no other family may make it."
                )
            columns[name] = values if own is None else values[own]
    if _CENTER[0] in columns:
        centers = np.stack([columns[name].astype(np.float64) for name in _CENTER], axis=1)
        # Of a window it is known once all of the image is measured.
        columns[CLOSEST] = (
            closest_distance(centers, centers) if own is None else np.full(len(centers), np.nan)
        )
    metadata = {name: values for name, values in columns.items() if name.startswith("Metadata_")}
    return metadata | columns
