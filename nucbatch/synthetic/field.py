"""Draws a synthetic field: nuclei with chromatin, blur, haze, debris, uneven illumination and camera noise.

Intensities are in electrons until the camera converts them to counts. The first channel shows nuclei, the
others the cells' bodies. The truth is the outline of nuclei before the optics, as an annotator would draw it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nucbatch.core.errors import InputError
from nucbatch.synthetic.shapes import LARGEST_PX, Nucleus, paint_labels, place_nuclei

_SMALLEST_FIELD_PX = 2 * int(LARGEST_PX)
_DEPTH_BLURS_PX = (1.0, 1.6, 2.5)  # Gaussian sigma of nuclei in, near and off the focal plane
_DEPTH_SHARES = (0.62, 0.28, 0.10)
_OFFSET_COUNTS, _COUNTS_PER_ELECTRON, _READ_NOISE_ELECTRONS = 210.0, 1.7, 2.2

Picture = NDArray[np.float32]


def make_field(
    size_px: int, rng: np.random.Generator, *, nuclei: int, channels: int = 2
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """A square field with about ``nuclei`` nuclei; see :func:`draw_field`."""
    return draw_field(size_px, size_px, rng, nuclei=nuclei, channels=channels)


def draw_field(
    height_px: int,
    width_px: int,
    rng: np.random.Generator,
    *,
    nuclei: int,
    channels: int = 2,
    touching: float = 0.4,
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Images and truth of one field at "20x": nuclei of 18 to 34 px, some of them touching.

    Args:
        height_px: height of the field.
        width_px: width of the field.
        rng: random generator; the field follows from its state.
        nuclei: largest number of nuclei; a full field gets fewer, and 0 gives background, shading and noise
            alone.
        channels: number of channels.
        touching: share of nuclei that are placed against another one.

    Returns:
        images (C, Y, X) uint16; labels (Y, X) uint16, 1..N in raster order of their first pixel.

    Raises:
        InputError: a side is below 68 px, a count is negative, or there is no channel.
    """
    if min(height_px, width_px) < _SMALLEST_FIELD_PX or nuclei < 0 or channels < 1:
        raise InputError(
            f"a synthetic field of {height_px} x {width_px} px with {nuclei} nuclei and {channels} channels: "
            f"sides must be at least {_SMALLEST_FIELD_PX} px, nuclei 0 or more, channels 1 or more."
        )
    placed = place_nuclei(height_px, width_px, nuclei, rng, touching=touching)
    labels, radius, order = paint_labels(height_px, width_px, placed)
    seen = [placed[index] for index in order]
    levels = rng.lognormal(np.log(620.0), 0.33, len(seen)) * np.where(rng.random(len(seen)) < 0.22, 1.7, 1.0)
    electrons = [_nuclear_channel(labels, radius, seen, levels, rng)]
    electrons += [_body_channel(labels, levels, rng) for _ in range(1, channels)]
    dust = _debris(height_px, width_px, rng) if nuclei else np.zeros((height_px, width_px), np.float32)
    shade = _shading(height_px, width_px)
    images = [
        _camera((signal + dust * share) * shade, rng)
        for signal, share in zip(electrons, [1.0] + [0.35] * (channels - 1), strict=True)
    ]
    return np.stack(images), labels


