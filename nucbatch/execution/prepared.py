"""Prepares a run: resolves and checks all settings before anything is written or submitted.

The user's settings override those of the model's card.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any

from nucbatch.core.errors import InputError, PrecisionError
from nucbatch.core.plate import RGB_CHANNELS, Plate
from nucbatch.core.selection import EVERYTHING, Selection
from nucbatch.core.settings import NormaliseSettings, ObjectSettings, RunSettings
from nucbatch.core.tiles import GPU_BATCH_PX, TileGrid
from nucbatch.execution.network_facts import network_facts
from nucbatch.execution.network_process import with_network
from nucbatch.experiment.description import Experiment
from nucbatch.experiment.field_layout import fields_apart, no_pixel_size, repeats_outside_wells
from nucbatch.experiment.join import addresses_of, describe
from nucbatch.features.measure import families_in_effect, needing_whole_images
from nucbatch.inference.scale import Scale
from nucbatch.labels.given_masks import PlateMasks, masks_for
from nucbatch.networks.locate import locate
from nucbatch.networks.model_card import PACKAGE, Card
from nucbatch.planning.memory import PROCESS_BYTES, NetworkSize, gpu_bytes, largest_block
from nucbatch.planning.plan import Plan, make_plan
from nucbatch.readers.flat_fields import flat_fields_in_effect
from nucbatch.readers.merged_colours import detect_merged_colours
from nucbatch.schedulers.contract import Resources

MASKS = "masks made elsewhere"
"""Name that takes the model's place in the settings where no network is used."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A checked run, before anything is written or submitted.

    ``plan.settings`` are complete: channel, hash of the weights, normalisation and thresholds. ``read``: the
    plate as read; the plan's plate may lack fields without the channel. ``warnings``: messages for the user
    about the input. ``masks``: masks made elsewhere, which are measured without a network; ``card``,
    ``grid`` and ``memory_width`` are then those of no network. ``experiment``: how results are read; no
    setting of the run.
    """

    plan: Plan
    read: Plate
    weights: Path
    card: Card
    grid: TileGrid
    memory_width: int
    warnings: tuple[str, ...] = ()
    masks: PlateMasks | None = None
    experiment: Experiment | None = None

    def with_experiment(self, experiment: Experiment | None) -> Prepared:
        """Returns the run with the user's table of wells, controls, doses and series.

        Raises:
            InputError: the experiment does not fit the plate.
        """
        if experiment is None:
            return self
        remarks = describe(experiment, addresses_of(self.read)).remarks
        return replace(self, experiment=experiment, warnings=(*self.warnings, *remarks))

    @property
    def described(self) -> dict[str, Any]:
        """What found the nuclei, for run.json: the model's card, or the source of the masks."""
        if self.masks is None:
            return self.card.model_dump(mode="json")
        kind = "connected components of masks" if self.plan.settings.masks == "binary" else "label images"
        return {"name": MASKS, "source": str(self.masks.source), "kind": kind, "masks": len(self.masks.masks)}

    @property
    def scale(self) -> Scale:
        """The scale of images for the network."""
        return Scale.of(self.card, self.plan.settings)

    @property
    def network(self) -> NetworkSize:
        """The quantities that determine the network's memory."""
        scale = self.scale
        return NetworkSize(self.grid, self.memory_width, scale.largest_zoom, measures=scale.zoom is None)

    @property
    def worker_bytes(self) -> int:
        """Projected peak memory of a worker process with one block of the largest field, in bytes."""
        return PROCESS_BYTES + largest_block(self.plan, self.network)[1]

    def resources(self, workers: int | None) -> Resources:
        """Returns the resources that a cluster must provide.

        Raises:
            InputError: fewer than one worker.
        """
        on_gpu = gpu_bytes(self.plan, self.network, GPU_BATCH_PX)
        return Resources(workers, PROCESS_BYTES, self.worker_bytes - PROCESS_BYTES, on_gpu)


def prepare(
    plate: Plate,
    settings: RunSettings | None = None,
    *,
    block_px: int | None = None,
    selection: Selection = EVERYTHING,
) -> Prepared:
    """Chooses channel, weights, settings and blocks of a run; submits and writes nothing.

    Args:
        plate: the input.
        settings: fields that are set override the model's normalisation and thresholds.
        block_px: side of the blocks of large images in px; None: the default.
        selection: the part of the plate to process.

    Raises:
        InputError: the plate lacks the selection, the channel does not exist, or none was named and the
            names are ambiguous.
        WeightsError: the model can't be found or read.
        PrecisionError: the model computes in float32 alone.
        SchedulerError: the process that loads the network was killed.
    """
    settings = settings or RunSettings()
    weights = locate(settings.model)
    network = with_network(network_facts, weights)
    card = network.card
    if card.architecture == PACKAGE and settings.precision in ("bf16", "fp16"):
        raise PrecisionError(
            f"{settings.model} is a package, whose network computes in float32, not in {settings.precision}: "
            "use --precision fp32."
        )
    objects, normalise = chosen(card, settings)
    changes = {
        "model": card.name,  # the hash identifies it; its path is not a setting
        "model_hash": card.sha256,
        "calibration": card.calibration,
        "objects": objects,
        "normalise": normalise,
        "measurements": families_in_effect(settings.measure.features),
        "flat_field": flat_fields_in_effect(plate),
    }
    _require_confidences(settings, card.name, card.calibration is not None)
    Scale.of(card, settings)  # raises here, instead of in every field, if the model can't be scaled
    plan = make_plan(plate, settings.model_copy(update=changes), block_px, selection)
    _require_whole_images(plan)
    found = (*plan.plate.remarks, _dark_ground(plan), *_layout_of_fields(plan))
    warnings = tuple(filter(None, found))
    return Prepared(plan, plate, weights.absolute(), card, network.grid, network.memory_width, warnings)


