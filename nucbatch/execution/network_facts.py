"""What planning a run needs to know of its network: read where PyTorch is loaded, which the driver is not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nucbatch.core.tiles import TileGrid
from nucbatch.networks.model_card import Card


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """A network's ``card``, its ``grid`` of tiles, and the ``memory_width`` by which memory is projected."""

    card: Card
    grid: TileGrid
    memory_width: int


def network_facts(weights: Path) -> NetworkFacts:
    """Loads a network and describes it.

    Raises:
        WeightsError: the file can't be read, or the network can't be made from it.
    """
    from nucbatch.inference.predict import grid_of
    from nucbatch.networks.checkpoint import load_weights
    from nucbatch.networks.contract import memory_width

    network, card = load_weights(weights)
    return NetworkFacts(card, grid_of(network), memory_width(network, card.config))
