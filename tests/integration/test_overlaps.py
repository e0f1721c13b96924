"""A picture cut into overlapping fields, through the command line: every nucleus counts once."""

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
from nucbatch.synthetic.overlapping_fields import PIXEL_UM, Position, write_fields

WORDS = "stage positions don't agree with the images"
TABLES = ("nuclei.parquet", "fields.parquet", "wells.csv", "files.csv")
Picture = npt.NDArray[np.uint16]


def run(plate: Path, out: Path, *options: str) -> Result:
    words = ["run", str(plate), "-o", str(out), "--workers", "2", "--diameter", "none", *options]
    result = CliRunner().invoke(nucbatch, words)
    assert result.exit_code == 0, result.output
    return result


def wells_of(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "wells.csv", keep_default_na=False).set_index("Metadata_Well")


def tables_of(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in TABLES}


def flipped(position: Position) -> Position:
    return -position[0], position[1]


def in_millimetres(position: Position) -> Position:
    return position[0] / 1000, position[1] / 1000


def equal(position: Position) -> Position:
    return 0.0, 0.0


def write_wells(plate: Path, picture: Picture) -> None:
    """B02 is the whole picture, B03 and B04 are cut well, and B05 to B08 have wrong or no positions."""
    write_fields(plate, picture, fields=(1, 1), well="B02")
    write_fields(plate, picture, well="B03")
    rng = np.random.default_rng(0)
    error = {site: tuple(rng.choice([-8, 8], 2).tolist()) for site in range(1, 10)}
    write_fields(plate, picture, well="B04", error_px=error)
    for well, stage in (("B05", flipped), ("B06", in_millimetres), ("B07", equal), ("B08", lambda _: None)):
        write_fields(plate, picture, well=well, stage=stage)


def check_wells(plate: Path, out: Path, allowed: float) -> None:
    result = run(plate, out)
    wells = wells_of(out)
    whole = wells.loc["B02", "Count_Nuclei"]
    assert wells.loc["B03", "Count_Nuclei_Seen"] > 1.1 * whole
    assert abs(wells.loc["B03", "Count_Nuclei"] - whole) <= allowed * whole
    assert abs(wells.loc["B04", "Count_Nuclei"] - whole) <= 2 * allowed * whole
    assert wells.loc[["B02", "B03", "B04", "B08"], "Flags"].tolist() == [""] * 4
    assert (wells.loc["B05":, "Count_Nuclei"] == wells.loc["B05":, "Count_Nuclei_Seen"]).all()
    assert wells.loc["B05":"B07", "Flags"].tolist() == ["wrong-positions (9)"] * 3
    assert "each counted once" not in result.output  # not in the wells with wrong positions
    assert f"27 fields flagged wrong-positions: {WORDS}" in " ".join(result.output.split())
    assert WORDS in (out / "report.html").read_text().replace("&#39;", "'")

    nuclei, fields = (pd.read_parquet(out / f"{name}.parquet") for name in ("nuclei", "fields"))
    assert (
        nuclei.groupby("Metadata_Well")["Metadata_Counted"].sum().to_dict() == wells["Count_Nuclei"].to_dict()
    )
    assert fields["Count_Nuclei_Seen"].sum() == len(nuclei)
    assert fields["Count_Nuclei"].sum() == nuclei["Metadata_Counted"].sum()

    picture_mm2 = np.prod(fields.loc[0, ["Height_px", "Width_px"]].astype(int)) * PIXEL_UM**2 / 1e6
    assert wells.loc["B02", "Area_Covered_mm2"] == pytest.approx(picture_mm2)
    assert wells.loc["B03", "Area_Covered_mm2"] == pytest.approx(picture_mm2, rel=0.02)
    fields_mm2 = (fields["Height_px"] * fields["Width_px"] * PIXEL_UM**2 / 1e6)[fields.Metadata_Well == "B05"]
    assert wells.loc["B05", "Area_Covered_mm2"] == pytest.approx(fields_mm2.sum())
    densities = (
        wells.loc[["B03", "B05", "B08"], "Count_Nuclei_PerMm2"] / wells.loc["B02", "Count_Nuclei_PerMm2"]
    )
    assert densities.between(0.95, 1.2).all()  # the parts of nuclei on the edges of small fields add up
    assert wells["Confluence_Nuclei"].between(0.01, 0.6).all()


