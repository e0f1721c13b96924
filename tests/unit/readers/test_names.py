"""Safe and unique names of fields."""

import hashlib
import re

from hypothesis import given
from hypothesis import strategies as st

from nucbatch.readers.names import natural_key, safe_name, unique_names


@given(st.text())
def test_safe_names_contain_safe_characters_only(text):
    assert re.fullmatch(r"[A-Za-z0-9-][A-Za-z0-9._-]*", safe_name(text))


@given(st.sets(st.text(alphabet="aAb_ ./µ", min_size=1, max_size=6).filter(lambda text: text.strip("./"))))
def test_names_are_unique_ignoring_case(paths):
    names = unique_names(paths)
    assert set(names) == paths
    assert len({name.casefold() for name in names.values()}) == len(paths)
    assert unique_names(sorted(paths, reverse=True)) == names


def test_clashing_stems_get_their_folders():
    names = unique_names(["x/a.tif", "y/a.tif", "b.tif"])
    assert names == {"x/a.tif": "x_a.tif", "y/a.tif": "y_a.tif", "b.tif": "b"}


def test_channels_sort_by_number():
    assert sorted(["c10", "c2", "DAPI", "C1"], key=natural_key) == ["C1", "c2", "c10", "DAPI"]


def test_long_names_are_shortened_and_stay_distinct():
    assert safe_name("a" * 120) == "a" * 120
    long, other = safe_name("a" * 250), safe_name("a" * 249 + "b")
    assert long == "a" * 109 + "-" + hashlib.sha256(b"a" * 250).hexdigest()[:10]
    assert len(other) == 120
    assert long != other
    assert len(safe_name("\u00e9" * 200)) <= 120


def test_long_names_of_a_collection_are_unique_ignoring_case():
    paths = [f"{'x' * 240}{end}.tif" for end in ("1", "2", "a", "A")] + [f"{'y' * 100}/{'x' * 240}1.tif"]
    names = unique_names(paths)
    assert len({name.casefold() for name in names.values()}) == len(paths)
    assert max(map(len, names.values())) <= 131
