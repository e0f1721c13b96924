import copy
from pathlib import Path

import pytest
import torch
from torch.optim import AdamW

from nucbatch.core.errors import SettingsConflict
from nucbatch.networks.unet import UNet
from nucbatch.training.precision import Precision
from nucbatch.training.state import RunningMeans, State, load_state, save_state

CPU = torch.device("cpu")


def fresh(seed: int) -> State:
    torch.manual_seed(seed)
    network = UNet(width=2, depth=1)
    return State(
        network, copy.deepcopy(network), AdamW(network.parameters()), Precision("fp16", CPU), planned=9
    )


def stepped(state: State) -> State:
    pictures = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    loss = state.precision.forward(state.network, pictures).square().mean()
    state.precision.step(loss, state.network, state.optimiser, clip=1.0)
    state.done += 1
    return state


def test_a_state_comes_back_whole(tmp_path: Path) -> None:
    saved = stepped(fresh(0))
    saved.tally, saved.seconds = RunningMeans(0.1 + 0.2, 0.7, 3), 1.5
    save_state(tmp_path / "state", saved, '{"a": 1}')
    loaded = fresh(1)
    load_state(tmp_path / "state", loaded, '{"a": 1}')
    assert (loaded.done, loaded.tally, loaded.seconds) == (1, saved.tally, 1.5)
    for one, other in zip(
        stepped(saved).network.parameters(), stepped(loaded).network.parameters(), strict=True
    ):
        assert torch.equal(one, other)
    assert saved.precision.scaler.state_dict() == loaded.precision.scaler.state_dict()


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_a_state_goes_on_in_the_precision_it_began_in(tmp_path: Path, name: str) -> None:
    saved, loaded = fresh(0), fresh(0)
    saved.precision = Precision(name, CPU)
    save_state(tmp_path / "state", saved, "{}")
    loaded.precision = Precision("auto", CPU)  # fp32 or bf16, as this machine has it
    load_state(tmp_path / "state", loaded, "{}")
    assert loaded.precision.name == name
    for one, other in zip(
        stepped(saved).network.parameters(), stepped(loaded).network.parameters(), strict=True
    ):
        assert torch.equal(one, other)


def test_a_state_of_something_else_is_refused_with_what_differs(tmp_path: Path) -> None:
    save_state(tmp_path / "state", fresh(0), '{"recipe": {"seed": 0, "width": 2}, "data": "x"}')
    with pytest.raises(
        SettingsConflict, match=r"other settings or data\. data: x → y\. recipe\.seed: 0 → 1\."
    ):
        load_state(tmp_path / "state", fresh(0), '{"recipe": {"seed": 1, "width": 2}, "data": "y"}')
