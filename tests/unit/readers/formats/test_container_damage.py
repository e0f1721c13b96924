"""Containers that are not complete are refused: what is missing is neither zeros nor a smaller file."""

import numpy as np
import pytest
from write_czi import write_czi
from write_lif import write_lif
from write_nd2 import write_nd2

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.tiles import Box
from nucbatch.readers.formats import open_source
from nucbatch.readers.formats.headers import read_header
from nucbatch.readers.formats.installed import container_formats


def refused(path) -> str:
    with pytest.raises(UnreadableImage) as caught:
        container_formats()[path.suffix].series(path)
    return str(caught.value)


def test_frames_that_are_not_there_are_not_zeros(tmp_path):
    write_nd2(tmp_path / "a.nd2", times=4, without=[2])
    assert refused(tmp_path / "a.nd2") == "its metadata promise 4 planes, 3 are there"


def test_a_frame_whose_bytes_are_elsewhere_is_found(tmp_path):
    write_nd2(tmp_path / "a.nd2", times=2)
    data = (tmp_path / "a.nd2").read_bytes()
    at = data.index(b"ImageDataSeq|1!")
    (tmp_path / "a.nd2").write_bytes(data[:at] + b"ImageDataSeq|7!" + data[at + 15 :])
    assert "ImageDataSeq|1 should lie at byte" in refused(tmp_path / "a.nd2")


@pytest.mark.parametrize("without", [[0], [3]])
def test_subblocks_that_are_not_there_are_not_zeros(tmp_path, without):
    write_czi(tmp_path / "a.czi", times=2, without=without)
    assert refused(tmp_path / "a.czi").startswith("incomplete: 3 of the 4 planes")


def test_time_points_that_the_metadata_promise_must_be_there(tmp_path):
    write_czi(tmp_path / "a.czi", times=2, promised_times=5)
    assert refused(tmp_path / "a.czi") == "incomplete: its metadata promise 5 time points, 2 are there"


def test_a_repaired_file_is_refused(tmp_path):
    """The library finds misplaced subblocks again, and warns; other programs read wrong pixels."""
    write_czi(tmp_path / "a.czi", codec="raw", times=2)
    data = bytearray((tmp_path / "a.czi").read_bytes())
    at = data.index(b"ZISRAWSUBBLOCK")
    data[at : at + 4] = b"XXXX"
    (tmp_path / "a.czi").write_bytes(data)
    with pytest.raises(UnreadableImage, match="subblocks"):
        read_header(tmp_path / "a.czi")


def test_pixels_that_a_truncated_lif_has_lost_are_missed(tmp_path):
    write_lif(tmp_path / "a.lif", names=["S1", "S2", "S3"])
    data = (tmp_path / "a.lif").read_bytes()
    size = 2 * 2 * 48 * 64
    for cut in (len(data) - 1, len(data) - size - 10, len(data) - 2 * size):
        (tmp_path / "a.lif").write_bytes(data[:cut])
        assert refused(tmp_path / "a.lif").startswith("truncated")


@pytest.mark.parametrize("kind", ["czi", "lif", "nd2"])
def test_damaged_pictures_in_colour_are_refused_or_differ_in_values_alone(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    write = {
        "czi": lambda: write_czi(path, channels=["TL"], coloured="BGR"),
        "lif": lambda: write_lif(path, coloured="BGR", row_pad=1),
        "nd2": lambda: write_nd2(path, channels=["TL"], coloured=True),
    }
    write[kind]()
    data = path.read_bytes()
    box = Box(0, 0, 48, 64)
    for cut in np.linspace(0, len(data) - 2, 8).astype(int).tolist():
        path.write_bytes(data[:cut])
        with pytest.raises(UnreadableImage), open_source(path) as source:
            source.plane(0).read(box)
    for place in np.linspace(600, len(data) - 1, 16).astype(int).tolist():
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        try:
            with open_source(path) as source:
                pixels = source.plane(0).read(box)
        except UnreadableImage:
            continue
        assert pixels.shape == (48, 64, 3)


@pytest.mark.parametrize("kind", ["czi", "lif", "nd2"])
def test_entities_in_the_metadata_are_refused(tmp_path, kind):
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><ImageDocument>&b;</ImageDocument>'
    path = tmp_path / f"a.{kind}"
    if kind == "czi":
        write_czi(path, xml=bomb)
    elif kind == "nd2":
        write_nd2(path)
        data = path.read_bytes()
        at = data.index(b"<variant>")
        path.write_bytes(data[:at] + bomb.encode() + data[at + len(bomb) :])
    else:
        write_lif(path)
        data = path.read_bytes()
        text = bomb.encode("utf-16-le")
        path.write_bytes(data[:9] + len(bomb).to_bytes(4, "little") + text + data[13 + len(text) :])
    assert "document type" in refused(path)