def _nuclear_channel(
    labels: NDArray[np.uint16],
    radius: Picture,
    nuclei: list[Nucleus],
    levels: NDArray[np.float64],
    rng: np.random.Generator,
) -> Picture:
    """Electrons (Y, X) of the nuclear stain."""
    height_px, width_px = labels.shape
    background = 70.0 + 9.0 * _cloud(height_px, width_px, 60.0, rng)
    if not nuclei:
        return np.asarray(background, np.float32)
    chromatin = (
        1.0 + 0.16 * _cloud(height_px, width_px, 1.5, rng) + 0.15 * _cloud(height_px, width_px, 3.6, rng)
    )
    # A nucleus is a flattened lens: a bright plateau and a darker rim.
    lens = np.sqrt(np.clip(1.0 - np.where(labels > 0, radius, 1.0) ** 4, 0.0, 1.0)) * 0.75 + 0.25
    sharp = np.append(0.0, levels)[labels] * lens * np.clip(chromatin, 0.25, None)
    sharp *= _spots(labels, radius, nuclei, rng)
    depths = np.append(0, rng.choice(len(_DEPTH_BLURS_PX), len(nuclei), p=_DEPTH_SHARES))[labels]
    picture = np.asarray(background, np.float32)
    for depth, sigma_px in enumerate(_DEPTH_BLURS_PX):
        picture += _blur(np.where((labels > 0) & (depths == depth), sharp, 0.0), sigma_px)
    # Light from above and below the focal plane: a wide halo around each nucleus, and floating cells.
    picture += 0.16 * _blur_wide(np.asarray(sharp, np.float32), 11.0)
    return picture + _afloat(height_px, width_px, len(nuclei), rng)


def _body_channel(
    labels: NDArray[np.uint16], levels: NDArray[np.float64], rng: np.random.Generator
) -> Picture:
    """Electrons (Y, X) of a stain of the cells' bodies: strong around nuclei, weaker inside them."""
    height_px, width_px = labels.shape
    background = 55.0 + 6.0 * _cloud(height_px, width_px, 60.0, rng)
    if not len(levels):
        return np.asarray(background, np.float32)
    strength = np.append(0.0, 260.0 * rng.lognormal(0.0, 0.4, len(levels)))
    spread = _blur_wide(np.asarray(strength[labels], np.float32), 9.0)
    fibres = 1.0 + 0.17 * _cloud(height_px, width_px, 2.0, rng) + 0.22 * _cloud(height_px, width_px, 4.0, rng)
    nucleus = _blur(np.asarray(labels > 0, np.float32), 1.8)
    return np.asarray(
        background + 2.2 * spread * np.clip(fibres, 0.2, None) * (1.0 - 0.6 * nucleus), np.float32
    )


def _spots(
    labels: NDArray[np.uint16], radius: Picture, nuclei: list[Nucleus], rng: np.random.Generator
) -> Picture:
    """Factors (Y, X) of dark nucleoli and bright chromocentres inside nuclei."""
    height_px, width_px = labels.shape
    factors = np.ones((height_px, width_px), np.float32)
    for nucleus in nuclei:
        for _ in range(int(rng.integers(1, 6))):
            dark = rng.random() < 0.55
            size_px = rng.uniform(1.6, 3.0) if dark else rng.uniform(0.9, 1.6)
            reach, angle = nucleus.radius_px * 0.72 * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
            y, x = nucleus.y + reach * np.sin(angle), nucleus.x + reach * np.cos(angle)
            strength = -rng.uniform(0.25, 0.5) if dark else rng.uniform(0.2, 0.6)
            _add_spot(factors, y, x, size_px, strength)
    return factors


def _afloat(height_px: int, width_px: int, count: int, rng: np.random.Generator) -> Picture:
    """Electrons (Y, X) of cells far out of focus: wide, faint, and not part of the truth."""
    picture = np.zeros((height_px, width_px), np.float32)
    for _ in range(int(rng.poisson(0.025 * count + 0.8))):
        y, x = rng.uniform(0, height_px), rng.uniform(0, width_px)
        _add_spot(picture, y, x, rng.uniform(13.0, 24.0), rng.uniform(20.0, 60.0))
    return picture


def _debris(height_px: int, width_px: int, rng: np.random.Generator) -> Picture:
    """Electrons (Y, X) of bright specks smaller than any nucleus, single or in clumps."""
    picture = np.zeros((height_px, width_px), np.float32)
    for _ in range(int(rng.poisson(5.0 * height_px * width_px / 512**2))):
        y, x = rng.uniform(0, height_px), rng.uniform(0, width_px)
        for _piece in range(int(rng.integers(1, 4))):
            size_px, strength = rng.uniform(0.8, 2.9), rng.lognormal(6.6, 0.6)
            _add_spot(picture, y + rng.normal(0, 2.0), x + rng.normal(0, 2.0), size_px, strength)
    return picture


