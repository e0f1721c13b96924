"""File formats, one file each: bytes to pixels, by window, and headers checked against the file."""

from nucbatch.readers.formats.contract import Cost, Source, Window, whole, windowable
from nucbatch.readers.formats.convert import convert_once
from nucbatch.readers.formats.opening import open_source, open_window

__all__ = ["Cost", "Source", "Window", "convert_once", "open_source", "open_window", "whole", "windowable"]
