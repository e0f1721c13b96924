import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save, save_file

from nucbatch.errors import WeightsError
from nucbatch.networks.checkpoint import Card, load_weights, locate, read_card, save_weights
from nucbatch.networks.unet import UNet

CONFIG = {"in_channels": 3, "outputs": 2, "width": 2, "depth": 2}


@pytest.fixture
def card() -> Card:
    return Card(name="tiny", architecture="unet", config=CONFIG)


def test_weights_and_card_come_back(tmp_path: Path, card: Card) -> None:
    network = UNet(**CONFIG).eval()
    written = save_weights(tmp_path / "w.safetensors", network, card, half=False)
    loaded, found = load_weights(tmp_path / "w.safetensors")
    assert found == written == read_card(tmp_path / "w.safetensors")
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(loaded(image), network(image))
    assert not loaded.training


def test_half_precision_halves_the_file_and_still_loads_as_float32(tmp_path: Path, card: Card) -> None:
    network = UNet(**CONFIG)
    save_weights(tmp_path / "full.safetensors", network, card, half=False)
    save_weights(tmp_path / "half.safetensors", network, card)
    loaded, _ = load_weights(tmp_path / "half.safetensors")
    assert next(loaded.parameters()).dtype == torch.float32
    assert (tmp_path / "half.safetensors").stat().st_size < (tmp_path / "full.safetensors").stat().st_size


@pytest.mark.parametrize("name", ["w.pt", "w.pkl", "w.safetensors"])
def test_a_pickle_is_refused_whatever_its_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "w.pt":
        torch.save({"weight": torch.zeros(1)}, path)
    else:
        path.write_bytes(pickle.dumps({"weight": 1}))
    with pytest.raises(WeightsError, match="is a pickle"):
        load_weights(path)


def test_a_file_without_a_card_and_one_that_is_no_safetensors_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "bare.safetensors")
    with pytest.raises(WeightsError, match="no nucbatch card"):
        load_weights(tmp_path / "bare.safetensors")
    (tmp_path / "text.safetensors").write_text("not weights at all")
    with pytest.raises(WeightsError, match="no safetensors file"):
        load_weights(tmp_path / "text.safetensors")


def test_damaged_tensors_are_noticed(tmp_path: Path, card: Card) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, UNet(**CONFIG), card)
    content = bytearray(path.read_bytes())
    content[-1] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(WeightsError, match="not those its card was written for"):
        load_weights(path)


def test_tensors_of_another_network_are_refused(tmp_path: Path, card: Card) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, UNet(**(CONFIG | {"depth": 3})), card)
    with pytest.raises(WeightsError, match="does not fit unet"):
        load_weights(path)


def test_a_model_that_is_neither_shipped_nor_a_file_is_refused_with_the_names() -> None:
    with pytest.raises(WeightsError, match="neither a shipped model"):
        locate("no-such-model")


@pytest.mark.parametrize("width", [10**6, 2**62])
def test_a_card_that_promises_more_than_memory_is_refused_before_anything_is_made(
    tmp_path: Path, card: Card, width: int
) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, UNet(**card.config), card)
    with safe_open(path, framework="pt") as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        told = json.loads(stored.metadata()["nucbatch"])
    told["config"]["width"] = width
    path.write_bytes(save(tensors, {"nucbatch": json.dumps(told)}))
    with pytest.raises(WeightsError, match=r"does not fit unet of .*not|no network is like"):
        load_weights(path)