def _add_spot(picture: Picture, y: float, x: float, sigma_px: float, strength: float) -> None:
    """Adds a Gaussian spot in place, cut off at three sigma."""
    height_px, width_px = picture.shape
    reach = int(3 * sigma_px) + 1
    top, bottom = max(0, int(y) - reach), min(height_px, int(y) + reach + 1)
    left, right = max(0, int(x) - reach), min(width_px, int(x) + reach + 1)
    if top >= bottom or left >= right:
        return
    rows = np.exp(-0.5 * ((np.arange(top, bottom) - y) / sigma_px) ** 2)
    columns = np.exp(-0.5 * ((np.arange(left, right) - x) / sigma_px) ** 2)
    picture[top:bottom, left:right] += np.asarray(strength * np.outer(rows, columns), np.float32)


def _shading(height_px: int, width_px: int) -> Picture:
    """Factors (Y, X) of uneven illumination, the same in each field as on a real microscope."""
    y = np.linspace(-1.0, 1.0, height_px, dtype=np.float32)[:, None] + 0.14
    x = np.linspace(-1.0, 1.0, width_px, dtype=np.float32)[None, :] - 0.1
    return np.asarray(1.0 / (1.0 + 0.24 * (y * y + x * x)), np.float32)


def _camera(electrons: Picture, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Counts (Y, X) uint16 with shot noise, read noise and offset."""
    caught = rng.poisson(np.clip(electrons, 0.0, None)).astype(np.float32)
    caught += _READ_NOISE_ELECTRONS * rng.standard_normal(electrons.shape, dtype=np.float32)
    counts = np.rint(_OFFSET_COUNTS + _COUNTS_PER_ELECTRON * caught)
    return np.asarray(np.clip(counts, 0, 65535), np.uint16)


def _cloud(height_px: int, width_px: int, scale_px: float, rng: np.random.Generator) -> Picture:
    """Smooth random texture (Y, X) with mean 0 and standard deviation 1.

    Coarse texture is made small and enlarged.
    """
    shrink = max(1, int(scale_px // 2))
    shape = (-(-height_px // shrink) + 1, -(-width_px // shrink) + 1)
    texture = _blur(rng.standard_normal(shape, dtype=np.float32), scale_px / shrink)
    texture = _enlarged(texture, shrink, height_px, width_px)
    return np.asarray((texture - texture.mean()) / max(float(texture.std()), 1e-6), np.float32)


def _blur(picture: NDArray[np.float32], sigma_px: float) -> Picture:
    return np.asarray(
        ndimage.gaussian_filter(np.asarray(picture, np.float32), sigma_px, mode="nearest", truncate=3.0),
        np.float32,
    )


def _blur_wide(picture: Picture, sigma_px: float) -> Picture:
    """A wide Gaussian blur computed on an image four times smaller; visually the same and much faster."""
    height_px, width_px = picture.shape
    padded = np.pad(picture, ((0, -height_px % 4), (0, -width_px % 4)), mode="edge")
    small = padded.reshape(padded.shape[0] // 4, 4, padded.shape[1] // 4, 4).mean(axis=(1, 3))
    small = np.pad(_blur(small, sigma_px / 4), ((0, 1), (0, 1)), mode="edge")
    return _enlarged(small, 4, height_px, width_px)


def _enlarged(picture: Picture, factor: int, height_px: int, width_px: int) -> Picture:
    """Linear enlargement to (``height_px``, ``width_px``); the input extends one sample beyond."""
    if factor == 1:
        return picture[:height_px, :width_px]
    rows, row_share = np.divmod(np.arange(height_px), factor)
    columns, column_share = np.divmod(np.arange(width_px), factor)
    down = np.asarray(row_share / factor, np.float32)[:, None]
    right = np.asarray(column_share / factor, np.float32)[None, :]
    tall = picture[rows] * (1 - down) + picture[np.minimum(rows + 1, picture.shape[0] - 1)] * down
    after = np.minimum(columns + 1, picture.shape[1] - 1)
    return np.asarray(tall[:, columns] * (1 - right) + tall[:, after] * right, np.float32)
