from dataclasses import replace

import pytest

from nucbatch.core.errors import InputError, MemoryRefused
from nucbatch.core.plate import Channel, Field, FileRecord, FileStatus, Plane, Plate
from nucbatch.core.settings import NormaliseSettings, RunSettings
from nucbatch.core.tiles import TileGrid
from nucbatch.planning.memory import (
    PROCESS_BYTES,
    NetworkSize,
    block_bytes,
    largest_block,
    require_fit,
    task_bytes,
)
from nucbatch.planning.plan import make_plan, nuclear_channel

NETWORK = NetworkSize(TileGrid(stride=16, halo=112, largest=2048, whole=2176), 16)


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
def test_the_nuclear_channel_is_named_single_or_a_nuclear_stain(
    channels: tuple[str, ...], wanted: str, expected: str
) -> None:
    assert nuclear_channel(plate_of(*channels), wanted) == expected


@pytest.mark.parametrize(
    "name",
    [
        "DNA",
        "OrigDNA",
        "CorrDNA",
        "dna",
        "SiR-DNA",
        "Hoechst_33342",
        "HOECHST",
        "DAPI",
        "w1_DAPI",
        "H33342",
        "nuclei",
        "Nuclei_raw",
        "nuclear",
        "Nuc",
        "H2B-mCherry",
        "DRAQ5",
        "405",
        "405nm",
        "Ex405",
        "DNA(405)",
    ],
)
@pytest.mark.parametrize("others", [("488",), ("mtDNA", "Nucleoli", "ER", "cDNA", "561", "1405", "RNA")])
def test_a_nuclear_stain_is_found_among_other_channels(name: str, others: tuple[str, ...]) -> None:
    assert nuclear_channel(plate_of(*others, name), "") == name


def test_a_stain_wins_over_a_laser_line_and_two_stains_are_ambiguous() -> None:
    assert nuclear_channel(plate_of("405", "DNA"), "") == "DNA"
    with pytest.raises(InputError, match="Choose one with --channel"):
        nuclear_channel(plate_of("DAPI", "H2B"), "")


def test_a_channel_without_a_stain_is_found_by_its_recorded_excitation() -> None:
    plate = plate_of("CH1", "CH2", "CH3")
    first, second, third = plate.channels
    lit = replace(first, excitation_nm=488.0), replace(second, excitation_nm=405.0), third
    assert nuclear_channel(replace(plate, channels=lit), "") == "CH2"
    with pytest.raises(InputError, match="Choose one with --channel"):
        nuclear_channel(replace(plate, channels=(*lit[:2], replace(third, excitation_nm=405.0))), "")


def test_channel_lookup_ignores_case_unless_ambiguous() -> None:
    assert nuclear_channel(plate_of("DAPI", "Alexa 488"), " alexa 488") == "Alexa 488"
    assert nuclear_channel(plate_of("Dapi", "DAPI"), "DAPI") == "DAPI"
    with pytest.raises(InputError, match="'dapi' is not in p: it has Dapi, DAPI"):
        nuclear_channel(plate_of("Dapi", "DAPI", "GFP"), "dapi")


def test_a_given_pixel_size_applies_to_fields_but_not_to_pyramid_levels() -> None:
    plate = plate_of("DAPI")
    (field,) = plate.fields
    level = replace(field, group="x", pixel_size_um=1.3, planes=(replace(field.planes[0], level=1),))
    plan = make_plan(replace(plate, fields=(field, level)), RunSettings(pixel_size_um=0.65))
    assert [one.pixel_size_um for one in plan.plate.fields] == [0.65, 1.3]


def test_rgb_images_need_no_channel() -> None:
    assert nuclear_channel(plate_of("RGB", samples=3), "") == ""


@pytest.mark.parametrize(
    ("wanted", "expected"), [("b", "Blue"), ("blue", "Blue"), ("R", "Red"), ("Green", "Green")]
)
def test_a_colours_initial_selects_it_unless_a_channel_has_that_name(wanted: str, expected: str) -> None:
    plate = replace(
        plate_of("RGB", samples=3), channels=tuple(map(Channel, ("Red", "Green", "Blue"), range(3)))
    )
    assert nuclear_channel(plate, wanted) == expected
    assert nuclear_channel(plate_of(wanted, "x"), wanted) == wanted
    with pytest.raises(InputError, match="'b' is not in p"):
        nuclear_channel(plate_of("Cyan"), "b")


