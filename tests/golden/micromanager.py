"""Golden trees of Micro-Manager: stacks, and folders of single images."""

import json
from dataclasses import replace
from pathlib import Path

from golden import Expected, GoldenTree, write_images
from golden.ome_tiff import Image, Metadata, write_set

POSITIONS = ("B2-Site_0", "B2-Site_1", "C12-Site_0", "C12-Site_1")


def stacks(labels: tuple[str, ...] = POSITIONS, prefix: str = "exp", **options: object) -> Metadata:
    """Metadata of stacks, one for each position; each lists all of them."""
    images = [
        Image(
            [(f"{prefix}_MMStack_{label}.ome.tif", 6)],
            c=2,
            z=3,
            name=f"{prefix}_MMStack_{label}",
            order="XYCZT",
            before=f'<StageLabel Name="{label}" X="10" XUnit="µm" Y="20" YUnit="µm"/>',
            inside=f'<Plane TheT="0" TheC="0" TheZ="0" PositionX="{10 * number}" PositionY="20" '
            'PositionXUnit="µm" PositionYUnit="µm"/>',
            **options,
        )
        for number, label in enumerate(labels)
    ]
    return Metadata(images)


def write_folders(
    folder: Path, labels: tuple[str, ...] = POSITIONS, *, channels: tuple[str, ...] = ("DAPI", "GFP")
) -> Path:
    """Folders of version 2: 2 channels × 3 z-steps × 2 time points."""
    for number, label in enumerate(labels):
        names = [
            f"img_channel{c:03d}_position{number:03d}_time{t:09d}_z{z:03d}.tif"
            for c in range(2)
            for t in range(2)
            for z in range(3)
        ]
        write_images(folder, (f"{label}/{name}" for name in names))
        found: dict[str, object] = {
            "Summary": {
                "ChNames": list(channels),
                "ChColors": [-16776961, -16711936],
                "StagePositions": [{"Label": {"type": "STRING", "scalar": one}} for one in labels],
            }
        }
        for name in names:
            found[f"Coords-{label}/{name}"] = {"FileName": f"{label}/{name}"}
            found[f"Metadata-{label}/{name}"] = {
                "PixelSizeUm": 0.65,
                "PositionName": label,
                "XPositionUm": 10.0 * number,
                "YPositionUm": 20.0,
            }
        (folder / label / "metadata.txt").write_text(json.dumps(found))
    return folder


def _old_folders(folder: Path) -> Path:
    for label in POSITIONS[:2]:
        names = [f"img_000000000_{channel}_{z:03d}.tif" for channel in ("DAPI", "GFP") for z in range(3)]
        write_images(folder, (f"{label}/{name}" for name in names))
        found: dict[str, object] = {"Summary": {"ChNames": ["DAPI", "GFP"], "PixelSize_um": 0.65}}
        for number, name in enumerate(names):
            key = f"FrameKey-0-{number // 3}-{number % 3}"
            found[key] = {"FileName": name, "PositionName": label, "PixelSizeUm": 0.65}
        (folder / label / "metadata.txt").write_text(json.dumps(found))
    return folder


_WELLS = ("B02", "C12")
_STACKS = Expected("micromanager", "", _WELLS, 4, ("DAPI", "GFP"), z=3, pixel_size_um=0.65, files=(4, 0, 0))

TREES = (
    GoldenTree("Micro-Manager stacks", "quoted", lambda folder: write_set(folder, stacks()), _STACKS),
    GoldenTree(
        "Micro-Manager folders, version 2",
        "quoted",
        write_folders,
        replace(_STACKS, evidence="side file", fields=8, t=2, files=(48, 4, 0)),
    ),
    GoldenTree(
        "Micro-Manager folders, version 1.4",
        "quoted",
        _old_folders,
        replace(_STACKS, evidence="side file", wells=("B02",), fields=2, files=(12, 2, 0)),
    ),
)
