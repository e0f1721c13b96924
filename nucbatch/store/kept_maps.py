"""Probabilities of fields of one block, kept on request so that objects can be redone without the network.

One file per field: the maps of each tile that the network saw, under the SHA-256 of the tile. So kept maps
are used only for exactly the pixels, normalisation and scale from which they were made; others are predicted.
Large images keep theirs in an array (``scratch.py``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numcodecs
import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import DamagedFile
from nucbatch.core.settings import RunSettings
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.scratch import read_parts, write_parts
from nucbatch.version import __version__

BYTES_PER_VALUE = 0.5
"""Typical size of a kept value, compressed: 0.4 to 0.6 bytes, on fields of three microscopes."""

_ZSTD = numcodecs.Zstd(level=1)

Tile = NDArray[np.float32]
Maps = NDArray[np.uint8]
Predict = Callable[[Tile], Maps]


class KeptMaps:
    """Maps of one field: predicts tiles whose maps are not in the file, and keeps them.

    Args:
        path: the file; one that is missing, damaged or of other ``identity`` counts as empty.
        identity: all that the maps depend on besides the tile, such as the hash of the weights.
        predict: the network.
    """

    def __init__(self, path: Path, identity: Mapping[str, str], predict: Predict) -> None:
        self._path, self._identity, self._predict = path, dict(identity), predict
        self._stored = _read(path, self._identity)
        self._used: dict[str, tuple[tuple[int, ...], bytes]] = {}

    @classmethod
    def of_field(cls, folder: RunFolder, key: str, settings: RunSettings, predict: Predict) -> KeptMaps:
        """Opens the maps that a run with these settings keeps of a field."""
        identity = {
            "nucbatch": __version__,
            "model_hash": settings.model_hash,
            "precision": settings.precision,
        }
        return cls(folder.kept_maps(key), identity, predict)

    def predict(self, tile: Tile) -> Maps:
        """Returns the maps (outputs, H, W) uint8 of a tile (3, H, W) float32, kept or predicted."""
        key = hashlib.sha256(np.ascontiguousarray(tile).data).hexdigest()
        known = self._used.get(key) or self._stored.get(key)
        if known is not None:
            self._used[key] = known
            shape, packed = known
            return np.frombuffer(_ZSTD.decode(packed), np.uint8).reshape(shape)
        maps = np.ascontiguousarray(self._predict(tile))
        self._used[key] = maps.shape, _ZSTD.encode(maps)
        return maps

    def write(self) -> int:
        """Writes the maps of the tiles seen, and returns the file's size in bytes; 0 if there were none.

        Raises:
            StoreError: the file can't be written.
        """
        if not self._used:
            self._path.unlink(missing_ok=True)
            return 0
        if self._used.keys() != self._stored.keys():
            tiles = {key: list(shape) for key, (shape, _) in self._used.items()}
            header = json.dumps({"identity": self._identity, "tiles": tiles}).encode()
            write_parts(self._path, [header, *(packed for _, packed in self._used.values())])
        return self._path.stat().st_size


def _read(path: Path, identity: dict[str, str]) -> dict[str, tuple[tuple[int, ...], bytes]]:
    if not path.exists():
        return {}
    try:
        header, *packed = read_parts(path)
    except DamagedFile:
        return {}
    held = json.loads(header)
    if held["identity"] != identity:
        return {}
    return {key: (tuple(shape), one) for (key, shape), one in zip(held["tiles"].items(), packed, strict=True)}
