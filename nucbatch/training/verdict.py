"""Warnings about the weights that a training ends with, for the terminal and the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nucbatch.networks.model_card import Card


def verdict(card: Card, before: list[dict[str, float]]) -> list[str]:
    """Warnings about finished weights: they find nothing, or score worse than the initial weights.

    ``before`` is the history's line of step 0, if there is one.
    """
    sentences = []
    if "warning" in card.training:
        sentences.append(f"The model {card.training['warning']}. Train longer, or check the labels.")
    if before and "from" in card.training:
        for column, figure in (
            ("val_object_f1", "val object F1 at 0.5"),
            ("val_dice", next((name for name in card.scores if name.endswith("pixel F1")), "")),
        ):
            if card.scores.get(figure, 1) < before[0].get(column, 0) - 5e-5:
                sentences.append(
                    f"The initial weights scored better on the validation images: {figure} was "
                    f"{before[0][column]:.4f} and is {card.scores[figure]:.4f}."
                )
    return sentences
