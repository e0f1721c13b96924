"""ImageXpress names, projections and z-steps, side files, and several plates."""

import numpy as np
import pytest
import tifffile
from golden import write_images
from hypothesis import given
from hypothesis import strategies as st

from nucbatch.core.errors import InputError
from nucbatch.core.plate import FileStatus
from nucbatch.core.plate_geometry import well_name
from nucbatch.readers.contract import ReadOptions
from nucbatch.readers.find import open_plate
from nucbatch.readers.layouts.imagexpress import ImageXpressReader, parse
from nucbatch.readers.listing import FoundFile, Listing

GUID = "1E94C24B-45E4-450A-9919-257C714278F7"


def listing(*paths: str) -> Listing:
    return Listing("/nowhere", "plate", tuple(FoundFile(path) for path in sorted(paths)))


def read(*paths: str):
    return ImageXpressReader().read(listing(*paths), ReadOptions())


def reasons(plate, status: FileStatus) -> dict[str, str]:
    return {record.path: record.reason for record in plate.files if record.status is status}


@given(
    plate=st.text("abcXYZ019_- .", min_size=1, max_size=12),
    row=st.sampled_from(["A", "H", "P", "AF"]),
    column=st.integers(1, 48),
    site=st.none() | st.integers(1, 30),
    wave=st.none() | st.integers(1, 9),
    thumb=st.booleans(),
    guid=st.uuids() | st.none(),
    t=st.none() | st.integers(1, 20),
    z=st.none() | st.integers(0, 20),
)
def test_every_combination_of_name_parts_is_parsed(plate, row, column, site, wave, thumb, guid, t, z):
    folder = "".join([f"TimePoint_{t}/" if t else "", "" if z is None else f"ZStep_{z}/"])
    name = f"{plate}_{row}{column:02d}" + (f"_s{site}" if site else "") + (f"_w{wave}" if wave else "")
    name += ("_thumb" if thumb else "") + (str(guid).upper() if guid else "") + ".tif"
    parts = parse(f"x/{folder}{name}")
    assert parts is not None
    assert (parts.folder, parts.plate, parts.well) == ("x", plate, well_name(row, column))
    assert (parts.site, parts.wave, parts.time_point) == (site or 1, wave or 1, t or 1)
    assert (parts.z_step, parts.thumbnail) == (z or 0, thumb)


@pytest.mark.parametrize(
    ("name", "well", "site", "wave"),
    [
        ("Projection-Mix_E08_s117654C10-92F1-4DFD-98AA-6A01BBD77557.tif", "E08", 1, 1),
        ("Week1_150607_B02_s1_w107447158-AC92-4844-8306-F889D7BB5B4C.tif", "B02", 1, 1),
        ("mcf-z-stacks_a01_s2_w1{GUID}.TIF", "A01", 2, 1),
        ("101210OranePlt1_C16_w1_[{GUID}].tif", "C16", 1, 1),
        ("101210OranePlt1_C16_s3_w2[{GUID}].tif", "C16", 3, 2),
        ("9987_B02.TIF", "B02", 1, 1),
        ("exp_A1_B02_s3.tif", "B02", 3, 1),
    ],
)
def test_real_names(name, well, site, wave):
    parts = parse(name.format(GUID=GUID))
    assert (parts.well, parts.site, parts.wave) == (well, site, wave)


@pytest.mark.parametrize(
    "name",
    [
        "p_B02_s1_w1.png",
        "p_B00_s1.tif",
        "p_s1_w1.tif",
        "p_AZ01.tif",
        "p_B02_s0.tif",
        "x.tif",
        "B02_s1_c1.tif",
    ],
)
def test_other_names_are_not_parsed(name):
    assert parse(name) is None


def test_ambiguous_names_need_more_evidence():
    reader = ImageXpressReader()
    assert not reader.recognise(listing("img_A01.tif", "img_A02.tif"))
    assert reader.recognise(listing("img_A01.tif", "img_A02.tif", "img.HTD"))
    assert reader.recognise(listing("TimePoint_1/img_A01.tif"))
    assert not reader.recognise(listing("p_A01_s1_w1.tif", "x.tif", "y.tif", "z.tif"))