def test_ambiguous_channels_are_listed_with_the_remedy() -> None:
    with pytest.raises(InputError, match=r"Channel1, Channel2\. Choose one with --channel"):
        nuclear_channel(plate_of("Channel1", "Channel2"), "")
    with pytest.raises(InputError, match="'DAPI' is not in p"):
        nuclear_channel(plate_of("Channel1", "Channel2"), "DAPI")


def test_an_unreadable_field_is_listed_but_not_used() -> None:
    plan = make_plan(plate_of("DAPI", problem="truncated"), RunSettings())
    assert [field.key for field in plan.usable] == ["B/3/1"]
    assert [field.key for field in plan.plate.fields] == ["B/3/1", "B/3/2"]
    assert plan.pixels == 20_000
    assert plan.settings.channel == "DAPI"


def test_a_field_too_large_for_a_worker_is_rejected_with_both_numbers() -> None:
    plan = make_plan(plate_of("DAPI"), RunSettings())
    (field,) = plan.usable
    large = replace(field, height_px=40_000, width_px=40_000)
    assert block_bytes(large, NETWORK) > 1000 * block_bytes(field, NETWORK)
    require_fit(plan, NETWORK, PROCESS_BYTES + block_bytes(field, NETWORK))
    with pytest.raises(MemoryRefused):
        require_fit(plan, NETWORK, PROCESS_BYTES + block_bytes(field, NETWORK) - 1)
    too_large = replace(plan, plate=replace(plan.plate, fields=(large,)), largest_px=50_000)
    with pytest.raises(
        MemoryRefused, match=r"40000 × 40000 px\) needs .* GiB in one worker, which has 8.0 GiB"
    ):
        require_fit(too_large, NETWORK, 8 * 2**30)
    require_fit(replace(too_large, largest_px=4096), NETWORK, 8 * 2**30)  # in blocks it fits


def test_a_blocks_memory_does_not_depend_on_the_image() -> None:
    (field,) = make_plan(plate_of("DAPI"), RunSettings()).usable
    plans = [
        replace(make_plan(plate_of("DAPI"), RunSettings()), block_px=block_px) for block_px in (512, 2048)
    ]
    small, large, huge = (replace(field, height_px=side, width_px=side) for side in (8_192, 32_768, 400_000))
    assert task_bytes(plans[1], large, NETWORK) == task_bytes(plans[1], huge, NETWORK)
    assert task_bytes(plans[1], huge, NETWORK) <= 1.2 * task_bytes(plans[1], small, NETWORK)  # even tiles
    assert task_bytes(plans[0], huge, NETWORK) < task_bytes(plans[1], huge, NETWORK)
    with pytest.raises(MemoryRefused, match=r"smaller blocks \(--block-size 1024; now 2048"):
        require_fit(replace(plans[1], plate=replace(plans[1].plate, fields=(huge,))), NETWORK, 2**30)


def test_float_images_are_not_cut_and_the_message_says_how() -> None:
    plan = make_plan(plate_of("DAPI"), RunSettings())
    (field,) = plan.usable
    large = replace(field, height_px=40_000, width_px=40_000, dtype="float32")
    assert not plan.is_large(large)
    with pytest.raises(MemoryRefused, match="convert it to 8 or 16 bits"):
        require_fit(replace(plan, plate=replace(plan.plate, fields=(large,))), NETWORK, 8 * 2**30)


def test_rescaled_images_need_more_memory() -> None:
    (field,) = make_plan(plate_of("DAPI"), RunSettings()).usable
    once, twice, half = (block_bytes(field, replace(NETWORK, zoom=zoom)) for zoom in (1.0, 2.0, 0.5))
    assert twice > 2 * once
    assert half < once


def test_a_large_image_that_is_strongly_reduced_or_measured_needs_bounded_memory() -> None:
    plan = make_plan(plate_of("DAPI"), RunSettings())
    huge = replace(plan.usable[0], height_px=400_000, width_px=400_000)
    as_it_is = task_bytes(plan, huge, NETWORK)
    for network in (replace(NETWORK, zoom=0.02), replace(NETWORK, zoom=0.4), replace(NETWORK, measures=True)):
        assert task_bytes(plan, huge, network) < 1.5 * as_it_is


def test_the_largest_block_is_chosen_by_bytes_not_pixels() -> None:
    plan = make_plan(plate_of("DAPI"), RunSettings())
    (field,) = plan.usable
    wide = replace(field, group="B/3/2", width_px=210)
    stacked = replace(field, group="B/3/3", planes=field.planes * 50)
    plan = replace(plan, plate=replace(plan.plate, fields=(field, wide, stacked)))
    assert largest_block(plan, NETWORK) == (stacked, block_bytes(stacked, NETWORK))


