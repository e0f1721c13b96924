import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save, save_file

from nucbatch.core.errors import WeightsError
from nucbatch.networks.checkpoint import load_weights, read_card, save_weights
from nucbatch.networks.locate import locate
from nucbatch.networks.model_card import Card
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


@pytest.mark.slow
def test_weights_load_whatever_the_length_of_their_header(tmp_path: Path, card: Card) -> None:
    network, path, low_bytes = UNet(**CONFIG), tmp_path / "w.safetensors", set()
    for length in range(0, 256, 8):  # headers are padded to multiples of 8
        save_weights(path, network, card.model_copy(update={"data": "x" * length}))
        low_bytes.add(path.read_bytes()[0])
        assert load_weights(path)[1].data == "x" * length
    assert low_bytes == set(range(0, 256, 8))  # 0x80, a pickle's first byte, among them
    for length in range(256):
        save_weights(path, network, card.model_copy(update={"data": "x" * length}))
        assert len(read_card(path).data) == length


@pytest.mark.parametrize("name", ["w.pkl", "w.safetensors"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_refused_whatever_its_name_and_protocol(tmp_path: Path, name: str, protocol: int) -> None:
    path = tmp_path / name
    for content in ({"weight": 1}, [1.5, "x"], print, b"x" * 300):
        path.write_bytes(pickle.dumps(content, protocol))
        with pytest.raises(WeightsError, match=r"is a pickle, which can run code"):
            load_weights(path)


def test_files_of_torch_save_are_refused_by_their_kind(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "new.pt")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(WeightsError, match=r"is a zip archive as torch.save writes it, which can run code"):
        load_weights(tmp_path / "new.pt")
    with pytest.raises(WeightsError, match="is a pickle"):
        load_weights(tmp_path / "old.pt")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"colour\n", b"(a, b)", b"\x80\x63 is Latin", b"\x89PNG\r\n" * 9]
)
def test_other_files_are_no_pickles(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(WeightsError, match=r"is not a safetensors file\. Use one made by"):
        read_card(tmp_path / "w")


def test_weights_that_were_cut_short_are_refused(tmp_path: Path, card: Card) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, UNet(**CONFIG), card)
    whole = path.read_bytes()
    for kept in (4, 12, 400, len(whole) - 1):
        path.write_bytes(whole[:kept])
        with pytest.raises(WeightsError, match="not a safetensors file"):
            load_weights(path)


