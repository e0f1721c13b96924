import pytest

from nucbatch.errors import InputError
from nucbatch.settings import RunSettings, validated


def test_equal_settings_have_equal_digests_and_any_change_shows() -> None:
    base = RunSettings(channel="DAPI")
    other = validated({"channel": "DAPI", "objects": {"foreground": 0.6}})
    assert base.digest() == RunSettings(channel="DAPI").digest()
    assert base.digest() != other.digest()
    assert other.differences(base) == ["objects.foreground: 0.5 → 0.6"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"objects": {"foreground": 1.5}}, "objects.foreground = 1.5"),
        ({"chanel": "DAPI"}, "chanel = 'DAPI'"),
        ({"pixel_size_um": -1}, "pixel_size_um = -1"),
    ],
)
def test_a_setting_out_of_range_is_named_with_its_value(values: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words.replace(".", r"\.")):
        validated(values)
