"""What is known of an image before its pixels are read, whatever its format.

Decision owned here: how much a header may promise before it counts as damaged.
"""

from __future__ import annotations

from dataclasses import dataclass

from nucbatch.readers.stack import SINGLE, Stack

# no codec packs denser (zstd's run-length blocks reach 32,768 : 1), so a header that promises more lies
BOMB_BYTES, BOMB_RATIO = 1 << 28, 100_000


@dataclass(frozen=True, slots=True)
class PixelInfo:
    """What a header promises: planes (Y, X) of ``samples`` values (1 grey, 3 RGB) of NumPy's ``dtype``.

    ``stack`` says which planes there are. ``stain`` is MetaXpress' illumination setting, if any.
    """

    height_px: int
    width_px: int
    samples: int
    dtype: str
    stack: Stack = SINGLE
    pixel_size_um: float | None = None
    stain: str = ""

    @property
    def pages(self) -> int:
        """How many planes there are."""
        return len(self.stack.pages)
