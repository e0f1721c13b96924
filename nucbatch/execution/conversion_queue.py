"""Queue of a conversion's tasks: what can be submitted now, and what the ledger has already.

An image goes through stages: its parts at full resolution, then, if it is large, the blocks of each lower
level, and last its documents. A stage begins once the one before it is complete. Only images in progress are
held as lists of tasks.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, field, replace
from itertools import product
from pathlib import Path

import numpy as np

from nucbatch.core.plate import Plate
from nucbatch.execution.conversion_task import (
    DescribeTask,
    PartTask,
    ShrinkTask,
    blocks_of,
    paths_of,
)
from nucbatch.planning.conversion import ConvertedImage
from nucbatch.readers.pixels import FieldReader
from nucbatch.store.image_stack import ImageStack
from nucbatch.store.ngff import Version
from nucbatch.store.receipt import Receipt, field_digest
from nucbatch.store.run_folder import RunFolder, inside

ConversionTask = PartTask | ShrinkTask | DescribeTask


@dataclass(slots=True)
class _InProgress:
    """An image whose tasks are being submitted, in stages; ``running`` tasks of the present one."""

    image: ConvertedImage
    stages: deque[deque[ConversionTask]]
    tasks: int
    running: int = 0
    done: int = 0
    problem: str = ""
    lost: dict[str, None] = field(default_factory=dict)
    receipts: list[Receipt] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ImageOutcome:
    """Result of an image.

    Attributes:
        image: the image.
        problem: why it could not be converted; empty if it was.
        lost: reasons why planes are damaged and were not written; each begins with the file's path.
        receipts: those of its parts, if it is to be sent to a store and is not there.
    """

    image: ConvertedImage
    problem: str = ""
    lost: tuple[str, ...] = ()
    receipts: tuple[Receipt, ...] = ()


def with_held(image: ConvertedImage, times: Container[str]) -> ConvertedImage:
    """Returns the image with the fields selected, too, of which earlier sessions wrote a part.

    Args:
        image: the image.
        times: what the ledger has, from :func:`held_times`.
    """
    held = {one.key for one in image.usable if _time_key(image, _t(image, one.t)) in times}
    return replace(image, selected=image.selected | held)


def held_times(receipts: Iterable[str]) -> frozenset[str]:
    """Returns which images and time points the ledger's keys belong to."""
    return frozenset(key.rpartition(" z ")[0] for key in receipts)


