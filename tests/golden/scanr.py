"""Golden trees of Olympus ScanR: side files as scanR 3.3 and LabVIEW write them."""

from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import tifffile

from golden import Expected, GoldenTree, every, write_images

STEM = "W{w:05d}--P{p:05d}--Z{z:05d}--T{t:05d}--{c}.tif"
IMAQ = "National Instruments IMAQ"


def metadata(
    images: Iterable[tuple[int, int, str, float, float, Iterable[str]]], channels: Iterable[str]
) -> str:
    """Returns a ``metadata.ome.xml`` of (number, position, well, x, y, files) of each position."""
    names = "".join(
        f'<Channel ID="Channel:{i}" Name={quoteattr(name)}><DetectorSettings Binning="1x1"/></Channel>'
        for i, name in enumerate(channels)
    )
    text = '<?xml version="1.0" encoding="UTF-8" standalone="no" ?>\n'
    text += '<OME Creator="Olympus, scanR 3.3.0  (r4137)" UUID="urn:uuid:115baacc" xmlns="http://www.openmicroscopy.org/Schemas/OME/2013-06">\n'
    for number, position, well, x, y, files in images:
        text += f'<Image ID="Image:W{number}P{position}" Name="Well {number}, Position {position} ({well})">'
        text += f'<Pixels DimensionOrder="XYCTZ" ID="Pixels:W{number}P{position}" PhysicalSizeX="0.325000" '
        text += f'PhysicalSizeY="0.325000" SizeX="16" SizeY="16" Type="uint16">{names}'
        for file in files:
            text += f"<TiffData><UUID FileName={quoteattr(file)}>urn:uuid:1</UUID></TiffData>"
        text += f'<Plane DeltaT="4.888" PositionX="{x}" PositionY="{y}" TheC="0" TheT="0" TheZ="0"/>'
        text += "</Pixels></Image>\n"
    return f"{text}</OME>\n"


def descriptor(rows: int, columns: int) -> bytes:
    """Returns an ``experiment_descriptor.xml`` in ISO-8859-1 without a declared encoding."""
    values = {"plate name": "Prüfplatte µ", "Rows": "2", "conversion factor um/pixel": "0.645"}
    text = "<LVData><Cluster><Name>experiment</Name>"
    text += "".join(f"<String><Name>{key}</Name><Val>{value}</Val></String>" for key, value in values.items())
    text += "<Cluster><Name>format typedef</Name><NumElts>2</NumElts>"
    text += (
        f"<I32><Name>Rows</Name><Val>{rows}</Val></I32><I32><Name>Columns</Name><Val>{columns}</Val></I32>"
    )
    return f"{text}</Cluster></Cluster></LVData>".encode("iso-8859-1")


def _new(folder: Path) -> Path:
    channels = ("405 nm #1", "GFP--long")
    images = []
    for number, well in ((14, "B2"), (15, "B3")):
        for position in (1, 2):
            files = [
                f"{well}--" + STEM.format(w=number, p=position, z=z, t=0, c=c)
                for c in channels
                for z in (0, 1)
            ]
            write_images(folder / "data", files if (well, position) != ("B3", 2) else [])
            images.append((number, position, well, 1e5 + 600 * position, 6e4 - 9000 * (number - 13), files))
    (folder / "data/metadata.ome.xml").write_text(metadata(images, channels))
    (folder / "AcquisitionLog.dat").write_text("log")
    return folder


def _old(folder: Path) -> Path:
    for value, number in enumerate((1, 7), start=1):
        for t in (0, 1):
            name = "--" + STEM.format(w=number, p=1, z=0, t=t, c="DAPI")
            (folder / "data").mkdir(exist_ok=True)
            pixels = np.full((16, 16), 0x8000 + 300 * value, np.uint16)
            tifffile.imwrite(folder / "data" / name, pixels, software=IMAQ, metadata=None)
    (folder / "experiment_descriptor.xml").write_bytes(descriptor(4, 6))
    (folder / "experiment_descriptor.dat").write_bytes(b"\0")
    (folder / "AcquisitionLog.dat").write_text("log")
    return folder


def _names_alone(folder: Path) -> Path:
    names = every("{w}--P0000{p}--Z00000--T00000--DAPI.tif", w=("A1--W00001", "A02--W00002"), p=(1, 2))
    write_images(folder / "data", names)
    return folder / "data"


TREES = (
    GoldenTree(
        "ScanR 3.3",
        "real file",
        _new,
        Expected(
            "scanr",
            "side file",
            ("B02", "B03"),
            3,
            ("405 nm #1", "GFP--long"),
            z=2,
            pixel_size_um=0.325,
            positions=3,
            gaps=1,
            files=(12, 2, 0),
        ),
    ),
    GoldenTree(
        "ScanR, no well in names",
        "quoted",
        _old,
        Expected(
            "scanr", "side file", ("A01", "B01"), 4, ("DAPI",), t=2, pixel_size_um=0.645, files=(4, 3, 0)
        ),
    ),
    GoldenTree(
        "ScanR, names alone",
        "real file",
        _names_alone,
        Expected("scanr", "names", ("A01", "A02"), 4, ("DAPI",), files=(4, 0, 0)),
    ),
)