def with_card(path: Path, card: Card, text: str) -> Path:
    """A weight file in whose header this text stands for the card."""
    tensors = {name: tensor.half() for name, tensor in UNet(**card.config).state_dict().items()}
    path.write_bytes(save(tensors, {"nucbatch": text}))
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"config": CONFIG | {"depth": 10**6}}, "config.depth = 1000000 must be at most 65536"),
        ({"config": CONFIG | {"width": -3}}, "config.width = -3 must be at least 0"),
        ({"config": CONFIG | {"outputs": 3}}, "config.outputs is 3, but 2 outputs are named"),
        ({"outputs": ["interior", "foreground"]}, "must be the first 1, 2 or 4 of foreground, interior"),
        ({"nucleus_diameter_px": 0}, "nucleus_diameter_px = 0 must be at least 1"),
        ({"nucleus_diameter_px": -20}, "nucleus_diameter_px = -20 must be at least 1"),
        ({"nucleus_diameter_px": 1e9}, "nucleus_diameter_px = 1000000000.0 must be at most 2000"),
        ({"nucleus_diameter_px": float("nan")}, "it contains NaN, which is not a number in JSON"),
        ({"pixel_size_um": 0}, "pixel_size_um = 0 must be above 0"),
        ({"objects": {"foreground": 1.5}}, "objects.foreground = 1.5 must be below 1"),
        ({"objects": {"peak": -0.1}}, "objects.peak = -0.1 must be at least 0"),
        ({"objects": {"min_area_px": 10**12}}, "objects.min_area_px = 1000000000000"),
        ({"normalise": {"low_percent": 90, "high_percent": 10}}, "90.0 must be below high_percent 10.0"),
        ({"scores": {"val pixel F1": float("-inf")}}, "it contains -Infinity"),
        ({"name": "x" * 300}, "at most 200 characters"),
        ({"unknown": 1}, "unknown = 1 is not known"),
    ],
)
def test_values_of_a_card_are_within_their_limits(
    tmp_path: Path, card: Card, changes: dict[str, object], words: str
) -> None:
    values = card.model_dump(mode="json") | changes
    path = with_card(tmp_path / "w.safetensors", card, json.dumps(values))
    with pytest.raises(WeightsError, match=words):
        read_card(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 200_000, "nested too deeply"),
        ('{"a":' * 150_000, "nested too deeply"),
        ('"' + "x" * 2_000_000 + '"', "2,000,002 characters; a card has at most 1,000,000"),
        ("9" * 5000, "is not JSON"),
        ("1e999", "should be a valid dictionary"),
        ("null", "should be a valid dictionary"),
        ("{", "is not JSON"),
        ("", "is not JSON"),
    ],
)
def test_an_invalid_card_is_refused_with_the_reason(
    tmp_path: Path, card: Card, text: str, words: str
) -> None:
    with pytest.raises(WeightsError, match=words):
        read_card(with_card(tmp_path / "w.safetensors", card, text))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"depth": 60}, "a U-Net of depth 60: depth must be from 1 to 8"),
        ({"depth": 0}, "a U-Net of depth 0: depth must be from 1 to 8"),
        ({"width": 0}, "a U-Net of width 0: width must be from 1 to 1024"),
        ({"in_channels": 4}, "is a network of 4 input channels"),
    ],
)
def test_a_network_beyond_its_limits_is_refused_before_it_is_made(
    tmp_path: Path, card: Card, changes: dict[str, int], words: str
) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, UNet(**CONFIG), card.model_copy(update={"config": CONFIG | changes}))
    with pytest.raises(WeightsError, match=words):
        load_weights(path)


def test_a_card_that_could_not_be_read_again_is_not_written(tmp_path: Path, card: Card) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, UNet(**CONFIG), card)
    before = path.read_bytes()
    with pytest.raises(WeightsError, match="it contains NaN"):
        save_weights(path, UNet(**CONFIG), card.model_copy(update={"scores": {"val": float("nan")}}))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["w.safetensors"]


def test_a_trainings_folder_is_refused_with_the_weight_file_in_it(tmp_path: Path, card: Card) -> None:
    for name in ("best", "state", "weights"):
        save_weights(tmp_path / f"{name}.safetensors", UNet(**CONFIG), card)
    with pytest.raises(WeightsError) as caught:
        locate(str(tmp_path))
    assert f"is a folder. Name the weight file in it, such as {tmp_path / 'weights.safetensors'}" in str(
        caught.value
    )
    assert "there are best.safetensors, weights.safetensors" in str(caught.value)
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"such as .*best\.safetensors \(there is best\.safetensors\)"):
        locate(str(tmp_path))
    (tmp_path / "none").mkdir()
    with pytest.raises(WeightsError, match="is a folder without a weight file"):
        locate(str(tmp_path / "none"))


def test_a_file_without_a_card_and_one_that_is_no_safetensors_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "bare.safetensors")
    with pytest.raises(WeightsError, match="no nucbatch card"):
        load_weights(tmp_path / "bare.safetensors")
    (tmp_path / "text.safetensors").write_text("not weights at all")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        load_weights(tmp_path / "text.safetensors")


def test_damaged_tensors_are_noticed(tmp_path: Path, card: Card) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, UNet(**CONFIG), card)
    content = bytearray(path.read_bytes())
    content[-1] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(WeightsError, match="don't match the hash in its card"):
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
        values = json.loads(stored.metadata()["nucbatch"])
    values["config"]["width"] = width
    path.write_bytes(save(tensors, {"nucbatch": json.dumps(values)}))
    with pytest.raises(WeightsError, match=r"config\.width = .* must be at most 65536"):
        load_weights(path)
