"""Golden trees of OME-TIFF sets and plates, and what tests need to write them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import tifffile

from golden import Expected, GoldenTree
from nucbatch.core.plate import Plate
from nucbatch.readers.pixels import field_channels, read_field

SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
FILES = [f"f{number}.ome.tif" for number in range(4)]
"""Names of the files of a plate of four fields."""


@dataclass(frozen=True)
class Image:
    """An image of OME metadata; ``pages`` are (file, number of its pages) in the order of its planes.

    ``unacquired``: planes without a page, which are not described. ``extra``: further attributes of
    ``Pixels``; ``inside`` it and ``before`` it: further elements.
    """

    pages: Sequence[tuple[str, int]]
    c: int = 1
    z: int = 1
    t: int = 1
    name: str = ""
    channels: Sequence[str] = ("DAPI", "GFP", "Cy5")
    first_page: int = 0
    extra: str = 'PhysicalSizeX="0.65" PhysicalSizeY="0.65"'
    inside: str = ""
    before: str = ""
    order: str = "XYZCT"
    samples: int = 1
    unacquired: Collection[int] = ()


@dataclass(frozen=True)
class Sample:
    """A field of a well: number of its image, None if it was not acquired."""

    image: int | None
    index: int | None = 0


@dataclass(frozen=True)
class Metadata:
    """OME metadata: images, and wells with their fields by (row, column) from 0."""

    images: Sequence[Image]
    wells: Mapping[tuple[int, int], Sequence[Sample]] = field(default_factory=dict)
    plate: str = 'ID="Plate:0" Name="P7" Rows="8" Columns="12"'
    in_plate: str = ""
    uuids: bool = True

    def xml(self, own: str = "") -> str:
        """Returns the OME-XML for one of the files."""
        uuid = f' UUID="urn:uuid:{own}"' if own and self.uuids else ""
        plate = f"<Plate {self.plate}>{self._wells()}{self.in_plate}</Plate>" if self.wells else ""
        images = "".join(self._image(number, image) for number, image in enumerate(self.images))
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<OME xmlns="{SCHEMA}"{uuid}>{plate}{images}</OME>'

    def _wells(self) -> str:
        text, count = "", 0
        for (row, column), samples in self.wells.items():
            text += f'<Well ID="Well:{row}:{column}" Row="{row}" Column="{column}">'
            for sample in samples:
                index = "" if sample.index is None else f' Index="{sample.index}"'
                image = "" if sample.image is None else f'<ImageRef ID="Image:{sample.image}"/>'
                text += f'<WellSample ID="WellSample:{count}"{index}>{image}</WellSample>'
                count += 1
            text += "</Well>"
        return text

    def _image(self, number: int, image: Image) -> str:
        title = f' Name="{image.name}"' if image.name else ""
        text = f'<Image ID="Image:{number}"{title}>{image.before}<Pixels ID="Pixels:{number}" Type="uint16" '
        text += f'DimensionOrder="{image.order}" SizeX="16" SizeY="16" SizeZ="{image.z}" '
        text += f'SizeC="{image.c * image.samples}" SizeT="{image.t}" {image.extra}>'
        for index in range(image.c):
            name = f' Name="{image.channels[index]}"' if image.channels else ""
            text += f'<Channel ID="Channel:{number}:{index}" SamplesPerPixel="{image.samples}"{name}/>'
        planes = (plane for plane in range(image.t * image.c * image.z) if plane not in image.unacquired)
        for file, count in image.pages:
            for page in range(count):
                t, c, z = self.place(image, next(planes))
                text += f'<TiffData FirstT="{t}" FirstC="{c}" FirstZ="{z}" IFD="{image.first_page + page}" '
                uuid = f"urn:uuid:{file}" if self.uuids else ""
                text += f'PlaneCount="1"><UUID FileName="{file}">{uuid}</UUID></TiffData>'
        return f"{text}{image.inside}</Pixels></Image>"

    @staticmethod
    def place(image: Image, plane: int) -> tuple[int, int, int]:
        """Returns (t, c, z) of a plane."""
        sizes = {"T": image.t, "C": image.c, "Z": image.z}
        axes = image.order[2:][::-1]
        at = dict(zip(axes, np.unravel_index(plane, [sizes[axis] for axis in axes]), strict=True))
        return int(at["T"]), int(at["C"]), int(at["Z"])

    def files(self) -> dict[str, int]:
        """Returns the number of pages of each file."""
        pages: dict[str, int] = {}
        for image in self.images:
            for file, count in image.pages:
                pages[file] = max(pages.get(file, 0), image.first_page + count)
        return pages


def value(file: str, page: int) -> int:
    """Returns the value of all pixels of a page, which tells it from all others."""
    return 1 + sum(map(ord, file)) * 16 + page


def write_tiff(path: Path, pages: int, description: str, name: str = "") -> None:
    """Writes a TIFF of small pages, each of another value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tifffile.TiffWriter(path) as writer:
        for page in range(pages):
            writer.write(
                np.full((16, 16), value(name or path.name, page), np.uint16),
                description=description.encode() if page == 0 else None,
                metadata=None,
                contiguous=False,
            )


