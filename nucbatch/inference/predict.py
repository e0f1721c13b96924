"""Tiled prediction: cuts an image into tiles, runs the network and assembles the probability maps.

Tiles are reflected at the image's border and padded to the network's stride. Probabilities are quantised to
uint8. All segmentation uses these functions, with or without an inference queue.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nucbatch.core.numeric_kind import Precision
from nucbatch.core.tiles import Box, TileGrid
from nucbatch.inference.reflect import window_of

WHOLE_PX = 2176
"""Largest side of a single-tile image: an sCMOS field of 2,160 px in four tiles takes 1.4 times as long."""
LARGEST_TILE_PX = 2048
"""Side of the tiles of larger images, so that they need no more memory than a field."""

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

Predict = Callable[[NDArray[np.float32]], NDArray[np.uint8]]
"""Function from a tile (3, H, W) float32 to its maps (outputs, H, W) uint8."""


def grid_of(network: nn.Module, largest_px: int = LARGEST_TILE_PX, whole_px: int = WHOLE_PX) -> TileGrid:
    """Returns a network's tile grid: aligned to its stride, with a halo that covers its receptive field."""
    # torch's types know no attribute of a module but tensors and modules
    stride, radius = int(network.stride), int(network.receptive_radius_px)  # type: ignore[arg-type]
    return TileGrid(stride=stride, halo=-(-radius // stride) * stride, largest=largest_px, whole=whole_px)


def prepared(network: nn.Module, precision: Precision = "fp32") -> nn.Module:
    """Prepares a network for inference: batch norms folded, channels last, no gradients, cast weights."""
    # torch's types know no memory format for to()
    ready = folded(network).requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    typed: nn.Module = ready.to(_TYPES[precision])
    return typed


def type_of(network: nn.Module) -> torch.dtype:
    """Returns the type in which a network computes: that of its weights, or of its buffers if it has none."""
    return next(chain(network.parameters(), network.buffers())).dtype


def folded(network: nn.Module) -> nn.Module:
    """Returns a copy in evaluation mode with each batch normalisation folded into its convolution.

    The copy computes the same function in fewer passes.
    """
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for position in range(len(module) - 1):
            first, second = module[position], module[position + 1]
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                module[position] = fuse_conv_bn_eval(first, second)
                module[position + 1] = nn.Identity()
    return network


def forward(network: nn.Module, batch: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Predicts the maps of a batch.

    Computes in the type of the network's weights, and the sigmoid in float32.

    Args:
        network: a network from :func:`prepared`.
        batch: tiles (N, 3, H, W) float32.

    Returns:
        Probabilities (N, outputs, H, W) uint8; 255 is 1.
    """
    with torch.inference_mode():
        images = torch.from_numpy(np.ascontiguousarray(batch)).contiguous(memory_format=torch.channels_last)
        logits = network(images.to(type_of(network))).float()
        maps = logits_to_maps(logits)
    return maps.contiguous().numpy()


def logits_to_maps(logits: torch.Tensor) -> torch.Tensor:
    """Converts logits (N, outputs, H, W) float32 to probabilities of that shape, uint8; 255 is 1."""
    return torch.sigmoid(logits).mul_(255).round_().to(torch.uint8)


def predict_image(image: NDArray[np.float32], grid: TileGrid, predict: Predict) -> NDArray[np.uint8]:
    """Predicts the maps (outputs, Y, X) uint8 of a normalised image (C, Y, X) float32, tile by tile."""
    height, width = image.shape[-2:]
    maps: NDArray[np.uint8] | None = None
    for tile in grid.tiles(height, width):
        found = predict(window_of(image, tile.window))
        if maps is None:
            maps = np.empty((len(found), height, width), np.uint8)
        rows, columns = tile.core.slices
        inner_rows, inner_columns = tile.core.within(tile.window)
        maps[:, rows, columns] = found[:, inner_rows, inner_columns]
    if maps is None:
        raise AssertionError(f"no tiles for {Box(0, 0, height, width)}")
    return maps
