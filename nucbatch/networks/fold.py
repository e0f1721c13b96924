"""Folds batch normalisation into the preceding convolution: the same function with fewer passes."""

from __future__ import annotations

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def folded(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode in which convolutions include the batch normalisation that follows them."""
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
