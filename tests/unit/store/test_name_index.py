"""Names and their last places, as a dictionary keeps them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nucbatch.store import name_index
from nucbatch.store.name_index import NameIndex

names = st.lists(st.one_of(st.sampled_from(["A/1/1", "A/1/2", "", "é"]), st.text(max_size=4)), max_size=30)


def require_like_a_dictionary(several: list[str]) -> None:
    index = NameIndex(several)
    places = {name: place for place, name in enumerate(several)}
    assert list(index.places()) == list(places.values())
    assert {index.name(place): place for place in index.places()} == places
    for name in (*places, "none of them"):
        assert index.find(name) == places.get(name)
    assert index.find(3) is None


@given(names)
@example(["\udc80", "\udc80", "a", "\udc80", "b"])
def test_it_finds_what_a_dictionary_finds(several: list[str]) -> None:
    require_like_a_dictionary(several)


@pytest.mark.parametrize("most", [1, 2])
def test_different_names_of_one_hash_are_told_apart(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_index, "hash", lambda name: len(name) % most, raising=False)
    require_like_a_dictionary(["a", "b", "cc", "a", "dd", "b", "e", "cc", "a"])