def prepare_masks(
    plate: Plate,
    source: Path,
    settings: RunSettings | None = None,
    *,
    binary: bool = False,
    selection: Selection = EVERYTHING,
) -> Prepared:
    """Prepares a run that measures masks made elsewhere; submits and writes nothing.

    Every image is one block, however large, because the mask of an object may lie anywhere in it.

    Args:
        plate: the input.
        source: the masks; see :func:`nucbatch.labels.given_masks.masks_for`.
        settings: ``channel``, ``labels``, ``ome_zarr``, ``overlaps`` and ``pixel_size_um`` count.
        binary: the masks are binary, and their connected components are the objects.
        selection: the part of the plate to process.

    Raises:
        InputError, InputNotFound: as :func:`prepare`, or no mask fits the plate.
        StoreError: the masks' metadata can't be read.
    """
    settings = settings or RunSettings()
    _require_confidences(settings, MASKS, False)
    changes = {
        "model": MASKS,
        "masks": "binary" if binary else "given",
        "diameter_px": "none",
        "measurements": families_in_effect(settings.measure.features),
        "flat_field": flat_fields_in_effect(plate),
    }
    plan = make_plan(plate, settings.model_copy(update=changes), selection=selection)
    masks = masks_for(plan.plate, source, binary=binary, selection=selection)
    plan = replace(plan, plate=masks.plate, largest_px=sys.maxsize)
    found = (*plan.plate.remarks, *_layout_of_fields(plan))
    card = Card(name=MASKS, architecture="none", config={"width": 0}, outputs=("foreground",))
    no_tiles = TileGrid(stride=1, halo=0, largest=1, whole=1)
    return Prepared(plan, plate, Path(), card, no_tiles, 0, tuple(filter(None, found)), masks)


def _require_confidences(settings: RunSettings, source: str, known: bool) -> None:
    """Checks that objects have confidences if the user leaves out those below one.

    Raises:
        InputError: they have none.
    """
    if settings.counted.min_confidence is not None and not known:
        raise InputError(
            f"--min-confidence {settings.counted.min_confidence:g}: objects of {source} have no confidence. "
            "Only a model that was calibrated gives one: nucbatch models calibrate MODEL DATA."
        )


def _require_whole_images(plan: Plan) -> None:
    """Checks that no image is cut into blocks if a family of measurements needs whole images.

    Raises:
        InputError: one is.
    """
    families = needing_whole_images(plan.settings.measure.features)
    large = list(compress(plan.selected.values("name"), plan.large(plan.selected))) if families else []
    if large:
        raise InputError(
            f"{', '.join(families)} depends on a whole image, but {large[0]} is cut into blocks: leave it "
            "out of --features, or set --block-size above the image's longer side."
        )


def _layout_of_fields(plan: Plan) -> tuple[str, ...]:
    """Returns warnings about overlaps that can't be resolved without a pixel size or wells."""
    apart = fields_apart(plan.usable, plan.settings.pixel_size_um)
    return no_pixel_size(plan.usable), apart, repeats_outside_wells(plan.usable)


def _dark_ground(plan: Plan) -> str:
    """Returns a warning about RGB images that look like merged fluorescence; empty if a colour is chosen."""
    if plan.settings.channel in RGB_CHANNELS:
        return ""
    return detect_merged_colours(plan.plate).sentence


def chosen(card: Card, settings: RunSettings) -> tuple[ObjectSettings, NormaliseSettings]:
    """Returns the model's settings, overridden by those that the user set, even to a default value.

    Raises:
        InputError: the model clusters the colours of each field, and another normalisation is asked for.
    """
    asked = settings.normalise.model_dump(exclude_unset=True)
    if card.normalise.method == "lab-kmeans" and asked.items() - card.normalise.model_dump().items():
        raise InputError(
            f"{card.name} clusters the colours of each field and has no other normalisation: leave out "
            "--normalise and --normalise-over."
        )
    own = card.normalise.model_dump(exclude={"low", "high"} if "method" in asked else set())
    given = settings.objects.model_dump(exclude_unset=True)
    if "min_area_px" in given:
        given = {"min_area_of": "image"} | given
    return (
        card.objects.model_copy(update=given),
        NormaliseSettings.model_validate(own | asked),
    )
