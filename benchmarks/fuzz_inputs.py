"""Small valid inputs of every kind that nucbatch reads, which the fuzzing benchmark damages.

Each has a folder of its own, with a file or folder that is opened. All are made here, so that their bytes are
the same everywhere; ``of_folder`` takes a user's own files.
"""

from __future__ import annotations

import io
import itertools
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import imagecodecs
import numcodecs
import numpy as np
import tifffile
import zarr
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, TransposeCodec, ZstdCodec

KINDS = ("tiff", "picture", "zarr 2", "zarr 3", "csv", "xml", "weights")
_RNG = np.random.default_rng(16)


@dataclass(frozen=True, slots=True)
class Sound:
    """An input: its ``folder``, the path in it that is ``opened``, and the ``files`` in it that are damaged.

    ``region``: the only part of a file that is damaged. ``holds_pixels``: whether a truncated file lacks
    pixels, so that it must not be accepted as complete.
    """

    name: str
    kind: str
    folder: Path
    opened: str
    files: tuple[str, ...]
    region: range | None = None
    holds_pixels: bool = True


def sound_inputs(folder: Path, kinds: tuple[str, ...] = KINDS) -> list[Sound]:
    """Makes all inputs of some kinds below a folder."""
    makers: dict[str, Callable[[Path], Iterator[Sound]]] = {
        "tiff": _tiffs,
        "picture": _pictures,
        "zarr 2": lambda place: _zarrs(place, 2),
        "zarr 3": lambda place: _zarrs(place, 3),
        "csv": _manifests,
        "xml": _xmls,
        "weights": _weights,
    }
    return [sound for kind in kinds for sound in makers[kind](folder / kind.replace(" ", ""))]


