"""Golden trees of ImageXpress and MetaXpress."""

from pathlib import Path

from golden import Expected, GoldenTree, every, write_images

HTD = """"HTSInfoFile", Version 1.0
"XWells", 12
"YWells", 8
"WellsSelection2", FALSE, TRUE, TRUE, TRUE
"NWavelengths", 2
"WaveName1", "DAPI"
"WaveName2", "FITC"
"EndFile"
"""
GUID = "1E94C24B-45E4-450A-9919-257C714278F{}"
WELLS = ("B02", "B03")


def _acquired(folder: Path) -> Path:
    """Two time points, thumbnails, and z-steps beside their projections; well B04 was selected, too."""
    for t in (1, 2):
        below = folder / f"TimePoint_{t}"
        write_images(below, every(f"p_{{w}}_s{{s}}_w{{c}}{GUID.format(t)}.tif", w=WELLS, s=(1, 2), c=(1, 2)))
        write_images(below, every(f"p_{{w}}_s1_w1_thumb{GUID.format(t)}.tif", w=WELLS))
        write_images(below, every("ZStep_{z}/p_B02_s1_w1.tif", z=(1, 2, 3)))
    (folder / "p.HTD").write_text(HTD)
    return folder


def _z_steps(folder: Path) -> Path:
    write_images(folder, every("ZStep_{z}/p_{w}_w{c}.tif", z=(1, 2, 3), w=WELLS, c=(1, 2)))
    return folder


def _bracketed(folder: Path) -> Path:
    wells = ("C16", "D16")
    write_images(folder, every(f"101210OranePlt1_{{w}}_w{{c}}_[{GUID.format(0)}].tif", w=wells, c=(1, 2)))
    return folder


TREES = (
    GoldenTree(
        "ImageXpress",
        "real file",
        _acquired,
        Expected(
            "imagexpress",
            "side file",
            ("B02", "B03", "B04"),
            8,
            ("DAPI", "FITC"),
            t=2,
            gaps=1,
            files=(16, 11, 0),
        ),
    ),
    GoldenTree(
        "ImageXpress, z-steps",
        "real file",
        _z_steps,
        Expected("imagexpress", "names", WELLS, 2, ("w1", "w2"), z=3, files=(12, 0, 0)),
    ),
    GoldenTree(
        "ImageXpress, GUID in brackets",
        "real file",
        _bracketed,
        Expected("imagexpress", "names", ("C16", "D16"), 2, ("w1", "w2"), files=(4, 0, 0)),
    ),
)
