"""Golden trees of Yokogawa CellVoyager CV7000 and CV8000, and the writers of their side files."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from golden import Expected, GoldenTree, every, write_images

BTS = 'xmlns:bts="http://www.yokogawa.co.jp/BTS/BTSSchema/1.0"'
LASERS = {405: ("405nm", "BP445/45", "#FF002FFF"), 488: ("488nm", "BP525/50", "#FF00FFA1")}
PLACES = {1: (-567.1, 402.9), 2: (82.8, 402.9), 3: (-567.1, -247.0), 4: (82.8, -247.0)}
"""X and Y of four fields, from a real plate."""
FIELD = "p_{w}_T0001F00{f}L01A01Z01C01.tif"
"""Names of the images of one channel, by well and field."""


def record(name: str = "", *, path: str = "", lost: str = "", **values: object) -> str:
    """A record of an image by its CellVoyager name, or of another path or a lost field by its numbers."""
    numbers: dict[str, object] = {}
    if name:
        tail = name.rpartition(".")[0].rpartition("_T")[2]
        well = name.rpartition("_T")[0].rpartition("_")[2]
        row, column = well.rstrip("0123456789"), int(well.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
        numbers = {
            "Row": ord(row[-1]) - 64 + 26 * (len(row) - 1),
            "Column": column,
            "TimePoint": int(tail[:4]),
            "FieldIndex": int(tail[5:8]),
            "ZIndex": int(tail[15:17]),
            "TimelineIndex": int(tail[9:11]),
            "ActionIndex": int(tail[12:14]),
            "Action": "3D",
            "X": PLACES.get(int(tail[5:8]), (0, 0))[0],
            "Y": PLACES.get(int(tail[5:8]), (0, 0))[1],
            "Z": "0.0",
            "Ch": int(tail[18:20]),
        }
    numbers |= values
    attributes = "".join(f' bts:{key}="{value}"' for key, value in numbers.items() if value is not None)
    kind = "ERR" if lost else "IMG"
    time = "2023-09-18T13:58:44.438+02:00"
    return (
        f'<bts:MeasurementRecord bts:Type="{kind}" bts:Time="{time}"{attributes}>{lost or path or name}'
        "</bts:MeasurementRecord>\n"
    )


def mlf(records: Iterable[str]) -> str:
    """``MeasurementData.mlf`` with these records."""
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<bts:MeasurementData bts:Version="1.0" {BTS}>\n'
        f"{''.join(records)}</bts:MeasurementData>\n"
    )


def mrf(
    channels: Sequence[int] = (1, 2),
    *,
    title: str = "plate",
    rows: int = 8,
    columns: int = 12,
    size_um: float = 0.325,
    settings: str = "protocol.mes",
    correction: str = "",
) -> str:
    """``MeasurementDetail.mrf``, with a byte order mark as the real ones have."""
    listed = "".join(
        f'  <bts:MeasurementChannel bts:Ch="{number}" bts:HorizontalPixelDimension="{size_um}" '
        f'bts:VerticalPixelDimension="{size_um}" bts:CameraNumber="3" bts:InputBitDepth="16" '
        f'bts:HorizontalPixels="16" bts:VerticalPixels="16" bts:ShadingCorrectionSource="{correction}" />\n'
        for number in channels
    )
    return (
        f'\ufeff<?xml version="1.0" encoding="utf-8"?>\n<bts:MeasurementDetail bts:Version="1.0" '
        f'bts:Title="{title}" bts:MeasurementSettingFileName="{settings}" bts:ColumnCount="{columns}" '
        f'bts:RowCount="{rows}" bts:TargetSystem="CV8000" {BTS}>\n{listed}</bts:MeasurementDetail>'
    )


def mes(
    targets: Sequence[int | str] = (405, 488),
    *,
    stains: Sequence[str] = (),
    timelines: Sequence[Sequence[tuple[int, int]]] = (),
    points: int = 2,
) -> str:
    """A .mes file with one channel for each laser or target, and (row, column) of each timeline's wells."""
    lights = "".join(
        f'<bts:LightSource bts:Name="{name}" bts:Type="Laser" bts:WaveLength="{wavelength}" />'
        for wavelength, (name, _, _) in LASERS.items()
    )
    listed = ""
    for number, target in enumerate(targets, start=1):
        light, band, color = LASERS.get(target if isinstance(target, int) else 488, LASERS[488])
        stain = stains[number - 1] if stains else ""
        listed += (
            f'<bts:Channel bts:Ch="{number}" bts:Target="{target}" bts:Acquisition="{band}" '
            f'bts:Color="{color}" bts:Fluorophore="{stain}">'
            f"<bts:LightSourceName>{light}</bts:LightSourceName></bts:Channel>"
        )
    lines = "".join(
        f'<bts:Timeline bts:Name="Time Line {number}" bts:Color="#ff44ee66"><bts:WellSequence>'
        + "".join(
            f'<bts:TargetWell bts:Column="{column}" bts:Row="{row}">true</bts:TargetWell>'
            for row, column in wells
        )
        + '</bts:WellSequence><bts:PointSequence bts:Method="FixedPosition"><bts:FixedPosition>'
        + '<bts:Point bts:X="0" bts:Y="0" />' * points
        + "</bts:FixedPosition></bts:PointSequence></bts:Timeline>"
        for number, wells in enumerate(timelines, start=1)
    )
    return (
        f'\ufeff<?xml version="1.0" encoding="utf-8"?>\n<bts:MeasurementSetting bts:Columns="12" '
        f'bts:Rows="8" {BTS}><bts:Timelapse>{lines}</bts:Timelapse>'
        f"<bts:LightSourceList>{lights}</bts:LightSourceList>"
        f"<bts:ChannelList>{listed}</bts:ChannelList></bts:MeasurementSetting>"
    )


