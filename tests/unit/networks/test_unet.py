import pytest
import torch

from nucbatch.core.errors import InputError
from nucbatch.networks.contract import build, count_parameters
from nucbatch.networks.unet import UNet


def test_the_papers_network_has_the_papers_number_of_parameters() -> None:
    with torch.device("meta"):
        network = UNet(in_channels=3, outputs=1, width=64, depth=4)
    assert count_parameters(network) == (31_055_297, 31_043_521)


@pytest.mark.parametrize(("depth", "radius"), [(1, 9), (2, 23), (3, 51), (4, 107)])
def test_the_receptive_field_reaches_exactly_as_far_as_is_said(depth: int, radius: int) -> None:
    # All weights are positive: every path that exists carries the change. In float64 none is rounded away.
    network = UNet(in_channels=1, outputs=1, width=1, depth=depth).double().eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.fill_(0.0 if name.endswith("bias") else 0.5)
    assert network.receptive_radius_px == radius
    side = 2 * (radius // network.stride + 2) * network.stride
    reaches = []
    for place in range(side // 2 - network.stride, side // 2):  # every position within the pooling stride
        image = torch.zeros(1, 1, side, side, dtype=torch.float64)
        image[..., place, place] = 1
        with torch.no_grad():
            change = network(image)[0, 0]
        rows = change.abs().sum(1).nonzero().flatten()
        reaches.append(max(place - int(rows.min()), int(rows.max()) - place))
    assert max(reaches) == radius


def test_a_side_that_is_no_multiple_of_the_stride_is_refused_with_the_right_one() -> None:
    with pytest.raises(InputError, match=r"\(32, 48\)"):
        UNet(width=1)(torch.zeros(1, 3, 17, 48))


def test_an_unknown_architecture_or_parameter_is_named() -> None:
    with pytest.raises(InputError, match=r"'vnet' is not installed: installed are .*unet"):
        build("vnet", {})
    with pytest.raises(InputError, match="does not take"):
        build("unet", {"heads": 3})
