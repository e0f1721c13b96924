"""Properties of an image known from its header, and limits on what a header may promise.

A header beyond a limit counts as damaged or as a decompression bomb. Each message contains its limit.
"""

from __future__ import annotations

from dataclasses import dataclass

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.plate import Channel
from nucbatch.readers.formats.stack import SINGLE, Stack

# No codec compresses further (run-length blocks of zstd reach 32,768 : 1), so such a header is wrong.
BOMB_BYTES, BOMB_RATIO = 1 << 28, 100_000
MOST_PIXELS = 1 << 40
"""A million pixels per side, ten times the largest slide."""
MOST_PROJECTED = 1_000
"""Most steps of a z-stack; a longer one is a time series that is labelled wrongly."""
LARGEST_DECODED_BYTES = 1 << 30
"""Largest decoded tile or chunk, which must be decoded as a whole."""
JPEG_SCAN = b"\xff\xda"
"""Marker of a scan; inside a scan every byte 255 is followed by 0."""
MOST_SCANS = 100
"""Most scans (passes over all pixels) of a JPEG. Writers make about 10; 64 per component are possible."""


def require_believable(promised_bytes: int, size_bytes: int) -> None:
    """Checks that a header does not promise more pixels than a file of ``size_bytes`` can hold.

    Raises:
        UnreadableImage: it promises more.
    """
    limit = max(BOMB_BYTES, BOMB_RATIO * size_bytes)
    if promised_bytes > limit:
        raise UnreadableImage(
            f"damaged header (promises {promised_bytes:,} bytes of pixels from {size_bytes:,} of file; the "
            f"limit is {limit:,}, since no codec packs denser than {BOMB_RATIO:,} : 1): save it again "
            "from its source"
        )


def require_decodable(what: str, decoded_bytes: int) -> None:
    """Checks the decoded size of tiles or chunks; ``what`` names them in the message.

    Raises:
        UnreadableImage: they are too large.
    """
    if decoded_bytes > LARGEST_DECODED_BYTES:
        raise UnreadableImage(
            f"{what} take {decoded_bytes:,} bytes each once decoded; the limit is {LARGEST_DECODED_BYTES:,}: "
            "save it again in smaller ones"
        )


def require_few_scans(scans: int) -> None:
    """Checks the number of scans of a JPEG, each of which is a pass over all pixels.

    Raises:
        UnreadableImage: there are too many.
    """
    if scans > MOST_SCANS:
        raise UnreadableImage(
            f"a JPEG of more than {MOST_SCANS} scans, each of which takes as long as the whole picture: save "
            "it again as an ordinary one"
        )


@dataclass(frozen=True, slots=True)
class PixelInfo:
    """Properties of an image, from its header.

    Attributes:
        height_px: height of a plane.
        width_px: width of a plane.
        samples: values per pixel: 1 for grey, 3 for RGB.
        dtype: NumPy name of the pixel type.
        stack: the planes of the file.
        pixel_size_um: None if unknown, or if pixels are not square.
        oblong_um: width and height of pixels that are not square.
        stain: MetaXpress' illumination setting, if any.
        absent_chunks: number of chunks of an OME-Zarr, or tiles of a TIFF, that were never written.
        chunks: number of chunks of an OME-Zarr, or tiles of a TIFF if some were never written.
        position_um: (y, x) of the image's centre on the stage, y down; None if unknown.
        channels: colours and wavelengths that the file records, by the names in ``stack``.
        stage_um: (y, x) of the image's centre on a stage whose axes may run any way; None if unknown.
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
    position_um: tuple[float, float] | None = None
    channels: tuple[Channel, ...] = ()
    oblong_um: tuple[float | None, float | None] | None = None
    stage_um: tuple[float, float] | None = None

    @property
    def pages(self) -> int:
        """Number of planes."""
        return len(self.stack.pages)
