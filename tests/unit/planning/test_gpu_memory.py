"""What maps take of a real GPU's memory, against what is projected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nucbatch.inference.device import BATCH_PX, Cuda
from nucbatch.inference.predict import grid_of
from nucbatch.networks.contract import build
from nucbatch.planning.memory import GPU_PROCESS_BYTES, NetworkSize, gpu_bytes
from nucbatch.planning.plan import make_plan
from nucbatch.readers.find import open_plate
from nucbatch.settings import Precision, RunSettings
from nucbatch.synthetic import make_plate
from nucbatch.training.recipe import preset


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize(("name", "side_px"), [("default", 512), ("default", 2160), ("paper", 1088)])
def test_a_process_takes_no_more_of_a_gpu_than_is_projected(
    tmp_path: Path, name: str, side_px: int, precision: Precision
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    recipe = preset(name)
    network = build(recipe.architecture, recipe.config)
    plate = make_plate(tmp_path / "plate", wells=["B02"], sites=1, size_px=side_px, truncated=False)
    plan = make_plan(open_plate(plate.plate_folder), RunSettings(channel="DAPI", precision=precision))
    projected = gpu_bytes(plan, NetworkSize(grid_of(network), recipe.width), BATCH_PX) - GPU_PROCESS_BYTES
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_reserved()
    device = Cuda(network, precision)
    tiles = [np.zeros((3, side_px, side_px), np.float32)] * device.batch_of(side_px, side_px)
    for coming in [device.begin(tiles), device.begin(tiles)]:
        coming.wait()
    taken = torch.cuda.max_memory_reserved() - before
    assert 0 < taken <= projected
