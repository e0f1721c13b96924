"""Other ways from a normalised image to labels with the same network, as their users would write them.

A way is made by a function of (network, card, hardware), which imports its packages, and returns a function
of an image (3, Y, X) float32 in [0, 1] that gives labels (Y, X). All use the card's thresholds. Where there
is a choice, the faster one is taken: one window at a time on CPUs, several on GPUs; markers from the interior
map (see ``scikit``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, autocast, bfloat16, float16, from_numpy, inference_mode, nn, set_num_threads

from benchmarks import scikit
from nucbatch.core.numeric_kind import Precision
from nucbatch.networks.model_card import Card

Image = NDArray[np.float32]
Labels = NDArray[np.integer]
Way = Callable[[Image], Labels]

MONAI_WINDOW_PX = 512
MONAI_OVERLAP = 0.25
MONAI_WINDOWS_ON_GPU = 8
DASK_CHUNK_PX = 1024
DASK_OVERLAP_PX = 64


@dataclass(frozen=True, slots=True)
class Hardware:
    """The hardware that every way may use: number of threads, device (cpu, cuda), and precision."""

    threads: int = 1
    device: str = "cpu"
    precision: Precision = "fp32"


@dataclass(frozen=True, slots=True)
class Rival:
    """A way to compare. ``make`` needs ``packages`` to be importable; ``install`` are their names for pip."""

    make: Callable[[nn.Module, Card, Hardware], Way]
    packages: tuple[str, ...] = ()
    install: str = ""


def nucbatch(network: nn.Module, card: Card, hardware: Hardware) -> Way:
    """The steps of ``nucbatch.segment`` after normalising, with as many threads as the others."""
    from nucbatch.inference.device import device_for, offer_here
    from nucbatch.inference.predict import forward, grid_of, predict_image, prepared
    from nucbatch.masks.objects import find_nuclei

    set_num_threads(hardware.threads)
    grid = grid_of(network)
    if hardware.device == "cuda":
        device = device_for(network, offer_here().kind_for(hardware.precision))

        def predict(tile: Image) -> NDArray[np.uint8]:
            return device.begin([tile]).wait()[0]
    else:
        ready = prepared(network, hardware.precision)

        def predict(tile: Image) -> NDArray[np.uint8]:
            return forward(ready, tile[np.newaxis])[0]

    def way(image: Image) -> Labels:
        return find_nuclei(predict_image(image, grid, predict), card.objects)

    return way


def whole(network: nn.Module, card: Card, hardware: Hardware) -> Way:
    """The whole image in one forward pass, padded to the stride; limited by memory."""
    set_num_threads(hardware.threads)
    logits = _logits(network, hardware)

    def way(image: Image) -> Labels:
        height, width = image.shape[1:]
        padded = from_numpy(_padded(image, network))[None].to(hardware.device)
        with inference_mode():
            maps = logits(padded)[0, :, :height, :width].sigmoid().cpu().numpy()
        return scikit.labelled(maps[0], maps[1], card.objects)

    return way


def monai(network: nn.Module, card: Card, hardware: Hardware) -> Way:
    """MONAI's sliding window with its usual overlap of a quarter."""
    from monai.inferers import SlidingWindowInferer

    set_num_threads(hardware.threads)
    logits = _logits(network, hardware)
    together = 1 if hardware.device == "cpu" else MONAI_WINDOWS_ON_GPU
    inferer = SlidingWindowInferer((MONAI_WINDOW_PX,) * 2, sw_batch_size=together, overlap=MONAI_OVERLAP)

    def way(image: Image) -> Labels:
        with inference_mode():
            whole = inferer(from_numpy(image)[None].to(hardware.device), logits)
            assert isinstance(whole, Tensor)
            maps = whole[0].sigmoid().cpu().numpy()
        return scikit.labelled(maps[0], maps[1], card.objects)

    return way


def dask(network: nn.Module, card: Card, hardware: Hardware) -> Way:
    """Overlapping chunks: the network, the markers' labels across chunks by dask-image, and a watershed."""
    import dask.array as da
    from dask_image.ndmeasure import label
    from skimage.segmentation import watershed

    set_num_threads(1)  # the threads are the scheduler's
    logits = _logits(network, hardware)
    objects, scheduler = card.objects, {"scheduler": "threads", "num_workers": hardware.threads}

    def predicted(block: Image) -> Image:
        with inference_mode():
            there = from_numpy(np.ascontiguousarray(block))[None].to(hardware.device)
            maps = logits(there)[0, :2].sigmoid().cpu().numpy()
        return np.asarray(maps, np.float32)

    def grown(markers: Labels, foreground: Image, interior: Image) -> Labels:
        return watershed(-interior, markers, mask=foreground >= objects.foreground)

    def way(image: Image) -> Labels:
        height, width = image.shape[1:]
        blocks = da.from_array(_padded(image, network), chunks=(len(image), DASK_CHUNK_PX, DASK_CHUNK_PX))
        depth = {0: 0, 1: DASK_OVERLAP_PX, 2: DASK_OVERLAP_PX}
        overlapping = da.overlap.overlap(blocks, depth=depth, boundary="reflect")
        maps = overlapping.map_blocks(
            predicted,
            chunks=((2,), *overlapping.chunks[1:]),
            dtype=np.float32,
            meta=np.empty((0, 0, 0), "f4"),
        )
        # Kept in memory, because dask-image's graph would predict each chunk again for each of its steps.
        maps = da.overlap.trim_overlap(maps, depth=depth, boundary="reflect").persist(**scheduler)
        foreground, interior = maps
        markers, _ = label((interior >= objects.interior) & (foreground >= objects.foreground))
        labels = da.map_overlap(
            grown,
            markers,
            foreground,
            interior,
            depth=DASK_OVERLAP_PX,
            boundary="none",
            dtype=markers.dtype,
            meta=np.empty((0, 0), markers.dtype),
        ).compute(**scheduler)
        labels = np.ascontiguousarray(labels[:height, :width])
        labels[np.bincount(labels.ravel())[labels] < objects.min_area_px] = 0
        return labels

    return way


def _logits(network: nn.Module, hardware: Hardware) -> Callable[[Tensor], Tensor]:
    """A function that runs the network on its device: images (N, 3, Y, X) → logits float32."""
    network.eval().to(hardware.device)
    lower = {"fp32": None, "bf16": bfloat16, "fp16": float16}[hardware.precision]

    def run(images: Tensor) -> Tensor:
        with autocast(hardware.device, lower, enabled=lower is not None):
            logits: Tensor = network(images)
        return logits.float()

    return run


def _padded(image: Image, network: nn.Module) -> Image:
    """The image (3, Y, X) padded by reflection to the next multiple of the network's stride."""
    stride = int(network.stride)  # type: ignore[arg-type]
    rows, columns = (-side % stride for side in image.shape[1:])
    return np.pad(image, ((0, 0), (0, rows), (0, columns)), mode="reflect")


RIVALS: dict[str, Rival] = {
    "nucbatch": Rival(nucbatch),
    "MONAI windows + scikit-image": Rival(monai, ("monai",), "monai"),
    "Dask map_overlap + dask-image": Rival(dask, ("dask_image",), "dask-image"),
    "whole image + scikit-image": Rival(whole),
}
