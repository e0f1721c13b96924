import pytest

from nucbatch.core.errors import InputError
from nucbatch.core.settings import RunSettings, validated


def test_equal_settings_have_equal_digests_and_any_change_shows() -> None:
    base = RunSettings(channel="DAPI")
    other = validated({"channel": "DAPI", "objects": {"foreground": 0.6}})
    assert base.digest() == RunSettings(channel="DAPI").digest()
    assert base.digest() != other.digest()
    assert other.differences(base) == ["objects.foreground: 0.5 → 0.6"]


def test_differences_list_added_and_removed_measurements() -> None:
    one = RunSettings(measurements={"shape": "nucbatch 0.1"})
    two = RunSettings(measurements={"shape": "nucbatch 0.1", "texture": "other 2"})
    assert one.digest() != two.digest()
    assert two.differences(one) == ["measurements.texture: none → other 2"]
    assert one.differences(two) == ["measurements.texture: other 2 → none"]
    assert one.differences(RunSettings())[0].startswith("measurements.shape: none")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"objects": {"foreground": 1.5}}, "Invalid settings: foreground = 1.5 must be below 1."),
        ({"chanel": "DAPI"}, "chanel = 'DAPI' is not known"),
        ({"pixel_size_um": -1}, "pixel_size = -1 must be above 0"),
    ],
)
def test_an_invalid_setting_is_named_with_its_value(values: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words.replace(".", r"\.")):
        validated(values)


def test_how_overlaps_are_counted_is_recorded_and_not_hashed() -> None:
    keep = validated({"overlaps": "keep"})
    assert keep.model_dump()["overlaps"] == "keep"
    assert keep.digest() == RunSettings().digest()
    assert keep.differences(RunSettings()) == []


def test_a_value_of_several_kinds_is_refused_in_one_sentence():
    with pytest.raises(InputError) as refused:
        validated({"diameter_px": 0.0})
    assert str(refused.value) == ("Invalid settings: diameter = 0.0 must be at least 4 or 'auto' or 'none'.")


@pytest.mark.parametrize("labels", ["tiff", "in-place"])
def test_images_are_left_out_of_an_ome_zarr_only(labels):
    assert not validated({"images": "none"}).copies_images
    assert validated({"images": "none"}).digest() != RunSettings().digest()
    with pytest.raises(
        InputError, match=f"images = 'none': masks are written as {labels}, which never copies"
    ):
        validated({"images": "none", "labels": labels})
