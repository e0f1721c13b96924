"""Zarr arrays of all codecs are read as zarr reads them; damaged ones are rejected."""

import json
import pickle
import zlib

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import (
    BloscCodec,
    BytesCodec,
    Crc32cCodec,
    GzipCodec,
    ShardingCodec,
    TransposeCodec,
    ZstdCodec,
)

from nucbatch.core.errors import UnreadableImage
from nucbatch.zarr_format import StoredArray

RNG = np.random.default_rng(0)
SHAPE, CHUNK = (3, 70, 50), (2, 32, 16)
NOISE = RNG.integers(0, 2**16, SHAPE).astype(np.uint16)

V2 = {
    "raw": {"compressors": None},
    "blosc": {"compressors": numcodecs.Blosc()},
    "blosc noshuffle": {"compressors": numcodecs.Blosc(cname="lz4", shuffle=0)},
    "zstd": {"compressors": numcodecs.Zstd()},
    "gzip": {"compressors": numcodecs.GZip()},
    "zlib": {"compressors": numcodecs.Zlib()},
    "lz4": {"compressors": numcodecs.LZ4()},
    "bz2": {"compressors": numcodecs.BZ2()},
    "lzma": {"compressors": numcodecs.LZMA()},
    "delta, shuffle": {
        "filters": [numcodecs.Delta("<u2"), numcodecs.Shuffle(2)],
        "compressors": numcodecs.LZ4(),
    },
    "fortran": {"compressors": numcodecs.Zstd(), "order": "F"},
    "nested": {"compressors": numcodecs.Zstd(), "chunk_key_encoding": {"name": "v2", "separator": "/"}},
}
V3 = {
    "raw": {"compressors": []},
    "blosc": {"compressors": BloscCodec()},
    "blosc zlib": {"compressors": BloscCodec(cname="zlib", shuffle="noshuffle")},
    "zstd": {"compressors": ZstdCodec()},
    "gzip": {"compressors": GzipCodec()},
    "zstd, crc32c": {"compressors": [ZstdCodec(), Crc32cCodec()]},
    "crc32c, gzip": {"compressors": [Crc32cCodec(), GzipCodec()]},
    "transpose": {"filters": [TransposeCodec(order=(2, 0, 1))], "compressors": []},
    "big": {"serializer": BytesCodec(endian="big"), "compressors": []},
    "dots": {"chunk_key_encoding": {"name": "default", "separator": "."}},
    "v2 names": {"chunk_key_encoding": {"name": "v2", "separator": "/"}},
    "shards": {"shards": (4, 64, 64)},
    "shards of noise": {"shards": (2, 64, 32), "compressors": BloscCodec()},
    "index at start": {
        "serializer": ShardingCodec(
            chunk_shape=(1, 16, 16), codecs=[BytesCodec(), ZstdCodec()], index_location="start"
        ),
        "compressors": [],
    },
}
CASES = [(2, name) for name in V2] + [(3, name) for name in V3]


def make(path, version, name, pixels=NOISE, **options):
    options = {"chunks": CHUNK, "fill_value": 0, **(V2 if version == 2 else V3)[name], **options}
    array = zarr.create_array(path, shape=pixels.shape, dtype=pixels.dtype, zarr_format=version, **options)
    array[...] = pixels
    return path


def chunks_of(path):
    """The array's files of chunks, the largest first."""
    found = [
        file
        for file in path.rglob("*")
        if file.is_file() and file.name not in ("zarr.json", ".zarray", ".zattrs")
    ]
    return sorted(found, key=lambda file: (-file.stat().st_size, str(file)))


def read(path):
    array = StoredArray(path)
    return array.read((0,) * len(array.form.shape), array.form.shape)[0]


def document(path):
    file = path / "zarr.json" if (path / "zarr.json").exists() else path / ".zarray"
    return file, json.loads(file.read_text())


@pytest.mark.parametrize(("version", "name"), CASES)
def test_pixels_equal_those_written(tmp_path, version, name):
    array = StoredArray(make(tmp_path / "a", version, name))
    pixels, taken = array.read((0, 0, 0), SHAPE)
    np.testing.assert_array_equal(pixels, NOISE)
    assert pixels.dtype == np.uint16
    assert taken.absent == 0
    np.testing.assert_array_equal(array.read((1, 30, 15), (3, 65, 17))[0], NOISE[1:3, 30:65, 15:17])


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int16", "int32", "uint64", "float32", "float64", ">u2", ">f4"]
)
def test_every_pixel_type(tmp_path, version, dtype):
    pixels = RNG.integers(0, 100, (40, 40)).astype(dtype)
    path = make(tmp_path / "a", version, "zstd", pixels, chunks=(16, 16))
    np.testing.assert_array_equal(read(path), pixels)


