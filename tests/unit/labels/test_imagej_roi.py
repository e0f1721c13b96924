"""ROIs as roifile reads and writes them, and damaged ones."""

from __future__ import annotations

import numpy as np
import pytest
import roifile

from nucbatch.core.errors import InputError
from nucbatch.labels.imagej_roi import decode, encode
from nucbatch.masks.outlines import fill, outlines_of

LABELS = np.zeros((40, 50), np.uint32)
LABELS[2:9, 3:12], LABELS[4:6, 5:7] = 5, 0  # with a hole
LABELS[20:30, 20:33], LABELS[25, 33:40] = 9, 9


@pytest.mark.parametrize("origin", [(0, 0), (40_000, 60_000)])
def test_roifile_reads_name_and_corners_anywhere_in_an_image(origin: tuple[int, int]) -> None:
    for outline in outlines_of(LABELS, origin):
        rings = [ring for part in outline.parts for ring in part]
        content = encode(rings, f"{outline.label:05d}")
        judge = roifile.ImagejRoi.frombytes(content)
        assert judge.name == f"{outline.label:05d}"
        assert judge.tobytes() == content or judge.composite
        read = judge.coordinates(multi=True) if judge.composite else [judge.coordinates()]
        read = [ring[:-1] if (ring[0] == ring[-1]).all() else ring for ring in read]
        assert all(np.array_equal(one, ring) for one, ring in zip(read, rings, strict=True))
        again = decode(content, "a.roi")
        assert again.name == judge.name
        assert all(np.array_equal(one, ring) for one, ring in zip(again.rings, rings, strict=True))


def test_rois_of_other_writers_are_read() -> None:
    corners = np.array([[3.25, 4.5], [20.75, 4.5], [12.0, 30.125]], np.float32)
    precise = roifile.ImagejRoi.frompoints(corners)
    precise.roitype = roifile.ROI_TYPE.POLYGON
    assert np.allclose(decode(precise.tobytes(), "a").rings[0], corners)
    box = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.RECT, left=3, top=2, right=12, bottom=9)
    assert fill(decode(box.tobytes(), "a").rings, LABELS.shape).sum() == 63
    oval = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.OVAL, left=10, top=10, right=30, bottom=30)
    assert fill(decode(oval.tobytes(), "a").rings, LABELS.shape).sum() == pytest.approx(np.pi * 100, rel=0.02)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no ImageJ ROI, or is cut short"),
        (b"Iout" + bytes(10), "no ImageJ ROI, or is cut short"),
        (b"junk" * 40, "no ImageJ ROI"),
        (roifile.ImagejRoi(roitype=roifile.ROI_TYPE.LINE).tobytes(), "of type line covers no area"),
        (encode([np.array([[0, 0], [4, 0], [4, 4]])], "a")[:70], "is damaged"),
        (roifile.ImagejRoi(roitype=roifile.ROI_TYPE.POLYGON).tobytes(), "0 corners"),
    ],
)
def test_what_is_no_area_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=f"^x/a.roi: .*{reason}"):
        decode(content, "x/a.roi")
