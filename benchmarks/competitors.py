"""Networks of other nucleus segmentation tools, with random weights, to compare their cost.

A peer is made by a function of threads and device, which imports its packages, and returns a function that
runs one batch. The time of a forward pass does not depend on the weights, so none are loaded or downloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

GPU_TILES = 20


@dataclass(frozen=True, slots=True)
class Station:
    """A network in operation: ``run`` processes ``megapixels`` at once."""

    name: str
    run: Callable[[], object]
    megapixels: float
    parameters: int


@dataclass(frozen=True, slots=True)
class Peer:
    """A network to compare. ``make`` needs ``packages`` to be importable.

    ``install`` are their names for pip.
    """

    make: Callable[[int, str], Station]
    packages: tuple[str, ...] = ()
    install: str = ""


def shipped(threads: int, device: str) -> Station:
    """nucbatch's default network on a tile of 1024 px, as a run uses it."""
    from nucbatch.inference.device import CudaDevice
    from nucbatch.inference.predict import forward, prepared
    from nucbatch.networks.checkpoint import load_weights
    from nucbatch.networks.locate import locate

    torch.set_num_threads(threads)
    network = load_weights(locate("default"))[0]
    tile = np.random.default_rng(0).random((3, 1024, 1024), np.float32)
    if device == "cuda":
        device = CudaDevice(network, "fp32")

        def run() -> object:
            return device.begin([tile]).wait()
    else:
        ready = prepared(network)

        def run() -> object:
            return forward(ready, tile[np.newaxis])

    return Station("nucbatch default", run, 1024**2 / 1e6, _parameters(network))


def cellpose(threads: int, device: str) -> Station:
    """Cellpose's network on a tile of its size: the transformer from release 4 on, before that the U-Net.

    Each runs in its default precision, bfloat16 for the transformer. The overlap of tiles (a tenth on each
    side) and rescaling, which also cost its users time, are left out. A GPU gets a megapixel at once.
    """
    torch.set_num_threads(threads)
    together = 1 if device == "cpu" else GPU_TILES
    try:
        from cellpose.vit import CPSAM
    except ImportError:
        from cellpose.resnet_torch import CPnet

        name, network = "Cellpose CPnet", CPnet([2, 32, 64, 128, 256], 3, 3)
        tiles = torch.rand(together, 2, 224, 224)
    else:
        name, network = "Cellpose CPSAM", CPSAM(dtype=torch.bfloat16).bfloat16()
        tiles = torch.rand(together, 3, 256, 256).bfloat16()
    network.eval().to(device)
    tiles = tiles.to(device)

    def run() -> object:
        with torch.inference_mode():
            return network(tiles)[0].float().cpu()

    return Station(name, run, tiles[:, 0].numel() / 1e6, _parameters(network))


def stardist(threads: int, device: str) -> Station:
    """StarDist's network with the configuration of its fluorescence model, on an image of 1024 px."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from stardist.models import Config2D, StarDist2D

    model = StarDist2D(Config2D(n_rays=32, grid=(2, 2)), name="random", basedir=None).keras_model
    image = np.random.default_rng(0).random((1, 1024, 1024, 1), np.float32)
    return Station(
        "StarDist", lambda: model.predict_on_batch(image), 1024**2 / 1e6, int(model.count_params())
    )


def _parameters(network: nn.Module) -> int:
    return sum(tensor.numel() for tensor in network.parameters())


PEERS: dict[str, Peer] = {
    "nucbatch": Peer(shipped),
    "Cellpose": Peer(cellpose, ("cellpose",), "cellpose"),
    "StarDist": Peer(stardist, ("stardist", "tensorflow"), "stardist tensorflow-cpu"),
}
