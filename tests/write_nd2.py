"""Writes an ND2 file from the published structure of its format, for tests."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

import imagecodecs
import numpy as np
from container_pixels import CHANNELS, SHAPE, SIZE_UM, colours, plane


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
