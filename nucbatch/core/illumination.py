"""Reference to an image of a channel's illumination, which lies in a file of the user's.

Jobs carry the reference, and each worker reads the file once (:mod:`nucbatch.readers.illumination`).
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any, Literal

Method = Literal["divide", "subtract"]


@dataclass(frozen=True, slots=True)
class IlluminationImage:
    """Illumination of a channel as an image of the same size as the fields.

    Attributes:
        path: absolute path of the file, ``.npy`` or TIFF.
        sha256: SHA-256 (hex) of the file.
        size_px: (width, height).
        method: whether pixels are divided by the image, or the image is subtracted from them.
    """

    path: str
    sha256: str
    size_px: tuple[int, int]
    method: Method = "divide"

    @classmethod
    def of(cls, values: list[Any]) -> IlluminationImage:
        """Builds it from its attributes as a list, as JSON gives them."""
        path, sha256, (wide, high), method = values
        return cls(str(path), str(sha256), (int(wide), int(high)), method)

    def values(self) -> list[Any]:
        """Returns the attributes for :meth:`of`."""
        return list(astuple(self))

    def digest(self) -> str:
        """Returns the method and 64 bits (hex) of the file, wherever it lies."""
        return f"{self.method}:{self.sha256[:16]}"
