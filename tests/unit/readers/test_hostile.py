"""Malicious files are rejected, and each message has its limit."""

from __future__ import annotations

import io
import json
import os
import re
import select
import socket
import struct
import tracemalloc
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.plate import FileStatus
from nucbatch.readers.find import open_plate
from nucbatch.readers.formats.embedded_jpeg import require_fitting
from nucbatch.readers.formats.hardened_xml import MOST_XML, xml_elements
from nucbatch.readers.formats.headers import read_header
from nucbatch.readers.formats.pixel_info import (
    BOMB_BYTES,
    LARGEST_DECODED_BYTES,
    MOST_PIXELS,
    MOST_PROJECTED,
    MOST_SCANS,
)
from nucbatch.readers.formats.tiff_description import metaseries
from nucbatch.readers.pixels import read_field, read_image
from nucbatch.zarr_format import MOST_JSON_BYTES
from nucbatch.zarr_format.ome import attributes

ROOT = Path(__file__).parents[3]
GREY = np.zeros((16, 16), np.uint8)
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
BOMBS = {
    "billion laughs": f'<!DOCTYPE OME [<!ENTITY l0 "ha">{LAUGHS}]>',
    "quadratic blow-up": f'<!DOCTYPE OME [<!ENTITY l9 "{"x" * 50_000}">]>',
    "one entity": '<!DOCTYPE OME [<!ENTITY l9 "1">]>',
    "external entity": '<!DOCTYPE OME [<!ENTITY l9 SYSTEM "file:///etc/hostname">]>',
    "parameter entity": '<!DOCTYPE OME [<!ENTITY % p SYSTEM "file:///etc/hostname"> %p;]>',
    "external document type": '<!DOCTYPE OME SYSTEM "file:///etc/hostname">',
}


def refused(path: Path) -> str:
    with pytest.raises(UnreadableImage) as caught:
        read_header(path)
    return str(caught.value)


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_document_type_or_entity_in_a_tiff_quarantines_it(tmp_path, bomb):
    used = "&l9;" if "ENTITY l9" in BOMBS[bomb] else ""
    text = BOMBS[bomb] + f'<OME><Image><Pixels PhysicalSizeX="{used}"/></Image></OME>'
    tifffile.imwrite(tmp_path / "a.tif", GREY, description=text, metadata=None)
    tifffile.imwrite(tmp_path / "b.tif", GREY)
    plate = open_plate(tmp_path)
    assert [record.status for record in plate.files] == [FileStatus.QUARANTINED, FileStatus.USED]
    assert "declares a document type or entities" in plate.files[0].reason
    assert plate.files[0].reason.endswith("save it again without")


def test_metaseries_begins_with_its_own_element_or_is_not_parsed():
    inner = (
        f'<MetaData>{BOMBS["billion laughs"]}<PlaneInfo><prop id="_IllumSetting_" value="&l9;"/></PlaneInfo>'
    )
    assert metaseries(inner + "</MetaData>") == {}  # a document type stands first or nowhere
    assert metaseries(BOMBS["billion laughs"] + "<MetaData/>") == {}


