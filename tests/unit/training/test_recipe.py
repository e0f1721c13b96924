import pytest

from nucbatch.core.errors import InputError
from nucbatch.networks.contract import architectures, build
from nucbatch.networks.layer_table import summarise
from nucbatch.training.card import as_shipped
from nucbatch.training.recipe import PRESETS, Recipe, preset


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="the presets are default"):
        preset("huge")


def test_the_papers_preset_is_the_papers_network_and_training() -> None:
    paper = preset("paper")
    assert summarise(paper.architecture, paper.config).parameters == 31_055_297
    assert (paper.epochs, paper.crop_px, paper.outputs) == (35, 256, ("foreground",))


def test_small_is_another_name_for_what_ships_by_default() -> None:
    assert preset("small") == preset("default").model_copy(update={"name": "small"})


def test_base_fits_in_32_megabytes_of_half_precision() -> None:
    base = preset("base")
    assert 2 * summarise(base.architecture, base.config).parameters < 32e6


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_as_many_outputs_as_maps(name: str) -> None:
    assert preset(name).config["outputs"] == len(preset(name).outputs)


def test_differences_from_a_preset_are_reported_by_name() -> None:
    reduced = preset("paper").model_copy(update={"width": 16, "epochs": 10})
    assert reduced.differences(as_shipped(reduced, None)) == (
        "width 16 instead of 64, epochs 10 instead of 35"
    )
    own = Recipe(name="own", width=3)
    assert own.differences(as_shipped(own, None)) == ""


@pytest.mark.parametrize("name", architectures())
def test_every_installed_architecture_is_a_preset(name: str) -> None:
    recipe = preset(name)
    assert recipe.architecture == name
    build(name, {**recipe.config, "width": 4})


def test_the_first_u_net_is_trained_as_its_paper_says() -> None:
    recipe = preset("unet-2015")
    assert (recipe.elastic_px, recipe.weights) == (10, "borders")
