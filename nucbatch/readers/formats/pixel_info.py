"""What is known of an image before its pixels are read, whatever its format.

Decision owned here: how much a header may promise before it counts as damaged or as a decompression bomb.
Each limit stands in its message.
"""

from __future__ import annotations

from dataclasses import dataclass

from nucbatch.core.errors import UnreadableImage
from nucbatch.readers.formats.stack import SINGLE, Stack

# no codec packs denser (zstd's run-length blocks reach 32,768 : 1), so a header that promises more lies
BOMB_BYTES, BOMB_RATIO = 1 << 28, 100_000
MOST_PIXELS = 1 << 40
"""A million pixels a side: ten times the largest slide."""
MOST_PROJECTED = 1_000
"""Steps of a z-stack: what has more is a film, whatever its file calls it."""
LARGEST_DECODED_BYTES = 1 << 30
"""Of one tile or chunk, which has to be decoded as a whole."""
JPEG_SCAN = b"\xff\xda"
"""Where a scan begins; no other byte of a scan is 255 without a 0 behind it."""
MOST_SCANS = 100
"""Passes over all pixels of a JPEG. Writers make 10 or so, at most 64 for each component in theory."""


def require_believable(promised_bytes: int, size_bytes: int) -> None:
    """Refuses a header that promises more pixels than a file of ``size_bytes`` can hold.

    Raises:
        UnreadableImage: it does.
    """
    limit = max(BOMB_BYTES, BOMB_RATIO * size_bytes)
    if promised_bytes > limit:
        raise UnreadableImage(
            f"damaged header (promises {promised_bytes:,} bytes of pixels from {size_bytes:,} of file; the "
            f"limit is {limit:,}, since no codec packs denser than {BOMB_RATIO:,} : 1): save it again "
            "from its source"
        )


def require_decodable(what: str, decoded_bytes: int) -> None:
    """Refuses tiles or chunks that are too large to be decoded; ``what`` says which.

    Raises:
        UnreadableImage: they are.
    """
    if decoded_bytes > LARGEST_DECODED_BYTES:
        raise UnreadableImage(
            f"{what} take {decoded_bytes:,} bytes each once decoded; the limit is {LARGEST_DECODED_BYTES:,}: "
            "save it again in smaller ones"
        )


def require_few_scans(scans: int) -> None:
    """Refuses a JPEG that would be decoded over and over: each of its scans goes over all pixels.

    Raises:
        UnreadableImage: it has too many.
    """
    if scans > MOST_SCANS:
        raise UnreadableImage(
            f"a JPEG of more than {MOST_SCANS} scans, each of which takes as long as the whole picture: save "
            "it again as an ordinary one"
        )


@dataclass(frozen=True, slots=True)
class PixelInfo:
    """What a header promises: planes (Y, X) of ``samples`` values (1 grey, 3 RGB) of NumPy's ``dtype``.

    ``stack`` says which planes there are. ``stain`` is MetaXpress' illumination setting, if any.
    ``absent_chunks`` of ``chunks`` are not stored, in an OME-Zarr.
    """

    height_px: int
    width_px: int
    samples: int
    dtype: str
    stack: Stack = SINGLE
    pixel_size_um: float | None = None
    stain: str = ""
    absent_chunks: int = 0
    chunks: int = 0

    @property
    def pages(self) -> int:
        """How many planes there are."""
        return len(self.stack.pages)
