"""Turns the errors of parsers and decoders on damaged bytes into errors for the user."""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from nucbatch.core.errors import UnreadableImage

# Errors that parsers and decoders raise on damaged bytes: Python's own; assertions and struct.error of
# tifffile; RuntimeError and ValueError of imagecodecs; errors of zlib and lzma, which are neither; and those
# of C wrappers on impossible output sizes.
DECODER_ERRORS = (
    AssertionError,
    BufferError,
    SystemError,
    lzma.LZMAError,
    zlib.error,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    ArithmeticError,
    AttributeError,
    EOFError,
    struct.error,
)


@contextmanager
def damaged_header() -> Iterator[None]:
    """Converts errors on reading a header into an UnreadableImage whose message is the bare reason."""
    try:
        yield
    except UnreadableImage:
        raise
    except OSError as error:
        raise UnreadableImage(f"can't be opened ({error.strerror or error})") from error
    except DECODER_ERRORS as error:
        raise UnreadableImage(f"damaged header ({type(error).__name__}: {error})") from error
    except MemoryError as error:  # a damaged header may promise terabytes
        raise UnreadableImage("damaged header (promises more than memory holds)") from error
