"""One plate with everything that can be wrong with an input among good fields, through the command line.

Each bad file ends as a row of files.csv with a reason, its field without a number, and its neighbours as if
it had not been there. What goes wrong between the plan and the block is in test_files_that_change.py.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from click.testing import CliRunner, Result

from nucbatch.cli.main import nucbatch
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stored_images import field_groups, read_labels

pytestmark = pytest.mark.slow

CHANNELS = ("DAPI", "GFP", "RFP")
GOOD = ("A01_1", "A02_1", "A09_1", "A09_3")
SIDE = 128
MANY = 60_000


def everywhere(value: float, dtype: str, hole: float | None = None) -> Callable[[Path, Path], None]:
    """All planes of a field of one value; the first with one other pixel, if ``hole`` says which."""

    def spoil(folder: Path, first: Path) -> None:
        for number, name in enumerate(CHANNELS):
            pixels = np.full((SIDE, SIDE), value, dtype)
            if hole is not None and number == 0:
                pixels[3, 4] = hole
            tifffile.imwrite(folder / first.name.replace("DAPI", name), pixels)

    return spoil


def smaller(folder: Path, first: Path) -> None:
    for name in CHANNELS:
        tifffile.imwrite(folder / first.name.replace("DAPI", name), np.zeros((64, 64), np.uint16))


def pages(folder: Path, first: Path) -> None:
    """A TIFF of many directories that share one strip and say nothing of themselves."""
    entries = [(256, 4, 1, 4), (257, 4, 1, 4), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 4), (279, 4, 1, 16)]
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    step = len(body) + 4
    ends = (24 + step * (number + 1) for number in range(MANY))
    directories = b"".join(body + struct.pack("<I", end if n < MANY - 1 else 0) for n, end in enumerate(ends))
    first.write_bytes(b"II*\0" + struct.pack("<I", 24) + bytes(16) + directories)


def steps(folder: Path, first: Path) -> None:
    """ImageJ's stack behind one directory, in a file with a hole."""
    said = f"ImageJ=1.54\nimages={MANY}\nslices={MANY}\n"
    tifffile.imwrite(first, np.zeros((SIDE, SIDE), np.uint16), description=said, metadata=None)
    os.truncate(first, SIDE * SIDE * 2 * (MANY + 1))


def bomb(folder: Path, first: Path) -> None:
    tifffile.imwrite(first, np.zeros((SIDE, SIDE), np.uint16), compression="deflate")
    with tifffile.TiffFile(first, mode="r+") as tiff:
        for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tiff.pages[0].tags[tag].overwrite(1 << 20, dtype="I")


