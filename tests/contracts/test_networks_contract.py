"""Whatever the entry points list as a network keeps these promises."""

import pytest
import torch

from nucbatch.networks.contract import architectures, build, count_parameters


@pytest.fixture(params=architectures())
def network(request: pytest.FixtureRequest) -> torch.nn.Module:
    return build(request.param, {"in_channels": 3, "outputs": 2, "width": 4, "depth": 3}).eval()


def test_logits_have_the_images_size(network: torch.nn.Module) -> None:
    side = network.stride * 3
    with torch.no_grad():
        assert network(torch.zeros(2, 3, side, side * 2)).shape == (2, 2, side, side * 2)


def test_stride_and_receptive_radius_are_whole_pixels(network: torch.nn.Module) -> None:
    assert isinstance(network.stride, int)
    assert isinstance(network.receptive_radius_px, int)
    assert network.receptive_radius_px >= 1


def test_every_parameter_learns(network: torch.nn.Module) -> None:
    network.train()
    network(torch.rand(2, 3, network.stride * 2, network.stride * 2)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    every, trainable = count_parameters(network)
    assert every >= trainable > 0
