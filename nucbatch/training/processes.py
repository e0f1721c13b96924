"""Training in several processes, as torchrun starts them.

A step's batch does not depend on the number of processes. Each process takes every n-th image of it, and
gradients are averaged. A loss that is a mean over images thus has the same gradient as in one process. Dice,
which is pooled over a batch, is pooled over each process' share instead. Only rank 0 writes and prints.

On CUDA, batch normalisation uses the whole batch (SyncBatchNorm). On CPUs torch has no such layer: each
process normalises by its own share, and the running statistics of rank 0 are kept.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from nucbatch.core.errors import InputError

Picked = TypeVar("Picked")


def is_main_process() -> bool:
    """Whether this process writes and prints (rank 0); true if it is the only one."""
    return int(os.environ.get("RANK", "0")) == 0


@dataclasses.dataclass(frozen=True, slots=True)
class ProcessGroup:
    """The processes of a training: rank of this one, number of all, and this one's device."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def share(self, batch: Picked) -> Picked:
        """This process' part of a batch (a dataclass of tensors (N, …)), moved to its device."""
        parts = {
            field.name: getattr(batch, field.name)[self.rank :: self.size].to(self.device, non_blocking=True)
            for field in dataclasses.fields(batch)  # type: ignore[arg-type]  # "a dataclass" can't be said
        }
        return dataclasses.replace(batch, **parts)  # type: ignore[type-var]  # the same

    def joined(self, network: nn.Module) -> nn.Module:
        """The network to call in training, whose gradients are averaged over the processes."""
        if self.size == 1:
            return network
        if self.device.type != "cuda":
            return DistributedDataParallel(network)
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]  # so in torch
        return DistributedDataParallel(network, device_ids=[self.device.index])

    def highest(self, value: float) -> float:
        """The largest of the processes' values; waits for all of them."""
        return self._over_all(value, dist.ReduceOp.MAX)

    def mean(self, value: float) -> float:
        """The mean of the processes' values; waits for all of them."""
        return self._over_all(value, dist.ReduceOp.SUM) / self.size

    def _over_all(self, value: float, operation: Any) -> float:
        if self.size == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64)  # on the CPU, so that no GPU is waited for
        dist.all_reduce(shared, operation)
        return float(shared)

    def check_agreement(self, network: nn.Module) -> None:
        """Checks that all processes hold the same parameters.

        Raises:
            RuntimeError: they don't, which no input can cause.
        """
        total = sum(float(parameter.detach().double().sum()) for parameter in network.parameters())
        if self.highest(total) != -self.highest(-total):
            raise RuntimeError(f"rank {self.rank} holds other weights than the other processes")


@contextmanager
def process_group(device: str, batch: int) -> Iterator[ProcessGroup]:
    """The process group that torchrun's environment variables describe, or this process alone.

    Args:
        device: auto, cpu or cuda.
        batch: images in a batch.

    Raises:
        InputError: there is no such device, or the batch can't be divided evenly among the processes.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    own = _device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if size == 1:
        yield ProcessGroup(0, 1, own)
        return
    if batch % size:
        raise InputError(
            f"a batch of {batch} images can't be divided evenly among {size} processes: start a number that "
            f"divides {batch}."
        )
    if own.type == "cuda":
        torch.cuda.set_device(own)
    dist.init_process_group("cpu:gloo,cuda:nccl" if own.type == "cuda" else "gloo")
    try:
        yield ProcessGroup(rank, size, own)
        dist.barrier()  # leaving while another process still waits for a message may abort that one
    finally:
        dist.destroy_process_group()


def _device(name: str, local_rank: int) -> torch.device:
    there = torch.cuda.is_available()
    if name == "cpu" or (name == "auto" and not there):
        return torch.device("cpu")
    if not there:
        raise InputError(
            f"device {name!r} is not available: torch {torch.__version__} sees no CUDA device. Use cpu."
        )
    if local_rank >= torch.cuda.device_count():
        raise InputError(
            f"process {local_rank} of this machine has no GPU: there are {torch.cuda.device_count()}. "
            "Start as many processes as GPUs."
        )
    return torch.device("cuda", local_rank)
