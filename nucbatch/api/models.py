"""``nucbatch.models``: the shipped models."""

from __future__ import annotations

import pandas as pd

from nucbatch.networks.checkpoint import read_card
from nucbatch.networks.locate import shipped


def models() -> pd.DataFrame:
    """Lists the shipped models with their scores; the names go into ``model`` of the other functions.

    Returns:
        One row per model, by name: architecture, size of the weight file in MB, diameter of the nuclei it was
        trained on in px, the scores of its card, and the file.

    Examples:
        >>> import nucbatch as nb
        >>> nb.models().loc["default", "architecture"]
        'unet'
    """
    rows = {}
    for name, path in shipped().items():
        card = read_card(path)
        rows[name] = {
            "architecture": card.architecture,
            "size_mb": round(path.stat().st_size / 1e6, 1),
            "nucleus_diameter_px": card.nucleus_diameter_px,
            **card.scores,
            "path": str(path),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
