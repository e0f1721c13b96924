"""Several processes on one training, as torchrun starts them: who leads, and who learns from what.

The decision owned here: a step's batch is the same whatever the number of processes. Each takes every n-th
picture of it and gradients are averaged, so a loss that is a mean over pictures has the gradient of one
process (Dice, pooled over a batch, is pooled over each process' share instead). Only rank 0 writes and
prints.

Batch normalisation sees the whole batch on CUDA (SyncBatchNorm). On CPUs torch has no such layer: there each
process normalises by its own share, and rank 0's running statistics are the ones kept.
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


def leads() -> bool:
    """Whether this process writes and prints; true where there is only one."""
    return int(os.environ.get("RANK", "0")) == 0


@dataclasses.dataclass(frozen=True, slots=True)
class Team:
    """The processes of a training: this one's rank from 0, how many there are, and this one's device."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def share(self, batch: Picked) -> Picked:
        """This process' pictures of a batch (a dataclass of tensors (N, …)), on its device."""
        parts = {
            field.name: getattr(batch, field.name)[self.rank :: self.size].to(self.device, non_blocking=True)
            for field in dataclasses.fields(batch)  # type: ignore[arg-type]  # "a dataclass" can't be said
        }
        return dataclasses.replace(batch, **parts)  # type: ignore[type-var]  # the same

    def joined(self, network: nn.Module) -> nn.Module:
        """The network to call in training: its gradients are the processes' mean."""
        if self.size == 1:
            return network
        if self.device.type != "cuda":
            return DistributedDataParallel(network)
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]  # so in torch
        return DistributedDataParallel(network, device_ids=[self.device.index])

    def highest(self, value: float) -> float:
        """The largest of the processes' values; all wait for one another here."""
        return self._over_all(value, dist.ReduceOp.MAX)

    def mean(self, value: float) -> float:
        """The mean of the processes' values."""
        return self._over_all(value, dist.ReduceOp.SUM) / self.size

    def _over_all(self, value: float, operation: Any) -> float:
        if self.size == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64)  # on the CPU, so that no GPU is waited for
        dist.all_reduce(shared, operation)
        return float(shared)

    def check_agreement(self, network: nn.Module) -> None:
        """Makes sure that all processes hold the same parameters.

        Raises:
            RuntimeError: they don't, which no input can cause.
        """
        total = sum(float(parameter.detach().double().sum()) for parameter in network.parameters())
        if self.highest(total) != -self.highest(-total):
            raise RuntimeError(f"rank {self.rank} holds other weights than the other processes")


@contextmanager
def team(device: str, batch: int) -> Iterator[Team]:
    """The team that torchrun's environment tells of, or this process alone. ``device``: auto, cpu or cuda.

    Raises:
        InputError: no such device here; or a batch of so many pictures can't be shared out evenly.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    own = _device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if size == 1:
        yield Team(0, 1, own)
        return
    if batch % size:
        raise InputError(
            f"a batch of {batch} pictures can't be shared evenly by {size} processes: start a number that "
            f"divides {batch}."
        )
    if own.type == "cuda":
        torch.cuda.set_device(own)
    dist.init_process_group("cpu:gloo,cuda:nccl" if own.type == "cuda" else "gloo")
    try:
        yield Team(rank, size, own)
        dist.barrier()  # who leaves while another still listens may be aborted in its last moment
    finally:
        dist.destroy_process_group()


def _device(name: str, local_rank: int) -> torch.device:
    there = torch.cuda.is_available()
    if name == "cpu" or (name == "auto" and not there):
        return torch.device("cpu")
    if not there:
        raise InputError(
            f"device {name!r} is not here: torch {torch.__version__} sees no CUDA device. Use cpu."
        )
    if local_rank >= torch.cuda.device_count():
        raise InputError(
            f"process {local_rank} of this machine has no GPU: there are {torch.cuda.device_count()}. "
            "Start as many processes as GPUs."
        )
    return torch.device("cuda", local_rank)
