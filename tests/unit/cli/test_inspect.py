"""``nucbatch inspect`` as a user meets it: text, JSON and exit codes."""

import json

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from golden import write_images

from nucbatch.cli.inspect import inspect
from nucbatch.core.errors import InputError, InputNotFound
from nucbatch.core.plate import Channel, Field, Plane, Plate
from nucbatch.core.plate_geometry import draw_plate
from nucbatch.readers.plate_summary import summarise
from nucbatch.readers.summary_text import facts, plate_map


@pytest.fixture
def plate(tmp_path):
    for column in (1, 2, 12):
        for channel in (1, 2):
            tifffile.imwrite(
                tmp_path / f"Channel{channel}-01-A-{column:02d}.tif", np.zeros((16, 24), np.uint8)
            )
    (tmp_path / "[bold]notes.txt").write_text("x")
    return tmp_path


def run(*arguments: object):
    return CliRunner().invoke(inspect, [str(argument) for argument in arguments], catch_exceptions=False)


def test_a_sound_plate_is_shown_and_exits_0(plate):
    result = run(plate)
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    for line in (
        "layout names, from file names alone",
        "wells 3",
        "fields 3",
        "channels Channel1, Channel2",
        "pixels uint8, 16 × 24 px",
        "files 7 found = 6 used + 1 ignored + 0 quarantined",
        "A 1 1 · · · · · · · · · 1",
        "not-an-image: 1 (its name does not have the ending of an image)",
        "[bold]notes.txt",
    ):
        assert line in lines


def test_a_broken_file_is_named_with_its_reason_and_exits_3(plate):
    (plate / "Channel2-01-A-02.tif").write_bytes(b"")
    result = run(plate)
    assert result.exit_code == 3
    text = " ".join(result.output.split())
    assert "Quarantined Channel2-01-A-02.tif empty file (0 bytes)" in text
    assert "A 1 ! · · · · · · · · · 1" in text
    assert "7 found = 5 used + 1 ignored + 1 quarantined" in text


def test_nothing_usable_exits_1(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"")
    assert run(tmp_path).exit_code == 1


def test_json_says_the_same(plate):
    (plate / "Channel2-01-A-02.tif").write_bytes(b"")
    result = run(plate, "--json")
    assert result.exit_code == 3
    document = json.loads(result.output)
    assert document["files"] == {"found": 7, "used": 5, "ignored": 1, "quarantined": 1}
    assert document["wells"]["A02"] == {"sites": 1, "usable_fields": 1, "unusable_fields": 0}
    assert document["quarantined"] == [{"path": "Channel2-01-A-02.tif", "reason": "empty file (0 bytes)"}]
    assert {rule["name"]: rule["count"] for rule in document["ignored"]} == {
        "not-an-image": 1,
    }
    assert [one["reason"] for one in document["fields_lacking_channels"]] == [
        "Channel2-01-A-02.tif: empty file (0 bytes)"
    ]
    counts = [(one["name"], one["fields"]) for one in document["channels"]]
    assert counts == [("Channel1", 3), ("Channel2", 2)]


def test_options_reach_the_readers(plate):
    assert json.loads(run(plate, "--json", "--layout", "folder").output)["layout"] == "folder"
    by_pattern = run(plate, "--json", "--pattern", r"-(?P<row>A)-(?P<column>12)", "--pixel-size", "0.5")
    document = json.loads(by_pattern.output)
    assert (list(document["wells"]), document["files"]["quarantined"]) == (["A12"], 4)


def test_of_a_pyramid_the_level_that_is_read_is_shown(tmp_path):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        described = {"axes": "YX", "PhysicalSizeX": 0.25}
        writer.write(np.zeros((64, 96), np.uint8), subifds=1, tile=(16, 16), metadata=described)
        writer.write(np.zeros((32, 48), np.uint8), subfiletype=1, tile=(16, 16), metadata=None)
    lower = run(path, "--resolution", "0.5")
    assert lower.exit_code == 0
    lines = [" ".join(line.split()) for line in lower.output.splitlines()]
    for line in (
        "pixels uint8, 32 × 48 px",
        "pixel size 0.5 µm, from image files",
        "resolution level 1 of the pyramid",
    ):
        assert line in lines
    assert json.loads(run(path, "--resolution", "0.5", "--json").output)["levels"] == [
        {"level": 1, "fields": 1}
    ]
    full = run(path, "--resolution", "0.3")
    assert "uint8, 64 × 96 px" in full.output
    assert "--resolution 0.3 changes nothing (1 field: the full resolution is the nearest" in " ".join(
        full.output.split()
    )


def test_a_wrong_path_is_a_sentence_for_the_command_line(tmp_path):
    with pytest.raises(InputNotFound, match="does not exist"):
        run(tmp_path / "gone")


@pytest.mark.parametrize("columns", ["20", "40", "200"])
def test_any_width_of_terminal_does(plate, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    result = run(plate)
    assert result.exit_code == 0
    assert max(len(line) for line in result.output.splitlines()) <= int(columns)


def test_control_characters_in_names_are_shown_not_obeyed(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.uint8))
    (tmp_path / "evil\x1b[2J\n.txt").write_text("x")
    result = run(tmp_path)
    assert "\x1b" not in result.output
    assert r"evil\x1b[2J\n.txt" in result.output


