"""Images read by window: only the tiles, strips or chunks that a box touches."""

from nucbatch.readers.windows.contract import Cost, Source, Window, whole, windowable
from nucbatch.readers.windows.convert import convert_once
from nucbatch.readers.windows.opening import open_source, open_window

__all__ = ["Cost", "Source", "Window", "convert_once", "open_source", "open_window", "whole", "windowable"]
