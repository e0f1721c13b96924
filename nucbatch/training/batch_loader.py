"""Loads the batches of the coming steps, in worker processes beside a GPU.

A batch depends on its step alone, so any process can make it, and batches are returned in the order of the
steps.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, Dataset

from nucbatch.training.task import ImageBatch, Task

MOST_WORKERS = 14


class _Steps(Dataset[ImageBatch]):
    def __init__(self, task: Task, first: int, end: int) -> None:
        self._task, self._first, self._end = task, first, end

    def __len__(self) -> int:
        return self._end - self._first

    def __getitem__(self, position: int) -> ImageBatch:
        return self._task.batch(self._first + position)


def load_batches(task: Task, first: int, end: int, workers: int) -> Iterator[ImageBatch]:
    """The batches of steps ``first`` to ``end`` - 1, made by ``workers`` processes (0: by this one)."""
    if workers == 0 or first >= end:
        for step in range(first, end):
            yield task.batch(step)
        return
    # Forked, so that the samples are shared; no worker touches a GPU.
    yield from DataLoader(
        _Steps(task, first, end),
        batch_size=None,
        num_workers=workers,
        multiprocessing_context="fork",
        worker_init_fn=_leave_signals_to_the_trainer,
    )


def default_workers(device: torch.device, processes: int) -> int:
    """Number of worker processes for batches.

    On a CPU none, because the network uses all cores; on a GPU this process' share of the cores.
    """
    if device.type != "cuda" or not hasattr(os, "fork"):
        return 0
    return max(1, min(MOST_WORKERS, len(os.sched_getaffinity(0)) // processes - 1))


def _leave_signals_to_the_trainer(worker: int) -> None:
    """Ignores signals in a worker process.

    A scheduler signals all processes of a job, and the trainer needs batches until it has saved.
    """
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
