"""Whatever the entry points list as a network keeps these promises."""

from itertools import accumulate

import pytest
import torch

from nucbatch.inference.predict import prepared
from nucbatch.networks.contract import architectures, build, count_parameters, memory_width


@pytest.fixture(params=architectures())
def network_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def network(network_name: str) -> torch.nn.Module:
    return build(network_name, {"in_channels": 3, "outputs": 2, "width": 4, "depth": 3}).eval()


def test_logits_have_the_images_size(network: torch.nn.Module) -> None:
    side = network.stride * 3
    with torch.no_grad():
        assert network(torch.zeros(2, 3, side, side * 2)).shape == (2, 2, side, side * 2)


def test_stride_and_receptive_radius_are_whole_pixels(network: torch.nn.Module) -> None:
    assert isinstance(network.stride, int)
    assert isinstance(network.receptive_radius_px, int)
    assert network.receptive_radius_px >= 1


def test_memory_is_projected_high_enough_and_at_most_at_twice_the_need(network_name: str) -> None:
    """A U-Net holds 4 values per pixel and channel of its first level at once."""
    config = {"in_channels": 3, "outputs": 2, "width": 16, "depth": 4}
    network = prepared(build(network_name, config))
    image = torch.rand(1, 3, 256, 256).to(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.profiler.profile(profile_memory=True) as profile:
        network(image)
    assert profile.profiler is not None
    events = profile.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    held = max(accumulate(size for _, size in changes)) / 4 / image.shape[-1] ** 2
    projected = 4 * memory_width(network, config)
    assert 0.95 * held <= projected <= 2.1 * held


def test_every_parameter_learns(network: torch.nn.Module) -> None:
    network.train()
    network(torch.rand(2, 3, network.stride * 2, network.stride * 2)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    every, trainable = count_parameters(network)
    assert every >= trainable > 0


def test_the_receptive_radius_covers_every_pixel_that_matters(network: torch.nn.Module) -> None:
    """A pixel farther away would make a probability depend on the tiles."""
    network.double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()  # so that no ReLU hides a path
    radius, stride = network.receptive_radius_px, network.stride
    side = -(-2 * (radius + stride) // stride) * stride + stride
    middle = side // 2 // stride * stride
    for at in (middle, middle + stride - 1):  # both ends of a pixel of the deepest level
        images = torch.rand(1, 3, side, side, dtype=torch.double, requires_grad=True)
        network(images)[0, :, at, at].sum().backward()
        assert images.grad is not None
        rows = torch.nonzero(images.grad.abs().sum((0, 1, 3)))[:, 0]
        assert at - int(rows.min()) <= radius
        assert int(rows.max()) - at <= radius
