"""Texts of Harmony's flat-field profiles."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucbatch.core.flat_field import FlatField
from nucbatch.readers.layouts.harmony_profile import UnusableProfile, parse_profile

POLYNOMIAL = (
    "{Coefficients: [[1.2], [-0.0165, 2.98E-2]], Dims: [1080, 1024], Origin: [539.5, 511.5], "
    "Scale: [0.0009, 0.00095], Type: Polynomial}"
)
FLAT = FlatField(((1.2,), (-0.0165, 0.0298)), (1080, 1024), (539.5, 511.5), (0.0009, 0.00095))
OTHER = POLYNOMIAL.replace("1.2", "1.3")


def part(profile: str, character: str = "NonFlat") -> str:
    return (
        f"{{Character: {character}, Mean: NaN, NonFlatness: {{Original: 0.5, Random: INF}}, "
        f"Profile: {profile}, Quality: 1.0}}"
    )


def text(background: str, foreground: str = "", name: str = "Alexa 568") -> str:
    second = f", Foreground: {foreground}" if foreground else ""
    return f"{{Background: {background}, Channel: 1, ChannelName: {name}{second}, Version: Acapella:2013}}"


def test_the_background_alone():
    assert parse_profile(text(part(POLYNOMIAL))) == FLAT


def test_the_foreground_is_preferred():
    assert parse_profile(text(part(OTHER), part(POLYNOMIAL))) == FLAT
    assert parse_profile(text(part(POLYNOMIAL), part("{Type: Identity}", "Null"))) == FLAT
    assert parse_profile(text(part("{Type: Identity}", "Null"), part(POLYNOMIAL))) == FLAT


@pytest.mark.parametrize(
    "background",
    [
        part("{Type: Identity}", "Null"),
        part("{Type: Identity}"),
        part(POLYNOMIAL, "Null"),
        "{Character: Null}",
    ],
)
def test_nothing_to_correct(background):
    assert parse_profile(text(background)) is None
    assert parse_profile("") is None


@pytest.mark.parametrize(
    "name",
    [
        '"405ex, 570-630-em)"',
        "405ex, 570-630-em)",
        'a "quoted" [name]',
        '"a "quoted" [name]"',
        "{[(",
        "}]),:",
        '"',
        "x: y",
        "Background: 1",
        "µ 中",
        "",
        "two\nlines",
        "{Background: {Character: Null}}",
    ],
)
@pytest.mark.parametrize("foreground", ["", part(POLYNOMIAL)])
def test_names_hold_any_characters(name, foreground):
    assert parse_profile(text(part(POLYNOMIAL), foreground, name)) == FLAT
    last = f"{{Background: {part(POLYNOMIAL)}, Channel: 1, ChannelName: {name}}}"
    assert parse_profile(last) == FLAT


def test_the_same_as_json():
    profile = {"Coefficients": [[1.2], [-0.0165, 0.0298]], "Dims": [1080, 1024], "Origin": [539.5, 511.5]}
    profile |= {"Scale": [0.0009, 0.00095], "Type": "Polynomial"}
    whole = {"Background": {"Profile": profile}, "ChannelName": "a, b", "Version": "1.0"}
    assert parse_profile(json.dumps(whole)) == FLAT


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("Polynomial}", "Spline}", "it is of type Spline"),
        ("[[1.2], ", "[[NaN], ", "row 1 of its coefficients"),
        ("[[1.2], ", "[[INF], ", "row 1 of its coefficients"),
        ("[[1.2], ", "[[1e9], ", "row 1 of its coefficients"),
        ("[-0.0165, 2.98E-2]", "[-0.0165]", "row 2 of its coefficients: 2 numbers"),
        ("[[1.2], [-0.0165, 2.98E-2]]", "[]", "it has no coefficients"),
        ("[[1.2], [-0.0165, 2.98E-2]]", "1.2", "it has no coefficients"),
        ("Dims: [1080, 1024]", "Dims: [1080.5, 1024]", "its Dims are"),
        ("Dims: [1080, 1024]", "Dims: [0, 1024]", "its Dims are"),
        ("Dims: [1080, 1024]", "Dims: [900000, 1024]", "its Dims are"),
        ("Origin: [539.5, 511.5], ", "", "Origin: 2 numbers"),
        ("[[1.2], ", "[[0.0], ", "its illumination falls to"),
        ("[[1.2], ", "[[-1.2], ", "its illumination falls to"),
        ("[-0.0165, ", "[-2.4, ", "its illumination falls to"),
        ("Type: Polynomial}", "Type: Polynomial", "it "),
        ("[[1.2], ", "[[1.2, ", ""),
        ("Profile: {", "Profile {", "it is malformed"),
    ],
)
def test_what_is_no_profile_has_a_reason(old, new, reason):
    whole = text(part(POLYNOMIAL))
    assert old in whole
    with pytest.raises(UnusableProfile) as caught:
        parse_profile(whole.replace(old, new))
    assert str(caught.value).startswith(reason)


def test_nesting_and_length_are_limited():
    with pytest.raises(UnusableProfile, match="nested"):
        parse_profile("{a: " + "[" * 1000 + "]" * 1000 + "}")
    with pytest.raises(UnusableProfile, match="characters"):
        parse_profile("{" * 100_000)


@given(st.text(alphabet='{}[],:"aT1.- \n', max_size=60))
def test_any_text_gives_a_profile_or_a_reason(anything):
    with suppress(UnusableProfile):
        assert parse_profile(anything) is None


@pytest.mark.real_data
def test_real_profiles(shared_data):
    from nucbatch.readers.find import open_plate

    plate = open_plate(shared_data / "plates/operetta_index_v1")
    assert [bool(channel.flat_field) for channel in plate.channels] == [True] * 5 + [False]
    assert all(channel.flat_field.size_px == (1080, 1080) for channel in plate.channels[:5])
    (fitc,) = open_plate(shared_data / "plates/operetta").channels
    assert fitc.flat_field.coefficients[2] == (0.2485, -0.071, 0.2161)  # of the foreground
