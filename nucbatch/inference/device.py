"""Runs a network on a device: this process' GPU, or one CPU thread.

The batch's shape depends on the tile's shape alone, so that no probability depends on which tiles were
batched together. A GPU gets batches of about a million pixels, padded with copies of a tile, and computes one
while the next is transferred. A CPU gets one tile at a time, because larger batches measured slower: the
working set exceeds the cache. It uses one thread, because a number of threads that depends on the machine
could change the last bits of a probability.
"""

from __future__ import annotations

import os
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nucbatch.core.errors import PrecisionError
from nucbatch.core.numeric_kind import Offer, Precision, in_words, on_gpu, precision_of
from nucbatch.core.tiles import GPU_BATCH_PX
from nucbatch.inference.predict import forward, logits_to_maps, prepared, type_of

Tiles = list[NDArray[np.float32]]
Maps = NDArray[np.uint8]


class BatchFuture(Protocol):
    """The maps of a batch that may still be computing."""

    def wait(self) -> Maps:
        """Waits for the maps (N, outputs, H, W) uint8; entries beyond the tiles are padding."""
        ...


class Device(Protocol):
    """A network on a device. ``overlaps``: whether it computes while the next batch is prepared."""

    overlaps: bool

    def batch_of(self, height_px: int, width_px: int) -> int:
        """Returns the batch size for tiles of this shape."""
        ...

    def begin(self, tiles: Tiles) -> BatchFuture:
        """Starts the network on tiles (3, H, W) float32 of one shape, at most one batch."""
        ...


class _FinishedBatch:
    def __init__(self, maps: Maps) -> None:
        self._maps = maps

    def wait(self) -> Maps:
        return self._maps


class CpuDevice:
    """Runs a network in the calling thread, on one CPU core.

    Raises:
        PrecisionError: fp16, which is too slow on any CPU; or bf16 on a CPU that only emulates it, slowly and
            with far more memory.
    """

    overlaps = False

    def __init__(self, network: nn.Module, precision: Precision, batch: int = 1) -> None:
        if precision == "fp16":
            raise PrecisionError(
                "--precision fp16 is for GPUs; on a CPU use fp32, or bf16 if the CPU supports it."
            )
        if precision == "bf16" and not has_bf16(torch.device("cpu")):
            raise PrecisionError(
                "this CPU has no instructions for bf16 (avx512_bf16, amx_bf16) and would emulate it, slowly "
                "and with far more memory: use --precision fp32."
            )
        torch.set_num_threads(1)
        self._network, self._batch = prepared(network, precision), batch

    def batch_of(self, height_px: int, width_px: int) -> int:
        return self._batch

    def begin(self, tiles: Tiles) -> BatchFuture:
        torch.set_num_threads(1)  # the setting is per calling thread
        return _FinishedBatch(forward(self._network, np.stack(_padded(tiles, self._batch))))


class _CudaBatch:
    def __init__(self, maps: Tensor, ready: torch.cuda.Event) -> None:
        self._maps, self._ready = maps, ready

    def wait(self) -> Maps:
        self._ready.synchronize()
        return self._maps.numpy().copy()  # the batch after next reuses the buffer


class CudaDevice:
    """Runs a network on a GPU with fixed shapes and page-locked buffers.

    One batch is transferred while another is computed. Two batches may be in flight, in alternating buffers:
    wait for a batch before beginning the second one after it. A waiting thread sleeps, because other threads
    and processes need the core. In fp32, convolutions multiply in TF32 (10-bit mantissa), PyTorch's default.
    """

    overlaps = True

    def __init__(self, network: nn.Module, precision: Precision) -> None:
        torch.backends.cudnn.benchmark = False  # its choice of algorithm may differ between runs
        torch.backends.cudnn.deterministic = True
        # Without TF32 the paper's network needed 134 GB of workspace for one tile, and 13 to 26 times as
        # long.
        torch.backends.cudnn.allow_tf32 = True
        self._network = prepared(network, precision).to("cuda")
        self._type = type_of(self._network)
        self._buffers: dict[tuple[int, ...], list[Tensor]] = {}
        self._results: dict[tuple[int, ...], list[Tensor]] = {}
        self._turn = 0

    def batch_of(self, height_px: int, width_px: int) -> int:
        return max(1, GPU_BATCH_PX // (height_px * width_px))

    def begin(self, tiles: Tiles) -> BatchFuture:
        try:
            return self._begin(tiles)
        except torch.OutOfMemoryError as error:
            raise MemoryError(f"the GPU's memory is too small for {tiles[0].shape} tiles") from error

    def _begin(self, tiles: Tiles) -> BatchFuture:
        batch = _padded(tiles, self.batch_of(*tiles[0].shape[1:]))
        self._turn = 1 - self._turn
        channels = len(batch[0])
        if all(tile.strides[0] == 0 for tile in batch):  # grey: one channel, broadcast to several
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
        return _CudaBatch(back, ready)

    def _page_locked(
        self, kept: dict[tuple[int, ...], list[Tensor]], shape: tuple[int, ...], kind: torch.dtype
    ) -> Tensor:
        if tuple(shape) not in kept:
            kept[tuple(shape)] = [torch.empty(shape, dtype=kind, pin_memory=True) for _ in range(2)]
        return kept[tuple(shape)][self._turn]


def has_bf16(device: torch.device) -> bool:
    """Tells whether the device has bf16 instructions; on such CPUs bf16 is 2 to 3 times as fast as fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(_cpu_offer().bf16)


def offer_here() -> Offer:
    """Returns the numeric kinds that this process can compute: those of its GPU if it sees one."""
    if torch.cuda.is_available():
        return Offer.of_gpu(torch.cuda.get_device_name(), bf16=has_bf16(torch.device("cuda")))
    return _cpu_offer()


def _cpu_offer() -> Offer:
    able = torch.cpu.get_capabilities()
    # oneDNN, which runs the convolutions, uses no newer instructions than this variable names.
    most = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "DEFAULT"
    any_amx = most.upper() in ("DEFAULT", "ALL") or "AMX" in most.upper()
    any_bf16 = any_amx or most.upper().endswith(("_BF16", "_FP16")) or "AVX10" in most.upper()
    return Offer.of_cpu(
        amx=any_amx and bool(able.get("amx_bf16")), avx512=any_bf16 and bool(able.get("avx512_bf16"))
    )


def device_for(network: nn.Module, kind: str) -> Device:
    """Puts a network on the device that computes in a numeric kind: this process' GPU, or its CPU.

    ``CUDA_VISIBLE_DEVICES`` selects the GPU, or none.

    Raises:
        PrecisionError: this process can't compute in this kind.
    """
    offer = offer_here()
    if kind not in offer.kinds:
        able = ", ".join(map(in_words, offer.kinds))
        raise PrecisionError(
            f"this machine can't compute in {in_words(kind)}: it computes in {able}. Use another machine, or "
            "another --precision with --restart."
        )
    precision = precision_of(kind)
    return CudaDevice(network, precision) if on_gpu(kind) else CpuDevice(network, precision)


def _padded(tiles: Tiles, batch: int) -> Tiles:
    """Pads tiles to a whole batch with copies of the last one."""
    return tiles + [tiles[-1]] * (batch - len(tiles))
