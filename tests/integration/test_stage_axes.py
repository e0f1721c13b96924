"""Overlapping fields whose files don't say which way the stage runs, through the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import tifffile
from click.testing import CliRunner, Result

from nucbatch.cli.main import nucbatch
from nucbatch.synthetic.field import make_field
from nucbatch.synthetic.overlapping_fields import field_side, write_fields

PIXEL_UM = 0.65
OPTIONS = ("--workers", "2", "--diameter", "none", "--precision", "fp32")
Picture = npt.NDArray[np.uint16]
Stage = Callable[[float, float], tuple[float, float]]
"""From (y, x) of a field's centre in the picture to (X, Y) of the stage, in micrometres."""


def nucbatch_says(*words: str) -> Result:
    result = CliRunner().invoke(nucbatch, words)
    assert result.exit_code == 0, result.output
    return result


def write_well(plate: Path, well: str, picture: Picture, stage: Stage, overlap: float = 0.15) -> None:
    """Cuts a picture into 2 × 3 square fields: OME-TIFFs whose metadata have stage positions."""
    plate.mkdir(exist_ok=True)
    (high, down), (wide, right) = (
        field_side(picture.shape[axis], count, overlap) for axis, count in ((0, 2), (1, 3))
    )
    for site in range(6):
        top, left = site // 3 * down, site % 3 * right
        x, y = stage((top + high / 2) * PIXEL_UM, (left + wide / 2) * PIXEL_UM)
        plane = {"PositionX": x, "PositionY": y, "PositionXUnit": "µm", "PositionYUnit": "µm"}
        tifffile.imwrite(
            plate / f"{well}_s{site + 1}.ome.tif",
            np.ascontiguousarray(picture[top : top + high, left : left + wide]),
            metadata={"axes": "YX", "PhysicalSizeX": PIXEL_UM, "PhysicalSizeY": PIXEL_UM, "Plane": plane},
        )


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    seeds = map(np.random.default_rng, (0, 1))
    return [np.asarray(make_field(810, seed, nuclei=420)[0][0])[:555] for seed in seeds]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, pictures: list[Picture]) -> list[int]:
    """Numbers of nuclei of the pictures."""
    folder = tmp_path_factory.mktemp("whole")
    sizes = {"axes": "YX", "PhysicalSizeX": PIXEL_UM, "PhysicalSizeY": PIXEL_UM}
    (folder / "images").mkdir()
    for name, picture in zip("ab", pictures, strict=True):
        tifffile.imwrite(folder / "images" / f"{name}.ome.tif", picture, metadata=sizes)
    nucbatch_says("run", str(folder / "images"), "-o", str(folder / "out"), *OPTIONS)
    fields = pd.read_parquet(folder / "out" / "fields.parquet").sort_values("Metadata_Image")
    return [int(count) for count in fields["Count_Nuclei"]]


STAGES: dict[str, Stage] = {
    "Y runs down and X to the right": lambda y, x: (x, y),
    "Y runs up and X to the left": lambda y, x: (5e4 - x, 7e4 - y),
    "X runs down and Y to the left": lambda y, x: (y, -x),
}


@pytest.mark.slow
@pytest.mark.parametrize("axes", STAGES)
def test_nuclei_in_overlaps_count_once_whichever_way_the_stage_runs(
    tmp_path: Path, pictures: list[Picture], whole: list[int], axes: str
) -> None:
    plate = tmp_path / "plate"
    for well, picture in zip(("B02", "C05"), pictures, strict=True):
        write_well(plate, well, picture, STAGES[axes])
    ran = nucbatch_says("run", str(plate), "-o", str(tmp_path / "out"), *OPTIONS)
    told = f"The stage's {axes}, as the nuclei in overlapping fields show."
    assert told in " ".join(ran.output.split())
    wells = pd.read_csv(tmp_path / "out" / "wells.csv", keep_default_na=False)
    assert (wells["Count_Nuclei_Seen"] > 1.1 * np.array(whole)).all()
    assert (abs(wells["Count_Nuclei"] - whole) <= 0.03 * np.array(whole)).all()
    assert wells["Flags"].tolist() == ["", ""]
    assert told in (tmp_path / "out" / "report.html").read_text().replace("&#39;", "'")
    assert json.loads((tmp_path / "out" / "run.json").read_text())["plate"]["stage"] == told