def test_no_document_type_is_fetched(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/x.dtd"
        text = f'<!DOCTYPE OME SYSTEM "{address}"><OME><Pixels PhysicalSizeX="1"/></OME>'
        tifffile.imwrite(tmp_path / "a.tif", GREY, description=text, metadata=None)
        assert "DTDForbidden" in refused(tmp_path / "a.tif")
        assert select.select([server], [], [], 0)[0] == []


def test_xml_beyond_the_size_limit_is_not_parsed():
    with pytest.raises(UnreadableImage, match=rf"the limit is {MOST_XML:,}: save it again without"):
        xml_elements("<OME>" + " " * MOST_XML)


SWELLING = {
    "elements": (lambda: "<OME>" + "<a/>" * 6_000_000 + "</OME>", "more elements; the limit is 1,000,000"),
    "depth": (lambda: "<a>" * 8_000_000, "more elements inside one another; the limit is 200"),
    "closed": (lambda: "<a>" * 50_000 + "</a>" * 50_000, "more elements inside one another"),
    "attributes": (
        lambda: "<a>" + "<b c='' d='' e='' f='' g='' h=''/>" * 900_000 + "</a>",
        "more attributes; the limit is 5,000,000",
    ),
    "one element": (
        lambda: "<a " + " ".join(f"b{n}=''" for n in range(2_000_000)) + "/>",
        "an element or a comment of more bytes; the limit is 1,048,576",
    ),
    "one value": (lambda: f"<a b='{'x' * 3_000_000}'/>", "an element or a comment of more bytes"),
    "names": (
        lambda: "<a>" + "".join(f"<b{n}/>" for n in range(20_000)) + "</a>",
        "more different names; the limit is 10,000",
    ),
}


@pytest.mark.parametrize("kind", SWELLING)
def test_xml_beyond_a_limit_is_rejected(kind):
    make, what = SWELLING[kind]
    with pytest.raises(UnreadableImage, match=what):
        xml_elements(make())


@pytest.mark.parametrize("kind", ["one element", "names", "depth"])
def test_xml_bombs_are_rejected_with_little_memory(kind):
    text = SWELLING[kind][0]()
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableImage):
            xml_elements(text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * len(text) + 2**25


def test_a_long_valid_description_is_read():
    plane = '<TiffData IFD="{n}" FirstZ="{n}"><UUID FileName="a.tif">urn:uuid:{n}</UUID></TiffData>'
    notes = f"<!-- {'x' * 500_000} --><Note>{'y' * 5_000_000}</Note>"
    text = "<OME>" + notes + "".join(plane.format(n=n) for n in range(1000)) + "</OME>"
    found = xml_elements(text)
    assert len(found) == 2001
    assert found[-1] == ("UUID", {"FileName": "a.tif", "": "urn:uuid:999"})


def test_ome_xml_never_opens_another_file(tmp_path):
    tifffile.imwrite(tmp_path / "secret.tif", np.full((16, 16), 9, np.uint8))
    plane = '<TiffData IFD="0" FirstZ="{z}"><UUID FileName="{name}">urn:uuid:0</UUID></TiffData>'
    text = (
        '<OME><Image><Pixels DimensionOrder="XYZCT" SizeT="1" SizeC="1" SizeZ="2" Type="uint8">'
        + plane.format(z=0, name="a.tif")
        + plane.format(z=1, name="../secret.tif")
        + "</Pixels></Image></OME>"
    )
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in/a.tif", np.zeros((2, 16, 16), np.uint8), description=text, metadata=None)
    assert "promise 2 planes, 1 is there: ../secret.tif not beside it" in refused(tmp_path / "in/a.tif")


def test_only_the_hardened_parser_parses_xml():
    parsing = re.compile(
        r"^\s*(?:from|import)\s+(?:xml\.(?!sax\.saxutils)|lxml|defusedxml)\S*.*$", re.MULTILINE
    )
    found = {
        path.relative_to(ROOT).as_posix(): [line.strip() for line in parsing.findall(path.read_text("utf-8"))]
        for path in (ROOT / "nucbatch").rglob("*.py")
        if parsing.search(path.read_text("utf-8"))
    }
    hardened = [
        "from defusedxml import DefusedXmlException",
        "from defusedxml.ElementTree import DefusedXMLParser, ParseError",
    ]
    assert found == {
        "nucbatch/readers/formats/hardened_xml.py": hardened,
        "nucbatch/readers/formats/xml_stream.py": hardened,
    }


def overwritten(path: Path, **tags: int) -> Path:
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for tag, value in tags.items():
            tiff.pages[0].tags[tag].overwrite(value, dtype="I")
    return path


def test_a_tiff_that_promises_too_many_pixels_is_rejected(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY, compression="deflate")
    overwritten(tmp_path / "a.tif", ImageWidth=2**15, ImageLength=2**15, RowsPerStrip=2**15)
    said = refused(tmp_path / "a.tif")
    assert said.startswith("damaged header (promises 1,073,741,824 bytes of pixels from ")
    assert f"the limit is {BOMB_BYTES:,}" in said
    assert said.endswith("save it again from its source")


def test_huge_tiles_are_rejected(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY, tile=(16, 16), compression="deflate")
    overwritten(tmp_path / "a.tif", TileWidth=2**16, TileLength=2**15)
    said = refused(tmp_path / "a.tif")
    assert said.startswith("tiles of 32,768 × 65,536 px take 2,147,483,648 bytes each once decoded")
    assert f"the limit is {LARGEST_DECODED_BYTES:,}" in said


def test_a_strip_that_decodes_to_too_many_bytes_is_rejected(tmp_path):
    bomb = zlib.compress(bytes(1 << 28), 9)  # 256 MiB out of 260 kB, where 256 bytes are declared
    tifffile.imwrite(tmp_path / "a.tif", GREY, compression="deflate")
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data + bomb)
    overwritten(tmp_path / "a.tif", StripOffsets=len(data), StripByteCounts=len(bomb))
    script = (
        "import resource, sys\n"
        "from nucbatch.core.errors import UnreadableImage\n"
        "from nucbatch.readers.pixels import read_image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    read_image(sys.argv[1])\nexcept UnreadableImage:\n    pass\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    assert int(run_python(script, tmp_path / "a.tif")) < 64


@pytest.mark.parametrize("codec", ["jpeg", "jpeg2000"])
def test_a_picture_larger_than_its_tile_is_rejected(tmp_path, codec):
    if codec == "jpeg":
        picture = bytearray(imagecodecs.jpeg8_encode(GREY))
        place = next(m.start() for m in re.finditer(rb"\xff[\xc0-\xc2]\x00", picture))
        picture[place + 5 : place + 9] = struct.pack(">HH", 65_500, 65_500)
        said = "65,500 × 65,500"
    else:
        picture = bytearray(imagecodecs.jpeg2k_encode(GREY, codecformat="j2k"))
        place = picture.find(b"\xff\x4f\xff\x51")
        picture[place + 8 : place + 16] = struct.pack(">II", 1 << 20, 1 << 20)
        said = "1,048,576 × 1,048,576"
    tifffile.imwrite(tmp_path / "a.tif", GREY, tile=(16, 16), compression=codec)
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data + bytes(picture))
    overwritten(tmp_path / "a.tif", TileOffsets=len(data), TileByteCounts=len(picture))
    with pytest.raises(UnreadableImage, match=rf"16 × 16 px holds a picture of {said} px; the limit is"):
        read_image(tmp_path / "a.tif")


