"""The recipe that a user asks for: a preset, changed by options, and adapted to weights to start from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from nucbatch.core.errors import InputError
from nucbatch.core.validation import option_name, validation_problems
from nucbatch.networks.checkpoint import read_card
from nucbatch.networks.model_card import PACKAGE
from nucbatch.training import recipe as recipes
from nucbatch.training.initial_weights import adapt_to_weights
from nucbatch.training.recipe import Recipe


def chosen_recipe(preset: str | None, start: Path | None, changes: Mapping[str, object]) -> Recipe:
    """The preset with the changes of the options, adapted to the weights to start from.

    Raises:
        InputError: there is no such preset, or options contradict each other.
    """
    asked = {key: value for key, value in changes.items() if value is not None}
    if "steps" in asked and "epochs" in asked:
        raise InputError("--steps and --epochs both set the length of training: give one.")
    if "steps" in asked:
        asked["epochs"] = None
    recipe = recipes.preset(preset or ("finetune" if start else "default"))
    if start is None:
        if recipe.name in recipes.FROM_WEIGHTS:
            raise InputError(f"preset {recipe.name} starts from trained weights: name them with --from.")
        return _changed(recipe, asked)
    if "width" in asked:
        raise InputError("--width is given by the weights of --from: leave it out.")
    card = read_card(start)
    if card.architecture == PACKAGE:
        raise InputError(
            f"{start} is a package of another program, whose network can be run but not trained further: "
            "start from a weight file of nucbatch."
        )
    return _changed(adapt_to_weights(recipe, card), asked)


def _changed(recipe: Recipe, asked: dict[str, object]) -> Recipe:
    try:
        return Recipe.model_validate(recipe.model_dump() | asked)
    except ValidationError as error:
        raise InputError(
            f"Invalid options of the training: {validation_problems(error, option_name)}."
        ) from error
