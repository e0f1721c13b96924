"""Golden trees of Yokogawa CQ1 and CQ3K, and the writer of CQ1's OME-XML."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from golden import Expected, GoldenTree, every, write_images
from golden.cellvoyager import mlf, mrf, record

FIELD_UM = 16 * 0.65
"""Width of an image of 16 px."""


def ome(
    images: Mapping[str, Iterable[str]],
    *,
    columns: int = 12,
    unit: str = "",
    step_um: float = 0.9 * FIELD_UM,
    size: str = "0.65",
) -> str:
    """``MeasurementResult.ome.xml`` with the files of each image by its name, such as ``W14(R2C2),A1,F1``."""
    units = f' PositionXUnit="{unit}" PositionYUnit="{unit}"' if unit else ""
    listed = '<Image ID="Image:0"><Pixels SizeX="16" SizeY="16" /></Image>'
    for number, (name, paths) in enumerate(images.items(), start=1):
        site = int(name.rpartition("F")[2])
        x, y = (site - 1) % 2 * step_um, -((site - 1) // 2) * step_um
        planes = blocks = ""
        for path in paths:
            z, c = max(int(path.rpartition("Z")[2][:3]) - 1, 0), int(path.rpartition("C")[2][0]) - 1
            blocks += (
                f'<TiffData FirstZ="{z}" FirstT="0" FirstC="{c}" IFD="0" PlaneCount="1">'
                f'<UUID FileName="{path}">urn:uuid:0</UUID></TiffData>'
            )
            planes += f'<Plane TheZ="{z}" TheT="0" TheC="{c}" PositionX="{x}" PositionY="{y}"{units} />'
        channels = "".join(
            f'<Channel ID="Channel:{number}:{c}" Name="CH{c + 1}" ExcitationWavelength="{light}" '
            f'EmissionWavelength="{emission}" Color="{color}" />'
            for c, (light, emission, color) in enumerate(((405, 447, 65535), (488, 525, 16711935)))
        )
        listed += (
            f'<Image ID="Image:{number}" Name="{name}"><Pixels ID="Pixels:{number}" SizeX="16" SizeY="16" '
            f'PhysicalSizeX="{size}" PhysicalSizeY="{size}">{channels}{blocks}{planes}</Pixels></Image>'
        )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2013-06" Creator="Yokogawa, CQ1">'
        f'<Plate ID="Plate:0" Rows="8" Columns="{columns}" />{listed}</OME>'
    )


def _cq1(folder: Path) -> Path:
    images = {
        f"W{w}(R{r}C{c}),A1,F{f}": list(
            every("Image/W{w:04d}F{f:04d}T0001Z{z:03d}C{ch}.tif", w=(w,), f=(f,), z=(1, 2), ch=(1, 2))
        )
        for w, r, c in ((14, 2, 2), (27, 3, 3))
        for f in (1, 2, 3, 4)
    }
    write_images(folder, (path for paths in images.values() for path in paths))
    (folder / "MeasurementResult.ome.xml").write_text(ome(images))
    (folder / "ImagingResult.xml").write_text("<x/>")
    return folder


def _cq3k(folder: Path) -> Path:
    names = {"W0029F0001": (3, 5), "W0069F0001": (6, 9)}
    records = []
    for name, (row, column) in names.items():
        path = f"Projection/{name}T0001Z000C1.tif"
        write_images(folder, [path])
        records.append(
            record(
                Row=row,
                Column=column,
                TimePoint=1,
                FieldIndex=1,
                ZIndex=1,
                TimelineIndex=1,
                ActionIndex=1,
                X=-1460.8,
                Y=-1303.2,
                Ch=1,
                ZImageProcessing="Maximum",
                path=path,
            )
        )
    (folder / "MeasurementData.mlf").write_text(mlf(records))
    (folder / "MeasurementDetail.mrf").write_text(mrf((1,), size_um=0.3228, title="20251201T134840_Channel"))
    return folder


def _numbers(folder: Path) -> Path:
    write_images(folder, every("Image/W{w:04d}F0001T0001Z001C{c}.tif", w=(1, 24, 25), c=(1, 2)))
    (folder / "MeasurementDetail.mrf").write_text(mrf(rows=16, columns=24, size_um=0.65))
    return folder


TREES = (
    GoldenTree(
        "CQ1, OME-XML",
        "quoted",
        _cq1,
        Expected(
            "cq1",
            "side file",
            ("B02", "C03"),
            8,
            ("CH1", "CH2"),
            z=2,
            pixel_size_um=0.65,
            positions=8,
            files=(32, 2, 0),
        ),
    ),
    GoldenTree(
        "CQ3K, projections",
        "quoted",
        _cq3k,
        Expected(
            "cq1",
            "side file",
            ("C05", "F09"),
            2,
            ("CH1",),
            pixel_size_um=0.3228,
            positions=2,
            files=(2, 2, 0),
        ),
    ),
    GoldenTree(
        "CQ1, well numbers with the plate's columns",
        "quoted",
        _numbers,
        Expected(
            "cq1", "names", ("A01", "A24", "B01"), 3, ("CH1", "CH2"), pixel_size_um=0.65, files=(6, 1, 0)
        ),
    ),
)
