from pathlib import Path

import pytest

from nucbatch.core.errors import InputError
from nucbatch.networks.contract import build


def test_an_entry_point_that_is_no_network_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real package on the path, with one line of entry points, as another package would install it."""
    package = tmp_path / "foreign-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[nucbatch.networks]\nodd = foreign_net:Odd\n")
    (tmp_path / "foreign_net.py").write_text("class Odd:\n    in_channels = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match="architecture 'odd' is not a network"):
        build("odd", {})
