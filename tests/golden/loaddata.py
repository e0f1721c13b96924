"""Golden trees of CellProfiler's LoadData, among them the Cell Painting Gallery's, away from its images."""

from functools import partial
from pathlib import Path

from golden import Expected, GoldenTree, write_images

BATCH, PLATE = "2020_11_18_CPJUMP1", "BR00116991"
MEASUREMENT = f"{PLATE}__2020-11-05T19_51_35-Measurement1"
IMAGES = f"images/{BATCH}/images/{MEASUREMENT}/Images"
ELSEWHERE = f"/home/ubuntu/bucket/projects/jump/{BATCH}/images/{MEASUREMENT}/Images/"
CHANNELS = ("OrigDNA", "OrigER")
WELLS = ("A01", "A02", "B01")


def _beside(folder: Path) -> Path:
    write_images(folder, [f"images/{well}_{c}.tif" for well in WELLS for c in CHANNELS])
    rows = "".join(f"{w}_OrigDNA.tif,images,{w}_OrigER.tif,images,P1,{w},1\n" for w in WELLS)
    head = "FileName_OrigDNA,PathName_OrigDNA,FileName_OrigER,PathName_OrigER"
    (folder / "load_data.csv").write_text(f"{head},Metadata_Plate,Metadata_Well,Metadata_Site\n{rows}")
    return folder / "load_data.csv"


def write_gallery(folder: Path, elsewhere: str = ELSEWHERE) -> Path:
    """Three wells of two fields, 323 µm apart with Y up, 0.598 µm per pixel; one image is lost."""
    head, rows = [], []
    for channel in CHANNELS:
        head += [f"FileName_{channel}", f"PathName_{channel}"]
    head += ["FileName_IllumDNA", "PathName_IllumDNA", "Metadata_Plate", "Metadata_Well", "Metadata_Site"]
    head += ["Metadata_AbsPositionZ", "Metadata_ImageResolutionX", "Metadata_PositionX", "Metadata_PositionY"]
    paths = []
    for row, column in ((1, 1), (1, 2), (2, 1)):
        for site in (1, 2):
            names = [f"r{row:02d}c{column:02d}f{site:02d}p01-ch{c}sk1fk1fl1.tiff" for c in (5, 4)]
            paths += names
            cells = [cell for name in names for cell in (name, elsewhere)]
            cells += [f"{PLATE}_IllumDNA.npy", f"/home/ubuntu/bucket/projects/jump/{BATCH}/illum/{PLATE}/"]
            cells += [PLATE, f"{'AB'[row - 1]}{column:02d}", str(site), "0.135"]
            cells += ["5.98e-07", str(0.000323 * (site - 1)), str(-0.000323 * (site - 1))]
            rows.append(",".join(cells))
    write_images(folder / IMAGES, paths[:-1])
    illum = folder / f"images/{BATCH}/illum/{PLATE}/{PLATE}_IllumDNA.npy"
    illum.parent.mkdir(parents=True)
    illum.write_bytes(b"")
    table = folder / f"workspace/load_data_csv/{BATCH}/{PLATE}/load_data_with_illum.csv"
    table.parent.mkdir(parents=True)
    table.write_text("\n".join([",".join(head), *rows]) + "\n")
    return table


TREES = (
    GoldenTree(
        "LoadData above its images",
        "real file",
        _beside,
        Expected("manifest", "side file", WELLS, 3, CHANNELS, files=(6, 1, 0)),
    ),
    GoldenTree(
        "LoadData away from its images (Cell Painting Gallery)",
        "real file",
        partial(write_gallery),
        Expected(
            "manifest",
            "side file",
            WELLS,
            6,
            CHANNELS,
            pixel_size_um=0.598,
            positions=6,
            files=(11, 2, 1),
        ),
        root=".",
    ),
)
