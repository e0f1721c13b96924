"""Where the real data lies, and nothing else that every test must know."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images beside the project; tests that ask for it carry the mark ``real_data``."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real images are not beside the project ({folder.parent.name}/{folder.name})")
    return folder
