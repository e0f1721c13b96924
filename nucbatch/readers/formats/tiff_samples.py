"""Interprets the samples of TIFF pages: one grey value, RGB, or several channels side by side.

A sample is alpha, and dropped, only if ExtraSamples marks it as such (1 or 2). Any other extra sample is a
channel, and then all samples are channels: C1, C2, ..., or Red, Green, Blue, C4, ... In a Zeiss LSM file each
sample is a channel. Colour spaces other than grey and RGB are rejected, except YCbCr: some codecs convert it,
and other 8-bit pixels are converted on reading.

Sources: TIFF 6.0 (PhotometricInterpretation, ExtraSamples, YCbCr).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nucbatch.core.errors import UnreadableImage

WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, YCBCR = 0, 1, 2, 3, 6
_PHOTOMETRIC = 262
_ALPHA = frozenset({1, 2})
_REFUSED = {4: "a transparency mask", 5: "CMYK", 8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*"}
_REFUSED |= {
    32803: "a camera's colour filter array",
    32844: "CIE Log L",
    32845: "CIE Log Luv",
    34892: "linear raw",
}

_JPEG = frozenset({6, 7, 33007, 34892})
_CONVERTING = _JPEG | {33003, 33005, 22610, 34927, 34934, 50001, 50002}
"""Codecs whose result is RGB: JPEG, Aperio's JPEG 2000 (converted after decoding), JPEG XR, WebP, JPEG XL."""
_REC_601 = (0.299, 0.587, 0.114)
_FULL_RANGE = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)


@dataclass(frozen=True, slots=True)
class Samples:
    """Used samples of a page.

    Attributes:
        used: indices of the used samples, from 0.
        names: channel names if each sample is a channel. Empty if the samples form one picture: grey for one
            sample, RGB for three.
    """

    used: tuple[int, ...]
    names: tuple[str, ...] = ()

    @property
    def in_picture(self) -> int:
        """Values per pixel of one plane: 3 for RGB, else 1."""
        return 1 if self.names else len(self.used)

    @property
    def planes(self) -> int:
        """Number of planes in one page, one per channel."""
        return len(self.names) or 1


def samples_of(page: Any) -> Samples:
    """Interprets the samples of a ``tifffile.TiffPage``.

    Raises:
        UnreadableImage: they are neither grey, RGB nor channels.
    """
    photometric, count = photometric_of(page), int(page.samplesperpixel)
    if page.parent.is_lsm:
        return Samples(
            tuple(range(count)), tuple(f"C{index + 1}" for index in range(count)) if count > 1 else ()
        )
    if photometric in (_RGB, YCBCR):
        if count < 3:
            raise UnreadableImage(f"{count} samples per pixel where colours have 3: save it as grey or RGB")
        found = _with_extras(page, ("Red", "Green", "Blue"), count)
        if photometric == YCBCR:
            _require_convertible(page)
            if found.names:
                raise UnreadableImage("YCbCr colours with further channels: save it with one channel a page")
        return found
    if photometric in (WHITE_IS_ZERO, _BLACK_IS_ZERO):
        if photometric == WHITE_IS_ZERO and (page.dtype is None or page.dtype.kind not in "ub"):
            raise UnreadableImage(
                f"white-is-zero pixels of type {page.dtype} have no defined black level: save it with "
                "black as zero"
            )
        return _with_extras(page, ("C1",), count)
    if photometric == _PALETTE:
        if count > 1:
            raise UnreadableImage(f"a palette with {count} samples per pixel: convert it to grey or RGB")
        if not _is_grey_ramp(page.colormap):
            raise UnreadableImage("false colours from a palette: convert it to grey or RGB")
        return Samples((0,))
    what = _REFUSED.get(photometric, f"photometric {photometric}")
    raise UnreadableImage(f"its colours are {what} ({count} samples per pixel): convert it to grey or RGB")


def photometric_of(page: Any) -> int:
    """Returns the PhotometricInterpretation; if absent, as libtiff: RGB for three samples, else grey."""
    if _PHOTOMETRIC in page.tags:
        return int(page.photometric)
    return _RGB if int(page.samplesperpixel) - len(page.extrasamples) == 3 else _BLACK_IS_ZERO


def _with_extras(page: Any, colours: tuple[str, ...], count: int) -> Samples:
    extras = count - len(colours)
    codes = [int(code) for code in page.extrasamples][-extras:] if extras else []
    codes = [0] * (extras - len(codes)) + codes
    channels = [len(colours) + index for index, code in enumerate(codes) if code not in _ALPHA]
    used = (*range(len(colours)), *channels)
    if not channels:
        return Samples(used)
    return Samples(used, (*colours, *(f"C{index + 1}" for index in channels)))


def _is_grey_ramp(colormap: Any) -> bool:
    """Returns whether a palette (3, N) maps higher values to brighter colours, as intensities do."""
    if colormap is None:
        return False
    brightness = np.asarray(colormap, dtype=np.int64).sum(axis=0)
    return bool((np.diff(brightness) >= 0).all())


def converts(page: Any) -> bool:
    """Returns whether a YCbCr page's decoder returns RGB."""
    return int(page.compression) in _CONVERTING


def _require_convertible(page: Any) -> None:
    """Rejects YCbCr that neither a decoder nor :func:`_rgb_of_ycbcr` converts."""
    if converts(page):
        return
    tags = page.tags
    weights = tags.valueof("YCbCrCoefficients", default=None)
    levels = tags.valueof("ReferenceBlackWhite", default=None)
    plain = (
        page.dtype == np.uint8
        and not page.is_subsampled
        and tuple(tags.valueof("YCbCrSubSampling", default=(2, 2))) == (1, 1)
        and (weights is None or _near(_ratios(weights), _REC_601))
        and (levels is None or _near(_ratios(levels), _FULL_RANGE))
    )
    if not plain:
        raise UnreadableImage("its colours are YCbCr of a kind that is not read: convert it to RGB")


def _ratios(values: Any) -> list[float]:
    """Converts alternating numerators and denominators to numbers."""
    flat = np.asarray(values, np.float64).ravel()
    return [float(a / b) if b else np.inf for a, b in zip(flat[::2], flat[1::2], strict=True)]


def _near(values: list[float], wanted: tuple[float, ...]) -> bool:
    return len(values) == len(wanted) and bool(np.allclose(values, wanted, atol=0.01))
