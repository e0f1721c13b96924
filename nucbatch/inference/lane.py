"""The lane: the one place in a worker process that touches the network.

Tasks hand in tiles from their own threads and wait for the maps; one thread forms batches of equal shape
across tasks and runs them. So the model is loaded once per process, and reading, objects and writing of
other blocks go on beside it.

On a CPU a batch is one tile and one torch thread: batching there measured slower (the working set falls out
of the cache), and a thread count that follows the machine could move the last bits of a probability.
"""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from nucbatch.errors import WeightsError
from nucbatch.inference.predict import forward, grid_of, prepared
from nucbatch.networks.checkpoint import Card, load_weights
from nucbatch.settings import Precision
from nucbatch.tiles import TileGrid

Tile = NDArray[np.float32]
Maps = NDArray[np.uint8]


@dataclass(slots=True)
class _Order:
    tile: Tile
    answer: Future[tuple[Maps, float]]


class Lane:
    """One network on one device; ``predict`` may be called from any thread."""

    def __init__(self, weights: Path, *, precision: Precision = "fp32", batch: int = 1) -> None:
        network, card = load_weights(weights)
        self.card: Card = card
        self.grid: TileGrid = grid_of(network)
        self._network = prepared(network, precision)
        self._batch = batch
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self._held_back: _Order | None = None
        self._thread = threading.Thread(target=self._run, name="nucbatch-lane", daemon=True)
        self._thread.start()

    def predict(self, tile: Tile) -> Maps:
        """Maps (outputs, H, W) uint8 of a tile (3, H, W) float32; blocks until its batch is done."""
        return self.predict_timed(tile)[0]

    def predict_timed(self, tile: Tile) -> tuple[Maps, float]:
        """The same, and the seconds that the network spent on it, for the record: its part of a batch."""
        order = _Order(tile, Future())
        self._orders.put(order)
        return order.answer.result()

    def _run(self) -> None:
        torch.set_num_threads(1)
        while True:
            orders = self._next_batch()
            began = time.perf_counter()
            try:
                maps = self._forward(orders)
            except Exception as error:  # noqa: BLE001 (handed to the tasks that wait; the lane goes on)
                for order in orders:
                    order.answer.set_exception(error)
                continue
            seconds = (time.perf_counter() - began) / len(orders)
            for order, found in zip(orders, maps, strict=False):  # padding has no order
                order.answer.set_result((found, seconds))

    def _next_batch(self) -> list[_Order]:
        """Waits for a tile, then takes those of the same shape that are there already."""
        first = self._held_back or self._orders.get()
        self._held_back = None
        orders = [first]
        while len(orders) < self._batch:
            try:
                order = self._orders.get_nowait()
            except queue.Empty:
                break
            if order.tile.shape != first.tile.shape:
                self._held_back = order
                break
            orders.append(order)
        return orders

    def _forward(self, orders: list[_Order]) -> Maps:
        """A batch of fixed size; the last one is filled up, so that the device sees one shape only."""
        tiles = [order.tile for order in orders]
        return forward(self._network, np.stack(tiles + [tiles[-1]] * (self._batch - len(tiles))))


@cache
def _lane(weights: str, sha256: str, precision: Precision) -> Lane:
    lane = Lane(Path(weights), precision=precision)
    if sha256 and lane.card.sha256 != sha256:
        raise WeightsError(
            f"{weights} changed while the run was going: it began with {sha256[:12]}, now it is "
            f"{lane.card.sha256[:12]}. Put the first one back, or start anew with --restart."
        )
    return lane


_opening = threading.Lock()


def lane_of_process(weights: str, sha256: str = "", precision: Precision = "fp32") -> Lane:
    """This process' lane for a weight file and a precision, opened at the first call.

    Raises:
        WeightsError: the file's weights are not those of hash ``sha256``.
    """
    with _opening:
        return _lane(weights, sha256, precision)