def of_folder(folder: Path, most: int) -> list[Sound]:
    """At most a number of TIFFs, PNGs and JPEGs below a user's folder, evenly chosen; copies are damaged."""
    kinds = {".tif": "tiff", ".tiff": "tiff", ".png": "picture", ".jpg": "picture", ".jpeg": "picture"}
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in kinds and path.is_file())
    chosen = found[:: max(1, len(found) // most)][:most]
    return [
        Sound(path.relative_to(folder).as_posix(), kinds[path.suffix.lower()], path, path.name, (path.name,))
        for path in chosen
    ]


def _spots(dtype: str, *shape: int) -> np.ndarray[Any, Any]:
    """Noise with bright discs, in the type's range."""
    height, width = shape[-2:]
    rows, columns = np.mgrid[:height, :width]
    ground = _RNG.poisson(20, shape).astype(np.float64)
    for y, x in itertools.product(range(12, height, 24), range(12, width, 24)):
        ground += 150.0 * ((rows - y) ** 2 + (columns - x) ** 2 < 36)
    return np.clip(ground, 0, 127 if dtype == "int8" else 255).astype(dtype)


def _file(place: Path, name: str, kind: str, file: str, data: bytes, **options: Any) -> Sound:
    folder = place / name.replace(" ", "_").replace(",", "")
    folder.mkdir(parents=True)
    (folder / file).write_bytes(data)
    return Sound(name, kind, folder, file, (file,), **options)


def _tiff(pixels: np.ndarray[Any, Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    byteorder = options.pop("byteorder", None)
    big, imagej, ome = options.pop("bigtiff", False), options.pop("imagej", False), options.pop("ome", None)
    with tifffile.TiffWriter(buffer, bigtiff=big, byteorder=byteorder, imagej=imagej, ome=ome) as writer:
        writer.write(pixels, **options)
    return buffer.getvalue()


def _tiffs(place: Path) -> Iterator[Sound]:
    grey = "minisblack"
    codecs = ("none", "deflate", "lzw", "zstd", "lzma", "packbits")
    for codec, dtype, tiled in itertools.product(codecs, ("uint8", "uint16", "float32"), (False, True)):
        options: dict[str, Any] = {"compression": codec, "photometric": grey, "metadata": None}
        if tiled:
            options["tile"] = (32, 32)
        if codec in ("deflate", "lzw", "zstd"):
            options["predictor"] = True
        name = f"{codec} {dtype} {'tiles' if tiled else 'strips'}"
        yield _file(place, name, "tiff", "a.tif", _tiff(_spots(dtype, 70, 90), **options))
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "jpeg": (_spots("uint8", 64, 64), {"compression": "jpeg", "tile": (32, 32), "photometric": grey}),
        "jpeg2000": (_spots("uint16", 64, 64), {"compression": "jpeg2000", "photometric": grey}),
        "big-endian": (_spots("uint16", 70, 90), {"byteorder": ">", "photometric": grey}),
        "BigTIFF": (_spots("uint16", 70, 90), {"bigtiff": True, "photometric": grey}),
        "several strips": (_spots("uint8", 70, 90), {"rowsperstrip": 7, "photometric": grey}),
        "int16": (_spots("int16", 70, 90), {"photometric": grey}),
        "uint32": (_spots("uint32", 70, 90), {"photometric": grey}),
        "float64": (_spots("float64", 70, 90), {"photometric": grey}),
        "white is zero": (_spots("uint8", 70, 90), {"photometric": "miniswhite"}),
        "RGB": (_spots("uint8", 3, 70, 90).transpose(1, 2, 0).copy(), {"photometric": "rgb"}),
        "RGB planar": (_spots("uint8", 3, 70, 90), {"photometric": "rgb", "planarconfig": "separate"}),
        "RGB JPEG": (
            _spots("uint8", 3, 64, 64).transpose(1, 2, 0).copy(),
            {"photometric": "ycbcr", "compression": "jpeg", "tile": (32, 32)},
        ),
        "RGBA": (
            _spots("uint8", 4, 70, 90).transpose(1, 2, 0).copy(),
            {"photometric": "rgb", "extrasamples": ["unassalpha"]},
        ),
        "ImageJ z": (_spots("uint16", 5, 40, 50), {"imagej": True, "metadata": {"axes": "ZYX"}}),
        "ImageJ channels": (_spots("uint8", 2, 3, 40, 50), {"imagej": True, "metadata": {"axes": "ZCYX"}}),
        "ImageJ time": (_spots("uint16", 4, 40, 50), {"imagej": True, "metadata": {"axes": "TYX"}}),
        "OME z": (
            _spots("uint16", 4, 40, 50),
            {"ome": True, "metadata": {"axes": "ZYX"}, "photometric": grey},
        ),
        "OME channels": (
            _spots("uint16", 2, 3, 40, 50),
            {
                "ome": True,
                "metadata": {"axes": "CZYX", "Channel": {"Name": ["DAPI", "GFP"]}},
                "photometric": grey,
            },
        ),
        "OME deflate": (
            _spots("uint8", 3, 40, 50),
            {"ome": True, "metadata": {"axes": "CYX"}, "compression": "deflate", "photometric": grey},
        ),
        "shaped": (_spots("uint16", 2, 3, 40, 50), {"metadata": {"axes": "CZYX"}, "photometric": grey}),
    }
    for name, (pixels, options) in kinds.items():
        yield _file(place, name, "tiff", "a.tif", _tiff(pixels, **options))
    yield _file(place, "pyramid", "tiff", "a.svs", _pyramid())


def _pyramid() -> bytes:
    buffer, pixels = io.BytesIO(), _spots("uint8", 3, 128, 128).transpose(1, 2, 0).copy()
    with tifffile.TiffWriter(buffer) as writer:
        options: dict[str, Any] = {
            "tile": (32, 32),
            "photometric": "rgb",
            "metadata": None,
            "compression": "deflate",
        }
        writer.write(pixels, description="Aperio |MPP = 0.5", **options)
        writer.write(pixels[::2, ::2], subfiletype=1, **options)
    return buffer.getvalue()


def _pictures(place: Path) -> Iterator[Sound]:
    grey, rgb = _spots("uint8", 70, 90), _spots("uint8", 3, 70, 90).transpose(1, 2, 0).copy()
    for level in (0, 6, 9):
        for name, pixels in (("8 bit", grey), ("16 bit", _spots("uint16", 70, 90)), ("RGB", rgb)):
            data = imagecodecs.png_encode(pixels, level)
            yield _file(place, f"PNG {name} {level}", "picture", "a.png", data)
    alpha = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    yield _file(place, "PNG RGBA", "picture", "a.png", imagecodecs.png_encode(alpha))
    for level in (50, 90, 100):
        for name, pixels in (("grey", grey), ("RGB", rgb)):
            data = imagecodecs.jpeg8_encode(pixels, level)
            yield _file(place, f"JPEG {name} {level}", "picture", "a.jpg", data)
    yield _file(place, "JPEG optimised", "picture", "a.jpg", imagecodecs.jpeg8_encode(rgb, 90, optimize=True))


def _zarrs(place: Path, version: int) -> Iterator[Sound]:
    blosc = numcodecs.Blosc
    kinds: dict[str, dict[str, Any]] = {
        "raw": {"compressors": None if version == 2 else []},
        "blosc": {"compressors": blosc() if version == 2 else BloscCodec()},
        "blosc zstd": {"compressors": blosc("zstd") if version == 2 else BloscCodec(cname="zstd")},
        "zstd": {"compressors": numcodecs.Zstd() if version == 2 else ZstdCodec()},
        "gzip": {"compressors": numcodecs.GZip() if version == 2 else GzipCodec()},
    }
    if version == 2:
        kinds |= {
            "zlib": {"compressors": numcodecs.Zlib()},
            "lz4": {"compressors": numcodecs.LZ4()},
            "bz2": {"compressors": numcodecs.BZ2()},
            "lzma": {"compressors": numcodecs.LZMA()},
            "blosc zlib": {"compressors": blosc("zlib", shuffle=2)},
            "delta": {"filters": [numcodecs.Delta("<u2")], "compressors": numcodecs.Zstd()},
            "fortran": {"order": "F", "compressors": blosc()},
        }
    else:
        kinds |= {
            "crc32c": {"compressors": [ZstdCodec(), Crc32cCodec()]},
            "big-endian": {"serializer": BytesCodec(endian="big"), "compressors": GzipCodec()},
            "transpose": {"filters": [TransposeCodec(order=(0, 2, 1))], "compressors": ZstdCodec()},
            "shards": {"shards": (1, 64, 96)},
            "shards blosc": {"shards": (2, 64, 96), "compressors": BloscCodec()},
            "dots": {"chunk_key_encoding": {"name": "default", "separator": "."}},
        }
    for name, options in kinds.items():
        folder = place / name.replace(" ", "_")
        _image(folder / "a.zarr", _spots("uint16", 2, 70, 90), version, options)
        yield _stored(f"v{version} {name}", f"zarr {version}", folder, "a.zarr")
    folder = place / "plate"
    wells = ("A/1", "B/12")
    _group(folder / "p.zarr", version, {"plate": {"name": "P", "wells": [{"path": well} for well in wells]}})
    for well in wells:
        _group(folder / "p.zarr" / well, version, {"well": {"images": [{"path": "0"}, {"path": "1"}]}})
        for image in "01":
            _image(folder / "p.zarr" / well / image, _spots("uint16", 2, 40, 50), version, {})
    yield _stored(f"v{version} plate", f"zarr {version}", folder, "p.zarr")


def _stored(name: str, kind: str, folder: Path, opened: str) -> Sound:
    files = tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))
    return Sound(name, kind, folder, opened, files)


def _image(path: Path, pixels: np.ndarray[Any, Any], version: int, options: dict[str, Any]) -> None:
    axes = [
        {"name": "c", "type": "channel"},
        *({"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"),
    ]
    scale = {"type": "scale", "scale": [1.0, 0.5, 0.5]}
    described = {
        "multiscales": [
            {
                "axes": axes,
                "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
                "version": "0.4",
            }
        ],
        "omero": {"channels": [{"label": "DAPI"}, {"label": "GFP"}]},
    }
    _group(path, version, described)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr's, on codecs of numcodecs
        array = zarr.create_array(
            path / "0",
            shape=pixels.shape,
            dtype=pixels.dtype,
            chunks=(1, 32, 48),
            zarr_format=version,
            **options,
        )
        array[...] = pixels


def _group(path: Path, version: int, attributes: dict[str, Any]) -> None:
    path.mkdir(parents=True, exist_ok=True)
    if version == 2:
        (path / ".zgroup").write_text('{"zarr_format": 2}')
        (path / ".zattrs").write_text(json.dumps(attributes))
    else:
        document = {
            "zarr_format": 3,
            "node_type": "group",
            "attributes": {"ome": {"version": "0.5", **attributes}},
        }
        (path / "zarr.json").write_text(json.dumps(document))


def _manifests(place: Path) -> Iterator[Sound]:
    wells = ("A01", "A02", "B03")
    tables = {
        "plain": "FileName_DAPI,Metadata_Well\n" + "".join(f"{well}_1.tif,{well}\n" for well in wells),
        "paths": "FileName_DAPI,PathName_DAPI,Metadata_Well,Metadata_Site\n"
        + "".join(f"{well}_1.tif,.,{well},1\n" for well in wells),
        "two channels": "Metadata_Plate,Metadata_Well,Metadata_Site,FileName_DAPI,FileName_GFP\n"
        + "".join(f"P1,{well},1,{well}_1.tif,{well}_2.tif\n" for well in wells),
        "semicolons": "FileName_DAPI;Metadata_Well;Metadata_Dose\n"
        + "".join(f"{well}_1.tif;{well};0.5\n" for well in wells),
        "images": "FileName_DAPI\n" + "".join(f"{well}_1.tif\n" for well in wells),
        "quoted": '"FileName_DAPI","Metadata_Well","Metadata_Note"\n'
        + "".join(f'"{well}_1.tif","{well}","a, ""b"""\n' for well in wells),
        "rows and columns": "FileName_DAPI,Metadata_Row,Metadata_Column\n"
        + "".join(f"{well}_1.tif,{well[0]},{int(well[1:])}\n" for well in wells),
    }
    for name, text in tables.items():
        sound = _file(place, f"manifest {name}", "csv", "load.csv", text.encode(), holds_pixels=False)
        for well, channel in itertools.product(wells, (1, 2)):
            (sound.folder / f"{well}_{channel}.tif").write_bytes(
                _tiff(_spots("uint16", 30, 40), photometric="minisblack")
            )
        yield sound


def _xmls(place: Path) -> Iterator[Sound]:
    stacks = {"ZYX": (4,), "CYX": (2,), "TYX": (3,), "CZYX": (2, 3), "TCYX": (2, 2)}
    for axes, shape in stacks.items():
        data = _tiff(
            _spots("uint16", *shape, 30, 40), ome=True, metadata={"axes": axes}, photometric="minisblack"
        )
        begin, end = data.index(b"<?xml"), data.index(b"</OME>") + len(b"</OME>")
        yield _file(
            place, f"OME-XML {axes}", "xml", "a.ome.tif", data, region=range(begin, end), holds_pixels=False
        )
    for name, keys in {"MetaSeries": "_IllumSetting_", "MetaSeries scale": "spatial-calibration-x"}.items():
        value = "DAPI" if name == "MetaSeries" else "0.65"
        text = (
            '<MetaData><prop id="Description" type="string" value="x"/>'
            f'<PlaneInfo><prop id="{keys}" type="float" value="{value}"/></PlaneInfo></MetaData>'
        )
        data = _tiff(_spots("uint16", 30, 40), description=text, metadata=None, photometric="minisblack")
        begin = data.index(b"<MetaData>")
        region = range(begin, begin + len(text))
        yield _file(place, name, "xml", "a.tif", data, region=region, holds_pixels=False)
    htd = (
        '"HTSInfoFile", Version 1.0\n"Description", ""\n"TimePoints", 1\n"ZSeries", FALSE\n'
        '"XWells", 12\n"YWells", 8\n'
        '"WellsSelection2", FALSE, TRUE, TRUE\n"Sites", TRUE\n"XSites", 2\n"YSites", 1\n'
        '"SiteSelection1", TRUE, TRUE\n"Waves", TRUE\n"NWavelengths", 1\n"WaveName1", "DAPI"\n'
        '"WaveCollect1", 1\n"EndFile"\n'
    )
    sound = _file(place, "HTD", "xml", "p.HTD", htd.encode(), holds_pixels=False)
    for well, site in itertools.product(("B02", "B03"), (1, 2)):
        (sound.folder / f"p_{well}_s{site}_w1.tif").write_bytes(
            _tiff(_spots("uint16", 30, 40), photometric="minisblack")
        )
    yield Sound("HTD", "xml", sound.folder, ".", ("p.HTD",), None, False)


def _weights(place: Path) -> Iterator[Sound]:
    from nucbatch.core.settings import MAPS
    from nucbatch.networks.checkpoint import save_weights
    from nucbatch.networks.contract import build
    from nucbatch.networks.model_card import Card

    for outputs, width, half in itertools.product((1, 2, 4), (2, 4), (True, False)):
        config = {"in_channels": 3, "outputs": outputs, "width": width, "depth": 2}
        card = {"name": "tiny", "architecture": "unet", "config": config, "outputs": MAPS[:outputs]}
        folder = place / f"{outputs}_{width}_{half}"
        folder.mkdir(parents=True)
        made = Card.model_validate(card)
        save_weights(folder / "w.safetensors", build("unet", config), made, half=half)
        name = f"weights {outputs} {width} {'half' if half else 'full'}"
        sound = Sound(name, "weights", folder, "w.safetensors", ("w.safetensors",))
        yield sound
        header = range(8, 8 + int.from_bytes((folder / "w.safetensors").read_bytes()[:8], "little"))
        yield replace(sound, name=f"{name}: card", region=header)
