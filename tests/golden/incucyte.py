"""Golden trees of Incucyte: an archive and an export."""

from pathlib import Path

from golden import Expected, GoldenTree, every, write_images


def _archive(folder: Path) -> Path:
    scans = ("2505/16/1124", "2505/16/1524", "2506/01/0024")
    template = "EssenFiles/ScanData/{scan}/{vessel}/{well}-{field}-{channel}.tif"
    names = {"well": ("A1", "B12"), "field": (1, 2), "channel": ("C1", "Ph")}
    write_images(folder, every(template, scan=scans, vessel=(1248,), **names))
    write_images(folder, every(template, scan=scans[:1], vessel=(1250,), **names))
    (folder / "EssenFiles/ScanData/2505/16/1124/Diag.zip").write_bytes(b"PK")
    return folder


def _export(folder: Path) -> Path:
    template = "{channel}/VID1607_{well}_{field}_{time}.tif"
    times = ("00d00h00m", "00d04h00m", "01d00h30m")
    channels = ("phase", "green")
    write_images(
        folder, every(template, channel=channels, well=("C1", "D10"), field=(1, 2), time=times), dtype="uint8"
    )
    return folder


TREES = (
    GoldenTree(
        "Incucyte archive, one of two vessels",
        "quoted",
        _archive,
        Expected("incucyte", "names", ("A01", "B12"), 12, ("C1", "Ph"), t=3, files=(24, 9, 0)),
        {"acquisition": "1248"},
    ),
    GoldenTree(
        "Incucyte export",
        "quoted",
        _export,
        Expected("incucyte", "names", ("C01", "D10"), 12, ("green", "phase"), t=3, files=(24, 0, 0)),
    ),
)
