"""The published networks have the parameters and sizes that their papers state."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from nucbatch.core.errors import InputError
from nucbatch.networks.checkpoint import load_weights, save_weights
from nucbatch.networks.contract import build, count_parameters
from nucbatch.networks.model_card import Card
from nucbatch.networks.prune import prune
from nucbatch.networks.sharp_dense_unet import SharpDenseUNet
from nucbatch.networks.unet_2015 import UNet2015
from nucbatch.networks.unet_plus import UNetPlus
from nucbatch.networks.unet_plus_plus import UNetPlusPlus


def _without_normalisation(network: nn.Module) -> int:
    """Number of weights and biases of convolutions alone."""
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    return sum(parameter.numel() for layer in convolutions for parameter in layer.parameters())


def test_the_first_u_net_turns_572_pixels_into_388() -> None:
    network = UNet2015(in_channels=1, outputs=2, width=2).eval()
    assert network.unpadded(torch.zeros(1, 1, 572, 572)).shape == (1, 2, 388, 388)
    assert network.margin_px == 92


def test_the_first_u_net_predicts_a_tile_from_its_mirrored_surroundings() -> None:
    torch.manual_seed(0)
    network = UNet2015(in_channels=1, outputs=1, width=4, depth=1).eval()
    image = torch.rand(1, 1, 12, 12)
    mirrored = nn.functional.pad(image, (8, 8, 8, 8), mode="reflect")
    assert torch.equal(network(image), network.unpadded(mirrored))


def test_u_net_plus_plus_and_its_u_net_have_the_papers_millions_of_parameters() -> None:
    """Table 2 of the paper: 7.76 M for the U-Net of width 32, 9.04 M for U-Net++."""
    with torch.device("meta"):
        u_net = build("unet", {"in_channels": 1, "outputs": 1, "width": 32, "depth": 4})
        nested = UNetPlusPlus(in_channels=1, outputs=1, width=32)
    assert round(_without_normalisation(u_net) / 1e6, 2) == 7.76
    assert round(_without_normalisation(nested) / 1e6, 2) == 9.04


def test_u_net_plus_has_fewer_weights_than_the_u_net() -> None:
    sizes = {"in_channels": 3, "outputs": 1, "width": 64, "depth": 4}
    with torch.device("meta"):
        assert count_parameters(UNetPlus(**sizes))[0] < 0.7 * count_parameters(build("unet", sizes))[0]


def test_each_head_of_u_net_plus_plus_has_its_own_loss_in_training() -> None:
    network = UNetPlusPlus(width=4, depth=3, outputs=2, supervised=1)
    image = torch.rand(2, 3, 16, 16)
    assert network(image).shape == (3, 2, 2, 16, 16)
    network.eval()
    assert torch.allclose(network(image), torch.stack(network.heads_of(image)).mean(dim=0))


def test_a_pruned_u_net_plus_plus_gives_the_same_as_that_head(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = build("unet-plus-plus-supervised", {"width": 4, "depth": 3, "outputs": 2}).eval()
    card = Card(
        name="nested",
        architecture="unet-plus-plus-supervised",
        config={"in_channels": 3, "outputs": 2, "width": 4, "depth": 3},
        outputs=("foreground", "interior"),
        scores={"val object F1": 0.9},
    )
    save_weights(tmp_path / "whole.safetensors", whole, card)
    whole = load_weights(tmp_path / "whole.safetensors")[0]
    assert isinstance(whole, UNetPlusPlus)
    image, parameters = torch.rand(1, 3, 24, 24), [count_parameters(whole)[0]]
    for level in (3, 2, 1):
        path = tmp_path / f"{level}.safetensors"
        prune(tmp_path / "whole.safetensors", level, path)
        part, pruned = load_weights(path)
        assert torch.equal(part(image), whole.heads_of(image)[level - 1])
        assert pruned.scores == {}
        parameters.append(count_parameters(part)[0])
    assert all(more > fewer for more, fewer in pairwise(parameters))


@pytest.mark.parametrize("level", [0, 4])
def test_a_level_that_a_network_lacks_is_refused(level: int) -> None:
    config = {"width": 4, "depth": 3, "supervised": 1, "prune": level}
    if level == 0:
        assert UNetPlusPlus(**config).stride == 8
        config |= {"supervised": 0, "prune": 1}
    with pytest.raises(InputError, match="can't be pruned to level"):
        UNetPlusPlus(**config)


def test_an_architecture_without_heads_can_not_be_pruned(tmp_path: Path) -> None:
    config = {"in_channels": 3, "outputs": 2, "width": 4, "depth": 2}
    card = Card(name="u", architecture="unet", config=config)
    save_weights(tmp_path / "u.safetensors", build("unet", config), card)
    with pytest.raises(InputError, match="can't be pruned, because it has one head alone"):
        prune(tmp_path / "u.safetensors", 1, tmp_path / "pruned.safetensors")
    assert not (tmp_path / "pruned.safetensors").exists()


def test_sharpening_keeps_flat_areas_and_lifts_edges() -> None:
    network = SharpDenseUNet(width=4, depth=1)
    step = torch.zeros(1, 1, 6, 6)
    step[..., 3:] = 1
    sharpened = network._sharpened(step)
    assert sharpened[0, 0, 2].tolist() == [0, 0, -3, 4, 1, 4]  # the last column borders the padding


def test_the_strided_u_net_has_five_million_parameters_and_sees_218_pixels_far() -> None:
    with torch.device("meta"):
        network = build("strided", {"in_channels": 3, "outputs": 4, "width": 32, "depth": 4})
    assert round(count_parameters(network)[0] / 1e6, 1) == 5.2
    assert network.receptive_radius_px == 218
