"""TIFF and the formats that are TIFF inside: BigTIFF, OME-TIFF, SVS, MetaMorph's STK, Zeiss' LSM, Opera's
FLEX, Leica's SCN."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.plate import Channel
from nucbatch.object_store import file_size
from nucbatch.readers.formats.contract import Series
from nucbatch.readers.formats.damage import damaged_header
from nucbatch.readers.formats.pixel_info import PixelInfo
from nucbatch.readers.formats.tiff import TiffSource
from nucbatch.readers.formats.tiff_directories import directories_of, tiff_file
from nucbatch.readers.formats.tiff_header import page_info, tiff_info
from nucbatch.readers.formats.tiff_scn import is_scn, scn_series

_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class Tiff:
    """TIFF files."""

    name = "tiff"
    suffixes = (".tif", ".tiff", ".btf", ".tf8", ".svs", ".stk", ".lsm", ".flex", ".scn")
    containers = (".scn",)

    def recognises(self, start: bytes) -> bool:
        """See :class:`~nucbatch.readers.formats.contract.FileFormat`."""
        return start[:4] in _STARTS

    def header(self, file: BinaryIO, path: Path, page: int | None = None) -> PixelInfo:
        """See :class:`~nucbatch.readers.formats.contract.FileFormat`."""
        return tiff_info(file, path, file_size(file), page)

    def page_headers(self, file: BinaryIO, path: Path, pages: Sequence[int]) -> list[PixelInfo | str]:
        """See :class:`~nucbatch.readers.formats.contract.FileFormat`."""
        size_bytes = file_size(file)
        found: list[PixelInfo | str] = []
        chain = directories_of(file, size_bytes)
        with tiff_file(file, chain) as tiff:
            for page in pages:
                try:
                    with damaged_header():
                        found.append(page_info(tiff, chain, path, size_bytes, page))
                except UnreadableImage as error:
                    found.append(str(error))
        return found

    def open(self, path: Path, shown: str) -> TiffSource:
        """See :class:`~nucbatch.readers.formats.contract.FileFormat`."""
        return TiffSource(path, shown)

    def series(self, path: Path) -> list[Series]:
        """See :class:`~nucbatch.readers.formats.contract.ContainerFormat`."""
        with path.open("rb") as file:
            with tiff_file(file, directories_of(file, file_size(file))) as tiff:
                if is_scn(tiff):
                    return scn_series(tiff)
            file.seek(0)
            info = tiff_info(file, path, file_size(file))
        known = {channel.name: channel for channel in info.channels}
        names = enumerate(info.stack.channels)
        return [
            Series(
                name="",
                first_page=0,
                times=info.stack.times,
                channels=tuple(known.get(name, Channel(name, index)) for index, name in names),
                depth=info.stack.depth,
                height_px=info.height_px,
                width_px=info.width_px,
                dtype=info.dtype,
                pixel_size_um=info.pixel_size_um,
                oblong_um=info.oblong_um,
                pages=info.stack.pages,
            )
        ]
