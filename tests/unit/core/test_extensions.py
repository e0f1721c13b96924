"""What installed packages register, and how often they are read for it."""

from importlib import metadata

import pytest

from nucbatch.core import extensions
from nucbatch.core.extensions import registered


@pytest.fixture
def package(tmp_path):
    """A folder for the import path with a package that registers a panel."""
    info = tmp_path / "further-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: further\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nucbatch.panels]\nfurther = further:panel\n")
    return tmp_path


def test_lists_the_groups_in_their_order():
    both = registered("nucbatch.panels", "nucbatch.formats")
    assert both == (*metadata.entry_points(group="nucbatch.panels"), *registered("nucbatch.formats"))


def test_a_package_on_a_new_import_path_is_found(package, monkeypatch):
    before = {point.name for point in registered("nucbatch.panels")}
    monkeypatch.syspath_prepend(str(package))
    assert {point.name for point in registered("nucbatch.panels")} == before | {"further"}


def test_installed_packages_are_read_once():
    registered("nucbatch.panels")
    read = extensions._all.cache_info().misses
    registered("nucbatch.formats", "nucbatch.networks")
    assert extensions._all.cache_info().misses == read
