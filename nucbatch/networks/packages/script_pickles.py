"""Checks the pickles inside a TorchScript archive, which hold its tensors' shapes and its modules' fields.

PyTorch reads them with a parser of its own that can create nothing but tensors, numbers and the archive's own
classes. It trusts their numbers, however: a tensor that claims to be larger than its storage would show
foreign memory. So they are read here first, by an unpickler that knows no class of Python's and compares
sizes.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nucbatch.core.errors import WeightsError

_ITEM_BYTES = {
    "BoolStorage": 1, "ByteStorage": 1, "CharStorage": 1, "ShortStorage": 2, "HalfStorage": 2,
    "BFloat16Storage": 2, "IntStorage": 4, "FloatStorage": 4, "LongStorage": 8, "DoubleStorage": 8,
}  # fmt: skip
_LISTS = ("build_intlist", "build_tensorlist", "build_doublelist", "build_boollist")


class _Field:
    """Stands for an object of one of the archive's classes."""

    def __init__(self, *_: object) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _Storage:
    """The numbers of a record. A pickle can change the fields of objects, but not of this one."""

    items: int


class _Reader(pickle.Unpickler):
    """Reads a pickle without importing anything: what it names must be in the tables above."""

    def __init__(self, content: bytes, records: Mapping[str, int]) -> None:
        super().__init__(io.BytesIO(content))
        self._records = records

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}".startswith("__torch__.torch.classes."):
            raise ValueError(f"{module}.{name} is a class of a C++ library")
        if module == "__torch__" or module.startswith("__torch__."):
            return type("Field", (_Field,), {})  # a class of its own: a pickle can change it
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if module == "torch" and name in _ITEM_BYTES:
            return _ITEM_BYTES[name]
        if module == "torch.jit._pickle" and name in _LISTS:
            return list
        raise ValueError(f"{module}.{name} is not known")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, item_bytes, key, _device, items = pid
        if kind != "storage" or not isinstance(item_bytes, int) or not isinstance(items, int):
            raise ValueError(f"{str(kind)[:50]!r} is not known")
        if not 0 <= items * item_bytes <= self._records.get(str(key), -1):
            raise ValueError(f"a tensor has {items:,} numbers, but {self._records.get(str(key), 0):,} bytes")
        return _Storage(items)

    def _tensor(self, storage: _Storage, offset: int, sizes: Any, strides: Any, *_: object) -> _Field:
        """Checks that a tensor lies within its storage."""
        if not isinstance(storage, _Storage):
            raise ValueError("a tensor has no storage")
        last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        least = min((offset, *sizes, *strides))
        if least < 0 or (0 not in sizes and last >= storage.items):
            raise ValueError(f"a tensor of {tuple(sizes)} exceeds its {storage.items:,} numbers")
        return _Field()


def require_within_records(name: str, content: bytes, records: Mapping[str, int]) -> None:
    """Checks a pickle of an archive.

    Args:
        name: of the pickle, for messages.
        content: the pickle.
        records: bytes of each storage, by its key.

    Raises:
        WeightsError: it is damaged, names anything but tensors and the archive's own classes, or a tensor
            exceeds its storage.
    """
    try:
        _Reader(content, records).load()
    except (
        pickle.UnpicklingError, ValueError, TypeError, AttributeError, KeyError, IndexError, EOFError,
        OverflowError, RecursionError, MemoryError,
    ) as error:  # fmt: skip
        raise WeightsError(f"the TorchScript record {name} is refused: {str(error)[:200]}.") from error