def test_pngs_and_jpegs_that_promise_too_many_pixels_are_rejected(tmp_path):
    png = bytearray(imagecodecs.png_encode(GREY))
    png[16:24] = struct.pack(">II", 1 << 20, 1 << 20)
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    (tmp_path / "a.png").write_bytes(png)
    assert "the limit is" in refused(tmp_path / "a.png")
    jpeg = bytearray(imagecodecs.jpeg8_encode(GREY))
    place = next(match.start() for match in re.finditer(rb"\xff[\xc0-\xc2]\x00", jpeg))
    jpeg[place + 5 : place + 9] = struct.pack(">HH", 65_500, 65_500)
    (tmp_path / "a.jpg").write_bytes(jpeg)
    assert "the limit is" in refused(tmp_path / "a.jpg")


def test_a_z_stack_with_too_many_steps_is_rejected(tmp_path):
    frames = np.zeros((MOST_PROJECTED + 1, 4, 4), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", frames, imagej=True, metadata={"axes": "ZYX"})
    assert refused(tmp_path / "a.tif").startswith(
        f"{MOST_PROJECTED + 1:,} z-steps of one field; the limit is {MOST_PROJECTED:,}"
    )


def zarr_image(path: Path, shape: tuple[int, ...] = (64, 64), chunks: tuple[int, ...] = (64, 64)) -> Path:
    group = zarr.open_group(path, mode="w")
    array = group.create_array("0", shape=shape, chunks=chunks, dtype="uint16", fill_value=0)
    array[:64, :64] = 7
    scale = {"type": "scale", "scale": [1.0, 1.0]}
    axes = [{"name": axis, "type": "space"} for axis in "yx"]
    datasets = [{"path": "0", "coordinateTransformations": [scale]}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    return path


def changed_array(path: Path, **changes: object) -> Path:
    document = json.loads((path / "0/zarr.json").read_text())
    for key, value in changes.items():
        document[key] = value
    (path / "0/zarr.json").write_text(json.dumps(document))
    return path


def unreadable(path: Path) -> str:
    """Why the one field of an OME-Zarr can't be read, by its header or by its pixels."""
    plate = open_plate(path)
    (field,) = plate.fields
    if field.problem:
        return field.problem
    with pytest.raises(UnreadableImage) as caught:
        read_field(plate.root, field, plate.channels)
    return str(caught.value)


def test_a_huge_zarr_array_is_rejected(tmp_path):
    path = changed_array(zarr_image(tmp_path / "a.zarr"), shape=[1 << 40, 1 << 40])
    assert f"the limit is {MOST_PIXELS:,} px in all" in unreadable(path)
    almost = changed_array(zarr_image(tmp_path / "b.zarr"), shape=[64, 1 << 33])  # one chunk of 134 million
    assert "damaged header (promises 1,099,511,627,776 bytes of pixels from 8,192 of file" in unreadable(
        almost
    )


@pytest.mark.parametrize("side", [1 << 15, 1 << 40])
def test_huge_zarr_chunks_are_rejected(tmp_path, side):
    grid = {"name": "regular", "configuration": {"chunk_shape": [side, side]}}
    said = unreadable(changed_array(zarr_image(tmp_path / "a.zarr"), chunk_grid=grid))
    assert f"chunks of {side:,} × {side:,} take {side * side * 2:,} bytes each once decoded" in said
    assert f"the limit is {LARGEST_DECODED_BYTES:,}" in said


def test_tiny_zarr_chunks_are_rejected(tmp_path):
    grid = {"name": "regular", "configuration": {"chunk_shape": [1, 1]}}
    path = zarr_image(tmp_path / "a.zarr", (1024, 1024))
    assert "chunks of 1 × 1 make 1,048,576 pieces of one plane; the limit" in unreadable(
        changed_array(path, chunk_grid=grid)
    )


def test_zarr_chunks_that_are_links_or_pipes_are_rejected(tmp_path):
    path = zarr_image(tmp_path / "a.zarr")
    chunk = path / "0/c/0/0"
    (tmp_path / "secret").write_bytes(chunk.read_bytes())
    chunk.unlink()
    chunk.symlink_to(tmp_path / "secret")
    assert "its c/0/0 is a link that leads out of it: copy the file" in unreadable(path)
    chunk.unlink()
    os.mkfifo(chunk)
    assert "its c/0/0 is no regular file" in unreadable(path)


def test_huge_metadata_and_lone_surrogates_are_rejected(tmp_path):
    path = zarr_image(tmp_path / "a.zarr")
    whole = (path / "zarr.json").read_text()
    (path / "zarr.json").write_text(whole.replace('"0.5"', '"\\ud800"'))
    with pytest.raises(UnreadableImage, match="its metadata are damaged"):
        attributes(path)
    with (path / "zarr.json").open("r+b") as file:
        file.truncate(MOST_JSON_BYTES + 1)  # a hole: it takes no room
    with pytest.raises(UnreadableImage, match=rf"more than the limit of {MOST_JSON_BYTES:,}"):
        attributes(path)


def run_python(script: str, *arguments: object) -> str:
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return done.stdout


def progressive(scans: int, components: int = 1) -> bytes:
    """A progressive JPEG of 16 × 16 px with its last scan again and again, as no writer makes it."""
    picture = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3)[: 2 + (components > 1)], dtype=np.uint8)
    Image.fromarray(pixels).save(picture, "JPEG", progressive=True)
    data = picture.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + (data[last:-2]) * (scans - data.count(b"\xff\xda") + 1) + data[-2:]


@pytest.mark.parametrize("components", [1, 3])
def test_a_jpeg_of_too_many_scans_is_rejected_before_decoding(tmp_path, components):
    for scans in (MOST_SCANS, MOST_SCANS + 1, 2000):
        (tmp_path / "a.jpg").write_bytes(progressive(scans, components))
        if scans > MOST_SCANS:
            assert f"a JPEG of more than {MOST_SCANS} scans" in refused(tmp_path / "a.jpg")
        else:
            assert read_header(tmp_path / "a.jpg").samples == components


def test_a_jpeg_tile_of_too_many_scans_is_rejected():
    with pytest.raises(UnreadableImage, match=f"a JPEG of more than {MOST_SCANS} scans"):
        require_fitting(7, progressive(2000), 16, 16)
    require_fitting(7, progressive(20), 16, 16)
