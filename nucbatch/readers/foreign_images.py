"""Images in microscopes' own formats, which are not decoded here: their makers, and how to convert them.

The commands are those of Bio-Formats' command-line tools.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from pathlib import PurePosixPath

from nucbatch.core.escape import printable
from nucbatch.readers.formats.installed import image_suffixes
from nucbatch.readers.names import plural

_PICTURES = frozenset(["avif", "bmp", "gif", "heic", "jp2", "jpx", "jxl", "jxr", "wdp", "webp"])
_MAKERS = {
    "oib": "Olympus",
    "oif": "Olympus",
    "vsi": "Olympus",
    "dv": "DeltaVision",
    "ims": "Imaris",
    "ndpi": "Hamamatsu",
    "mrxs": "3DHISTECH",
}


@lru_cache(maxsize=1)
def foreign_suffixes() -> frozenset[str]:
    """Returns the endings of images that no installed format reads."""
    known = {f".{ending}" for ending in (*_PICTURES, *_MAKERS, "dib", "mrc")}
    return frozenset(known - image_suffixes())


def reason(path: str) -> str:
    """Returns why a file with one of :func:`foreign_suffixes` is quarantined."""
    suffix = PurePosixPath(path).suffix.lower()
    maker = _MAKERS.get(suffix[1:])
    if not maker:
        return f"{suffix} images can't be decoded: convert them to TIFF or PNG"
    return (
        f"{suffix} images ({maker}) can't be decoded: convert them to TIFF with bfconvert, of Bio-Formats' "
        "command-line tools"
    )


def conversion(root: str, paths: Iterable[str]) -> str:
    """Returns how to convert the images of foreign formats below an input; empty if there are none.

    >>> print(conversion("/plate", ["slide.vsi"]))
    It holds 1 .vsi image (Olympus). Convert each with Bio-Formats' command-line tools:
      cd /plate && for f in *.vsi; do bfconvert -nogroup "$f" "${f%.*}.ome.tif"; done
    """
    foreign = [path for path in paths if PurePosixPath(path).suffix.lower() in foreign_suffixes()]
    if not foreign:
        return ""
    (ending, count), *_ = Counter(PurePosixPath(path).suffix for path in foreign).most_common(1)
    first = next(path for path in foreign if path.endswith(ending))
    folder = printable(shlex.quote(f"{root}/{first}".rpartition("/")[0]))
    kind = ending.lower()
    maker = _MAKERS.get(kind[1:], "")
    held = f"It holds {plural(count, f'{kind} image')}" + (f" ({maker})" if maker else "")
    if not maker:
        return f"{held}. Convert them to TIFF or PNG."
    step = 'bfconvert -nogroup "$f" "${f%.*}.ome.tif"'
    return (
        f"{held}. Convert each with Bio-Formats' command-line tools:\n"
        f"  cd {folder} && for f in *{shlex.quote(ending)}; do {step}; done"
    )