def undecodable(folder: Path, first: Path) -> None:
    """A sound header before compressed pixels that are not what was compressed."""
    tifffile.imwrite(first, tifffile.imread(first), compression="deflate", rowsperstrip=1 << 20)
    with tifffile.TiffFile(first) as tiff:
        offset, count = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    with first.open("r+b") as file:
        file.seek(offset + count // 2)
        file.write(bytes(byte ^ 0x5A for byte in range(64)))


def entities(folder: Path, first: Path) -> None:
    said = '<!DOCTYPE OME [<!ENTITY a "1">]><OME><Image><Pixels PhysicalSizeX="&a;"/></Image></OME>'
    tifffile.imwrite(first, np.zeros((SIDE, SIDE), np.uint16), description=said, metadata=None)


def unnameable(folder: Path, first: Path) -> None:
    first.unlink()
    Path(os.fsdecode(os.fsencode(folder) + b"/B09_1_DAPI\xff.tif")).write_bytes(b"II*\0")


def replaced(make: Callable[[Path], object]) -> Callable[[Path, Path], None]:
    """Something else in the first plane's place."""

    def spoil(folder: Path, first: Path) -> None:
        first.unlink()
        make(first)

    return spoil


@dataclass(frozen=True)
class Bad:
    """A field, the damage to it, and the reason in files.csv of its DAPI file, or of ``path``."""

    what: str
    stem: str
    spoil: Callable[[Path, Path], None]
    reason: str
    path: str = ""
    others: str = "incomplete-field: "
    field: str = ""


def image(pixels: np.ndarray) -> Callable[[Path, Path], None]:
    return lambda folder, first: tifffile.imwrite(first, pixels)


def content(data: bytes) -> Callable[[Path, Path], None]:
    return lambda folder, first: first.write_bytes(data) and None


BAD = (
    Bad(
        "truncated", "A03_1", lambda _, first: os.truncate(first, 9000), r"truncated: 9,000 bytes of at least"
    ),
    Bad("zero bytes", "A04_1", content(b""), r"empty file \(0 bytes\)"),
    Bad("HTML", "A05_1", content(b"<!DOCTYPE html><html>404"), "a web page or XML text, no image"),
    Bad("size", "A06_1", image(np.zeros((64, 64), np.uint16)), "uint16 of 64 × 64 px, but the other planes"),
    Bad("type", "A07_1", image(np.zeros((SIDE, SIDE), np.uint8)), "uint8 of 128 × 128 px, but the other pl"),
    Bad(
        "field's size",
        "A09_2",
        smaller,
        "uint16 of 64 × 64 px, but the other fields of its well",
        others="uint16",
    ),
    Bad("NaN", "A10_1", everywhere(9, "float32", np.nan), "holds NaN or infinity"),
    Bad("infinity", "A11_1", everywhere(9, "float32", np.inf), "holds NaN or infinity"),
    Bad("pages", "B03_1", pages, "60,000 pages instead of one plane.*: split it into single planes"),
    Bad("z-steps", "B04_1", steps, "60,000 z-steps of one field; the limit is 1,000"),
    Bad("folder", "B05_1", replaced(Path.mkdir), "a folder, though named like an image", field="no file for"),
    Bad("dangling", "B06_1", replaced(lambda first: first.symlink_to("gone.tif")), "a link to nothing"),
    Bad(
        "link out",
        "B07_1",
        replaced(lambda first: first.symlink_to("/etc/hostname")),
        "a link that leads out",
    ),
    Bad("pipe", "B08_1", replaced(os.mkfifo), r"not a regular file \(a socket, pipe or device\)"),
    Bad("no UTF-8", "B09_1", unnameable, "its name is not valid UTF-8: rename", path=r"B09_1_DAPI\xff.tif"),
    Bad(
        "bomb", "B10_1", bomb, r"damaged header \(promises 2,199,023,255,552 bytes.*the limit is 268,435,456"
    ),
    Bad("entities", "B11_1", entities, "its XML description declares a document type or entities"),
)
NAMES = {
    "<img src=x onerror=alert(1)>.tif": "<img src=x onerror=alert(1)>.tif",
    "=cmd|calc.tif": "'=cmd|calc.tif",
    "evil\x1b[2J.tif": "evil\x1b[2J.tif",
}
IGNORED = {".DS_Store": "system-file: ", "notes.txt": "not-an-image: "}
EMPTY, SATURATED, LACKING, CUT, SPOILT = "B01_1", "B02_1", "A08_1", "B12_1", "C01_1"


def run(plate: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(nucbatch, ["run", str(plate), "-o", str(out), "--channel", "DAPI", *options])


@dataclass(frozen=True)
class Finished:
    plate: Path
    folder: RunFolder
    result: Result
    files: pd.DataFrame = field(repr=False)
    fields: pd.DataFrame = field(repr=False)


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, write_field: Callable[[Path, str, int, int], None]
) -> Finished:
    plate = tmp_path_factory.mktemp("bad") / "plate"
    plate.mkdir()
    stems = [*GOOD, *(bad.stem for bad in BAD), LACKING, CUT, SPOILT]
    for seed, stem in enumerate(stems):
        write_field(plate, stem, seed, SIDE)
    for bad in BAD:
        bad.spoil(plate, plate / f"{bad.stem}_DAPI.tif")
    (plate / f"{LACKING}_RFP.tif").unlink()
    (plate / f"{CUT}_RFP.tif").write_bytes(b"")
    undecodable(plate, plate / f"{SPOILT}_RFP.tif")
    for stem, value in ((EMPTY, 0), (SATURATED, 65_535)):
        everywhere(value, "uint16")(plate, plate / f"{stem}_DAPI.tif")
    for name in NAMES:
        tifffile.imwrite(plate / name, np.zeros((SIDE, SIDE), np.uint16))
    for name in IGNORED:
        (plate / name).write_text("x")
    folder = RunFolder(tmp_path_factory.mktemp("run") / "out")
    result = run(plate, folder.path, "--workers", "2")
    files = pd.read_csv(folder.files, keep_default_na=False).set_index("path")
    fields = pd.read_parquet(folder.fields)
    return Finished(plate, folder, result, files, fields.set_index(fields["Name"].str.removeprefix("plate_")))


def name_of(stem: str) -> str:
    return stem.replace("_", "_s")


def test_a_run_over_everything_bad_ends_with_3_and_counts_it(finished: Finished) -> None:
    assert finished.result.exit_code == 3, finished.result.output
    found = finished.files["status"].value_counts()
    said = ", ".join(f"{found[status]} {status}" for status in ("used", "ignored", "quarantined"))
    assert said in finished.result.output
    assert f"{len(BAD)} fields failed" in finished.result.output
    assert "3 fields flagged missing-channel RFP: " in " ".join(finished.result.output.split())
    assert "Traceback" not in finished.result.output


def test_every_file_has_one_row(finished: Finished) -> None:
    on_disk = {
        os.fsencode(path.relative_to(finished.plate)).decode(errors="backslashreplace")
        for path in finished.plate.rglob("*")
    }
    assert finished.files.index.is_unique
    assert set(finished.files.index) == {NAMES.get(path, path) for path in on_disk}
    assert (finished.files.loc[finished.files["status"] != "used", "reason"] != "").all()


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.what)
def test_each_bad_file_is_quarantined_with_its_reason_and_its_field_has_no_number(
    finished: Finished, bad: Bad
) -> None:
    row = finished.files.loc[bad.path or f"{bad.stem}_DAPI.tif"]
    assert row["status"] == "quarantined"
    assert pd.Series([row["reason"]]).str.match(bad.reason).all(), row["reason"]
    for name in CHANNELS[1:]:
        assert finished.files.loc[f"{bad.stem}_{name}.tif", "reason"].startswith(bad.others)
    of_field = finished.fields.loc[name_of(bad.stem)]
    assert of_field["Status"] in ("failed", "quarantined")
    assert of_field["Reason"].startswith(bad.field)
    assert pd.isna(of_field["Count_Nuclei"])