def test_fields_are_ordered_by_well_site_and_time():
    plate = read("p_AA01_s1.tif", "p_B10_s1.tif", "p_B2_s10.tif", "p_B02_s2.tif")
    assert [field.group for field in plate.fields] == ["B/2/2", "B/2/10", "B/10/1", "AA/1/1"]
    assert plate.fields[0].name == "p_B02_s2"


def test_time_points_are_in_groups_and_names():
    plate = read("TimePoint_1/p_B02_s1.tif", "TimePoint_2/p_B02_s1.tif")
    assert [(field.t, field.group, field.name) for field in plate.fields] == [
        (0, "B/2/1t0", "p_B02_s1_t0"),
        (1, "B/2/1t1", "p_B02_s1_t1"),
    ]


@pytest.mark.parametrize("projection", ["", "ZStep_0/"])
def test_a_projection_is_used_instead_of_its_steps(projection):
    steps = [f"ZStep_{z}/p_B02_s1_w{wave}.tif" for z in (1, 2) for wave in (1, 2)]
    plate = read(f"{projection}p_B02_s1_w1.tif", *steps)
    (field,) = plate.fields
    assert [(plane.channel, plane.z, plane.path) for plane in field.planes] == [
        ("w1", 0, f"{projection}p_B02_s1_w1.tif"),
        ("w2", 0, "ZStep_1/p_B02_s1_w2.tif"),
        ("w2", 1, "ZStep_2/p_B02_s1_w2.tif"),
    ]
    assert set(reasons(plate, FileStatus.IGNORED)) == {"ZStep_1/p_B02_s1_w1.tif", "ZStep_2/p_B02_s1_w1.tif"}
    assert reasons(plate, FileStatus.IGNORED)["ZStep_1/p_B02_s1_w1.tif"].startswith("z-step: ")


def test_thumbnails_are_ignored_and_other_images_quarantined():
    plate = read("p_B02_s1_w1.tif", f"p_B02_s1_w1_thumb{GUID}.tif", "Copy of p.tif", "notes.txt")
    assert reasons(plate, FileStatus.IGNORED)[f"p_B02_s1_w1_thumb{GUID}.tif"].startswith("thumbnail: ")
    assert "does not fit" in reasons(plate, FileStatus.QUARANTINED)["Copy of p.tif"]


def test_two_files_for_one_plane_are_both_quarantined():
    other = GUID.replace("1E94", "2E94")
    plate = read(f"p_B02_s1_w1{GUID}.tif", f"p_B02_s1_w1{other}.tif", "p_B02_s2_w1.tif")
    assert [field.problem for field in plate.fields] == ["2 files claim channel w1", ""]
    assert len(reasons(plate, FileStatus.QUARANTINED)) == 2


def test_a_field_that_lacks_a_channel_keeps_the_others():
    plate = read("p_B02_s1_w1.tif", "p_B02_s1_w2.tif", "p_B03_s1_w1.tif")
    assert [(field.well, field.problem, field.lacking) for field in plate.fields] == [
        ("B02", "", ()),
        ("B03", "", (("w2", "no file for channel w2"),)),
    ]


def test_two_files_for_one_plane_affect_their_channel_only():
    other = GUID.replace("1E94", "2E94")
    plate = read(f"p_B02_s1_w1{GUID}.tif", f"p_B02_s1_w1{other}.tif", "p_B02_s1_w2.tif")
    (field,) = plate.fields
    assert [plane.channel for plane in field.planes] == ["w2"]
    assert (field.problem, field.lacking) == ("", (("w1", "2 files claim channel w1"),))


def test_a_channel_may_be_missing_at_a_whole_time_point():
    plate = read(
        *(f"TimePoint_1/p_B0{c}_w{w}.tif" for c in (2, 3) for w in (1, 2)), "TimePoint_2/p_B02_w1.tif"
    )
    assert [field.problem for field in plate.fields] == ["", "", ""]


@pytest.mark.parametrize("site", ["", "_s1", "_s2"])
def test_plates_in_folders_that_might_be_sites_are_listed(site):
    paths = [f"{plate}/{plate}_B02{site}_w{wave}.tif" for plate in ("P1", "P2") for wave in (1, 2)]
    with pytest.raises(InputError, match=r"holds 2 plates\. Run each alone:\n.*nowhere/P1 .*\n.*nowhere/P2 "):
        read(*paths)