def test_a_projection_is_reported(tmp_path):
    movie = np.zeros((5, 16, 24), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", movie, imagej=True, metadata={"axes": "ZYX"})
    shown = run(tmp_path / "a.tif").output
    assert "projection  5 z-steps, by maximum" in shown
    assert "If they are time points, save them as such" in shown
    (document,) = json.loads(run(tmp_path / "a.tif", "--json").output)["projections"]
    assert document == {"z_steps": 5, "projection": "5 z-steps, by maximum", "fields": 1}
    tifffile.imwrite(tmp_path / "a.tif", movie, imagej=True, metadata={"axes": "TYX"})
    assert "projection" not in run(tmp_path / "a.tif").output


def test_a_merge_of_fluorescence_is_asked_about(tmp_path):
    merge = np.zeros((64, 64, 3), np.uint8)
    merge[10:20, 10:20, 2] = merge[30:50, 30:50, 1] = 200
    tifffile.imwrite(tmp_path / "a.tif", merge, photometric="rgb")
    assert "dark ground: --channel Blue? 1 of 1 RGB images" in " ".join(run(tmp_path).output.split())
    assert json.loads(run(tmp_path, "--json").output)["dark_ground"].startswith(
        "dark ground: --channel Blue?"
    )
    tifffile.imwrite(tmp_path / "a.tif", 255 - merge // 2, photometric="rgb")
    assert "dark ground" not in run(tmp_path).output


def test_nan_is_seen_before_the_run(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.full((16, 24), np.nan, np.float32))
    result = run(tmp_path)
    assert result.exit_code == 1
    assert "a.tif holds NaN or infinity" in " ".join(result.output.split())


def test_a_selection_is_counted_and_one_that_the_plate_lacks_is_refused(plate):
    result = run(plate, "--wells", "A02-A12")
    assert result.exit_code == 0
    assert "selected 2 usable fields" in " ".join(result.output.split())
    assert json.loads(run(plate, "--wells", "A", "--json").output)["selected_fields"] == 3
    assert json.loads(run(plate, "--json").output)["selected_fields"] is None
    with pytest.raises(InputError, match=r"--wells B03: .* The nearest that it has: A02, A01, A12"):
        run(plate, "--wells", "B03")


def test_what_the_microscope_recorded_is_shown(tmp_path):
    """Two fields of 8 µm, 7.2 µm apart, in a plate whose fourth column was lost."""
    write_images(tmp_path, ["a.tif", "b.tif"])
    columns = "Well,Site,AbsTime,ImageResolutionX,PositionX,PositionY"
    head = "FileName_DAPI," + ",".join(f"Metadata_{name}" for name in columns.split(","))
    rows = "a.tif,B02,1,x,5e-7,0,0\nb.tif,B02,2,x,5e-7,7.2e-6,0\nc.tif,B04,1,x,5e-7,0,0\n"
    (tmp_path / "load.csv").write_text(f"{head}\n{rows}")
    result = run(tmp_path / "load.csv")
    assert result.exit_code == 3
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    for line in (
        "layout manifest, from the microscope's side files",
        "fields 2, 1 more can't be used",
        "positions known for all fields; neighbours overlap by 10 % of their side",
        "pixel size 0.5 µm, from side file",
        "B · 2 · ! · · · · · · · ·",
        "channel DAPI: c.tif: no such file",
    ):
        assert line in lines
    document = json.loads(run(tmp_path / "load.csv", "--json").output)
    assert document["evidence"] == "side file"
    assert document["positions"] == {"fields": 2, "overlap": pytest.approx(0.1), "axes_known": True}
    assert document["pixel_sizes_um"] == [{"size": 0.5, "source": "side file", "fields": 2}]
    given = run(tmp_path / "load.csv", "--pixel-size", "0.7")
    assert "0.7 µm, from --pixel-size" in given.output


def test_acquisitions_time_points_and_the_size_of_the_plate_are_shown(tmp_path):
    plane = Plane("a.tif", "DAPI")
    fields = [
        Field(
            "B02", site, t, f"B/2/{site}t{t}", f"p{site}{t}", (plane,), 8, 8, "uint8", acquisition=f"A0{site}"
        )
        for site in (1, 2)
        for t in (0, 1)
    ]
    channel = Channel("DAPI", 0, ("ch1",), 405, 450, "0000FF")
    plate = Plate("p", "/", "x", (channel,), tuple(fields), (), rows=16, columns=24, evidence="names")
    summary = summarise(plate)
    shown = dict(facts(summary))
    assert shown["acquisitions"] == "A01: 2 fields\nA02: 2 fields"
    assert shown["wells"] == "1 of 384 (16 rows × 24 columns)"
    assert shown["time points"] == "2"
    assert shown["channels"] == "DAPI (ch1)"
    drawing = plate_map(summary)
    assert len(drawing) == 17
    assert drawing[2].split()[:3] == ["B", "·", "2"]
    document = summary.as_dict()
    assert document["channels"] == [
        {
            "name": "DAPI",
            "aliases": ("ch1",),
            "excitation_nm": 405,
            "emission_nm": 450,
            "color": "0000FF",
            "flat_field": None,
            "fields": 4,
        }
    ]
    assert document["wells"] == {"B02": {"sites": 2, "usable_fields": 4, "unusable_fields": 0}}


def test_plates_of_1536_wells_fit_a_terminal():
    drawing = draw_plate({"A01": "4", "AF48": "!"})
    assert len(drawing) == 33
    assert {len(line) for line in drawing} == {52}
    assert drawing[-1] == " AF " + "·" * 47 + "!"


def test_a_long_list_of_lost_fields_is_cut_and_json_has_all(tmp_path):
    rows = "".join(f"gone{number}.tif,A01,{number}\n" for number in range(1, 151))
    (tmp_path / "load.csv").write_text(f"FileName_DAPI,Metadata_Well,Metadata_Site\n{rows}")
    shown = run(tmp_path / "load.csv").output
    assert "and 50 more; --json lists all of them" in shown
    assert len(json.loads(run(tmp_path / "load.csv", "--json").output)["unusable_fields"]) == 150