@pytest.mark.parametrize("stem", [LACKING, CUT, SPOILT])
def test_a_missing_channel_that_is_not_segmented_costs_its_measurements_alone(
    finished: Finished, stem: str
) -> None:
    of_field = finished.fields.loc[name_of(stem)]
    assert (of_field["Status"], of_field["Reason"]) == ("done", "")
    assert of_field["Flags"] == "missing-channel RFP"
    assert of_field["Count_Nuclei"] > 0
    for name in CHANNELS[:2]:
        assert finished.files.loc[f"{stem}_{name}.tif", "status"] == "used"
    if stem != LACKING:
        assert finished.files.loc[f"{stem}_RFP.tif", "status"] == "quarantined"
    nuclei = pd.read_parquet(finished.folder.nuclei)
    own = nuclei[nuclei["Metadata_Image"] == of_field["Metadata_Image"]]
    assert len(own) == of_field["Count_Nuclei"]
    assert own["Nuclei_Intensity_MeanIntensity_RFP"].isna().all()
    assert own["Nuclei_Intensity_MeanIntensity_GFP"].notna().all()
    wells = pd.read_csv(finished.folder.wells, keep_default_na=False).set_index("Metadata_Well")
    assert wells.loc[of_field["Metadata_Well"], "Flags"] == "missing-channel RFP (1)"
    assert int(wells.loc[of_field["Metadata_Well"], "Count_Nuclei"]) >= of_field["Count_Nuclei"]
    assert of_field["Name"] in finished.folder.report.read_text(encoding="utf-8")


@pytest.mark.parametrize("diameter", ["auto", "none"])
def test_a_damaged_channel_costs_the_same_whether_the_image_is_cut_or_not(
    write_field: Callable[[Path, str, int, int], None], tmp_path: Path, diameter: str
) -> None:
    plate = tmp_path / "plate"
    plate.mkdir()
    write_field(plate, "A01_1", 3, 320)
    for name in CHANNELS[1:]:
        undecodable(plate, plate / f"A01_1_{name}.tif")
    whole, cut = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "cut")
    for folder, more in ((whole, ()), (cut, ("--block-size", "128"))):
        result = run(plate, folder.path, "--workers", "2", "--diameter", diameter, *more)
        assert result.exit_code == 3, result.output
        assert "1 field flagged missing-channel GFP" in " ".join(result.output.split())
    fields = pd.read_parquet(cut.fields)
    assert fields["Flags"].item().startswith("missing-channel GFP; missing-channel RFP")
    assert fields["Count_Nuclei"].item() > 0

    def left(folder: RunFolder) -> dict[str, bytes]:
        kept = (path for path in folder.path.rglob("*") if path.is_file() and ".nucbatch" not in path.parts)
        files = {str(path.relative_to(folder.path)): path.read_bytes() for path in kept}
        return {name: data for name, data in files.items() if name not in ("run.json", "report.html")}

    assert left(cut) == left(whole)


