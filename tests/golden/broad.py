"""Golden trees of the Broad Institute's names."""

from pathlib import Path

from golden import Expected, GoldenTree, every, write_images


def _bbbc013(folder: Path) -> Path:
    places = ("01-A-01", "02-A-02", "13-B-01", "14-B-02")
    write_images(folder, every("Channel{c}-{place}.tif", c=(1, 2), place=places), dtype="uint8")
    (folder / "1049_Metadata.csv").write_text("well,dose\nA01,3\n")
    return folder


def _with_sites(folder: Path) -> Path:
    places = ("15-B-03-00", "16-B-04-00")
    write_images(folder, every("Channel {c}-{place}.tif", c=(1, 2), place=places))
    return folder


TREES = (
    GoldenTree(
        "Broad, running number",
        "real file",
        _bbbc013,
        Expected(
            "pattern", "names", ("A01", "A02", "B01", "B02"), 4, ("Channel1", "Channel2"), files=(8, 1, 0)
        ),
    ),
    GoldenTree(
        "Broad, trailing site",
        "real file",
        _with_sites,
        Expected("pattern", "names", ("B03", "B04"), 2, ("Channel 1", "Channel 2"), files=(4, 0, 0)),
    ),
)
