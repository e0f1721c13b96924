"""Every column that the package's own families make is in the reference."""

import re
from pathlib import Path

import numpy as np

from nucbatch.features import installed_families, measure

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "outputs.md"


def test_each_column_is_described() -> None:
    own = [
        family for family in installed_families() if type(family).__module__.startswith("nucbatch.features")
    ]
    labels = np.pad(np.ones((3, 3), int), 3)
    columns = measure(labels, np.ones((2, 9, 9), np.uint8), ("C1", "C2"), families=own)
    rows = re.findall(r"^\| (`[^|]*) \|", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE)
    described = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    named = {re.sub("_C[12]$", "_<Channel>", re.sub("_C1_C2$", "_<C1>_<C2>", name)) for name in columns}
    assert named - described == set()
