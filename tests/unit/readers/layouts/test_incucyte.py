"""Incucyte archives and exports: times, channels, vessels and plates."""

import numpy as np
import pytest
import tifffile
from golden import every, write_images

from nucbatch.core.errors import InputError
from nucbatch.core.plate import FileStatus
from nucbatch.readers.find import open_plate
from nucbatch.readers.layouts.incucyte import parse_export, parse_raw


def moments(plate) -> list[tuple[int, str]]:
    return sorted({(field.t, field.time) for field in plate.fields})


def test_an_archives_names():
    name = parse_raw("/x/EssenFiles/ScanData/2505/16/1124/1248/AA1-12-ph.TIF")
    assert (name.plate, name.vessel, name.well) == ("/x/EssenFiles/ScanData", "1248", "AA01")
    assert (name.field, name.channel, name.time) == (12, "Ph", "2505/16/1124")
    assert parse_raw("/x/A1-1-C2.tif").time == ""
    assert parse_raw("/x/A1-1-D2.tif") is None


@pytest.mark.parametrize(
    ("path", "plate", "well", "channel"),
    [
        ("/x/VID1607_C1_2_00d00h00m.tif", "/x/VID1607", "C01", ""),
        ("/x/green/VID1607_C1_2_10d04h15m.tif", "/x/VID1607", "C01", "green"),
        ("/x/phase/VID1_B4_2_2019y05m07d_16h07m.tif", "/x/VID1", "B04", "phase"),
        ("/x/Red Object/C1_2_00d00h00m.jpg", "/x/", "C01", "Red Object"),
        ("/x/my_run_Phase_AF48_2_00d00h00m.tif", "/x/my_run", "AF48", "Phase"),
        ("/x/plate 1/VID_C1_2_00d00h00m.tif", "/x/plate 1/VID", "C01", ""),
    ],
)
def test_an_exports_names(path, plate, well, channel):
    name = parse_export(path)
    assert (name.plate, name.well, name.field, name.channel) == (plate, well, 2, channel)


def test_dates_of_exports_are_times(tmp_path):
    assert parse_export("/x/VID1_B4_2_2019y13m07d_16h07m.tif") is None
    days = ("2019y12m31d_23h00m", "2020y01m01d_01h00m", "2019y12m31d_03h00m")
    write_images(tmp_path, every("VID1_B4_1_{day}.tif", day=days))
    assert moments(open_plate(tmp_path)) == [(0, days[2]), (1, days[0]), (2, days[1])]


def test_time_points_are_in_order_of_time(tmp_path):
    scans = ("2412/31/2300", "2501/01/0300", "2501/01/0100")
    write_images(tmp_path, every("{scan}/1248/A1-1-C1.tif", scan=scans))
    assert moments(open_plate(tmp_path)) == [(0, scans[0]), (1, scans[2]), (2, scans[1])]
    times = ("00d23h00m", "01d00h00m", "10d00h00m", "02d00h00m")
    write_images(tmp_path / "green", every("V_A1_1_{time}.tif", time=times))
    exported = open_plate(tmp_path / "green")
    assert moments(exported) == [(0, times[0]), (1, times[1]), (2, times[3]), (3, times[2])]
    assert [channel.name for channel in exported.channels] == ["green"]


def test_a_part_of_an_archive_keeps_time_and_vessel(tmp_path):
    write_images(tmp_path, every("2505/16/{time}/1248/A1-1-C1.tif", time=("1124", "1524")))
    for part in ("2505", "2505/16", "2505/16/1524", "2505/16/1524/1248"):
        plate = open_plate(tmp_path / part)
        assert plate.name == "1248"
        assert moments(plate)[-1][1] == "2505/16/1524"


def test_vessels_are_plates_and_one_is_chosen(tmp_path):
    write_images(tmp_path, every("2505/16/1124/{vessel}/A1-1-C1.tif", vessel=(9, 1248)))
    with pytest.raises(
        InputError, match=r"vessels 9, 1248(?s:.*)--acquisition 9 -o out/9\n.*1248 -o out/1248"
    ):
        open_plate(tmp_path)
    with pytest.raises(InputError, match="and no '7'"):
        open_plate(tmp_path, acquisition="7")
    plate = open_plate(tmp_path, acquisition="1248")
    assert (plate.name, plate.acquisition, len(plate.fields)) == ("1248", "1248", 1)
    ignored = [record for record in plate.files if record.status is FileStatus.IGNORED]
    assert [record.path for record in ignored] == ["2505/16/1124/9/A1-1-C1.tif"]


def test_archives_and_exports_of_several_plates_are_rejected(tmp_path):
    write_images(tmp_path / "raw", every("{a}/ScanData/2505/16/1124/1/A1-1-C1.tif", a=("one", "two")))
    with pytest.raises(InputError, match=r"2 plates(?s:.*)/one/ScanData -o .*\n.*/two/ScanData -o"):
        open_plate(tmp_path / "raw")
    write_images(tmp_path / "mixed", every("VID{a}_A1_1_00d00h00m.tif", a=(1607, 1608)))
    with pytest.raises(InputError, match=r"2 plates in one folder \(VID1607, VID1608\)"):
        open_plate(tmp_path / "mixed")
    write_images(tmp_path / "folders", every("{a}/VID1_A1_1_00d00h00m.tif", a=("day 1", "day 2")))
    with pytest.raises(InputError, match=r"/day 1' -o (?s:.*)name them after their channels"):
        open_plate(tmp_path / "folders")


def test_an_rgb_export_of_one_channel(tmp_path):
    (tmp_path / "green").mkdir()
    pixels = np.zeros((16, 16, 3), np.uint8)
    tifffile.imwrite(tmp_path / "green/V_A1_1_00d00h00m.tif", pixels, photometric="rgb")
    plate = open_plate(tmp_path)
    assert (list(plate.wells()), plate.fields[0].problem) == (["A01"], "")
    assert [channel.name for channel in plate.channels] == ["Red", "Green", "Blue"]
