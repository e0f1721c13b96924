from dataclasses import replace

import pytest

from nucbatch.errors import InputError, MemoryRefused
from nucbatch.planning.memory import PROCESS_BYTES, block_bytes, require_fit
from nucbatch.planning.plan import make_plan, nuclear_channel
from nucbatch.plate import Channel, Field, Plane, Plate
from nucbatch.settings import RunSettings
from nucbatch.tiles import Box, TileGrid

GRID = TileGrid(stride=16, halo=112, largest=2048)


def plate_of(*channels: str, samples: int = 1, problem: str = "") -> Plate:
    planes = tuple(Plane(f"{name}.tif", name, samples=samples) for name in channels)
    field = Field("B03", 1, 0, "B/3/1", "p_B03_s1", planes, 100, 200, "uint16")
    broken = replace(field, site=2, group="B/3/2", name="p_B03_s2", problem=problem)
    fields = (field, broken) if problem else (field,)
    named = tuple(Channel(name, index) for index, name in enumerate(channels))
    return Plate("p", "/plate", "test", named, fields, ())


@pytest.mark.parametrize(
    ("channels", "wanted", "expected"),
    [
        (("Cy5",), "", "Cy5"),
        (("FITC", "DAPI"), "", "DAPI"),
        (("Hoechst 33342", "TRITC"), "", "Hoechst 33342"),
        (("FITC", "DAPI"), "FITC", "FITC"),
    ],
)
def test_the_nuclear_channel_is_the_named_the_only_or_the_stained_one(
    channels: tuple[str, ...], wanted: str, expected: str
) -> None:
    assert nuclear_channel(plate_of(*channels), wanted) == expected


def test_rgb_images_need_no_channel() -> None:
    assert nuclear_channel(plate_of("RGB", samples=3), "") == ""


def test_channels_that_dont_tell_are_listed_with_the_mend() -> None:
    with pytest.raises(InputError, match=r"Channel1, Channel2\. Name it with --channel"):
        nuclear_channel(plate_of("Channel1", "Channel2"), "")
    with pytest.raises(InputError, match="'DAPI' is not in p"):
        nuclear_channel(plate_of("Channel1", "Channel2"), "DAPI")


def test_a_field_is_one_block_and_a_broken_one_is_none() -> None:
    plan = make_plan(plate_of("DAPI", problem="truncated"), RunSettings())
    ((field, block),) = list(plan.blocks())
    assert block.box == Box(0, 0, 100, 200)
    assert block.field_key == field.key == "B/3/1"
    assert plan.pixels == 20_000
    assert plan.settings.channel == "DAPI"


def test_memory_grows_with_the_field_and_what_cannot_fit_is_refused_with_both_numbers() -> None:
    plan = make_plan(plate_of("DAPI"), RunSettings())
    (field,) = plan.usable
    large = replace(field, height_px=40_000, width_px=40_000)
    assert block_bytes(large, GRID, 16) > 1000 * block_bytes(field, GRID, 16)
    projected = require_fit(plan, GRID, 16, 2**30, threads=2)
    assert PROCESS_BYTES < projected < 2**30
    too_large = replace(plan, plate=replace(plan.plate, fields=(large,)))
    with pytest.raises(
        MemoryRefused, match=r"40000 × 40000 px\) needs .* GiB in one worker, which has 8.0 GiB"
    ):
        require_fit(too_large, GRID, 16, 8 * 2**30, threads=2)