class ConversionQueue:
    """Tasks of a conversion.

    Args:
        plate: the input.
        images: the images to convert.
        folder: the conversion's folder.
        version: of OME-Zarr.
        largest_px: longest side of an image that is not cut into blocks.
        receipts: what earlier sessions wrote, by the tasks' keys.
        sent: groups of the images that are in a store, where all go; None if they stay in the folder.
    """

    def __init__(
        self,
        plate: Plate,
        images: Iterable[ConvertedImage],
        folder: RunFolder,
        version: Version,
        largest_px: int,
        receipts: Mapping[str, Receipt],
        sent: Collection[str] | None = None,
    ) -> None:
        self._reader, self._folder, self._version = FieldReader.of(plate), folder, version
        self._store = folder.store(plate.is_plate)
        self._largest_px, self._receipts, self._sent = largest_px, receipts, sent
        self._waiting = deque(images)
        self._active: dict[str, _InProgress] = {}
        self._owner: dict[str, str] = {}
        self._finished: list[ImageOutcome] = []

    @property
    def waiting(self) -> int:
        """Number of images that were not begun yet."""
        return len(self._waiting)

    def next(self) -> ConversionTask | None:
        """Takes the next task that can run now; None if there is none."""
        while True:
            for progress in self._active.values():
                if progress.stages and progress.stages[0] and not progress.problem:
                    task = progress.stages[0].popleft()
                    progress.running += 1
                    self._owner[task.key] = progress.image.group
                    return task
            if not self._waiting:
                return None
            self._begin(self._waiting.popleft())

    def accept(self, key: str, receipt: Receipt) -> tuple[str, int, int]:
        """Notes a task's receipt; returns its image's name, its tasks that are done, and all of them."""
        progress = self._active[self._owner.pop(key)]
        progress.running -= 1
        progress.done += 1
        if receipt.status == "failed":
            progress.problem = progress.problem or receipt.reason
        progress.lost |= _reasons(receipt)
        if self._sent is not None:
            progress.receipts.append(receipt)
        shown = progress.image.first.name, progress.done, progress.tasks
        self._advance(progress)
        return shown

    def finished(self) -> list[ImageOutcome]:
        """Returns the images that finished or failed since the last call."""
        finished, self._finished = self._finished, []
        return finished

    def _begin(self, image: ConvertedImage) -> None:
        """Lists the tasks of an image that the ledger does not have, or whose files have changed."""
        there = self._sent is not None and image.group in self._sent
        progress = self._listed(image, there=there)
        if there and progress.tasks:  # what is left to do needs the pixels that are in the store: start over
            progress = self._listed(image, anew=True)
        if (there and not progress.tasks) or self._sent is None:
            progress.receipts.clear()
        self._active[image.group] = progress
        self._advance(progress)

    def _listed(self, image: ConvertedImage, *, there: bool = False, anew: bool = False) -> _InProgress:
        """Lists the tasks of an image that are left.

        Args:
            image: the image.
            there: its files are in the store, and not in the folder.
            anew: list all of its tasks.
        """
        lost: dict[str, None] = {}
        standing: list[Receipt] = []
        stages: deque[deque[ConversionTask]] = deque()
        for stage in self._stages(image):
            missing: deque[ConversionTask] = deque()
            for task in stage:
                receipt = None if anew else self._receipts.get(task.key)
                if receipt is None or not self._stands(task, receipt, there=there):
                    missing.append(task)
                else:
                    lost |= _reasons(receipt)
                    standing.append(receipt)
            stages.append(missing)
        return _InProgress(image, stages, sum(map(len, stages)), lost=lost, receipts=standing)

    def _advance(self, progress: _InProgress) -> None:
        if progress.running:
            return
        while progress.stages and not progress.stages[0]:
            progress.stages.popleft()
        if progress.stages and not progress.problem:
            return
        del self._active[progress.image.group]
        self._finished.append(
            ImageOutcome(progress.image, progress.problem, tuple(progress.lost), tuple(progress.receipts))
        )

    @staticmethod
    def _stands(task: ConversionTask, receipt: Receipt, *, there: bool) -> bool:
        if receipt.status != "done" or receipt.source != task.source:
            return False
        return there or not paths_of(task.stack.group).problems(receipt.files, receipt.committed_ns)

    def _stages(self, image: ConvertedImage) -> Iterator[Iterator[ConversionTask]]:
        stack = ImageStack(inside(self._store, image.group), image.shape, image.first.dtype, self._version)
        source = _digest_of(image, self._version)
        large = max(image.shape[-2:]) > self._largest_px
        yield self._parts(image, stack, source, large=large)
        for level in range(1, stack.levels if large else 1):
            yield self._shrinking(image, stack, source, level)
        at = _shown(image)
        shown = f"{source} {at}"
        yield iter([DescribeTask(image.group, self._folder, stack, image.first, image.channels, at, shown)])

    def _parts(
        self, image: ConvertedImage, stack: ImageStack, source: str, *, large: bool
    ) -> Iterator[ConversionTask]:
        for part, z in image.parts():
            at = _t(image, part.t), z
            for block in _blocks(stack, 0) if large else [None]:
                yield PartTask(
                    _key(image, at, 0, block),
                    self._folder,
                    stack,
                    self._reader,
                    part,
                    image.channels,
                    at,
                    source,
                    block,
                )

    def _shrinking(
        self, image: ConvertedImage, stack: ImageStack, source: str, level: int
    ) -> Iterator[ConversionTask]:
        for part, z in image.parts():
            at = _t(image, part.t), z
            for block in _blocks(stack, level):
                key = _key(image, at, level, block)
                yield ShrinkTask(key, self._folder, stack, at, source, level, block)


def task_bytes(image: ConvertedImage, largest_px: int) -> int:
    """Projects the memory of an image's largest task at its peak, without the process itself."""
    _, channels, _, height, width = image.shape
    stack = ImageStack(Path(), image.shape, image.first.dtype)
    if max(height, width) > largest_px:
        height, width = blocks_of(stack, 0).box(0, 0).shape
    # The part, planes as they are decoded, and the sums of the next level in a wider type.
    return height * width * channels * (4 * np.dtype(stack.dtype).itemsize + 8)


def _reasons(receipt: Receipt) -> dict[str, None]:
    return dict.fromkeys(reason for _, reason in receipt.lacking)


def _blocks(stack: ImageStack, level: int) -> Iterator[tuple[int, int]]:
    rows, columns = blocks_of(stack, level).shape
    return product(range(rows), range(columns))


def _t(image: ConvertedImage, t: int) -> int:
    """Returns the index along t; an image of one time point has index 0, whichever it is."""
    return t if image.shape[0] > 1 else 0


def _shown(image: ConvertedImage) -> tuple[int, int]:
    """Returns (t, z) of the middle z-step of the first time point that is converted."""
    parts = list(image.parts())
    depths = [z for part, z in parts if part.t == parts[0][0].t]
    return _t(image, parts[0][0].t), depths[len(depths) // 2]


def _key(image: ConvertedImage, at: tuple[int, int], level: int, block: tuple[int, int] | None) -> str:
    place = "" if block is None else f" level {level} block {block[0]},{block[1]}"
    return f"{_time_key(image, at[0])} z {at[1]}{place}"


def _time_key(image: ConvertedImage, t: int) -> str:
    return f"{image.group} t {t}"


def _digest_of(image: ConvertedImage, version: Version) -> str:
    """Returns 128 bits (hex) that identify everything that an image is made of."""
    fields = [field_digest(one) for one in image.usable]
    channels = [astuple(channel) for channel in image.channels]
    values = [version, image.group, image.shape, channels, fields]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32]
