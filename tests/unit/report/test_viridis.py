"""The colours of maps are those of Matplotlib."""

import numpy as np
from matplotlib import colormaps

from nucbatch.report.viridis import colour


def test_colours_are_those_of_matplotlib():
    shares = [*np.arange(257) / 256, *np.linspace(0, 1, 101), -0.1, 1.1]
    expected = [colormaps["viridis"](share, bytes=True)[:3] for share in shares]
    assert [tuple(bytes.fromhex(colour(share)[1:])) for share in shares] == expected
