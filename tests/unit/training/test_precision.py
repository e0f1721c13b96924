from pathlib import Path

import pytest
import torch

from nucbatch.networks.unet import UNet
from nucbatch.training.precision import Precision

CPU = torch.device("cpu")


def test_a_cpu_computes_in_bf16_only_if_it_has_instructions_for_it() -> None:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        pytest.skip("no /proc/cpuinfo here")
    flags = set(cpuinfo.read_text().split())
    has = bool(flags & {"avx512_bf16", "amx_bf16"})
    assert Precision("auto", CPU).name == ("bf16" if has else "fp32")


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_logits_weights_and_gradients_are_float32_in_every_precision(name: str) -> None:
    network, precision = UNet(width=2, depth=1), Precision(name, CPU)
    inside: list[torch.dtype] = []
    network.head.register_forward_hook(lambda module, images, output: inside.append(output.dtype))
    before, optimiser = network.head.weight.clone(), torch.optim.SGD(network.parameters(), lr=1.0)
    for _ in range(3):  # fp16's first scale is too high: steps are left out until it has come down
        logits = precision.forward(network, torch.rand(1, 3, 8, 8))
        precision.step(logits.mean(), network, optimiser, clip=0.0)
    assert logits.dtype == torch.float32
    assert set(inside) == {{"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]}
    assert network.head.weight.grad is not None
    assert network.head.weight.grad.dtype == torch.float32
    assert not torch.equal(before, network.head.weight)


def test_gradients_are_cut_to_the_largest_norm() -> None:
    network, precision = UNet(width=2, depth=1), Precision("fp32", CPU)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.0)
    loss = 1e6 * precision.forward(network, torch.rand(1, 3, 8, 8)).mean()
    precision.step(loss, network, optimiser, clip=0.5)
    norm = torch.stack([parameter.grad.norm() for parameter in network.parameters()]).norm()
    assert norm == pytest.approx(0.5, rel=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_a_step_on_a_gpu_changes_the_weights(name: str) -> None:
    cuda = torch.device("cuda", 0)
    network = UNet(width=2, depth=1).to(cuda, memory_format=torch.channels_last)  # type: ignore[call-overload]
    before, precision = network.head.weight.clone(), Precision(name, cuda)
    logits = precision.forward(network, torch.rand(1, 3, 8, 8, device=cuda))
    precision.step(logits.mean(), network, torch.optim.SGD(network.parameters(), lr=1.0), clip=1.0)
    assert logits.dtype == torch.float32
    assert not torch.equal(before, network.head.weight)
