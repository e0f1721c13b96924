from __future__ import annotations

import pytest

from nucbatch.core.errors import InputError
from nucbatch.core.plate import Field, Plate
from nucbatch.core.segmentation_options import diameter_asked, diameter_in_px


def plate(*sizes_um: float | None) -> Plate:
    fields = tuple(
        Field("", site, 0, "", f"field {site}", (), 100, 100, "uint8", pixel_size_um=size)
        for site, size in enumerate(sizes_um, start=1)
    )
    return Plate(
        name="P", layout="folder", root="/nowhere", channels=(), fields=fields, files=(), is_plate=False
    )


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (None, "auto"),
        ("none", "none"),
        ("auto", "auto"),
        ("60", 60.0),
        ("18.5", 18.5),
        ("12um", None),
        ("9 µm", None),
    ],
)
def test_valid_diameters(text: str | None, asked: object) -> None:
    assert diameter_asked(text) == asked


@pytest.mark.parametrize("text", ["large", "", "um", "12 nm", "12px um"])
def test_anything_else_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(InputError, match="is no diameter: give a number of pixels such as 60"):
        diameter_asked(text)


def test_micrometres_are_of_the_images_pixel_size() -> None:
    assert diameter_in_px("12um", plate(0.65, 0.65), None) == 18.46
    assert diameter_in_px("12 µm", plate(None, None), 0.5) == 24.0
    assert diameter_in_px("12um", plate(0.65, 1.3), 0.5) == 24.0


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((None,), "here it is not known"),
        ((0.65, 1.3), "here it is 0.65 µm, 1.3 µm"),
        ((0.65, None), "here it is 0.65 µm in some, and not known in others"),
    ],
)
def test_micrometres_of_unknown_or_mixed_pixel_sizes_are_refused(
    sizes: tuple[float | None, ...], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        diameter_in_px("12um", plate(*sizes), None)