@pytest.fixture(scope="module")
def drawn() -> Picture:
    return np.asarray(make_field(560, np.random.default_rng(0), nuclei=230)[0][0])


@pytest.mark.slow
def test_counts_are_those_of_the_whole_picture(tmp_path: Path, drawn: Picture) -> None:
    write_wells(tmp_path / "plate", drawn)
    check_wells(tmp_path / "plate", tmp_path / "out", allowed=0.03)


@pytest.mark.slow
@pytest.mark.real_data
def test_counts_of_real_nuclei_are_those_of_the_whole_picture(tmp_path: Path, shared_data: Path) -> None:
    picture = tifffile.imread(shared_data / "plates" / "sbs96" / "Channel2-01-A-01.tif").astype(np.uint16)
    write_wells(tmp_path / "plate", picture)
    check_wells(tmp_path / "plate", tmp_path / "out", allowed=0.03)


@pytest.mark.slow
@pytest.mark.real_data
def test_doubles_of_a_real_plate_are_left_out(tmp_path: Path, shared_data: Path) -> None:
    run(
        shared_data / "plates" / "imagexpress_exported" / "9987_Plate_3434",
        tmp_path / "out",
        "--precision",
        "fp32",
    )
    wells = wells_of(tmp_path / "out")
    assert (wells["Count_Nuclei_Seen"] - wells["Count_Nuclei"]).tolist() == [0, 12]
    assert wells["Flags"].tolist() == ["", ""]
    fields = pd.read_parquet(tmp_path / "out" / "fields.parquet")
    assert fields["Metadata_PositionX_um"].tolist() == [22985, 23300, 31984.9, 32300]


@pytest.mark.slow
def test_the_tables_do_not_depend_on_how_the_run_went(tmp_path: Path, drawn: Picture) -> None:
    plate = tmp_path / "plate"
    write_fields(plate, drawn, fields=(2, 2))
    run(plate, tmp_path / "out")
    wanted = tables_of(tmp_path / "out")
    run(plate, tmp_path / "blocks", "--block-size", "128", "--workers", "1")
    assert tables_of(tmp_path / "blocks") == wanted
    run(plate, tmp_path / "parts", "--sites", "1,4")
    assert (
        wells_of(tmp_path / "parts")["Count_Nuclei"].item()
        < wells_of(tmp_path / "out")["Count_Nuclei"].item()
    )
    run(plate, tmp_path / "parts")
    assert tables_of(tmp_path / "parts") == wanted
    labels = {
        path: path.read_bytes() for path in (tmp_path / "out" / "plate.zarr").rglob("*/labels/nuclei/0/*")
    }

    run(plate, tmp_path / "out", "--overlaps", "keep")
    wells = wells_of(tmp_path / "out")
    assert wells["Count_Nuclei"].tolist() == wells["Count_Nuclei_Seen"].tolist()
    assert wells["Flags"].tolist() == [""]
    assert json.loads((tmp_path / "out" / "run.json").read_text())["settings"]["overlaps"] == "keep"
    assert tables_of(tmp_path / "out") != wanted
    run(plate, tmp_path / "out")
    assert tables_of(tmp_path / "out") == wanted
    assert labels == {path: path.read_bytes() for path in labels}


