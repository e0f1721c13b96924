"""Where a lane's network runs: this process' GPU if it sees one, else one thread of the processor.

The decision owned here: the shape that a device sees depends on the tile's shape and on nothing else, so that
no probability can depend on which tiles happened to be there together. A GPU gets batches of about a million
pixels, filled up with copies, and computes one while the next is on its way. A CPU gets one tile at a time:
batches there measured slower (the working set falls out of the cache), and a number of threads that follows
the machine could move the last bits of a probability.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nucbatch.core.errors import PrecisionError
from nucbatch.core.settings import Precision
from nucbatch.inference.predict import forward, logits_to_maps, prepared

BATCH_PX = 2**20
"""Pixels that keep a GPU busy."""

Tiles = list[NDArray[np.float32]]
Maps = NDArray[np.uint8]


class Answer(Protocol):
    """Maps that are being made."""

    def wait(self) -> Maps:
        """(N, outputs, H, W) uint8, once they are there; entries beyond the tiles given are filling."""
        ...


class Device(Protocol):
    """A network, ready on some hardware. ``overlaps``: it works by itself while the next batch is made."""

    overlaps: bool

    def batch_of(self, height_px: int, width_px: int) -> int:
        """How many tiles of that shape go together."""
        ...

    def begin(self, tiles: Tiles) -> Answer:
        """Starts on tiles (3, H, W) float32 of one shape, no more than a batch of them."""
        ...


class _Known:
    def __init__(self, maps: Maps) -> None:
        self._maps = maps

    def wait(self) -> Maps:
        return self._maps


class Cpu:
    """One thread of the processor, the one that asks.

    Raises:
        PrecisionError: fp16, which no processor computes in at a useful speed; bf16 on one that only imitates
        it, slowly and in far more memory.
    """

    overlaps = False

    def __init__(self, network: nn.Module, precision: Precision, batch: int = 1) -> None:
        if precision == "fp16":
            raise PrecisionError(
                "--precision fp16 is for GPUs; on a processor use fp32, or bf16 where it has it."
            )
        if precision == "bf16" and not has_bf16(torch.device("cpu")):
            raise PrecisionError(
                "this processor has no instructions for bf16 (avx512_bf16, amx_bf16) and would only imitate "
                "it, slowly and in far more memory: use --precision fp32."
            )
        torch.set_num_threads(1)
        self._network, self._batch = prepared(network, precision), batch

    def batch_of(self, height_px: int, width_px: int) -> int:
        return self._batch

    def begin(self, tiles: Tiles) -> Answer:
        torch.set_num_threads(1)  # counts for the thread that calls
        return _Known(forward(self._network, np.stack(_filled(tiles, self._batch))))


class _Coming:
    def __init__(self, maps: Tensor, ready: torch.cuda.Event) -> None:
        self._maps, self._ready = maps, ready

    def wait(self) -> Maps:
        self._ready.synchronize()
        return self._maps.numpy().copy()  # the buffer is written again by the batch after next


class Cuda:
    """A GPU: fixed shapes, page-locked buffers, the next batch handed over while one is computed.

    Two batches may be under way: their buffers take turns, so a batch must have been waited for before the
    second one after it begins. Who waits sleeps: other threads and processes need the core. In fp32
    convolutions multiply in TF32, with 10 bits of each factor's fraction, as PyTorch does by default.
    """

    overlaps = True

    def __init__(self, network: nn.Module, precision: Precision) -> None:
        torch.backends.cudnn.benchmark = False  # what it finds fastest may differ from day to day
        torch.backends.cudnn.deterministic = True
        # Without, the paper's network took 134 GB for its work on one tile, and 13 to 26 times as long.
        torch.backends.cudnn.allow_tf32 = True
        self._network = prepared(network, precision).to("cuda")
        self._type = next(self._network.parameters()).dtype
        self._buffers: dict[tuple[int, ...], list[Tensor]] = {}
        self._results: dict[tuple[int, ...], list[Tensor]] = {}
        self._turn = 0

    def batch_of(self, height_px: int, width_px: int) -> int:
        return max(1, BATCH_PX // (height_px * width_px))

    def begin(self, tiles: Tiles) -> Answer:
        try:
            return self._begin(tiles)
        except torch.OutOfMemoryError as error:
            raise MemoryError(f"the GPU's memory is too small for {tiles[0].shape} tiles") from error

    def _begin(self, tiles: Tiles) -> Answer:
        batch = _filled(tiles, self.batch_of(*tiles[0].shape[1:]))
        self._turn = 1 - self._turn
        channels = len(batch[0])
        if all(tile.strides[0] == 0 for tile in batch):  # grey: one channel, seen several times
            batch = [tile[:1] for tile in batch]
        images = self._page_locked(self._buffers, (len(batch), *batch[0].shape), torch.float32)
        np.stack(batch, out=images.numpy())
        with torch.inference_mode():
            there = images.to("cuda", non_blocking=True).expand(-1, channels, -1, -1)
            there = there.contiguous(memory_format=torch.channels_last).to(self._type)
            maps = logits_to_maps(self._network(there).float()).contiguous()
            back = self._page_locked(self._results, maps.shape, torch.uint8)
            back.copy_(maps, non_blocking=True)
            ready = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # torch has no types here
            ready.record()
        return _Coming(back, ready)

    def _page_locked(
        self, kept: dict[tuple[int, ...], list[Tensor]], shape: tuple[int, ...], kind: torch.dtype
    ) -> Tensor:
        if tuple(shape) not in kept:
            kept[tuple(shape)] = [torch.empty(shape, dtype=kind, pin_memory=True) for _ in range(2)]
        return kept[tuple(shape)][self._turn]


def has_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bf16 numbers itself: on such CPUs 1.8 times as fast as fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def device_for(network: nn.Module, precision: Precision) -> Device:
    """The best that this process sees; ``CUDA_VISIBLE_DEVICES`` decides which GPU, or none.

    Raises:
        PrecisionError: the device can't compute in that precision.
    """
    if not torch.cuda.is_available():
        return Cpu(network, precision)
    if precision == "bf16" and not has_bf16(torch.device("cuda")):
        raise PrecisionError("this GPU has no bf16: use --precision fp16 or fp32.")
    return Cuda(network, precision)


def _filled(tiles: Tiles, batch: int) -> Tiles:
    """A whole batch: the tiles, and the last one again where there are fewer."""
    return tiles + [tiles[-1]] * (batch - len(tiles))
