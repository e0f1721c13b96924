"""Open containers are kept for the next reader: a few, and none that changed or failed."""

import os

import numpy as np
import pytest
from container_pixels import plane
from write_czi import write_czi
from write_nd2 import write_nd2

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.tiles import Box
from nucbatch.readers.formats import open_source
from nucbatch.readers.formats.container import ContainerSource
from nucbatch.readers.formats.idle_files import MOST_IDLE, _idle, close_idle

BOX = Box(0, 0, 48, 64)


@pytest.fixture(autouse=True)
def none_idle():
    close_idle()
    yield
    close_idle()


def first(path):
    with open_source(path) as source:
        assert isinstance(source, ContainerSource)
        return source.planes, source.plane().read(BOX)


def test_a_file_is_opened_once_for_readers_in_turn_and_twice_for_two_at_once(tmp_path):
    write_nd2(tmp_path / "a.nd2")
    one, _ = first(tmp_path / "a.nd2")
    assert first(tmp_path / "a.nd2")[0] is one
    with open_source(tmp_path / "a.nd2") as source:
        assert source.planes is one
        assert first(tmp_path / "a.nd2")[0] is not one


def test_a_changed_file_is_opened_anew(tmp_path):
    write_czi(tmp_path / "a.czi")
    one, _ = first(tmp_path / "a.czi")
    write_czi(tmp_path / "a.czi", channels=["DAPI"])
    os.utime(tmp_path / "a.czi", ns=(1, 1))
    other, pixels = first(tmp_path / "a.czi")
    assert other is not one
    np.testing.assert_array_equal(pixels, plane())


def test_few_files_stay_open(tmp_path):
    for number in range(MOST_IDLE + 2):
        write_nd2(tmp_path / f"{number}.nd2")
        first(tmp_path / f"{number}.nd2")
    assert [key[1][-5:] for key, _ in _idle] == [f"{number}.nd2" for number in range(2, MOST_IDLE + 2)]


def test_a_file_that_failed_is_closed(tmp_path):
    write_czi(tmp_path / "a.czi", codec="zstd0")
    data = bytearray((tmp_path / "a.czi").read_bytes())
    at = data.index(b"\x28\xb5\x2f\xfd")  # zstd's first bytes
    data[at : at + 4] = bytes(4)
    (tmp_path / "a.czi").write_bytes(data)
    with pytest.raises(UnreadableImage):
        first(tmp_path / "a.czi")
    assert not _idle