def test_a_field_without_the_segmented_channel_gets_a_problem() -> None:
    plate = plate_of("DAPI", "FITC")
    (lit,) = plate.fields
    unlit = replace(lit, t=1, group="B/3/1t1", planes=lit.planes[1:])
    unlit = replace(unlit, planes=(replace(unlit.planes[0], path="later.tif"),))
    files = tuple(
        FileRecord(field.planes[0].path, FileStatus.USED, group=field.group) for field in (lit, unlit)
    )
    plan = make_plan(replace(plate, fields=(lit, unlit), files=files), RunSettings(channel="DAPI"))
    assert plan.usable == (lit,)
    assert plan.plate.fields[1].problem == "it has no image in channel DAPI, the one that is segmented"
    assert [file.status for file in plan.plate.files] == [FileStatus.USED, FileStatus.IGNORED]
    assert plan.plate.files[1].reason.startswith("no-nuclear-channel: ")


COLOURS = RunSettings(model="lab-kmeans-watershed", normalise=NormaliseSettings(method="lab-kmeans"))


def test_a_model_of_colours_takes_the_rgb_images_alone() -> None:
    (grey,) = plate_of("Grey").fields
    rgb = replace(grey, site=2, group="B/3/2", planes=(Plane("rgb.tif", "RGB", samples=3),), dtype="uint8")
    floats = replace(rgb, site=3, group="B/3/3", planes=(Plane("f.tif", "RGB", samples=3),), dtype="float32")
    fields = (grey, rgb, floats)
    files = tuple(FileRecord(one.planes[0].path, FileStatus.USED, group=one.group) for one in fields)
    plan = make_plan(replace(plate_of("Grey"), fields=fields, files=files), COLOURS)
    assert plan.usable == (rgb,)
    assert plan.settings.channel == ""
    assert [file.status for file in plan.plate.files] == [
        FileStatus.IGNORED,
        FileStatus.USED,
        FileStatus.IGNORED,
    ]
    assert plan.plate.files[0].reason.startswith("no-colours: ")


def test_a_model_of_colours_refuses_grey_images_and_a_channel() -> None:
    with pytest.raises(InputError, match="has no RGB image of 8 or 16 bits"):
        make_plan(plate_of("DAPI", "FITC"), COLOURS)
    with pytest.raises(InputError, match="leave out --channel"):
        make_plan(plate_of("RGB", samples=3), COLOURS.model_copy(update={"channel": "Red"}))


def test_a_file_of_several_time_points_is_used_if_one_of_them_is() -> None:
    plate = plate_of("DAPI", "FITC")
    (lit,) = plate.fields
    unlit = replace(lit, t=1, group="B/3/1t1", planes=(replace(lit.planes[1], path=lit.planes[0].path),))
    files = (FileRecord(lit.planes[0].path, FileStatus.USED, group=unlit.group),)
    plan = make_plan(replace(plate, fields=(unlit, lit), files=files), RunSettings(channel="DAPI"))
    assert plan.plate.files == files


@pytest.mark.parametrize("segmented", ["DAPI", "FITC"])
def test_a_missing_channel_prevents_the_count_only_if_it_is_segmented(segmented: str) -> None:
    plate = plate_of("DAPI", "FITC")
    (whole,) = plate.fields
    reason = "x_w2.tif: empty file (0 bytes)"
    lacking = replace(whole, planes=whole.planes[:1], lacking=(("FITC", reason),))
    files = (FileRecord(whole.planes[0].path, FileStatus.USED, group=whole.group),)
    plan = make_plan(replace(plate, fields=(lacking,), files=files), RunSettings(channel=segmented))
    (field,) = plan.plate.fields
    if segmented == "DAPI":
        assert (field.problem, field.lacking) == ("", (("FITC", reason),))
        assert plan.plate.files == files
    else:
        assert field.problem == reason
        assert plan.plate.files[0].reason.startswith("incomplete-field: ")


def test_rgb_images_beside_grey_ones_stay_usable() -> None:
    (grey,) = plate_of("Grey").fields
    (colour,) = plate_of("RGB", samples=3).fields
    plate = replace(plate_of("Grey"), fields=(grey, replace(colour, group="x")))
    assert len(make_plan(plate, RunSettings()).usable) == 2
