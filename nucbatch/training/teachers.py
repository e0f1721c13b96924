"""Teachers: trained networks whose maps a new network learns beside the labels (Hinton et al. 2015).

Labels of different annotators disagree on outlines, and on what is a nucleus at all. The mean of several
networks varies less.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from nucbatch.core.errors import InputError
from nucbatch.networks.checkpoint import load_weights
from nucbatch.networks.model_card import Card
from nucbatch.training.precision import Precision
from nucbatch.training.recipe import Recipe


class Teachers:
    """The teachers of a training, on its device and in its precision.

    ``cards``: of the teachers, in the order given.

    Raises:
        InputError: a teacher predicts other maps than the recipe trains, or expects images that are
            normalised in another way; or the recipe's task has no use for teachers.
        WeightsError: a file is not a usable weight file.
    """

    def __init__(self, paths: Sequence[Path], recipe: Recipe, device: torch.device) -> None:
        if recipe.task != "nuclei":
            raise InputError(
                f"preset {recipe.name} can't learn from teachers: leave out --teacher, or use a preset for "
                "single nuclei, such as default."
            )
        loaded = [load_weights(path) for path in paths]
        self.cards: list[Card] = [card for _, card in loaded]
        for path, card in zip(paths, self.cards, strict=True):
            if card.outputs != recipe.outputs:
                raise InputError(
                    f"the teacher {path} predicts {', '.join(card.outputs)}, but preset {recipe.name} trains "
                    f"{', '.join(recipe.outputs)}: name a teacher with the same maps."
                )
            if card.normalise != recipe.normalise:
                raise InputError(
                    f"the teacher {path} expects images that are normalised by {card.normalise}, the new "
                    f"network {recipe.normalise}: name a teacher with the same normalisation."
                )
        self._networks = [network.to(device).eval().requires_grad_(False) for network, _ in loaded]
        self._precision = Precision(recipe.precision, device)

    @torch.no_grad()
    def maps(self, images: Tensor) -> Tensor:
        """The mean of the teachers' maps, float32 (N, outputs, H, W) in [0, 1], of images (N, 3, H, W)."""
        each = [torch.sigmoid(self._precision.forward(network, images)) for network in self._networks]
        return torch.stack(each).mean(dim=0)
