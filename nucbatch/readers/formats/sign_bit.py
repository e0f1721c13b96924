"""Removes the sign bit from the values of older ScanR TIFFs.

Their camera driver (Software tag ``National Instruments IMAQ``) stores 12-bit intensities with the highest of
16 bits set: 0x8000 to 0x8FFF. Newer ScanR files hold plain 16-bit values, so each file is decided on its own:

- In a file with the tag whose first value lies in 0x8000 to 0x8FFF, all values must, and the bit is removed.
  Only 0 is allowed beside them: bytes that were never copied.
- In a file with the tag whose first value lies below 0x8000, no value has the bit, and values stay as they
  are.
- Everything else is rejected. Removing bits from plain 16-bit values would turn bright pixels dark.

The first value decides because every value of such a file has the bit, so any part of an image is read alike.

Source: Bio-Formats, ScanrReader (the tag and the mask 0x0FFF).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import UnreadableImage

_SOFTWARE = "National Instruments IMAQ"
_SIGN, _INTENSITY = 0x8000, 0x0FFF


def may_have_sign_bit(page: Any) -> bool:
    """Returns whether a file's first ``tifffile.TiffPage`` has the tag and 16-bit values."""
    software = str(page.tags.valueof("Software", "") or "")
    return software.strip().startswith(_SOFTWARE) and page.dtype in (np.uint16, np.int16)


def without_sign_bit(pixels: NDArray[Any], first: int) -> NDArray[Any]:
    """Returns the intensities of a file that may have the sign bit, in its pixel type.

    Args:
        pixels: stored 16-bit values.
        first: first value of the file's plane, as stored.

    Raises:
        UnreadableImage: values with the bit are not 0x8000 to 0x8FFF.
    """
    first &= 0xFFFF
    if not first & _SIGN:
        return pixels
    stored = pixels.view(np.uint16)
    beyond = stored[((stored & ~np.uint16(_INTENSITY)) != _SIGN) & (stored != 0)]
    wrong = first if first & ~_INTENSITY != _SIGN else int(beyond.flat[0]) if beyond.size else None
    if wrong is not None:
        raise UnreadableImage(
            f"its Software tag ({_SOFTWARE}) is that of older ScanR files, whose values are 32,768 to 36,863 "
            f"(a sign bit and 12 bits of intensity), but it holds {wrong:,}: save it again as plain 16 bits "
            "without this tag"
        )
    return (stored & np.uint16(_INTENSITY)).view(pixels.dtype)
