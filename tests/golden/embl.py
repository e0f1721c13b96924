"""Golden trees of EMBL's ALMF: wells from labels, and from a table."""

from pathlib import Path

from golden import Expected, GoldenTree, every, write_images

NUMBERS = "W{w:04d}--P{p:03d}--T0000--Z000--C{c:02d}"


def _labelled(folder: Path) -> Path:
    for well, content, number in (("B9", "empty", 21), ("C3", "XWNeg9", 27)):
        inside = f"W{number:04d}--{well}--{content}/P00{{p}}--{well}--{content}/{well}--{content}--"
        write_images(folder, every(inside + NUMBERS + ".ome.tif", w=(number,), p=(0, 1), c=(0, 1)))
    return folder


def _with_table(folder: Path) -> Path:
    write_images(folder, every("s444246--XWNeg9--" + NUMBERS + ".tif", w=(1, 13), p=(1, 2), c=(1,)))
    (folder / "wells.csv").write_text("W,well\nW0001,A1\n13,B1\n14,B2\n")
    return folder


TREES = (
    GoldenTree(
        "EMBL, wells as labels",
        "real file",
        _labelled,
        Expected("embl", "names", ("B09", "C03"), 4, ("C00", "C01"), files=(8, 0, 0)),
    ),
    GoldenTree(
        "EMBL with a table of wells",
        "real file",
        _with_table,
        Expected("embl", "side file", ("A01", "B01"), 4, ("C01",), files=(4, 1, 0)),
    ),
)