@pytest.mark.parametrize(("version", "name"), CASES)
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.97, "all but one"])
def test_a_truncated_stored_chunk_is_rejected(tmp_path, version, name, keep):
    path = make(tmp_path / "a", version, name)
    chunk = chunks_of(path)[0]
    data = chunk.read_bytes()
    chunk.write_bytes(data[: len(data) - 1 if keep == "all but one" else int(len(data) * keep)])
    with pytest.raises(UnreadableImage, match=chunk.relative_to(path).as_posix()):
        read(path)


@pytest.mark.parametrize(("version", "name"), [case for case in CASES if "raw" not in case[1]])
def test_corrupted_bytes_give_pixels_or_an_error(tmp_path, version, name):
    path = make(tmp_path / "a", version, name)
    chunk = chunks_of(path)[0]
    whole = chunk.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 12)):
        for damage in (bytes(min(64, len(whole) - place)), bytes([whole[place] ^ 0xFF])):
            chunk.write_bytes(whole[:place] + damage + whole[place + len(damage) :])
            try:
                assert read(path).shape == SHAPE
            except UnreadableImage as error:
                assert chunk.relative_to(path).as_posix() in str(error)  # noqa: PT017


@pytest.mark.parametrize(("version", "name"), [(2, "blosc"), (3, "blosc")])
def test_a_wrong_blosc_header_is_rejected(tmp_path, version, name):
    path = make(tmp_path / "a", version, name)
    chunk = chunks_of(path)[0]
    whole = chunk.read_bytes()
    for offset, value, said in [
        (12, len(whole) + 100, rf"{len(whole):,} bytes, and its Blosc header promises {len(whole) + 100:,}"),
        (4, 1 << 30, r"Blosc would make 1,073,741,824 bytes of it, not 2,048"),
        (4, 100, "error during blosc decompression"),
    ]:
        chunk.write_bytes(whole[:offset] + value.to_bytes(4, "little") + whole[offset + 4 :])
        with pytest.raises(UnreadableImage, match=said):
            read(path)


@pytest.mark.parametrize(
    ("codec", "bomb"),
    [
        ("gzip", lambda data: numcodecs.GZip(9).encode(data)),
        ("zlib", lambda data: zlib.compress(data, 9)),
        ("bz2", lambda data: numcodecs.BZ2().encode(data)),
        ("lzma", lambda data: numcodecs.LZMA().encode(data)),
        ("zstd", lambda data: numcodecs.Zstd().encode(data)),
        ("lz4", lambda data: numcodecs.LZ4().encode(data)),
    ],
)
def test_a_decompression_bomb_is_rejected(tmp_path, codec, bomb):
    path = make(tmp_path / "a", 2, codec, np.zeros((64, 64), np.uint8) + 7, chunks=(64, 64))
    data = bomb(bytes(1 << 24))
    assert len(data) < 1 << 17
    chunks_of(path)[0].write_bytes(data)
    with pytest.raises(UnreadableImage, match=r"is damaged|can't be decoded"):
        read(path)


def test_a_raw_chunk_of_another_size_is_rejected(tmp_path):
    path = make(tmp_path / "a", 3, "raw")
    chunk = chunks_of(path)[0]
    chunk.write_bytes(chunk.read_bytes() + b"\0\0")
    with pytest.raises(UnreadableImage, match=r"a chunk of 2,050 bytes, where one has at most 2,048"):
        read(path)


def test_an_index_beyond_its_shard_is_rejected(tmp_path):
    path = make(tmp_path / "a", 3, "index at start")
    file, found = document(path)
    found["codecs"][0]["configuration"]["index_codecs"].pop()  # no checksum, so that it may lie
    file.write_text(json.dumps(found))
    chunk = chunks_of(path)[0]
    whole = bytearray(chunk.read_bytes())
    del whole[8 * 16 : 8 * 16 + 4]
    size = len(whole)
    for begin, length in [(size - 10, 20), (0, 20), (2**63, 2**63), (size, 1)]:
        whole[:16] = begin.to_bytes(8, "little") + length.to_bytes(8, "little")
        chunk.write_bytes(whole)
        with pytest.raises(UnreadableImage, match="its index puts a chunk at"):
            read(path)


def test_the_checksum_of_an_index_is_verified(tmp_path):
    path = make(tmp_path / "a", 3, "shards")
    chunk = chunks_of(path)[0]
    whole = bytearray(chunk.read_bytes())
    whole[-20] ^= 1
    chunk.write_bytes(whole)
    with pytest.raises(UnreadableImage, match="the checksum of its index does not match"):
        read(path)


