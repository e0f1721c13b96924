"""Writes the weight files of the methods without weights, into the folder that is given.

python trainings/methods.py nucbatch/networks/weights
"""

import sys
from pathlib import Path

from nucbatch.core.settings import MAPS, NormaliseSettings, ObjectSettings
from nucbatch.networks.checkpoint import save_weights
from nucbatch.networks.contract import build
from nucbatch.networks.model_card import Card

CARDS = (
    Card(
        name="otsu-watershed",
        architecture="otsu-watershed",
        config={"in_channels": 3, "outputs": 1, "width": 4},
        outputs=MAPS[:1],
        normalise=NormaliseSettings(method="otsu"),
        objects=ObjectSettings(peak=0, interior=0.7),
        data="none: a threshold of the image's histogram",
    ),
    Card(
        name="kmeans-watershed",
        architecture="kmeans-watershed",
        config={"in_channels": 3, "outputs": 2, "width": 8},
        outputs=MAPS[:2],
        normalise=NormaliseSettings(method="kmeans"),
        objects=ObjectSettings(peak=0, interior=0.8, min_marker_px=12),
        data="none: clusters of the image's grey levels",
    ),
    Card(
        name="lab-kmeans-watershed",
        architecture="lab-kmeans-watershed",
        config={"in_channels": 3, "outputs": 2, "width": 8},
        outputs=MAPS[:2],
        normalise=NormaliseSettings(method="lab-kmeans"),
        objects=ObjectSettings(peak=0, interior=0.7, min_marker_px=12),
        data="none: clusters of the image's colours",
    ),
)


def write(folder: Path) -> None:
    """Writes one weight file per card."""
    for card in CARDS:
        network = build(card.architecture, card.config)
        save_weights(folder / f"{card.name}.safetensors", network, card, half=False)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
