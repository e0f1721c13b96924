"""Recognises names of stains and channels in file names: ``DAPI``, ``Cy5``, ``ch2``, ``w1``, ``405nm``."""

from __future__ import annotations

import re

_STAINS = (
    "dapi hoechst draq5 draq7 sytox syto topro h2b nuclei nucleus nuc dna rna agp mito er actin tubulin "
    "phalloidin lamin gfp egfp gfap rfp yfp cfp bfp mcherry cherry tomato tdtomato venus citrine cerulean "
    "fitc tritc rhodamine texasred txred alexa af cy ph phase phasecontrast dic bf brightfield trans "
    "transmitted red green blue far farred uv fl fluorescence widefield confocal"
)
STAIN = rf"(?:(?:{'|'.join(_STAINS.split())})[0-9]{{0,5}}|[0-9]{{3}} ?nm|cy[0-9]p[0-9])"
"""Regex, without regard to case, for the name of a stain, a fluorophore or a contrast."""

_STAIN = re.compile(STAIN, re.IGNORECASE)
_NUMBERED = re.compile(r"(?:channel|chan|chn|ch|c|w)[0-9]{1,3}", re.IGNORECASE)


def is_stain(text: str) -> bool:
    """Returns whether a text names a stain, a fluorophore or a contrast: ``DAPI``, ``Alexa488``, ``BF``."""
    return _STAIN.fullmatch(text) is not None


def is_numbered_channel(text: str) -> bool:
    """Returns whether a text is a channel number with its letters: ``ch01``, ``w2``, ``Channel3``."""
    return _NUMBERED.fullmatch(text) is not None
