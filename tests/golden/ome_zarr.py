"""Golden trees of OME-Zarr plates."""

from pathlib import Path

import numpy as np
import zarr

from golden import Expected, GoldenTree

_WELLS = ("A/1", "B/12")


def _group(path: Path, version: str, values: dict[str, object]) -> None:
    group = zarr.open_group(path, mode="a", zarr_format=3 if version == "0.5" else 2)
    group.attrs.update({"ome": {"version": "0.5", **values}} if version == "0.5" else values)


def _plate(folder: Path, version: str) -> Path:
    """A plate of two wells with two fields each, which overlap by 10 %; z-steps and two channels."""
    path = folder / "p.zarr"
    plate = {
        "name": "p",
        "rows": [{"name": name} for name in "ABCDEFGH"],
        "columns": [{"name": str(number)} for number in range(1, 13)],
        "wells": [{"path": well, "rowIndex": 0, "columnIndex": 0} for well in _WELLS],
        "acquisitions": [{"id": 0, "name": "live"}],
    }
    _group(path, version, {"plate": plate})
    axes = [{"name": "c", "type": "channel"}, {"name": "z", "type": "space", "unit": "micrometer"}]
    axes += [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    for well in _WELLS:
        _group(
            path / well, version, {"well": {"images": [{"path": str(i), "acquisition": 0} for i in (0, 1)]}}
        )
        for image in (0, 1):
            steps = [
                {"type": "scale", "scale": [1.0, 2.0, 0.5, 0.5]},
                {"type": "translation", "translation": [0.0, 0.0, 0.0, 18.0 * image]},
            ]
            described = {
                "axes": axes,
                "datasets": [{"path": "0", "coordinateTransformations": steps}],
                "version": version,
            }
            channels = [{"label": "DAPI", "color": "0000FF"}, {"label": "GFP", "color": "00FF00"}]
            place = path / well / str(image)
            _group(place, version, {"multiscales": [described], "omero": {"channels": channels}})
            zarr.create_array(
                place / "0",
                data=np.full((2, 3, 40, 40), image + 1, np.uint16),
                chunks=(1, 1, 40, 40),
                zarr_format=3 if version == "0.5" else 2,
            )
    return path


_EXPECTED = Expected(
    "omezarr",
    "",
    ("A01", "B12"),
    4,
    ("DAPI", "GFP"),
    z=3,
    pixel_size_um=0.5,
    positions=4,
    files=(4, 1, 0),
)

TREES = (
    GoldenTree("OME-Zarr 0.4", "specification", lambda folder: _plate(folder, "0.4"), _EXPECTED),
    GoldenTree("OME-Zarr 0.5", "specification", lambda folder: _plate(folder, "0.5"), _EXPECTED),
)