@pytest.mark.parametrize(
    ("version", "name"),
    [(2, "zstd"), (2, "nested"), (3, "zstd"), (3, "dots"), (3, "v2 names"), (3, "shards")],
)
def test_absent_chunks_are_filled_and_counted(tmp_path, version, name):
    path = make(tmp_path / "a", version, name, fill_value=9)
    array = StoredArray(path)
    total = 2 * 3 * 4
    assert array.count_absent() == (0, total)
    gone = sorted(chunks_of(path))[0]
    gone.unlink()
    per_file = 16 if name == "shards" else 1
    assert array.count_absent() == (per_file, total)
    pixels, taken = array.read((0, 0, 0), SHAPE)
    assert taken.absent == per_file
    assert (pixels[:2, :32, :16] == 9).all()
    np.testing.assert_array_equal(pixels, zarr.open_array(path, mode="r")[...])


def test_absent_chunks_of_a_shard_are_counted(tmp_path):
    pixels = NOISE.copy()
    pixels[:2, :32, :16] = 0
    array = StoredArray(make(tmp_path / "a", 3, "shards", pixels))
    assert array.count_absent() == (1, 24)
    found, taken = array.read((0, 0, 0), SHAPE)
    assert taken.absent == 1
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize(
    "codec", ["pickle", "json2", "msgpack2", "vlen-utf8", "categorize", "imagecodecs_jpeg2k"]
)
@pytest.mark.parametrize("where", ["compressor", "filters"])
def test_unlisted_codecs_are_rejected_by_name(tmp_path, codec, where):
    path = make(tmp_path / "a", 2, "raw")
    file, found = document(path)
    found[where] = {"id": codec} if where == "compressor" else [{"id": codec}]
    file.write_text(json.dumps(found))
    with pytest.raises(UnreadableImage, match=rf"its codec '{codec}' is not read: those that are"):
        StoredArray(path)


def test_a_pickle_is_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "HIT"), "w")

    path = make(tmp_path / "a", 2, "raw", np.zeros((4, 4), np.uint8), chunks=(4, 4), fill_value=1)
    chunks_of(path)[0].write_bytes(pickle.dumps(np.array([[Trap()]], object)))
    file, found = document(path)
    for dtype in ("|O", "|u1"):
        found |= {"dtype": dtype, "filters": [{"id": "pickle", "protocol": 5}], "fill_value": 0}
        file.write_text(json.dumps(found))
        with pytest.raises(
            UnreadableImage, match=r"pixel type \|O can't be used|its codec 'pickle' is not read"
        ):
            StoredArray(path)
    assert not (tmp_path / "HIT").exists()


@pytest.mark.parametrize(
    "dtype",
    ["|O", "<U5", "|S8", "<M8[ns]", "|V4", "<c8", [["a", "<u2"]], "3<u2", "r16", 7, {"name": "struct"}],
)
@pytest.mark.parametrize("version", [2, 3])
def test_non_numeric_pixel_types_are_rejected(tmp_path, version, dtype):
    path = make(tmp_path / "a", version, "raw")
    file, found = document(path)
    found["dtype" if version == 2 else "data_type"] = dtype
    file.write_text(json.dumps(found))
    with pytest.raises(UnreadableImage, match=r"pixel type .* can't be used: convert to one of"):
        StoredArray(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"codecs": [{"name": "numcodecs.pickle"}]}, "its codec 'numcodecs.pickle' is not read"),
        (
            {"codecs": [{"name": "bytes"}, {"name": "numcodecs.pickle"}]},
            "its codec 'numcodecs.pickle' is not",
        ),
        ({"codecs": ["vlen-utf8"]}, "its codec 'vlen-utf8' is not read"),
        ({"storage_transformers": [{"name": "x"}]}, "has storage transformers"),
        ({"surprise": {"name": "x"}}, "the field 'surprise', which is not known"),
        ({"chunk_grid": {"name": "rectangular", "configuration": {}}}, "form a 'rectangular' grid"),
        ({"node_type": "group"}, "a Zarr group instead of an array"),
        ({"fill_value": 70000}, "its fill value 70000 is none of type uint16"),
        ({"shape": [1e400, 3]}, "its metadata are damaged"),
        ({"shape": [[1], 3]}, "its metadata are damaged"),
        ({"shape": ["3", 3, 3]}, "its metadata are damaged"),
    ],
)
def test_unsupported_metadata_are_rejected(tmp_path, changes, said):
    path = make(tmp_path / "a", 3, "raw")
    file, found = document(path)
    file.write_text(json.dumps(found | changes))
    with pytest.raises(UnreadableImage, match=said):
        StoredArray(path)
