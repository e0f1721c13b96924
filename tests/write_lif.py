"""Writes a LIF file from the published structure of its format, for tests."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from container_pixels import SHAPE, SIZE_UM, colours, plane


def write_lif(
    path: Path,
    *,
    names: Sequence[str] = ("Series001",),
    times: int = 1,
    depth: int = 1,
    colors: Sequence[str] = ("Blue", "Green"),
    tiles: int = 1,
    empty: Sequence[int] = (),
    shape: tuple[int, int] = SHAPE,
    coloured: str = "",
    row_pad: int = 0,
    stage_m: Sequence[tuple[float, float]] = (),
    turned: Sequence[str] = (),
) -> None:
    """Writes a LIF file of LAS X.

    Args:
        path: the file.
        names: paths of the images, folders separated by ``/``.
        times: number of time points.
        depth: number of z-steps.
        colors: colour of each channel.
        tiles: number of tiles of a mosaic.
        empty: numbers of images that were never acquired.
        shape: height and width.
        coloured: ``"RGB"`` or ``"BGR"`` for pixels in colour, in this order; ``colors`` has no meaning then.
        row_pad: pixels by which a row in colour is longer in the file.
        stage_m: (x, y) of each tile.
        turned: those of ``FlipX``, ``FlipY`` and ``SwapXY`` that are set.
    """
    height, width = shape
    samples = 3 if coloured else 1
    colors = [""] if coloured else colors
    blocks = []
    elements = ""
    for number, name in enumerate(names):
        row = 2 * (width + row_pad) * samples
        steps, described = height * row, ""
        for dimension, count, at in ((1, width, 2 * samples), (2, height, row)):
            described += _dimension(dimension, count, at, (count - 1) * SIZE_UM * 1e-6)
        channel = "".join(
            f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="12" NameOfMeasuredQuantity="" '
            f'Min="0" Max="1" Unit="" LUTName="{color}" IsLUTInverted="0" BytesInc="{c * steps}" BitInc="0"/>'
            for c, color in enumerate(colors)
        )
        if coloured:
            channel = "".join(
                f'<ChannelDescription DataType="0" ChannelTag="{"RGB".index(letter) + 1}" Resolution="16" '
                f'NameOfMeasuredQuantity="" Min="0" Max="1" Unit="" LUTName="" IsLUTInverted="0" '
                f'BytesInc="{2 * place}" BitInc="0"/>'
                for place, letter in enumerate(coloured)
            )
        steps *= len(colors)
        for dimension, count in ((3, depth), (4, times), (10, tiles)):
            if count > 1:
                described += _dimension(dimension, count, steps, 1.0)
                steps *= count
        size = 0 if number in empty else steps
        flags = " ".join(f'{flag}="{int(flag in turned)}"' for flag in ("FlipX", "FlipY", "SwapXY"))
        places = "".join(f'<Tile FieldX="0" FieldY="0" PosX="{x!r}" PosY="{y!r}"/>' for x, y in stage_m)
        scan = f'<Attachment Name="TileScanInfo" {flags}>{places}</Attachment>'
        positions = scan if tiles > 1 or stage_m else ""
        image = (
            f"<Data><Image><ImageDescription><Channels>{channel}</Channels><Dimensions>{described}"
            f"</Dimensions></ImageDescription>{positions}</Image></Data>"
            f'<Memory Size="{size}" MemoryBlockID="MemBlock_{number}"/>'
        )
        *folders, last = name.split("/")
        element = f"<Element Name={quoteattr(last)}>{image}</Element>"
        for folder in reversed(folders):
            inside = f"<Data><Collection/></Data><Children>{element}</Children>"
            element = f"<Element Name={quoteattr(folder)}>{inside}</Element>"
        elements += element
        pixels = (
            b""
            if number in empty
            else b"".join(
                _lif_plane(coloured, row_pad, number * tiles + m, t, c, z, shape)
                for m in range(tiles)
                for t in range(times)
                for z in range(depth)
                for c in range(len(colors))
            )
        )
        blocks.append((f"MemBlock_{number}", pixels))
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="file"><Children>'
        f"{elements}</Children></Element></LMSDataContainerHeader>"
    )
    with path.open("wb") as file:
        file.write(struct.pack("<IIBI", 0x70, 2 * len(xml) + 5, 0x2A, len(xml)) + xml.encode("utf-16-le"))
        for name, pixels in blocks:
            file.write(struct.pack("<IIBQBI", 0x70, 0, 0x2A, len(pixels), 0x2A, len(name)))
            file.write(name.encode("utf-16-le") + pixels)


def _lif_plane(coloured: str, row_pad: int, *place: Any) -> bytes:
    if not coloured:
        return plane(*place).tobytes()
    pixels = colours(*place)[..., ["RGB".index(letter) for letter in coloured]]
    return np.pad(pixels, ((0, 0), (0, row_pad), (0, 0))).tobytes()


def _dimension(dimension: int, count: int, at: int, length: float) -> str:
    return (
        f'<DimensionDescription DimID="{dimension}" NumberOfElements="{count}" Origin="0" '
        f'Length="{length!r}" Unit="m" BitInc="0" BytesInc="{at}"/>'
    )
