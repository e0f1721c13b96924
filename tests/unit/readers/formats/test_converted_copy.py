"""Images that are slow to read by box are converted once, in bounded memory."""

import tracemalloc

import imagecodecs
import numpy as np
import pytest
import tifffile

from nucbatch.core.errors import MemoryRefused, UnreadableImage
from nucbatch.readers.formats import convert_once, open_plane, plane_reader, whole

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 4000, (1100, 700)).astype(np.uint16)
RGB = RNG.integers(0, 256, (1100, 700, 3)).astype(np.uint8)


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch):
    """Images of a test's size count as too large for windows."""
    monkeypatch.setattr(plane_reader, "LARGEST_PIECE_BYTES", 100_000)


def silent(sentence: str, done: int, total: int) -> None:
    pass


def write(path, pixels, **options):
    tifffile.imwrite(path, pixels, **{"rowsperstrip": len(pixels), **options})
    return path


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        (GREY, {"compression": "deflate"}),
        (GREY, {"compression": "deflate", "predictor": True}),
        (GREY, {"compression": "deflate", "predictor": True, "byteorder": ">"}),
        (GREY, {"compression": "packbits"}),
        (GREY[:600], {"compression": "lzma", "predictor": True}),
        (GREY, {"compression": "deflate", "rowsperstrip": 600}),
        (GREY, {"compression": "lzw", "predictor": True}),
        (GREY, {"compression": "zstd"}),
        (GREY.astype(np.float32), {"compression": "deflate", "predictor": 3}),
        (RGB, {"compression": "deflate", "predictor": True, "photometric": "rgb"}),
        (RGB, {"compression": "lzw", "photometric": "rgb"}),
    ],
)
def test_the_copy_reads_by_box_and_is_equal(tmp_path, pixels, options):
    path = write(tmp_path / "a.tif", pixels, **options)
    copy = convert_once(path, tmp_path / "copies", silent)
    with tifffile.TiffFile(copy) as tiff:
        assert tiff.is_bigtiff
        assert tiff.pages[0].tile == (512, 512)
    with open_plane(copy) as window:
        assert (window.shape, window.dtype) == (pixels.shape, pixels.dtype)
        np.testing.assert_array_equal(window.read(whole(window)), pixels)


def test_separate_planes_white_is_zero_and_packed_bits(tmp_path):
    stored = np.moveaxis(RGB, -1, 0)
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, stored, photometric="rgb", planarconfig="separate", compression="deflate", rowsperstrip=1100
    )
    with open_plane(convert_once(path, tmp_path, silent)) as window:
        np.testing.assert_array_equal(window.read(whole(window)), RGB)
    path = write(tmp_path / "b.tif", GREY, photometric="miniswhite", compression="deflate")
    with open_plane(convert_once(path, tmp_path, silent)) as window:
        np.testing.assert_array_equal(window.read(whole(window)), 65535 - GREY)
    path = write(tmp_path / "c.tif", GREY, bitspersample=12)
    with open_plane(convert_once(path, tmp_path, silent)) as window:
        np.testing.assert_array_equal(window.read(whole(window)), GREY)


def test_pngs_are_converted_too(tmp_path):
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(RGB))
    with open_plane(convert_once(tmp_path / "a.png", tmp_path, silent)) as window:
        np.testing.assert_array_equal(window.read(whole(window)), RGB)


def test_conversion_reports_progress_and_runs_once(tmp_path):
    path = write(tmp_path / "a.tif", GREY, compression="deflate")
    progress: list[tuple[str, int, int]] = []
    copy = convert_once(path, tmp_path / "copies", lambda *news: progress.append(news))
    assert [(done, total) for _, done, total in progress] == [
        (0, 1100),
        (512, 1100),
        (1024, 1100),
        (1100, 1100),
    ]
    assert progress[0][0] == (
        "a.tif: its 1,100 × 700 px are compressed in pieces of 1.5 MiB, too large to be read by box; "
        f"it is converted once to {copy}."
    )
    progress.clear()
    assert convert_once(path, tmp_path / "copies", lambda *news: progress.append(news)) == copy
    assert progress == []
    write(path, GREY[:900], compression="deflate")
    assert convert_once(path, tmp_path / "copies", silent) != copy


def test_memory_does_not_grow_with_the_image(tmp_path):
    """Peaks of Python's and NumPy's allocations, for 8 and for 32 bands of rows."""
    peaks = []
    for rows in (4096, 16384):
        pixels = np.zeros((rows, 512), np.uint16)
        pixels[:, ::3] = RNG.integers(0, 9, (rows, 171))
        path = write(tmp_path / f"{rows}.tif", pixels, compression="deflate")
        tracemalloc.start()
        convert_once(path, tmp_path / "copies", silent)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 0.1 * (16384 - 4096) * 512 * 2


def test_an_image_too_large_to_decode_is_rejected_with_the_numbers(tmp_path):
    path = write(tmp_path / "a.tif", GREY, compression="lzw")
    with pytest.raises(
        MemoryRefused, match=r"a\.tif is compressed in one .* 2.9 MiB, and 2.0 MiB are allowed"
    ):
        convert_once(path, tmp_path / "copies", silent, memory_bytes=2 << 20)
    assert not (tmp_path / "copies").exists()


def test_a_truncated_strip_leaves_no_copy(tmp_path):
    path = write(tmp_path / "a.tif", GREY, compression="deflate")
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        count = tiff.pages[0].tags["StripByteCounts"]
        count.overwrite(count.value[0] // 2)
    with pytest.raises(UnreadableImage, match=r"a\.tif: truncated: strip 1 ends after \d+ of 1,100 rows"):
        convert_once(path, tmp_path / "copies", silent)
    assert list((tmp_path / "copies").iterdir()) == []
