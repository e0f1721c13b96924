"""Directories of a TIFF that never end, or claim more than the file holds, are refused."""

import struct

import numpy as np
import pytest
import tifffile

from nucbatch.core.errors import UnreadableImage
from nucbatch.readers.formats import open_source
from nucbatch.readers.formats.headers import read_header
from nucbatch.readers.formats.tiff_directories import CLAIMED_RATIO, MOST_TAGS, directories_of

PIXELS = np.arange(20 * 24, dtype=np.uint8).reshape(20, 24)


def looped(path, pages, back, **options):
    """Writes a stack whose last directory links back to an earlier one."""
    planes = np.stack([PIXELS] * pages)
    tifffile.imwrite(path, planes, photometric="minisblack", metadata={"axes": "TYX"}, **options)
    with tifffile.TiffFile(path) as tiff:
        places = [page.offset for page in tiff.pages]
        form = tiff.tiff
    data = bytearray(path.read_bytes())
    last = places[-1]
    (count,) = struct.unpack_from(form.tagnoformat, data, last)
    link = last + form.tagnosize + count * form.tagsize
    struct.pack_into(form.offsetformat, data, link, places[back])
    path.write_bytes(data)
    return path


def refused(path):
    with pytest.raises(UnreadableImage) as caught:
        read_header(path)
    return str(caught.value)


@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}], ids=str)
@pytest.mark.parametrize(("pages", "back"), [(7, 2), (120, 0), (120, 110)])
def test_a_loop_of_directories_is_refused(tmp_path, pages, back, options):
    path = looped(tmp_path / "a.tif", pages, back, **options)
    wanted = f"directory {pages} links back to number {back + 1}, so that the list of pages never ends"
    assert wanted in refused(path)
    with pytest.raises(UnreadableImage, match=wanted), open_source(path):
        pass


def test_a_page_that_links_to_itself_is_read(tmp_path):
    assert read_header(looped(tmp_path / "a.tif", 1, 0)).pages == 1


def test_each_directory_is_visited_once(tmp_path):
    path = looped(tmp_path / "a.tif", 50, 20)
    with path.open("rb") as file:
        chain = directories_of(file, path.stat().st_size)
    assert len(chain.offsets) == len(set(chain.offsets)) == 50
    assert chain.back == 20


def test_a_directory_of_too_many_tags_ends_the_stack(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.stack([PIXELS] * 3), photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages[1].offset
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, place, 60_000)
    path.write_bytes(data)
    assert f"directory 2, at byte {place:,}, has 60,000 tags; the limit is {MOST_TAGS:,}" in refused(path)


def test_directories_that_share_one_large_value_are_refused(tmp_path):
    """A small file could claim terabytes, since each page reads the values of its directory."""
    value = 1 << 20
    data = bytearray(b"II*\0" + struct.pack("<I", 8 + value) + bytes(value))
    for number in range(3 * CLAIMED_RATIO):
        begin = len(data)
        data += struct.pack("<H", 1) + struct.pack("<HHII", 270, 2, value, 8)
        data += struct.pack("<I", begin + 18 if number + 1 < 3 * CLAIMED_RATIO else 0)
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    said = refused(path)
    assert f"its first {CLAIMED_RATIO + 1} directories claim " in said
    assert f"the limit is {CLAIMED_RATIO * len(data):,}" in said
    assert said.endswith("save it again from its source")


def test_pages_that_share_a_description_are_read(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for _ in range(3):
            writer.write(PIXELS, description="x" * 5000, metadata=None, subfiletype=1)
    with tifffile.TiffFile(path) as tiff:
        tags = [page.aspage().tags["ImageDescription"] for page in tiff.pages]
        begins, shared = [tag.offset for tag in tags], tags[0].valueoffset
    data = bytearray(path.read_bytes())
    for begin in begins:
        struct.pack_into("<I", data, begin + 8, shared)
    path.write_bytes(data)
    assert read_header(path).pages == 1


def test_too_many_smaller_copies_are_refused_without_reading_them(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(PIXELS, subifds=65, metadata=None)
        for _ in range(65):
            writer.write(PIXELS[::2, ::2], subfiletype=1, metadata=None)
    with (
        open_source(path) as source,
        pytest.raises(UnreadableImage, match=r"lists 65 smaller copies .* is 64"),
    ):
        source.levels()


@pytest.mark.parametrize("width", [2**32 - 16, 2**27])
@pytest.mark.parametrize("compression", ["deflate", None])
def test_a_page_wider_than_its_listed_tiles_is_refused_before_it_is_read(tmp_path, width, compression):
    """Its tiles were counted one by one before: a minute, and gigabytes."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, tile=(16, 16), compression=compression)
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags["ImageWidth"].overwrite(width, dtype=4)
    said = rf"truncated: 4 of {2 * -(-width // 16):,} strips or tiles are listed"
    with open_source(path) as source, pytest.raises(UnreadableImage, match=said):
        source.plane(0)
