"""Writes small ND2, LIF and CZI files from the published structure of each format, for tests.

Pixels are noise by (series, time point, channel, z-step), from :func:`plane`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import imagecodecs
import numpy as np
from numpy.typing import NDArray

SHAPE = (48, 64)
CHANNELS = ("DAPI", "GFP")
SIZE_UM = 0.65


def plane(
    series: int = 0, t: int = 0, c: int = 0, z: int = 0, shape: tuple[int, int] = SHAPE
) -> NDArray[np.uint16]:
    """Returns the pixels of a plane: noise, so that no plane can be taken for another."""
    seed = ((series * 50 + t) * 50 + c) * 50 + z
    return np.random.default_rng(seed).integers(1, 4000, shape).astype(np.uint16)


def colours(
    series: int = 0, t: int = 0, c: int = 0, z: int = 0, shape: tuple[int, int] = SHAPE
) -> NDArray[np.uint16]:
    """Returns the pixels (Y, X, 3) of a plane in colour: Red, Green, Blue."""
    return np.stack([plane(series, t, 10 + 3 * c + sample, z, shape) for sample in range(3)], axis=-1)


def field(series: int, t: int, depth: int, channels: int = 2) -> NDArray[np.uint16]:
    """Returns (C, Y, X) of a field as it is read: z-steps projected by maximum."""
    return np.stack([np.max([plane(series, t, c, z) for z in range(depth)], axis=0) for c in range(channels)])


def write_nd2(
    path: Path,
    *,
    points: Sequence[str] = (),
    times: int = 1,
    depth: int = 1,
    channels: Sequence[str] = CHANNELS,
    lossless: bool = False,
    without: Sequence[int] = (),
    shape: tuple[int, int] = SHAPE,
    coloured: bool = False,
    stage_um: Sequence[tuple[float, float]] = (),
    matrix: Sequence[float] = (),
    device: Sequence[int] = (),
) -> None:
    """Writes an ND2 file of NIS-Elements.

    Args:
        path: the file.
        points: names of the positions; none for a file without a loop over positions.
        times: number of time points.
        depth: number of z-steps.
        channels: names of the channels.
        lossless: compress the frames.
        without: numbers of frames to leave out, in the order (t, position, z).
        shape: height and width.
        coloured: each channel has Red, Green and Blue.
        stage_um: (x, y) of each position; 100 µm apart in x if not given.
        matrix: the camera's matrix, row by row; none in files of old microscopes.
        device: directions in which the stage counts along x and y, 1 or -1.
    """
    height, width = shape
    components = len(channels) * (3 if coloured else 1)
    loops = [_time_loop(times)] if times > 1 else []
    loops += [_point_loop(points, stage_um)] if points else []
    loops += [_z_loop(depth)] if depth > 1 else []
    experiment = ""
    for kind, parameters in reversed(loops):
        following = (
            f"<ppNextLevelEx><i0000000000>{experiment}</i0000000000></ppNextLevelEx>" if experiment else ""
        )
        experiment = (
            f'<eType runtype="lx_uint32" value="{kind}"/><uLoopPars>{parameters}</uLoopPars>{following}'
        )
    frames = [(t, p, z) for t in range(times) for p in range(max(1, len(points))) for z in range(depth)]
    chunks: list[tuple[bytes, bytes]] = [
        (
            b"ImageAttributesLV!",
            _variant(
                _number("uiBpcInMemory", 16),
                _number("uiBpcSignificant", 12),
                _number("uiComp", components),
                _number("uiHeight", height),
                _number("uiWidth", width),
                _number("uiWidthBytes", width * 2 * components),
                _number("uiSequenceCount", len(frames)),
                _number("eCompression", 0 if lossless else 2),
            ),
        ),
        (b"ImageMetadataSeqLV|0!", _picture(channels, coloured, matrix, device)),
    ]
    if experiment:
        chunks.append((b"ImageMetadataLV!", _variant(experiment)))
    for number, (t, p, z) in enumerate(frames):
        if number in without:
            continue
        planes = [(colours if coloured else plane)(p, t, c, z, shape) for c in range(len(channels))]
        pixels = (np.concatenate(planes, axis=-1) if coloured else np.stack(planes, axis=-1)).tobytes()
        data = imagecodecs.zlib_encode(pixels) if lossless else pixels
        chunks.append((b"ImageDataSeq|%d!" % number, bytes(8) + data))
    with path.open("wb") as file:
        file.write(_nd2_chunk(b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0".ljust(64, b"\0"), 32))
        file.write(bytes(4096 - file.tell()))
        listed = b""
        for name, data in chunks:
            listed += name + struct.pack("<QQ", file.tell(), len(data))
            reserved = 4072 if name.startswith(b"ImageDataSeq") else len(name)
            file.write(_nd2_chunk(name, data, reserved))
        at = file.tell()
        end = b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", at)
        file.write(_nd2_chunk(b"ND2 FILEMAP SIGNATURE NAME 0001!", listed + end, 32))


def _nd2_chunk(name: bytes, data: bytes, reserved: int) -> bytes:
    return struct.pack("<IIQ", 0x0ABECEDA, reserved, len(data)) + name.ljust(reserved, b"\0") + data


def _variant(*parts: str) -> bytes:
    return f"<variant>{''.join(parts)}</variant>".encode()


def _number(name: str, value: float, runtype: str = "lx_uint32") -> str:
    return f'<{name} runtype="{runtype}" value="{value}"/>'


def _text(name: str, value: str) -> str:
    return f'<{name} runtype="CLxStringW" value={quoteattr(value)}/>'


def _time_loop(count: int) -> tuple[int, str]:
    return 1, _number("uiCount", count) + "".join(
        _number(name, 1.0, "double") for name in ("dStart", "dPeriod", "dDuration")
    )


def _point_loop(names: Sequence[str], stage_um: Sequence[tuple[float, float]]) -> tuple[int, str]:
    places = stage_um or [(100.0 * i, 0.0) for i in range(len(names))]
    points = "".join(
        f"<Point{i}>{_number('dPosX', x, 'double')}{_number('dPosY', y, 'double')}"
        f"{_text('dPosName', name)}</Point{i}>"
        for i, (name, (x, y)) in enumerate(zip(names, places, strict=True))
    )
    return 2, f"<Points>{points}</Points>"


def _z_loop(count: int) -> tuple[int, str]:
    return 4, _number("uiCount", count) + _number("dZStep", 1.0, "double")


def _picture(
    channels: Sequence[str], coloured: bool, matrix: Sequence[float], device: Sequence[int]
) -> bytes:
    spectrum = _number("dTValue", 1.0, "double") + _number("dWavelength", 385.0, "double")
    probe = "".join(
        f"<{name}><pPoint><Point0>{spectrum}</Point0></pPoint></{name}>"
        for name in ("m_ExcitationSpectrum", "m_EmissionSpectrum")
    )
    planes = "".join(
        f"<a{i}>{_text('sDescription', name)}{_number('uiCompCount', 3 if coloured else 1)}"
        f"{_number('uiColor', 0xFF0000)}"
        f"<pFluorescentProbe>{probe}</pFluorescentProbe></a{i}>"
        for i, name in enumerate(channels)
    )
    cells = zip(("11", "12", "21", "22"), matrix, strict=False)
    turned = "".join(_number(f"dStgLgCT{cell}", value, "double") for cell, value in cells)
    directions = zip("XY", device, strict=False)
    stage = "".join(_number(f"m_i{axis}Orientation0", way, "lx_int32") for axis, way in directions)
    sample = (
        f"<sSampleSetting><a0><pDeviceSetting>{_number('m_iXYUse0', 1)}{stage}</pDeviceSetting></a0>"
        "</sSampleSetting>"
    )
    return _variant(
        _number("bCalibrated", 1, "bool"),
        _number("dCalibration", SIZE_UM, "double"),
        turned,
        f"<sPicturePlanes>{_number('uiCount', len(channels))}<sPlaneNew>{planes}</sPlaneNew>"
        f"{sample if device else ''}</sPicturePlanes>",
    )


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