def test_several_plates_are_rejected_by_name():
    with pytest.raises(
        InputError, match=r"holds 2 plates. Run each alone:\n  nucbatch run /nowhere/one -o out/one\n"
    ):
        read("one/TimePoint_1/p_B02_s1.tif", "two/TimePoint_1/p_B02_s1.tif")
    with pytest.raises(InputError, match=r"mixes images of 2 plates in one folder \(p, q\)"):
        read("p_B02_s1.tif", "q_B02_s1.tif")


def test_a_plate_may_have_folders_of_wells_and_sites():
    plate = read(*(f"p/{well}/p_{well}_s{s}_w1.tif" for well in ("B02", "C03") for s in (1, 2)), "p/p.HTD")
    assert list(plate.wells()) == ["B02", "C03"]
    assert len(read("Site_1/p_B02_s1_w1.tif", "Site_2/p_B02_s2_w1.tif").fields) == 2
    with pytest.raises(InputError, match="holds 2 plates"):
        read("B03/p_B02_s1_w1.tif", "B04/p_B02_s1_w1.tif")


def test_the_htd_names_channels_and_missing_wells(tmp_path):
    (tmp_path / "p.HTD").write_text(
        '"WellsSelection2", FALSE, TRUE, TRUE\n"WaveName1", "DAPI"\n"WaveName2", "Cy5"\n'
    )
    for wave in (1, 2):
        tifffile.imwrite(tmp_path / f"p_B02_s1_w{wave}.tif", np.zeros((8, 8), np.uint16))
    plate = open_plate(tmp_path)
    assert [channel.name for channel in plate.channels] == ["DAPI", "Cy5"]
    assert [(field.well, field.planes == (), field.problem) for field in plate.fields] == [
        ("B02", False, ""),
        ("B03", True, "no image: p.HTD selects the well, but it has no file"),
    ]


def test_folders_of_wavelengths_are_one_plate():
    """As in BBBC022."""
    paths = [f"20585w{w}/IXMtest_A01_s{s}_w{w}{GUID}.tif" for w in (1, 2) for s in (1, 2)]
    assert [(field.well, field.site, len(field.planes)) for field in read(*paths).fields] == [
        ("A01", 1, 2),
        ("A01", 2, 2),
    ]
    assert len(read("w1/p_A01_w1.tif", "w2/p_A01_w2.tif").fields) == 1
    assert len(read("exp_w1/p_A01_w1.tif", "exp_w1/p_A01_w2.tif").fields) == 1
    with pytest.raises(InputError, match=r"2 plates.*\n.*nowhere/20585w1 .*\n.*nowhere/20586w1 "):
        read("20585w1/p_A01_w1.tif", "20586w1/p_A01_w1.tif")
    with pytest.raises(InputError, match="2 plates"):
        read("w1/p_A01_w1.tif", "w2/p_A01_w1.tif")


def with_htd(tmp_path, *paths: str, sites: str = "TRUE, FALSE, TRUE, TRUE"):
    write_images(tmp_path, paths)
    (tmp_path / "p.HTD").write_text(
        f'"WellsSelection1", TRUE, TRUE\n"Sites", TRUE\n"SiteSelection1", {sites}\n'
    )
    return open_plate(tmp_path)


def test_a_lost_site_is_a_gap(tmp_path):
    kept = [f"p_A0{c}_s{s}_w1.tif" for c in (1, 2) for s in (1, 2, 3) if (c, s) != (2, 2)]
    plate = with_htd(tmp_path, *kept)
    assert [(field.well, field.site, field.problem) for field in plate.fields if field.problem] == [
        ("A02", 2, "no image: p.HTD selects 3 sites of each well, but this one has no file")
    ]
    assert plate.remarks == ()


def test_a_site_that_no_well_has_is_a_remark(tmp_path):
    plate = with_htd(tmp_path, *(f"p_A0{c}_s{s}_w1.tif" for c in (1, 2) for s in (1, 3)))
    assert plate.remarks == ("p.HTD selects 3 sites of each well, but images have only site 1, 3",)
    assert not any(field.problem for field in plate.fields)


def test_without_a_selection_of_sites_none_is_missed(tmp_path):
    plate = with_htd(tmp_path, "p_A01_s1_w1.tif", "p_A02_s1_w1.tif", "p_A02_s2_w1.tif", sites="")
    assert (plate.remarks, [field.problem for field in plate.fields]) == ((), ["", "", ""])
