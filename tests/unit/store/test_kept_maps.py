"""Kept probabilities: the network runs only for tiles whose maps are missing, damaged or another model's."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nucbatch.store.kept_maps import KeptMaps

MODEL = {"model_hash": "ab"}


class Network:
    """Doubles a tile's first channel, and counts its calls."""

    calls = 0

    def __call__(self, tile: NDArray[np.float32]) -> NDArray[np.uint8]:
        self.calls += 1
        return (2 * tile[:1]).astype(np.uint8)


@pytest.fixture
def network() -> Network:
    return Network()


def tile(value: int, side: int = 8) -> NDArray[np.float32]:
    return np.full((3, side, side), value, np.float32)


def keep(path: Path, network: Network, *values: int) -> int:
    kept = KeptMaps(path, MODEL, network)
    for value in values:
        assert (kept.predict(tile(value)) == 2 * value).all()
    return kept.write()


def test_a_tile_goes_through_the_network_once(tmp_path: Path, network: Network) -> None:
    path = tmp_path / "B" / "3" / "1.maps"
    size = keep(path, network, 5, 7, 5)
    assert (network.calls, size) == (2, path.stat().st_size)
    before = path.stat().st_mtime_ns
    assert keep(path, network, 7, 5) == size
    assert (network.calls, path.stat().st_mtime_ns) == (2, before)


def test_other_pixels_another_shape_and_another_model_are_predicted(tmp_path: Path, network: Network) -> None:
    path = tmp_path / "1.maps"
    keep(path, network, 5)
    keep(path, network, 6)
    assert network.calls == 2
    KeptMaps(path, MODEL, network).predict(tile(6, side=16))
    assert network.calls == 3
    KeptMaps(path, {"model_hash": "cd"}, network).predict(tile(6))
    assert network.calls == 4


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: b"x" + data[1:]])
def test_a_damaged_file_counts_as_none_and_is_written_again(damage, tmp_path: Path, network: Network) -> None:
    path = tmp_path / "1.maps"
    keep(path, network, 5)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    keep(path, network, 5)
    assert network.calls == 2
    assert path.read_bytes() == whole


def test_a_blank_field_keeps_nothing(tmp_path: Path, network: Network) -> None:
    path = tmp_path / "1.maps"
    keep(path, network, 5)
    assert keep(path, network) == 0
    assert not path.exists()
