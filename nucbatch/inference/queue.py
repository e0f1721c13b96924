"""The lane: the one place in a worker process that touches the network.

Tasks hand in tiles from their own threads and wait for the maps; one thread forms batches of equal shape
across tasks and runs them, one while the next is being put together. So the model is loaded once per process,
and reading, objects and writing of other blocks go on beside it.
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
from nucbatch.core.settings import Precision
from nucbatch.core.tiles import TileGrid
from nucbatch.inference.device import Answer, Device, device_for
from nucbatch.inference.predict import grid_of
from nucbatch.networks.checkpoint import Card, load_weights

Tile = NDArray[np.float32]
Maps = NDArray[np.uint8]


@dataclass(slots=True)
class _Order:
    tile: Tile
    answer: Future[tuple[Maps, float]]


@dataclass(slots=True)
class _Batch:
    orders: list[_Order]
    coming: Answer
    began: float


class Lane:
    """One network on one device; ``predict`` may be called from any thread.

    ``device`` makes the network ready; None takes the best that the process sees.
    """

    def __init__(
        self, weights: Path, *, precision: Precision = "fp32", device: Callable[..., Device] | None = None
    ) -> None:
        network, card = load_weights(weights)
        self.card: Card = card
        self.grid: TileGrid = grid_of(network)
        self._device = (device or device_for)(network, precision)
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()  # None: no more will come
        self._held_back: _Order | None = None
        self._closed = False
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

    def close(self) -> None:
        """Ends the lane once what was handed in is done; nothing may be handed in after it."""
        self._orders.put(None)

    def _run(self) -> None:
        under_way: _Batch | None = None
        while not self._closed or under_way is not None:
            orders = self._next_orders(wait=under_way is None)
            coming = self._begin(orders) if orders else None
            if under_way is not None:
                _answer(under_way)
            under_way = coming
            if under_way is not None and not self._device.overlaps:
                _answer(under_way)  # it is done, and nobody should wait for the next one
                under_way = None

    def _begin(self, orders: list[_Order]) -> _Batch | None:
        began = time.perf_counter()
        try:
            return _Batch(orders, self._device.begin([order.tile for order in orders]), began)
        except Exception as error:  # noqa: BLE001 (handed to the tasks that wait; the lane goes on)
            _fail(orders, error)
            return None

    def _next_orders(self, *, wait: bool) -> list[_Order]:
        """Waits for a tile, if nothing else is to be done; then takes those of its shape that are there."""
        first = self._held_back or self._get(wait=wait)
        self._held_back = None
        if first is None:
            return []
        orders = [first]
        most = self._device.batch_of(*first.tile.shape[1:])
        while len(orders) < most and (order := self._get(wait=False)) is not None:
            if order.tile.shape != first.tile.shape:
                self._held_back = order
                break
            orders.append(order)
        return orders

    def _get(self, *, wait: bool) -> _Order | None:
        try:
            order = self._orders.get(block=wait and not self._closed)
        except queue.Empty:
            return None
        self._closed = self._closed or order is None
        return order


def _answer(batch: _Batch) -> None:
    try:
        maps = batch.coming.wait()
    except Exception as error:  # noqa: BLE001 (handed to the tasks that wait; the lane goes on)
        _fail(batch.orders, error)
        return
    seconds = (time.perf_counter() - batch.began) / len(batch.orders)
    for order, found in zip(batch.orders, maps, strict=False):  # filling has no order
        order.answer.set_result((found, seconds))


def _fail(orders: list[_Order], error: Exception) -> None:
    for order in orders:
        order.answer.set_exception(error)


_lanes: dict[tuple[str, Precision], Lane] = {}
_opening = threading.Lock()


def lane_of_process(weights: str, sha256: str = "", precision: Precision = "fp32") -> Lane:
    """This process' lane for a weight file and a precision, opened at the first call.

    Raises:
        WeightsError: the file's weights are not those of hash ``sha256``.
    """
    with _opening:
        lane = _lanes.get((weights, precision))
        if lane is not None and sha256 in ("", lane.card.sha256):
            return lane
        found = Lane(Path(weights), precision=precision)
        if sha256 not in ("", found.card.sha256):
            found.close()
            raise WeightsError(
                f"{weights} has changed since it was looked at: it was {sha256[:12]}, now it is "
                f"{found.card.sha256[:12]}. Put the first one back; a run is begun anew with --restart."
            )
        if lane is not None:  # the file has other weights by now, as was expected
            lane.close()
        _lanes[weights, precision] = found
        return found