def write_side_files(folder: Path, records: Iterable[str], **detail: object) -> None:
    """Writes the .mlf, .mrf and .mes files of two channels."""
    (folder / "MeasurementData.mlf").write_text(mlf(records))
    (folder / "MeasurementDetail.mrf").write_text(mrf(**detail))
    (folder / "protocol.mes").write_text(mes())


def lost(well: str, site: int | None = 1, text: str = "AF Error", **values: object) -> str:
    """A record of a field that was lost."""
    row, column = ord(well[0]) - 64, int(well[1:])
    return record(lost=text, **{"Row": row, "Column": column, "TimePoint": 1, "FieldIndex": site, **values})


def make(folder: Path, names: list[str], more: tuple[str, ...] = (), **detail: object) -> Path:
    """Writes images and their side files, with ``more`` records."""
    write_images(folder, names)
    write_side_files(folder, [*map(record, names), *more], **detail)
    return folder


def _cv8000(folder: Path) -> Path:
    names = list(
        every(
            "my plate_#1_{w}_T0001F00{f}L01A0{c}Z0{z}C0{c}.tif",
            w=("D08", "E03"),
            f=(1, 2, 3, 4),
            c=(1, 2),
            z=(1, 2),
        )
    )
    taken = [name for name in names if "_E03_T0001F004" not in name]
    write_images(folder, [*taken, "SC_BP445-45_20x v2_M01_CH01.tif", "DC_DCAM#2_CAM4.tif"])
    lost = record(
        lost="AF Error at E03 No. 3 (my plate)",
        Row=5,
        Column=3,
        TimePoint=1,
        FieldIndex=4,
        TimelineIndex=1,
        X=82.8,
        Y=-247.0,
    )
    write_side_files(folder, [*map(record, taken), lost], correction="SC_BP445-45_20x v2_M01_CH01.tif")
    (folder / "my plate_#1.wpi").write_text("<x/>")
    return folder


def _timelines_of_other_wells(folder: Path) -> Path:
    names = list(every("qc_C03_T0001F00{f}L01A01Z01C01.tif", f=(1, 2)))
    names += every("qc_D03_T0002F00{f}L02A01Z01C02.tif", f=(1, 2))
    write_images(folder, names)
    write_side_files(folder, map(record, names))
    return folder


def _projection(folder: Path) -> Path:
    names = list(every("p_B02_T0001F001L01A01Z0{z}C01.tif", z=(1, 2, 3)))
    write_images(folder, [*names, "p_B02_T0001F002L01A01Z01C01.tif"])
    projected = {"ZImageProcessing": "Maximum", "ZTop": 5.0, "ZBottom": -5.0}
    records = [record(name) for name in names] + [record("p_B02_T0001F002L01A01Z01C01.tif", **projected)]
    write_side_files(folder, records, channels=(1,))
    return folder


def _names(folder: Path) -> Path:
    write_images(
        folder,
        every("plate_{w}_T000{t}F001L01A01Z01C0{c}.tif", w=("A01", "AF48"), t=(1, 2), c=(1, 3)),
    )
    return folder


TREES = (
    GoldenTree(
        "CellVoyager CV8000, lost field",
        "real file",
        _cv8000,
        Expected(
            "cellvoyager",
            "side file",
            ("D08", "E03"),
            7,
            ("405 BP445/45", "488 BP525/50"),
            z=2,
            pixel_size_um=0.325,
            positions=7,
            gaps=1,
            files=(28, 6, 0),
        ),
    ),
    GoldenTree(
        "CellVoyager CV7000, a timeline for each well",
        "real file",
        _timelines_of_other_wells,
        Expected(
            "cellvoyager",
            "side file",
            ("C03", "D03"),
            4,
            ("405 BP445/45", "488 BP525/50"),
            pixel_size_um=0.325,
            positions=4,
            files=(4, 3, 0),
        ),
    ),
    GoldenTree(
        "CellVoyager, projection by the microscope",
        "quoted",
        _projection,
        Expected(
            "cellvoyager",
            "side file",
            ("B02",),
            2,
            ("405 BP445/45",),
            z=3,
            pixel_size_um=0.325,
            positions=2,
            files=(4, 3, 0),
        ),
    ),
    GoldenTree(
        "CellVoyager, names alone",
        "quoted",
        _names,
        Expected("cellvoyager", "names", ("A01", "AF48"), 4, ("C01", "C03"), t=2, files=(8, 0, 0)),
    ),
)
