"""Settings of a run: validated, frozen and hashed.

These settings decide *what* is computed, so all but one of them are part of the hash. *Where* it is computed
(scheduler, workers) belongs to the driver and is never hashed, because results do not depend on it.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Annotated, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from nucbatch.core.calibration import Calibration
from nucbatch.core.errors import InputError
from nucbatch.core.measure_settings import DEFAULTS, EVERY_NUCLEUS, CountSettings, MeasureSettings
from nucbatch.core.numeric_kind import ASKED, FLOAT32, is_kind
from nucbatch.core.validation import option_name, validation_problems

MICRONUCLEUS = 3
"""Micronuclei have less than one part in this many of the typical nucleus' diameter."""

MAPS = ("foreground", "interior", "offset_y", "offset_x")
"""Maps that a network can predict, in order; a network has the first 1, 2 or 4 of them."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NormaliseSettings(_Frozen):
    """How pixel values are scaled: which values become 0 and 1.

    Attributes:
        method: *foreground* measures the background level and the levels of bright objects, so that one
            nucleus and a thousand are scaled alike (:mod:`nucbatch.inference.foreground`). *percentiles*
            takes ``low_percent`` and ``high_percent`` of all pixels. *fixed* takes ``low`` and ``high``.
            *otsu* and *kmeans* put a threshold of the histogram at 0.5, for the methods without weights
            (:mod:`nucbatch.inference.histogram_thresholds`). *lab-kmeans* makes pixels of stained nuclei 1
            and all others 0 (:mod:`nucbatch.inference.colour_clusters`). The others are those of models from
            elsewhere: values beyond 0 and 1 stay (``clips`` is False). *standardise* maps the mean to 0 and
            the mean plus the standard deviation to 1; *scale_range* maps interpolated percentiles; *linear*
            maps ``low`` and ``high``.
        over: one pair of values per *field*, or one for the *plate*, measured on a sample of its fields.
        low_percent: percentile that becomes 0.
        high_percent: percentile that becomes 1.
        low: grey level that becomes 0, for *fixed*. With ``over="plate"`` the run stores its measured value
            here and reuses it when it is resumed.
        high: grey level that becomes 1, likewise.
    """

    method: Literal[
        "foreground",
        "percentiles",
        "fixed",
        "otsu",
        "kmeans",
        "lab-kmeans",
        "standardise",
        "scale_range",
        "linear",
    ] = "foreground"
    over: Literal["field", "plate"] = "field"
    low_percent: float = Field(default=1.0, ge=0, lt=100)
    high_percent: float = Field(default=99.8, gt=0, le=100)
    low: float | None = Field(default=None, allow_inf_nan=False)
    high: float | None = Field(default=None, allow_inf_nan=False)

    @property
    def clips(self) -> bool:
        """Whether values below 0 become 0, and those above 1 become 1."""
        return self.method not in ("standardise", "scale_range", "linear")

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        given = [value for value in (self.low, self.high) if value is not None]
        fixed = self.method in ("fixed", "linear")
        if len(given) == 1 or (fixed and not given):
            raise ValueError(f"low is {self.low} and high is {self.high}: give both, in grey levels")
        if given and not fixed and self.over != "plate":
            raise ValueError(
                f"low {self.low:g} and high {self.high:g} are not used by method {self.method}, which "
                "measures them in every field: use method fixed, or leave them out"
            )
        if given and fixed and not given[0] < given[1]:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        return self

    @model_validator(mode="after")
    def _colours_are_clustered_by_field(self) -> Self:
        if self.method == "lab-kmeans" and self.over == "plate":
            raise ValueError("lab-kmeans clusters the colours of each field: use over field")
        return self

    @model_validator(mode="after")
    def _low_is_below_high(self) -> NormaliseSettings:
        if self.low_percent >= self.high_percent:
            raise ValueError(f"low_percent {self.low_percent} must be below high_percent {self.high_percent}")
        return self


class ObjectSettings(_Frozen):
    """How probability maps become nuclei. Areas are in pixels of the image, thresholds are probabilities.

    Attributes:
        foreground: a pixel at or above this belongs to a nucleus.
        join: for models with offsets, merge centres closer than this fraction of the radius.
        merge: for models with offsets, merge neighbouring nuclei where the interior on their border exceeds
            this fraction of the lower of their maxima; 1 never.
        interior: for models without offsets, connected pixels at or above this form one marker.
        peak: drop objects whose interior probability never reaches this (debris).
        min_area_px: drop objects smaller than this.
        min_area_of: which pixels ``min_area_px`` counts. "seen": those of the image as the network sees it,
            so that the area follows the scale. "image": the image's own, as for an area that a user gives.
        micronuclei: "drop" leaves out objects of less than a third of the typical nucleus' diameter (of the
            image or the plate): micronuclei, apoptotic bodies and debris. "count" keeps them. Ignored where
            the diameter is unknown, for RGB images, and where a user gives ``min_area_px``.
        min_marker_px: ignore markers smaller than this, or centres that fewer pixels point to.
    """

    foreground: float = Field(default=0.5, gt=0, lt=1)
    join: float = Field(default=0.9, ge=0, le=2)
    merge: float = Field(default=1.0, gt=0, le=1)
    interior: float = Field(default=0.5, gt=0, lt=1)
    peak: float = Field(default=0.45, ge=0, lt=1)
    min_area_px: int = Field(default=25, ge=1, le=1_000_000_000)
    min_area_of: Literal["seen", "image"] = "seen"
    micronuclei: Literal["drop", "count"] = "drop"
    min_marker_px: int = Field(default=4, ge=1, le=1_000_000_000)

    def at(self, zoom: float) -> ObjectSettings:
        """Returns the settings for an image that the network sees ``zoom`` times as large.

        >>> ObjectSettings(min_area_px=25).at(0.5).min_area_px
        100
        >>> ObjectSettings(min_area_px=25, min_area_of="image").at(0.5).min_area_px
        25
        """
        if zoom == 1 or self.min_area_of == "image":
            return self
        return self.model_copy(update={"min_area_px": max(1, round(self.min_area_px / zoom**2))})

    def least_nucleus_px(self, diameter_px: float) -> int:
        """Returns the area in px below which an object is a micronucleus and left out; 0 if none is.

        A micronucleus has less than a third of the typical nucleus' diameter (Fenech, Mutation Research 455,
        2000).

        >>> ObjectSettings().least_nucleus_px(30), ObjectSettings(micronuclei="count").least_nucleus_px(30)
        (79, 0)

        Args:
            diameter_px: typical diameter of the image's nuclei, in its own pixels; 0 if unknown.
        """
        if self.micronuclei == "count" or self.min_area_of == "image":
            return 0
        return math.ceil(math.pi / 4 * (diameter_px / MICRONUCLEUS) ** 2)


class HashedSettings(_Frozen):
    """Settings whose digest decides whether a folder's results can be continued."""

    def digest(self) -> str:
        """Returns the SHA-256 (hex) of the hashed settings' canonical JSON.

        Equal digests mean equal labels and measurements.
        """
        text = json.dumps(self._hashed(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def differences(self, other: HashedSettings) -> list[str]:
        """Lists the hashed settings that differ, as ``objects.foreground: 0.5 → 0.6`` (other → self)."""
        mine, theirs = _flatten(self._hashed()), _flatten(other._hashed())
        both = [*mine, *(key for key in theirs if key not in mine)]
        return [
            f"{key}: {theirs.get(key, 'none')} → {mine.get(key, 'none')}"
            for key in both
            if mine.get(key) != theirs.get(key)
        ]

    def _hashed(self) -> dict[str, object]:
        return self.model_dump(mode="json")


S = TypeVar("S", bound=HashedSettings)


class ConversionSettings(HashedSettings):
    """All settings that determine a converted OME-Zarr, besides the images.

    Attributes:
        ome_zarr: version of the OME-Zarr.
        pixel_size_um: pixel size that overrides the files' metadata; None keeps theirs.
        flat_field: as in :class:`RunSettings`.
    """

    ome_zarr: Literal["0.5", "0.4"] = "0.5"
    pixel_size_um: float | None = Field(default=None, gt=0)
    flat_field: dict[str, str] = {}


class RunSettings(HashedSettings):
    """All settings that determine a run's results, besides the images and the weights.

    Attributes:
        channel: name of the segmented channel; empty before it is chosen, or where all images are RGB.
        model: name or path of the model.
        model_hash: SHA-256 of the weights.
        normalise: see :class:`NormaliseSettings`.
        objects: see :class:`ObjectSettings`.
        counted: which nuclei count; like ``overlaps`` it is not hashed and may change in a resumed run.
        measure: what is measured; see :class:`nucbatch.core.measure_settings.MeasureSettings`.
        precision: numeric kind in which the network computes (:mod:`nucbatch.core.numeric_kind`). Before a
            run has chosen it: "auto", "bf16" or "fp16".
        pixel_size_um: pixel size that overrides the files' metadata; None keeps theirs.
        diameter_px: scale at which the network sees images. A number is the nuclei's typical diameter, and
            images are rescaled so that it becomes the training data's. "none": no rescaling. "auto": images
            whose nuclei are found to be much larger are reduced (:mod:`nucbatch.inference.scale`).
        plate_diameter_px: diameter that "auto" measured for a whole plate, 0 if it found no nuclei; None
            measures each image by itself. A run sets it, and keeps it when it is resumed.
        flat_field: correction of the illumination of each channel with a known flat field: the digest of
            the one by which its pixels are corrected, or "uncorrected".
        labels: format of the label images: OME-Zarr with the images, TIFF, both, or *in-place*, in the images
            of an OME-Zarr that is the input.
        images: whether the OME-Zarr holds a *copy* of the images beside their labels, or *none*.
        ome_zarr: version of the OME-Zarr that holds images and labels.
        masks: source of the objects: the *network*; *given*, label images made elsewhere; or *binary*, given
            masks whose connected components are the objects.
        measurements: families of measurements by name, each with its package; None until the run chooses
            them.
        overlaps: whether a nucleus in several overlapping fields counts "once", or all are kept ("keep"). It
            only decides how the tables are made in the end, so it is not hashed and may change in a resumed
            run.
        table: format of the table of nuclei: Parquet, or *csv* beside it. Not hashed, as ``overlaps``.
        calibration: of the model, from its card; None gives no confidences and no intervals. Its digest is
            hashed.
    """

    channel: str = ""
    model: str = "default"
    model_hash: str = ""
    normalise: NormaliseSettings = NormaliseSettings()
    objects: ObjectSettings = ObjectSettings()
    measure: MeasureSettings = DEFAULTS
    counted: CountSettings = EVERY_NUCLEUS
    precision: str = FLOAT32
    pixel_size_um: float | None = Field(default=None, gt=0)
    diameter_px: Annotated[float, Field(ge=4, le=2000)] | Literal["auto", "none"] = "auto"
    plate_diameter_px: float | None = Field(default=None, ge=0)
    flat_field: dict[str, str] = {}
    labels: Literal["zarr", "tiff", "both", "in-place"] = "zarr"
    images: Literal["copy", "none"] = "copy"
    ome_zarr: Literal["0.5", "0.4"] = "0.5"
    masks: Literal["network", "given", "binary"] = "network"
    measurements: dict[str, str] | None = None
    overlaps: Literal["once", "keep"] = "once"
    table: Literal["parquet", "csv"] = "parquet"
    calibration: Calibration | None = None

    @field_validator("precision")
    @classmethod
    def _known_precision(cls, precision: str) -> str:
        if precision not in ASKED and not is_kind(precision):
            raise ValueError(f"must be {', '.join(ASKED[:-1])} or {ASKED[-1]}")
        return precision

    @field_validator("images")
    @classmethod
    def _has_images(cls, images: str, others: ValidationInfo) -> str:
        labels = others.data.get("labels")
        if images == "none" and labels in ("tiff", "in-place"):
            raise ValueError(f"masks are written as {labels}, which never copies the images: leave this out")
        return images

    @property
    def keeps_zarr(self) -> bool:
        """Whether the run has an OME-Zarr of its own."""
        return self.labels in ("zarr", "both")

    @property
    def copies_images(self) -> bool:
        """Whether this OME-Zarr holds the images and not their labels alone."""
        return self.keeps_zarr and self.images == "copy"

    def _hashed(self) -> dict[str, object]:
        hashed = self.model_dump(mode="json", exclude={"overlaps", "table", "counted", "calibration"})
        return hashed if self.calibration is None else hashed | {"calibration": self.calibration.digest()}


def validated(values: dict[str, object]) -> RunSettings:
    """Builds a run's settings from plain values, as :func:`validated_as`."""
    return validated_as(RunSettings, values)


def validated_as(kind: type[S], values: dict[str, object]) -> S:
    """Builds settings of some kind from plain values.

    Raises:
        InputError: a value is out of range or unknown; the message names each and the allowed values.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InputError(f"Invalid settings: {validation_problems(error, option_name)}.") from error


def _flatten(values: dict[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
