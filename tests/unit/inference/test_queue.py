from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from nucbatch.core.errors import InputError, PrecisionError, WeightsError
from nucbatch.inference.device import CpuDevice, CudaDevice, has_bf16
from nucbatch.inference.predict import forward, prepared
from nucbatch.inference.queue import InferenceQueue, queue_of_process
from nucbatch.networks.checkpoint import read_card, save_weights
from nucbatch.networks.model_card import Card
from nucbatch.networks.unet import UNet

CONFIG = {"in_channels": 3, "outputs": 2, "width": 2, "depth": 2}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, UNet(**CONFIG), Card(name="tiny", architecture="unet", config=CONFIG), half=False)
    return path


@pytest.mark.parametrize("batch", [1, 3])
def test_many_threads_get_the_maps_of_their_own_tiles(weights: Path, batch: int) -> None:
    queue = InferenceQueue(weights, device=partial(CpuDevice, batch=batch))
    rng = np.random.default_rng(0)
    tiles = [rng.random((3, 16 * (1 + number % 2), 32), np.float32) for number in range(12)]
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(queue.predict, tiles))
    alone = InferenceQueue(weights)
    for tile, maps in zip(tiles, found, strict=True):
        assert maps.shape == (2, *tile.shape[1:])
        expected = alone.predict(tile).astype(int)
        assert np.abs(maps - expected).max() <= (0 if batch == 1 else 1)


def test_a_tile_the_network_refuses_fails_alone_and_the_lane_goes_on(weights: Path) -> None:
    queue = InferenceQueue(weights)
    with pytest.raises(InputError, match="multiples of 4"):
        queue.predict(np.zeros((3, 15, 16), np.float32))
    assert queue.predict(np.zeros((3, 16, 16), np.float32)).shape == (2, 16, 16)


def test_the_number_of_torch_threads_does_not_move_a_map(weights: Path) -> None:
    from nucbatch.networks.checkpoint import load_weights

    network = prepared(load_weights(weights)[0])
    tile = np.random.default_rng(1).random((1, 3, 64, 64), np.float32)
    before = torch.get_num_threads()
    try:
        maps = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            maps.append(forward(network, tile))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(*maps)


def test_a_process_opens_a_weight_file_once_and_notices_another_in_its_place(weights: Path) -> None:
    queue = queue_of_process(str(weights))
    assert queue_of_process(str(weights)) is queue
    assert queue_of_process(str(weights), queue.card.sha256).card == queue.card
    with pytest.raises(WeightsError, match="has changed since it was first read"):
        queue_of_process(str(weights), "0" * 64)


def test_half_precision_of_gpus_is_refused_on_a_processor(weights: Path) -> None:
    with pytest.raises(PrecisionError, match="--precision fp16 is for GPUs"):
        InferenceQueue(weights, kind="fp16", device=CpuDevice)


def test_a_processor_that_would_only_imitate_bf16_refuses_it(weights: Path) -> None:
    """Emulated bf16 took 8 GiB for tiles of 2,048 px, where 3.3 GiB were projected."""
    if has_bf16(torch.device("cpu")):
        tile = np.zeros((3, 32, 32), np.float32)
        assert InferenceQueue(weights, kind="bf16", device=CpuDevice).predict(tile).dtype == np.uint8
        return
    with pytest.raises(PrecisionError, match="no instructions for bf16"):
        InferenceQueue(weights, kind="bf16", device=CpuDevice)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_on_a_gpu_maps_do_not_depend_on_the_company_that_tiles_keep(weights: Path, precision: str) -> None:
    rng = np.random.default_rng(0)
    tiles = [rng.random((3, 128 * (1 + number % 2), 256), np.float32) for number in range(40)]
    alone = InferenceQueue(weights, kind=precision, device=CudaDevice)
    expected = [alone.predict(tile) for tile in tiles]
    queue = InferenceQueue(weights, kind=precision, device=CudaDevice)
    with ThreadPoolExecutor(16) as threads:
        for maps, wanted in zip(threads.map(queue.predict, tiles), expected, strict=True):
            np.testing.assert_array_equal(maps, wanted)


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "most"), [("fp32", 2), ("bf16", 8), ("fp16", 2)])
def test_a_gpu_sees_what_a_processor_sees(weights: Path, precision: str, most: int) -> None:
    tile = np.random.default_rng(0).random((3, 256, 256), np.float32)
    there, here = (
        InferenceQueue(weights, kind=precision, device=CudaDevice),
        InferenceQueue(weights, device=CpuDevice),
    )
    assert np.abs(there.predict(tile).astype(int) - here.predict(tile)).max() <= most


def test_a_file_with_other_weights_is_opened_again_where_they_are_expected(tmp_path: Path) -> None:
    path, maps = tmp_path / "one.safetensors", []
    tile = np.random.default_rng(0).random((3, 16, 16), np.float32)
    for seed in (0, 1):
        torch.manual_seed(seed)
        card = Card(name="tiny", architecture="unet", config=CONFIG)
        save_weights(path, UNet(**CONFIG), card, half=False)
        sha256 = read_card(path).sha256
        queue = queue_of_process(str(path), sha256)
        assert queue.card.sha256 == sha256
        assert queue_of_process(str(path)) is queue
        maps.append(queue.predict(tile))
    assert (maps[0] != maps[1]).any()


def test_a_closed_lane_does_what_was_handed_in_and_ends(weights: Path) -> None:
    queue = InferenceQueue(weights)
    with ThreadPoolExecutor(4) as threads:
        tiles = [np.zeros((3, 16, 16), np.float32)] * 8
        found = list(threads.map(queue.predict, tiles))
    queue.close()
    queue._thread.join(timeout=60)
    assert not queue._thread.is_alive()
    assert len(found) == 8