@pytest.mark.slow
def test_edges_that_fields_share_and_positions_of_kept_overlaps_are_told(
    tmp_path: Path, drawn: Picture
) -> None:
    plate = tmp_path / "plate"
    write_fields(plate, drawn, fields=(1, 1), well="B02")
    write_fields(plate, drawn, fields=(2, 2), well="B03", overlap=0)
    write_fields(plate, drawn, fields=(2, 2), well="B04", stage=in_millimetres)
    result = run(plate, tmp_path / "out", "--overlaps", "keep")
    wells = wells_of(tmp_path / "out")
    whole, cut = wells.loc["B02"], wells.loc["B03"]
    at_edges = int(cut["Count_Nuclei_AtSharedEdges"])
    assert 0 < cut["Count_Nuclei"] - whole["Count_Nuclei"] <= at_edges / 2 + 2
    assert at_edges < 0.3 * cut["Count_Nuclei"]
    assert whole["Count_Nuclei_AtSharedEdges"] == "0"
    assert f"{at_edges} of the nuclei touch an edge that another field adjoins" in result.output
    assert wells["Flags"].tolist() == ["", "", "wrong-positions (4)"]
    assert wells.loc["B04", "Count_Nuclei"] == wells.loc["B04", "Count_Nuclei_Seen"]
    run(plate, tmp_path / "out", "--overlaps", "keep", "--drop-border")
    left = int(wells_of(tmp_path / "out").loc["B03", "Count_Nuclei_AtSharedEdges"])
    assert left < 0.2 * at_edges  # those that end one pixel before the edge


@pytest.mark.slow
def test_what_a_lost_field_showed_counts_in_its_neighbours(tmp_path: Path, drawn: Picture) -> None:
    plate = tmp_path / "plate"
    boxes = write_fields(plate, drawn, well="B02", overlap=0.3)
    write_fields(plate, drawn, well="B03", overlap=0.3)
    broken = next(plate.glob("*_B03_s5_*"))
    broken.write_bytes(broken.read_bytes()[:5000])
    result = CliRunner().invoke(
        nucbatch, ["run", str(plate), "-o", str(tmp_path / "out"), "--workers", "2", "--diameter", "none"]
    )
    assert result.exit_code == 3, result.output
    wells = wells_of(tmp_path / "out")
    nuclei = pd.read_parquet(tmp_path / "out" / "nuclei.parquet")
    middle = nuclei[(nuclei.Metadata_Well == "B02") & (nuclei.Metadata_Site == 5)]
    top, left, bottom, right = boxes[5]
    strip = round(0.3 * (bottom - top))
    y, x = middle["Metadata_Nuclei_Location_Center_Y"], middle["Metadata_Nuclei_Location_Center_X"]
    alone = y.between(strip, bottom - top - strip) & x.between(strip, right - left - strip)
    lost = wells.loc["B02", "Count_Nuclei"] - wells.loc["B03", "Count_Nuclei"]
    assert middle["Metadata_Counted"].sum() > alone.sum()
    assert abs(lost - alone.sum()) <= 3
    assert wells["Flags"].tolist() == ["", ""]


@pytest.mark.slow
def test_time_points_and_z_steps_are_counted_by_themselves(
    tmp_path: Path, drawn: Picture, make_picture: Callable[[int], Picture]
) -> None:
    plate = tmp_path / "plate"
    for t, picture in enumerate((drawn, make_picture(3)), start=1):
        write_fields(plate, picture, fields=(2, 2), time_point=t, z_steps=2)
        write_fields(plate, picture, fields=(1, 1), well="B03", time_point=t, z_steps=2)
    run(plate, tmp_path / "out")
    wells = pd.read_csv(tmp_path / "out" / "wells.csv").set_index(["Metadata_Well", "Metadata_Time"])
    for t in (0, 1):
        whole, cut = wells.loc[("B03", t)], wells.loc[("B02", t)]
        assert cut["Count_Nuclei_Seen"] > 1.05 * whole["Count_Nuclei"]
        assert abs(cut["Count_Nuclei"] - whole["Count_Nuclei"]) <= 0.04 * whole["Count_Nuclei"]
    assert wells.loc[("B03", 0), "Count_Nuclei"] != wells.loc[("B03", 1), "Count_Nuclei"]


@pytest.fixture
def make_picture() -> Callable[[int], Picture]:
    def make(seed: int) -> Picture:
        return np.asarray(make_field(560, np.random.default_rng(seed), nuclei=150)[0][0])

    return make
