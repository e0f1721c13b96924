"""A run as it will be: everything settled and checked before anything is written or submitted.

The decision owned here: whose settings count. What was set wins, then what the model's card says.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nucbatch.core.plate import READ_TIMEOUT_S, RGB_CHANNELS, Plate
from nucbatch.core.settings import NormaliseSettings, ObjectSettings, RunSettings
from nucbatch.core.tiles import TileGrid
from nucbatch.features.measure import families_in_effect
from nucbatch.inference.device import BATCH_PX
from nucbatch.inference.predict import grid_of
from nucbatch.inference.scale import Scale
from nucbatch.networks.checkpoint import Card, load_weights, locate
from nucbatch.planning.memory import PROCESS_BYTES, NetworkSize, gpu_bytes, largest_block
from nucbatch.planning.plan import Plan, make_plan
from nucbatch.readers.merged_colours import detect_merged_colours
from nucbatch.schedulers.contract import Resources


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run as it will be, checked, before anything is written or submitted.

    ``plan.settings`` are complete: channel, weights' hash, normalisation and thresholds are settled.
    ``read`` is the plate as it was read; the plan's may leave out fields that lack the channel.
    ``warnings`` are sentences for the user about the input.
    """

    plan: Plan
    read: Plate
    weights: Path
    card: Card
    grid: TileGrid
    warnings: tuple[str, ...] = ()

    @property
    def scale(self) -> Scale:
        """At which scale the network sees images."""
        return Scale.of(self.card, self.plan.settings)

    @property
    def network(self) -> NetworkSize:
        """What the network's memory grows with."""
        scale = self.scale
        return NetworkSize(
            self.grid, self.card.config.get("width", 64), scale.largest_zoom, measures=scale.zoom is None
        )

    @property
    def worker_bytes(self) -> int:
        """Projected peak of a worker process with the largest field, one at a time."""
        return PROCESS_BYTES + largest_block(self.plan, self.network)[1]

    def resources(self, workers: int | None) -> Resources:
        """What a cluster for it must offer.

        Raises:
            InputError: less than one worker.
        """
        on_gpu = gpu_bytes(self.plan, self.network, BATCH_PX)
        return Resources(workers, PROCESS_BYTES, self.worker_bytes - PROCESS_BYTES, on_gpu)


def prepare(
    plate: Plate,
    settings: RunSettings | None = None,
    *,
    block_px: int | None = None,
    read_timeout_s: float = READ_TIMEOUT_S,
) -> Prepared:
    """Settles channel, weights and blocks; nothing is submitted or written.

    The model's own normalisation and thresholds are taken, but for those set in ``settings``.
    ``read_timeout_s``: how long a read may take before its field fails.

    Raises:
        InputError: the channel is not there, or none was named and the names don't tell.
        WeightsError: the model.
    """
    settings = settings or RunSettings()
    weights = locate(settings.model)
    network, card = load_weights(weights)
    objects, normalise = chosen(card, settings)
    changes = {
        "model": card.name,  # the hash says which it is; where it was read from is no setting
        "model_hash": card.sha256,
        "objects": objects,
        "normalise": normalise,
        "measurements": families_in_effect(),
    }
    Scale.of(card, settings)  # a model that can't be scaled is told here, not by every field
    plan = make_plan(plate, settings.model_copy(update=changes), block_px, read_timeout_s)
    warnings = tuple(filter(None, (*plan.plate.remarks, _dark_ground(plan))))
    return Prepared(plan, plate, weights.absolute(), card, grid_of(network), warnings)


def _dark_ground(plan: Plan) -> str:
    """A doubt about RGB images that look like merged fluorescence; empty where a colour was chosen."""
    if plan.settings.channel in RGB_CHANNELS:
        return ""
    return detect_merged_colours(plan.plate, plan.read_timeout_s).sentence


def chosen(card: Card, settings: RunSettings) -> tuple[ObjectSettings, NormaliseSettings]:
    """The model's own settings, overridden by what was set, even if to a general default."""
    asked = settings.normalise.model_dump(exclude_unset=True)
    own = card.normalise.model_dump(exclude={"low", "high"} if "method" in asked else set())
    given = settings.objects.model_dump(exclude_unset=True)
    if "min_area_px" in given:
        given = {"min_area_of": "image"} | given
    return (
        card.objects.model_copy(update=given),
        NormaliseSettings.model_validate(own | asked),
    )
