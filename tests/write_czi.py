"""Writes a CZI file from the published structure of its format, for tests."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import imagecodecs
import numpy as np
from container_pixels import CHANNELS, SHAPE, SIZE_UM, colours, plane
from numpy.typing import NDArray


def write_czi(
    path: Path,
    *,
    scenes: Sequence[str] = ("",),
    times: int = 1,
    depth: int = 1,
    channels: Sequence[str] = CHANNELS,
    codec: str = "zstd1",
    tiles: int = 1,
    without: Sequence[int] = (),
    promised_times: int = 0,
    wells: bool = False,
    shape: tuple[int, int] = SHAPE,
    xml: str = "",
    apart_px: int = 1000,
    coloured: str = "",
    pyramid: bool = False,
) -> None:
    """Writes a CZI file of ZEN, with its scenes side by side.

    Args:
        path: the file.
        scenes: names of the scenes; with ``wells`` those of their wells.
        times: number of time points.
        depth: number of z-steps.
        channels: names of the channels.
        codec: ``"raw"``, ``"zstd0"`` or ``"zstd1"`` (with bytes apart).
        tiles: parts of equal width that each plane is stored in.
        without: numbers of subblocks to leave out.
        promised_times: number of time points that the metadata promise; 0 for those that are there.
        wells: name the shape of each scene, as for the wells of a plate.
        shape: height and width.
        xml: metadata to write instead.
        apart_px: distance from scene to scene.
        coloured: ``"BGR"`` for 16 bits or ``"BGRA"`` for 8 bits a colour.
        pyramid: add each plane at half its size, with other pixels.
    """
    height, width = shape
    entries: list[bytes] = []
    with path.open("wb") as file:
        file.write(bytes(544))
        number = 0
        for s in range(len(scenes)):
            for t in range(times):
                for c in range(len(channels)):
                    for z in range(depth):
                        pixels = plane(s, t, c, z, shape)
                        if coloured:
                            pixels = colours(s, t, c, z, shape)[..., ::-1]
                        if coloured == "BGRA":
                            alpha = np.full((*shape, 1), 255, np.uint8)
                            pixels = np.concatenate([(pixels % 256).astype(np.uint8), alpha], axis=-1)
                        if pyramid:
                            place = {"X": (s * apart_px, width), "Y": (0, height), "C": (c, 1), "Z": (z, 1)}
                            place |= {"T": (t, 1), "S": (s, 1)}
                            entries.append(_subblock(file, place, pixels[::2, ::2] + 1, codec, step=2))
                        for m in range(tiles):
                            part = pixels[:, m * width // tiles : (m + 1) * width // tiles]
                            number += 1
                            if number - 1 in without:
                                continue
                            left = s * apart_px + m * width // tiles
                            place = {"X": (left, part.shape[1]), "Y": (0, height), "C": (c, 1), "Z": (z, 1)}
                            place |= {"T": (t, 1), "S": (s, 1), "M": (m, 1)}
                            entries.append(_subblock(file, place, part, codec))
        directory = file.tell()
        body = struct.pack("<i", len(entries)).ljust(128, b"\0") + b"".join(entries)
        file.write(_segment(b"ZISRAWDIRECTORY", body))
        at = file.tell()
        text = (xml or _czi_xml(scenes, promised_times or times, depth, channels, wells)).encode()
        file.write(_segment(b"ZISRAWMETADATA", struct.pack("<ii", len(text), 0).ljust(256, b"\0") + text))
        file.seek(0)
        header = struct.pack("<iiii16s16siqqiq", 1, 0, 0, 0, b"", b"", 0, directory, at, 0, 0)
        file.write(_segment(b"ZISRAWFILE", header.ljust(512, b"\0")))


def _segment(name: bytes, body: bytes) -> bytes:
    return name.ljust(16, b"\0") + struct.pack("<qq", len(body), len(body)) + body


def _subblock(
    file: Any, place: dict[str, tuple[int, int]], pixels: NDArray[Any], codec: str, step: int = 1
) -> bytes:
    """Writes a subblock at the end of the file and returns its entry for the directory.

    Args:
        file: the file.
        place: start and size along each dimension, at full resolution.
        pixels: of the subblock, in the file's order of colours.
        codec: see :func:`write_czi`.
        step: pixels of full resolution along a side of one of its own.
    """
    at = file.tell()
    raw = np.ascontiguousarray(pixels).tobytes()
    if codec == "zstd0":
        data = bytes(imagecodecs.zstd_encode(raw))
    elif codec == "zstd1":
        apart = np.frombuffer(raw, np.uint8).reshape(-1, pixels.itemsize).T.tobytes()
        data = b"\x03\x01\x01" + bytes(imagecodecs.zstd_encode(apart))
    else:
        data = raw
    coded = {"raw": 0, "zstd0": 5, "zstd1": 6}[codec]
    kind = {(2, 2): 1, (3, 2): 4, (3, 1): 9}[pixels.ndim, pixels.itemsize]
    entry = struct.pack("<2siqiiBB4si", b"DV", kind, at, 0, coded, 2 * (step > 1), 0, b"", len(place))
    for letter, (start, size) in place.items():
        stored = size // step if letter in "XY" else size
        entry += struct.pack("<4siifi", letter.encode(), start, size, 0.0, stored)
    body = struct.pack("<iiq", 0, 0, len(data)) + entry
    file.write(_segment(b"ZISRAWSUBBLOCK", body.ljust(max(256, 16 + len(entry)), b"\0") + data))
    return entry


def _czi_xml(scenes: Sequence[str], times: int, depth: int, channels: Sequence[str], wells: bool) -> str:
    listed = "".join(
        f'<Scene Index="{i}" Name="P{i + 1}"><Shape Name={quoteattr(name)}><RowIndex>1</RowIndex>'
        f"<ColumnIndex>1</ColumnIndex></Shape></Scene>"
        if wells
        else f'<Scene Index="{i}" Name={quoteattr(name)}/>'
        for i, name in enumerate(scenes)
    )
    named = "".join(f'<Channel Id="Channel:{i}" Name="{name}"/>' for i, name in enumerate(channels))
    distances = "".join(
        f'<Distance Id="{axis}"><Value>{SIZE_UM * 1e-6!r}</Value></Distance>' for axis in "XY"
    )
    return (
        f"<ImageDocument><Metadata><Information><Image><SizeS>{len(scenes)}</SizeS><SizeT>{times}</SizeT>"
        f"<SizeC>{len(channels)}</SizeC><SizeZ>{depth}</SizeZ><Dimensions><Channels>{named}</Channels>"
        f"<S><Scenes>{listed}</Scenes></S></Dimensions></Image></Information>"
        f"<Scaling><Items>{distances}</Items></Scaling></Metadata></ImageDocument>"
    )
