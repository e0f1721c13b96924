"""GPU memory of a process compared with its projection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nucbatch.core.numeric_kind import Precision
from nucbatch.core.plate import Channel, Field, Plane, Plate
from nucbatch.core.settings import RunSettings
from nucbatch.core.tiles import GPU_BATCH_PX, TileGrid
from nucbatch.inference.device import CudaDevice
from nucbatch.inference.predict import grid_of
from nucbatch.networks.contract import build
from nucbatch.planning.memory import GPU_PROCESS_BYTES, NetworkSize, gpu_bytes
from nucbatch.planning.plan import make_plan
from nucbatch.readers.find import open_plate
from nucbatch.synthetic import make_plate
from nucbatch.training.recipe import preset


def test_gpu_memory_follows_batch_tile_and_precision() -> None:
    network = NetworkSize(TileGrid(stride=16, halo=112, largest=2048, whole=2176), width=16)

    def projected(side_px: int, precision: Precision) -> int:
        plane = Plane("image.tif", "Grey")
        field = Field("", 1, 0, "image", "image", (plane,), side_px, side_px, "uint8")
        plate = Plate("p", ".", "single", (Channel("Grey", 0),), (field,), (), is_plate=False)
        plan = make_plan(plate, RunSettings(precision=precision))
        return gpu_bytes(plan, network, GPU_BATCH_PX) - GPU_PROCESS_BYTES

    assert projected(96, "fp32") == projected(512, "fp32") > 0
    assert projected(1536, "fp32") == pytest.approx(1536**2 / GPU_BATCH_PX * projected(96, "fp32"), rel=0.01)
    assert projected(96, "fp16") == projected(96, "bf16") == projected(96, "fp32") // 2


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize(("name", "side_px"), [("default", 512), ("default", 2160), ("paper", 1088)])
def test_gpu_memory_stays_below_the_projection(
    tmp_path: Path, name: str, side_px: int, precision: Precision
) -> None:
    recipe = preset(name)
    network = build(recipe.architecture, recipe.config)
    plate = make_plate(tmp_path / "plate", wells=["B02"], sites=1, size_px=side_px, truncated=False)
    plan = make_plan(open_plate(plate.plate_folder), RunSettings(channel="DAPI", precision=precision))
    projected = gpu_bytes(plan, NetworkSize(grid_of(network), recipe.width), GPU_BATCH_PX) - GPU_PROCESS_BYTES
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_reserved()
    device = CudaDevice(network, precision)
    tiles = [np.zeros((3, side_px, side_px), np.float32)] * device.batch_of(side_px, side_px)
    for coming in [device.begin(tiles), device.begin(tiles)]:
        coming.wait()
    taken = torch.cuda.max_memory_reserved() - before
    assert 0 < taken <= projected