@pytest.mark.parametrize(("stem", "saturated"), [(EMPTY, 0.0), (SATURATED, 1.0)])
def test_black_and_white_fields_are_fields_of_no_nuclei_and_say_so(
    finished: Finished, stem: str, saturated: float
) -> None:
    of_field = finished.fields.loc[name_of(stem)]
    assert (of_field["Status"], of_field["Count_Nuclei"]) == ("done", 0)
    assert of_field["QC_Saturated"] == saturated
    assert of_field["QC_Mean"] == (65_535 if saturated else 0)
    assert (finished.files.loc[[f"{stem}_{name}.tif" for name in CHANNELS], "status"] == "used").all()


def test_files_that_are_no_input_are_ignored_by_a_named_rule(finished: Finished) -> None:
    for path, rule in IGNORED.items():
        row = finished.files.loc[path]
        assert row["status"] == "ignored"
        assert row["reason"].startswith(rule)


def test_names_do_no_harm(finished: Finished) -> None:
    for shown in NAMES.values():
        row = finished.files.loc[shown]
        assert row["status"] == "quarantined"
        assert "its name does not fit the pattern layout" in row["reason"]
    page = finished.folder.report.read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert page.count("<script") == 1  # the page's own
    assert "&lt;img src=x onerror=alert(1)&gt;.tif" in page
    assert r"B09_1_DAPI\xff.tif" in page
    shown = CliRunner().invoke(nucbatch, ["inspect", str(finished.plate)])
    for output in (finished.result.output, shown.output):
        assert "\x1b" not in output
    assert r"evil\x1b[2J.tif" in shown.output


def test_the_report_counts_and_names_what_is_bad(finished: Finished) -> None:
    page = finished.folder.report.read_text(encoding="utf-8")
    quarantined = (finished.files["status"] == "quarantined").sum()
    assert f"{quarantined} quarantined" in page
    for reason in finished.files.loc[finished.files["status"] == "quarantined", "reason"]:
        assert reason.replace("&", "&amp;").replace("<", "&lt;").replace("'", "&#39;") in page


def test_the_neighbours_are_as_if_nothing_bad_were_there(finished: Finished, tmp_path: Path) -> None:
    plate = tmp_path / "plate"
    plate.mkdir()
    for path in finished.files.index[finished.files["status"] == "used"]:
        shutil.copy2(finished.plate / path, plate / path)
    alone = RunFolder(tmp_path / "out")
    result = run(plate, alone.path, "--workers", "1")
    assert (result.exit_code, "; 0 fields failed; files: " in result.output) == (3, True)
    assert alone.nuclei.read_bytes() == finished.folder.nuclei.read_bytes()
    groups = list(field_groups(alone))
    assert groups == list(field_groups(finished.folder))
    assert len(groups) == len(GOOD) + len((EMPTY, SATURATED, LACKING, CUT, SPOILT))
    for group in groups:
        np.testing.assert_array_equal(read_labels(alone, group), read_labels(finished.folder, group))
    assert len(pd.read_parquet(alone.nuclei)) >= len(GOOD)


@pytest.mark.parametrize("mode", [0o000, 0o200])
def test_a_file_without_permission_is_quarantined(mode: int) -> None:
    """A child process reads without root's rights, because root may read every file."""
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from nucbatch.readers.contract import ReadOptions\n"
        "from nucbatch.readers.formats.installed import known_formats\n"
        "from nucbatch.readers.layouts.folder import FolderReader\n"
        "from nucbatch.readers.listing import scan\n"
        "from nucbatch.readers.verify_headers import verified\n"
        "known_formats()\n"  # entry points can't be looked up any more below
        "os.geteuid() or os.setuid(65534)\n"
        "plate = FolderReader().read(scan(Path(sys.argv[1])), ReadOptions())\n"
        "for file in verified(plate).files:\n"
        "    print(file.path, file.status.value, file.reason)\n"
    )
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # pytest's own folders are closed to others
    try:
        folder.chmod(0o755)
        for name in ("a.tif", "b.tif"):
            tifffile.imwrite(folder / name, np.zeros((9, 9), np.uint8))
        (folder / "b.tif").chmod(mode)
        (folder / "sub").mkdir(mode=0o000)
        said = subprocess.run(
            [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True
        ).stdout.splitlines()
    finally:
        shutil.rmtree(folder)
    assert said == [
        "a.tif used ",
        "b.tif quarantined can't be opened (Permission denied)",
        "sub/ quarantined the folder can't be listed (Permission denied)",
    ]
