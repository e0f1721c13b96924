"""Golden trees of instruments whose file names tell everything: an entry of the table of grammars each."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from golden import Expected, GoldenTree, every, write_images

SHORT = ("B2", "B3", "C2", "C3")
WELLS = ("B02", "B03", "C02", "C03")
ROW_COLUMN = ("01c02", "01c03", "02c02", "02c03")
BY_ROW = ("A02", "A03", "B02", "B03")


def _images(paths: Iterable[str]) -> Callable[[Path], Path]:
    listed = tuple(paths)

    def build(folder: Path) -> Path:
        write_images(folder, listed)
        return folder

    return build


def _tree(
    name: str,
    paths: Iterable[str],
    channels: tuple[str, ...],
    fields: int,
    *,
    source: str = "quoted",
    wells: tuple[str, ...] = WELLS,
    z: int = 1,
    t: int = 1,
) -> GoldenTree:
    """A tree of which every file is used."""
    listed = tuple(paths)
    expected = Expected("names", "names", wells, fields, channels, z, t, files=(len(listed), 0, 0))
    return GoldenTree(name, source, _images(listed), expected)


def _bbbc013(folder: Path) -> Path:
    places = ("01-A-01", "02-A-02", "13-B-01", "14-B-02")
    write_images(folder, every("Channel{c}-{place}.tif", c=(1, 2), place=places), dtype="uint8")
    (folder / "1049_Metadata.csv").write_text("well,dose\nA01,3\n")
    return folder


def _cellomics(folder: Path) -> Path:
    names = every("AS_09047_050428030001_{w}f0{f}d{c}.TIF", w=WELLS, f=(0, 1), c=(0, 1))
    write_images(folder, (name for name in names if name != "AS_09047_050428030001_C03f00d0.TIF"))
    write_images(folder, ["overview.tif"])
    return folder


def write_squid(folder: Path) -> Path:
    """Two wells of two fields, 0.9 mm apart, at two times; one image is lost."""
    places = tuple(every("{w}_{f}", w=("B2", "C3"), f=(0, 1)))
    paths = tuple(every("{t}/{p}_0_Fluorescence_405_nm_Ex.tiff", t=(0, 1), p=places))
    write_images(folder, paths[:-1])
    for t in (0, 1):
        rows = "".join(
            f"{p.replace('_', ',')},0,{10 + 0.9 * int(p[-1])},{20 - 0.9 * int(p[-1])},5.0,x\n" for p in places
        )
        (folder / f"{t}/coordinates.csv").write_text(f"region,fov,z_level,x (mm),y (mm),z (um),time\n{rows}")
    (folder / "coordinates.csv").write_text("region,x (mm),y (mm)\nB2,10,20\nC3,10,20\n")
    optics = {"magnification": 10.0, "NA": 0.3, "tube_lens_f_mm": 180.0}
    parameters = {"objective": optics, "sensor_pixel_size_um": 7.52, "tube_lens_mm": 180.0}
    (folder / "acquisition parameters.json").write_text(json.dumps(parameters))
    return folder


TREES = (
    GoldenTree(
        "Broad, running number",
        "real file",
        _bbbc013,
        Expected(
            "names", "names", ("A01", "A02", "B01", "B02"), 4, ("Channel1", "Channel2"), files=(8, 1, 0)
        ),
    ),
    _tree(
        "Broad, trailing site",
        every("Channel {c}-{place}.tif", c=(1, 2), place=("15-B-03-00", "16-B-04-00")),
        ("Channel 1", "Channel 2"),
        2,
        source="real file",
        wells=("B03", "B04"),
    ),
    GoldenTree(
        "Cellomics, CellInsight",
        "real file",
        _cellomics,
        Expected("names", "names", WELLS, 8, ("d0", "d1"), files=(15, 0, 1)),
    ),
    _tree(
        "EVOS",
        every("scan_Plate_R_p00_0_{w}f0{f}d{c}.TIF", w=WELLS, f=(0, 1), c=(0, 4)),
        ("d0", "d4"),
        8,
    ),
    _tree(
        "Gen5 (Cytation, Lionheart)",
        every(
            "{w}_01_{c}_{t}.tif", w=SHORT, c=("1_1_DAPI", "2_1_GFP", "1_3_DAPI", "2_3_GFP"), t=("001", "002")
        ),
        ("DAPI", "GFP"),
        16,
        source="real file",
        t=2,
    ),
    _tree(
        "Operetta, older export or Columbus, one plane of each field",
        every("00{r}00{k}-{f}-001001001.tif", r=(1, 2), k=(2, 3), f=(1, 2)),
        ("001",),
        8,
        wells=BY_ROW,
    ),
    _tree(
        "Nikon JOBS",
        every("P1_Well{w}_Point1_{w}_000{s}_Channel{c}_Seq000{s}.tif", w=WELLS, s=(0, 1), c=("DAPI", "GFP")),
        ("DAPI", "GFP"),
        8,
    ),
    _tree(
        "BD Pathway",
        every("Well {w}/{c} - n000000.tif", w=("B002", "B003", "C002", "C003"), c=("DAPI", "GFP - Confocal")),
        ("DAPI", "GFP - Confocal"),
        4,
    ),
    _tree(
        "folders of wells, stains",
        every("Well_{w}/{c}.tif", w=WELLS, c=("DAPI", "Cy5")),
        ("Cy5", "DAPI"),
        4,
    ),
    _tree(
        "folders of wells and fields, channel numbers",
        every("{w}/field_{f}/ch{c}_z{z}.tif", w=SHORT, f=(1, 2), c=(1, 2), z=(1, 2, 3)),
        ("ch1", "ch2"),
        8,
        z=3,
    ),
    _tree(
        "row, column, field",
        every("r{w}-f{f}-C{c}.tif", w=ROW_COLUMN, f=(1, 2), c=(1, 2)),
        ("C1", "C2"),
        8,
        wells=BY_ROW,
    ),
    _tree(
        "row, column, field in letters",
        every("R{r}_C{k}_F{f}.tif", r=(1, 2), k=(2, 3), f=(1, 2)),
        ("Grey",),
        8,
        wells=BY_ROW,
    ),
    _tree(
        "row, column, field in words",
        every(
            "Row {r} Column {k} site {s} z {z} {c}.tif",
            r=(1, 2),
            k=(2, 3),
            s=(1, 2),
            z=(1, 2),
            c=("DAPI", "GFP"),
        ),
        ("DAPI", "GFP"),
        8,
        wells=BY_ROW,
        z=2,
    ),
    _tree(
        "Squid, names alone",
        every(
            "{t}/{w}_{f}_{z}_Fluorescence_{c}_nm_Ex.tiff", t=(0, 1), w=SHORT, f=(0, 1), z=(0, 1), c=(405, 488)
        ),
        ("Fluorescence_405_nm_Ex", "Fluorescence_488_nm_Ex"),
        16,
        z=2,
        t=2,
    ),
    GoldenTree(
        "Squid with its tables",
        "quoted",
        write_squid,
        Expected(
            "names",
            "side file",
            ("B02", "C03"),
            7,
            ("Fluorescence_405_nm_Ex",),
            t=2,
            pixel_size_um=0.752,
            positions=7,
            gaps=1,
            files=(7, 4, 0),
        ),
    ),
)