def write_set(folder: Path, metadata: Metadata, companion: str = "") -> Path:
    """Writes all files, each with the whole metadata; with ``companion`` these are in this file alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, pages in metadata.files().items():
        text = metadata.xml(file)
        if companion:
            text = (
                f'<OME xmlns="{SCHEMA}" UUID="urn:uuid:{file}"><BinaryOnly MetadataFile="{companion}"/></OME>'
            )
        write_tiff(folder / file, pages, text)
    if companion:
        (folder / companion).write_text(metadata.xml(companion), encoding="utf-8")
    return folder


def plate_of(files: Iterable[str], **options: object) -> Metadata:
    """A plate with wells A1, B12: two fields each of 2 channels and 3 z-steps, the fields in files given."""
    images = [Image([(file, 6)], c=2, z=3, **options) for file in files]
    wells = {(0, 0): (Sample(0, 0), Sample(1, 1)), (1, 11): (Sample(2, 2), Sample(3, 3))}
    return Metadata(images, wells)


def means(plate: Plate) -> dict[tuple[str, int, int], list[int]]:
    """Returns the value of each channel of each usable field; z-steps are projected by maximum."""
    return {
        (field.well, field.site, field.t): [
            int(pixels.mean()) for pixels in read_field(plate.root, field, field_channels(plate, field))
        ]
        for field in plate.fields
        if not field.problem
    }


def expected(file: str, c: int = 2, z: int = 3) -> list[int]:
    """Returns the last z-step of each channel, the largest, in files whose z-steps follow one another."""
    return [value(file, z * channel + z - 1) for channel in range(c)]


def _in_one_file(folder: Path) -> Path:
    metadata = plate_of(["plate.ome.tif"] * 4)
    images = [replace(image, first_page=6 * number) for number, image in enumerate(metadata.images)]
    write_set(folder, replace(metadata, images=images))
    return folder / "plate.ome.tif"


def _by_tifffile(folder: Path) -> Path:
    with tifffile.TiffWriter(folder / "cells.ome.tif", ome=True) as writer:
        for number in (1, 2, 3):
            pixels = np.full((2, 3, 16, 16), number, np.uint16)
            described = {
                "axes": "CZYX",
                "Name": f"cells {number}",
                "Channel": {"Name": ["DAPI", "GFP"]},
                "PhysicalSizeX": 0.5,
                "PhysicalSizeXUnit": "µm",
            }
            writer.write(pixels, metadata=described, photometric="minisblack")
    return folder / "cells.ome.tif"


_SET = Metadata([Image([("c0.ome.tif", 3), ("c1.ome.tif", 3)], c=2, z=3, name="cells")])
_PLATE = Expected("ometiff", "", ("A01", "B12"), 4, ("DAPI", "GFP"), z=3, pixel_size_um=0.65, files=(4, 0, 0))

TREES = (
    GoldenTree(
        "OME-TIFF plate with a companion file",
        "specification",
        lambda folder: write_set(folder, plate_of(f"f{n}.tif" for n in range(4)), "plate.companion.ome"),
        replace(_PLATE, evidence="side file", files=(4, 1, 0)),
    ),
    GoldenTree(
        "OME-TIFF plate, a file for each field",
        "specification",
        lambda folder: write_set(folder, plate_of(f"f{n}.ome.tif" for n in range(4))),
        _PLATE,
    ),
    GoldenTree("OME-TIFF plate in one file", "specification", _in_one_file, replace(_PLATE, files=(1, 0, 0))),
    GoldenTree(
        "OME-TIFF, a file for each channel",
        "specification",
        lambda folder: write_set(folder, _SET),
        Expected("ometiff", "", (), 1, ("DAPI", "GFP"), z=3, pixel_size_um=0.65, files=(2, 0, 0)),
    ),
    GoldenTree(
        "OME-TIFF, several images in one file",
        "specification",
        _by_tifffile,
        Expected("ometiff", "", (), 3, ("DAPI", "GFP"), z=3, pixel_size_um=0.5, files=(1, 0, 0)),
    ),
)
