"""Zarr arrays on disk have the bytes that zarr writes."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
import zarr
from zarr.codecs import BloscCodec, ZstdCodec

from nucbatch.core.errors import InputError, StoreError
from nucbatch.core.tiles import Box
from nucbatch.store.chunks import Array, chunk_px, chunks_in_file
from nucbatch.store.shards import Codec


def write_array(path: Path, pixels: np.ndarray, codec: Codec, names: tuple[str, ...]) -> None:
    array = Array.of_image(path, pixels.shape, pixels.dtype, codec, names)
    array.describe()
    array.write(pixels)


def _picture(shape: tuple[int, ...], dtype: str) -> npt.NDArray[Any]:
    rng = np.random.default_rng(0)
    return (rng.random(shape) * 200).astype(dtype)


def _files(path: Path) -> dict[str, bytes]:
    return {
        found.relative_to(path).as_posix(): found.read_bytes() for found in path.rglob("*") if found.is_file()
    }


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32", "float64", ">u2"])
@pytest.mark.parametrize(
    ("shape", "codec"),
    [
        ((1, 1088, 500), "image"),
        ((33, 1), "labels"),
        ((2, 60, 70), "image"),
        ((5, 1100, 50), "image"),
        ((3, 1100, 1200), "image"),
        ((2, 30, 2200), "image"),
        ((1200, 1100), "labels"),
    ],
)
def test_every_file_is_the_one_zarr_writes(
    shape: tuple[int, ...], codec: Codec, dtype: str, tmp_path: Path
) -> None:
    picture = _picture(shape, dtype)
    if 1100 in shape:  # one of several chunks is blank
        picture[*(0,) * (picture.ndim - 2), : chunk_px(shape[-2]), : chunk_px(shape[-1])] = 0
    names = ("c", "y", "x")[-len(shape) :]
    write_array(tmp_path / "ours", picture, codec, names)
    chunks = (*(1,) * (len(shape) - 2), chunk_px(shape[-2]), chunk_px(shape[-1]))
    in_file = (chunks_in_file(side) for side in shape[-2:])
    shards = (*shape[:-2], *(count * side for count, side in zip(in_file, chunks[-2:], strict=True)))
    shuffle: Literal["shuffle", "bitshuffle"] = "bitshuffle" if dtype == "uint8" else "shuffle"
    blosc = BloscCodec(cname="zstd", clevel=1, shuffle=shuffle, blocksize=2**20)
    theirs = zarr.create_array(
        store=tmp_path / "theirs",
        shape=shape,
        chunks=chunks,
        shards=None if shards == chunks else shards,
        dtype=np.dtype(dtype).newbyteorder("<"),
        filters=[],
        compressors=[blosc if codec == "image" else ZstdCodec(checksum=True)],
        dimension_names=names,
        chunk_key_encoding={"name": "default", "separator": "/" if 2200 in shape else "."},
    )
    theirs[...] = picture
    assert _files(tmp_path / "ours") == _files(tmp_path / "theirs")
    assert (zarr.open_array(tmp_path / "ours", mode="r")[...] == picture).all()
    box = Box(3, 0, shape[-2] - 1, shape[-1])
    read = Array.of_image(tmp_path / "theirs", shape, dtype, codec, names).read(box)
    assert read.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(read, picture[..., *box.slices])


def test_chunks_of_zeros_are_left_out_and_removed_when_written_again(tmp_path: Path) -> None:
    labels = np.zeros((40, 2500), np.uint32)
    labels[0, 0] = 5
    write_array(tmp_path / "a", labels, "labels", ("y", "x"))
    assert sorted(_files(tmp_path / "a")) == ["c/0/0", "zarr.json"]
    moved = np.roll(labels, 1000, axis=1)
    write_array(tmp_path / "a", moved, "labels", ("y", "x"))
    assert sorted(_files(tmp_path / "a")) == ["c/0/1", "zarr.json"]
    assert (zarr.open_array(tmp_path / "a", mode="r")[...] == moved).all()


def test_a_cameras_field_is_one_file_per_level(tmp_path: Path) -> None:
    for channels, side in ((1, 2160), (5, 2160), (5, 1080)):
        array = Array.of_image(tmp_path, (channels, side, side), np.uint16, "image", ("c", "y", "x"))
        assert len(array.files(Box(0, 0, side, side))) == 1
    large = Array.of_image(tmp_path, (5, 4000, 3000), np.uint16, "image", ("c", "y", "x"))
    assert len(large.files(Box(0, 0, 4000, 3000))) == 4 * 3


def test_a_single_channel_can_be_read(tmp_path: Path) -> None:
    picture = _picture((3, 1200, 80), "uint16")
    picture[1] = 0
    write_array(tmp_path / "a", picture, "image", ("c", "y", "x"))
    array = Array.of_image(tmp_path / "a", picture.shape, picture.dtype, "image", ("c", "y", "x"))
    box = Box(590, 3, 640, 80)
    for channel in range(3):
        expected = picture[channel : channel + 1, *box.slices]
        np.testing.assert_array_equal(array.read(box, channel), expected, strict=True)


def test_a_strided_view_is_written_correctly(tmp_path: Path) -> None:
    picture = _picture((1, 50, 60), "uint16")[:, ::3, ::-2]
    write_array(tmp_path / "a", picture, "image", ("c", "y", "x"))
    assert (zarr.open_array(tmp_path / "a", mode="r")[...] == picture).all()


@pytest.mark.parametrize(
    ("length", "chunk"),
    [(1, 1), (640, 640), (1080, 1080), (1089, 560), (2160, 1088), (2177, 736), (100_000, 1024)],
)
def test_chunks_are_even_and_few(length: int, chunk: int) -> None:
    assert chunk_px(length) == chunk
    assert chunk * (-(-length // chunk) - 1) < length


def test_a_path_that_cannot_be_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    with pytest.raises(StoreError, match="can't be written"):
        write_array(tmp_path / "a" / "0", np.ones((2, 2), np.uint8), "labels", ("y", "x"))


def test_boxes_can_be_written_in_any_order(tmp_path: Path) -> None:
    picture = np.random.default_rng(4).integers(0, 9, (2, 2300, 2200)).astype(np.uint16)
    write_array(tmp_path / "whole", picture, "image", ("c", "y", "x"))
    array = Array.of_image(tmp_path / "parts", picture.shape, picture.dtype, "image", ("c", "y", "x"))
    array.describe()
    down, across = array.file_px
    for top in (2 * down, 0, down):
        for left in (across, 0, 2 * across):
            array.write(picture[:, top : top + down, left : left + across], (top, left))
    whole, parts = (
        {file.relative_to(top): file.read_bytes() for file in top.rglob("*") if file.is_file()}
        for top in (tmp_path / "whole", tmp_path / "parts")
    )
    assert whole == parts
    box = Box(690, 700, 1590, 760)
    np.testing.assert_array_equal(array.read(box), picture[:, *box.slices])
    assert len(array.files(box)) == 3 * 2


def test_maps_of_a_box_are_read_together_and_missing_chunks_are_zero(tmp_path: Path) -> None:
    maps = np.random.default_rng(5).integers(0, 9, (4, 70, 90)).astype(np.uint8)
    maps[:, :32, 32:64] = 0
    array = Array(tmp_path / "a", maps.shape, "uint8", "maps", ("map", "y", "x"), (32, 32), together=True)
    array.write(maps)
    assert not array.files(Box(0, 32, 32, 64))[0].exists()
    for box in (Box(0, 0, 70, 90), Box(10, 20, 69, 65), Box(5, 33, 6, 34), Box(0, 32, 32, 64)):
        np.testing.assert_array_equal(array.read(box), maps[:, *box.slices], strict=True)


@pytest.mark.parametrize("codec", ["image", "labels", "maps"])
@pytest.mark.parametrize("random", [True, False])
def test_a_truncated_or_wrong_chunk_is_an_error(random: bool, codec: Codec, tmp_path: Path) -> None:
    pixels = np.ones((40, 60), np.uint8)
    if random:
        pixels = np.random.default_rng(6).integers(0, 255, (40, 60)).astype(np.uint8)
    write_array(tmp_path / "a", pixels, codec, ("y", "x"))
    write_array(tmp_path / "smaller", pixels[:20], codec, ("y", "x"))
    array = Array.of_image(tmp_path / "a", pixels.shape, pixels.dtype, codec, ("y", "x"))
    whole, smaller = ((tmp_path / name / "c.0.0").read_bytes() for name in ("a", "smaller"))
    _require_error(array, whole[:-1], whole[:10], b"", smaller)
    np.testing.assert_array_equal(array.read(Box(0, 0, 40, 60)), pixels)


def test_a_truncated_or_wrong_shard_is_an_error(tmp_path: Path) -> None:
    pixels = _picture((2, 40, 60), "uint8")
    names = ("c", "y", "x")
    write_array(tmp_path / "a", pixels, "image", names)
    write_array(tmp_path / "smaller", pixels[:, :20], "image", names)
    write_array(tmp_path / "more", np.concatenate([pixels, pixels]), "image", names)
    array = Array.of_image(tmp_path / "a", pixels.shape, pixels.dtype, "image", names)
    whole, *others = ((tmp_path / name / "c.0.0.0").read_bytes() for name in ("a", "smaller", "more"))
    _require_error(array, whole[:-1], whole[:10], b"", whole[5:], whole[:100] + whole[-36:], *others)
    np.testing.assert_array_equal(array.read(Box(0, 0, 40, 60)), pixels)


def _require_error(array: Array, *damages: bytes) -> None:
    """Puts each in the place of the array's only file, which is as it was in the end."""
    (file,) = array.files(Box(0, 0, *array.shape[-2:]))
    whole = file.read_bytes()
    for damaged in damages:
        file.write_bytes(damaged)
        with pytest.raises(StoreError, match=rf"{file.name} can't be read .* Run the same command again"):
            array.read(Box(0, 0, 1, 1))
    file.write_bytes(whole)


def test_pixels_not_aligned_to_files_are_rejected(tmp_path: Path) -> None:
    array = Array.of_image(tmp_path / "a", (2200, 1500), np.uint8, "labels", ("y", "x"))
    with pytest.raises(InputError, match="are not aligned to files of"):
        array.write(np.ones((100, 100), np.uint8), (0, 0))
    with pytest.raises(InputError, match="are not aligned to files of"):
        array.write(np.ones((100, 100), np.uint8), (5, 0))