@pytest.mark.slow
@pytest.mark.parametrize("overlap", [0.15, 0.0])
def test_fields_without_places_that_show_the_same_nuclei_count_them_once(
    tmp_path: Path, pictures: list[Picture], whole: list[int], overlap: float
) -> None:
    for well, picture in zip(("B02", "B03"), pictures, strict=True):
        write_fields(
            tmp_path / "plate", picture, fields=(2, 3), overlap=overlap, well=well, stage=lambda _: None
        )
    ran = nucbatch_says("run", str(tmp_path / "plate"), "-o", str(tmp_path / "out"), *OPTIONS)
    words = " ".join(ran.output.split())
    told = (
        "Stage positions are not known. Fields overlap: in 2 of 2 wells looked at, fields show the same "
        "nuclei. The places of the 6 fields of a well were found from these nuclei."
    )
    assert (told in words) == bool(overlap)
    assert (told in (tmp_path / "out" / "report.html").read_text()) == bool(overlap)
    wells = pd.read_csv(tmp_path / "out" / "wells.csv", keep_default_na=False)
    fields = pd.read_parquet(tmp_path / "out" / "fields.parquet")
    if not overlap:
        assert "Metadata_PositionX_um" not in fields
        assert "Count_Nuclei_Seen" not in wells
        return
    assert wells["Flags"].tolist() == ["", ""]
    assert (wells["Count_Nuclei_Seen"] > 1.1 * np.array(whole)).all()
    assert (abs(wells["Count_Nuclei"] - whole) <= 0.03 * np.array(whole)).all()
    _, right = field_side(pictures[0].shape[1], 3, overlap)
    x_um = fields["Metadata_PositionX_um"].to_numpy()
    assert x_um[1] - x_um[0] == pytest.approx(right * fields["PixelSize_um"][0], abs=4)


@pytest.mark.slow
def test_places_are_not_looked_for_without_a_pixel_size(tmp_path: Path, pictures: list[Picture]) -> None:
    boxes = write_fields(tmp_path / "sized", pictures[0], fields=(2, 3), overlap=0.15)
    (tmp_path / "plate").mkdir()
    for site, (top, left, bottom, right) in boxes.items():
        tifffile.imwrite(tmp_path / "plate" / f"B02_s{site}.tif", pictures[0][top:bottom, left:right].copy())
    plate, out = str(tmp_path / "plate"), str(tmp_path / "out")
    words = " ".join(nucbatch_says("run", plate, "-o", out, *OPTIONS).output.split())
    assert "Fields seem to overlap: in 1 of 1 well looked at, fields show the same nuclei" in words
    assert (
        "With --pixel-size the places of the fields are looked for, so that each nucleus counts once."
        in words
    )
    words = " ".join(
        nucbatch_says("run", plate, "-o", f"{out}2", *OPTIONS, "--pixel-size", "0.65").output.split()
    )
    assert "The places of the 6 fields of a well were found from these nuclei" in words


def test_what_is_not_known_of_the_stage_is_said_before(tmp_path: Path, pictures: list[Picture]) -> None:
    write_well(tmp_path / "plate", "B02", pictures[0], STAGES["Y runs up and X to the left"])
    words = " ".join(nucbatch_says("inspect", str(tmp_path / "plate")).output.split())
    assert "overlap by 15 % of their side; the files don't say which way the stage's axes run" in words
    document = json.loads(nucbatch_says("inspect", str(tmp_path / "plate"), "--json").output)
    assert document["positions"]["fields"] == 6
    assert not document["positions"]["axes_known"]


@pytest.mark.slow
def test_positions_that_fit_in_no_orientation_are_not_used(
    tmp_path: Path, pictures: list[Picture], whole: list[int]
) -> None:
    plate = tmp_path / "plate"
    for well, picture in zip(("B02", "C05"), pictures, strict=True):
        write_well(plate, well, picture, lambda y, x: (0.4 * x, 0.4 * y))
    ran = nucbatch_says("run", str(plate), "-o", str(tmp_path / "out"), *OPTIONS)
    words = " ".join(ran.output.split())
    assert "in no orientation of the stage do the nuclei there agree: these positions are not used." in words
    assert "The places of the 6 fields of a well were found from these nuclei." in words
    wells = pd.read_csv(tmp_path / "out" / "wells.csv", keep_default_na=False)
    assert (abs(wells["Count_Nuclei"] - whole) <= 0.03 * np.array(whole)).all()


@pytest.mark.slow
def test_axes_that_run_otherwise_than_the_layout_says_are_found_out(
    tmp_path: Path, pictures: list[Picture]
) -> None:
    for well, picture in zip(("B02", "B03"), pictures, strict=True):
        write_fields(tmp_path / "right", picture, fields=(2, 3), well=well)
        write_fields(
            tmp_path / "wrong", picture, fields=(2, 3), well=well, stage=lambda place: (-place[0], place[1])
        )
    tables = []
    for name in ("right", "wrong"):
        ran = nucbatch_says(
            "run", str(tmp_path / name), "-o", str(tmp_path / f"{name}-out"), "--workers", "2"
        )
        told = "The stage's Y runs up and X to the right" in " ".join(ran.output.split())
        assert told == (name == "wrong")
        tables.append(pd.read_csv(tmp_path / f"{name}-out" / "wells.csv").drop(columns="Metadata_Plate"))
    assert tables[0]["Count_Nuclei"].lt(0.95 * tables[0]["Count_Nuclei_Seen"]).all()
    pd.testing.assert_frame_equal(*tables)


def test_one_place_for_all_fields_of_a_well_is_none(tmp_path: Path, pictures: list[Picture]) -> None:
    write_well(tmp_path / "plate", "B02", pictures[0], lambda y, x: (0.0, 0.0))
    said = " ".join(nucbatch_says("inspect", str(tmp_path / "plate")).output.split())
    assert "stage positions of wells whose fields all have the same are not used" in said
    assert "overlap" not in said
