"""Inference queue: one thread per worker process batches tiles of all tasks and runs the network.

Tasks submit tiles from their own threads and wait for the maps. The queue's thread forms batches of tiles of
equal shape across tasks, and prepares the next batch while one is computed. So the model is loaded once per
process, and other blocks are read, segmented into objects and written meanwhile.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import WeightsError
from nucbatch.core.numeric_kind import FLOAT32
from nucbatch.core.tiles import TileGrid
from nucbatch.inference.device import BatchFuture, Device, device_for
from nucbatch.inference.predict import grid_of
from nucbatch.networks.checkpoint import load_weights
from nucbatch.networks.model_card import Card

Tile = NDArray[np.float32]
Maps = NDArray[np.uint8]


@dataclass(slots=True)
class _Request:
    tile: Tile
    future: Future[tuple[Maps, float]]


class TimedPredictor:
    """Predicts tiles on an inference queue for one task, and sums the network's time in ``seconds``."""

    def __init__(self, queue: InferenceQueue) -> None:
        self._queue = queue
        self.seconds = 0.0

    def predict(self, tile: Tile) -> Maps:
        """Predicts the maps (outputs, H, W) uint8 of a tile (3, H, W) float32."""
        maps, seconds = self._queue.predict_timed(tile)
        self.seconds += seconds
        return maps


@dataclass(slots=True)
class _Batch:
    requests: list[_Request]
    maps: BatchFuture
    began: float


class InferenceQueue:
    """Runs one network on one device; ``predict`` may be called from any thread.

    Args:
        weights: the model's weight file.
        kind: numeric kind of the arithmetic.
        device: puts the network on a device; None: :func:`nucbatch.inference.device.device_for`.
    """

    def __init__(
        self, weights: Path, *, kind: str = FLOAT32, device: Callable[..., Device] | None = None
    ) -> None:
        network, card = load_weights(weights)
        self.card: Card = card
        self.grid: TileGrid = grid_of(network)
        self._device = (device or device_for)(network, kind)
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()  # None: the queue is closed
        self._next_request: _Request | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="nucbatch-inference", daemon=True)
        self._thread.start()

    def predict(self, tile: Tile) -> Maps:
        """Predicts the maps (outputs, H, W) uint8 of a tile (3, H, W) float32; waits for its batch."""
        return self.predict_timed(tile)[0]

    def predict_timed(self, tile: Tile) -> tuple[Maps, float]:
        """Predicts like :meth:`predict`; also returns the tile's share of its batch's time in seconds."""
        request = _Request(tile, Future())
        self._requests.put(request)
        return request.future.result()

    def close(self) -> None:
        """Ends the queue's thread after all submitted tiles; submit none after this call."""
        self._requests.put(None)

    def _run(self) -> None:
        running: _Batch | None = None
        while not self._closed or running is not None:
            requests = self._next_requests(wait=running is None)
            begun = self._begin(requests) if requests else None
            if running is not None:
                _deliver(running)
            running = begun
            if running is not None and not self._device.overlaps:
                _deliver(running)  # it is computed already; tasks need not wait for the next batch
                running = None

    def _begin(self, requests: list[_Request]) -> _Batch | None:
        began = time.perf_counter()
        try:
            return _Batch(requests, self._device.begin([request.tile for request in requests]), began)
        except Exception as error:  # noqa: BLE001 (raised in the waiting tasks; the queue continues)
            _fail(requests, error)
            return None

    def _next_requests(self, *, wait: bool) -> list[_Request]:
        """Takes the next requests of one shape, at most a batch; waits for the first if ``wait``."""
        first = self._next_request or self._get(wait=wait)
        self._next_request = None
        if first is None:
            return []
        requests = [first]
        most = self._device.batch_of(*first.tile.shape[1:])
        while len(requests) < most and (request := self._get(wait=False)) is not None:
            if request.tile.shape != first.tile.shape:
                self._next_request = request
                break
            requests.append(request)
        return requests

    def _get(self, *, wait: bool) -> _Request | None:
        try:
            request = self._requests.get(block=wait and not self._closed)
        except queue.Empty:
            return None
        self._closed = self._closed or request is None
        return request


def _deliver(batch: _Batch) -> None:
    """Waits for a batch and gives each task its maps, or the error."""
    try:
        maps = batch.maps.wait()
    except Exception as error:  # noqa: BLE001 (raised in the waiting tasks; the queue continues)
        _fail(batch.requests, error)
        return
    seconds = (time.perf_counter() - batch.began) / len(batch.requests)
    for request, found in zip(batch.requests, maps, strict=False):  # padding has no request
        request.future.set_result((found, seconds))


def _fail(requests: list[_Request], error: Exception) -> None:
    for request in requests:
        request.future.set_exception(error)


_queues: dict[tuple[str, str], InferenceQueue] = {}
_opening = threading.Lock()


def queue_of_process(weights: str, sha256: str = "", kind: str = FLOAT32) -> InferenceQueue:
    """Returns this process' queue for a weight file and a numeric kind, and opens it at the first call.

    Args:
        weights: path of the weight file.
        sha256: the weights' expected hash; empty: any.
        kind: numeric kind of the arithmetic.

    Raises:
        WeightsError: the file's weights have another hash.
        PrecisionError: this process can't compute in this kind.
    """
    with _opening:
        opened = _queues.get((weights, kind))
        if opened is not None and sha256 in ("", opened.card.sha256):
            return opened
        found = InferenceQueue(Path(weights), kind=kind)
        if sha256 not in ("", found.card.sha256):
            found.close()
            raise WeightsError(
                f"{weights} has changed since it was first read: its hash was {sha256[:12]}, now it is "
                f"{found.card.sha256[:12]}. Restore the file, or start the run anew with --restart."
            )
        if opened is not None:  # the file has been replaced, as the caller expected
            opened.close()
        _queues[weights, kind] = found
        return found
