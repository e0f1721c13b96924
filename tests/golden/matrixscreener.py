"""Golden trees of Leica MatrixScreener."""

from pathlib import Path

from golden import Expected, GoldenTree, write_images

FOLDER = "slide--S00/chamber--U{u:02d}--V{v:02d}/field--X{x:02d}--Y{y:02d}"
STEM = "image--L{l:04d}--S00--U{u:02d}--V{v:02d}--J{j:02d}--E00--O00--X{x:02d}--Y{y:02d}--T{t:04d}"


def image(
    u: int, v: int, x: int, y: int, c: int = 0, z: int = 0, *, t: int = 0, j: int = 8, scan: int = 0
) -> str:
    """Returns the path of an image."""
    numbers = {"u": u, "v": v, "x": x, "y": y, "t": t, "j": j, "l": scan}
    return f"{FOLDER}/{STEM}--Z{z:02d}--C{c:02d}.ome.tif".format(**numbers)


def write_position(
    root: Path, u: int, v: int, x: int, y: int, at: tuple[float, float], *, j: int = 8
) -> None:
    """Writes the metadata of a field with the stage position (x, y) in metres."""
    numbers = {"u": u, "v": v, "x": x, "y": y, "t": 0, "j": j, "l": 0}
    path = root / f"{FOLDER}/metadata/{STEM}.ome.xml".format(**numbers)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2008-09">'
        f'<Image><StageLabel/><Pixels/><StagePosition PositionX="{at[0]}" PositionY="{at[1]}"/></Image></OME>'
    )


def _plate(folder: Path) -> Path:
    wells, fields = ((0, 0), (2, 1)), ((0, 0), (1, 0), (0, 1), (1, 1))
    write_images(folder, (image(*w, *f, c, z) for w in wells for f in fields for c in (0, 1) for z in (0, 1)))
    for u, v in wells:
        for x, y in fields:
            write_position(folder, u, v, x, y, (0.02 + 9e-3 * u + 3.68e-4 * x, 0.05 - 9e-3 * v - 3.68e-4 * y))
    (folder / "AdditionalData").mkdir()
    (folder / "AdditionalData/{ScanningTemplate}scan.xml").write_text("<a/>")
    (folder / "AdditionalData/{ScanningTemplate}scan.lrp").write_text("<a/>")
    return folder


def _two_jobs(folder: Path) -> Path:
    write_images(folder, (image(0, 0, x, 0, j=j) for x in (0, 1) for j in (8, 20)))
    return folder / "slide--S00"


TREES = (
    GoldenTree(
        "MatrixScreener",
        "real file",
        _plate,
        Expected(
            "matrixscreener",
            "side file",
            ("A01", "B03"),
            8,
            ("C00", "C01"),
            z=2,
            positions=8,
            files=(32, 10, 0),
        ),
    ),
    GoldenTree(
        "MatrixScreener, one of two jobs",
        "quoted",
        _two_jobs,
        Expected("matrixscreener", "names", ("A01",), 2, ("C00",), files=(2, 2, 0)),
        {"acquisition": "J20"},
    ),
)
