"""What goes wrong with a file between the plan and the block: it vanishes, changes, or does not answer.

The hang is real: another process holds a lease on the file, and every open of it waits.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pandas as pd
import pytest
import tifffile
from click.testing import CliRunner, Result

from nucbatch.cli.main import nucbatch
from nucbatch.core.settings import RunSettings
from nucbatch.execution.prepared import prepare
from nucbatch.execution.session import execute
from nucbatch.readers.find import open_plate
from nucbatch.readers.read_timeout import hanging
from nucbatch.schedulers.contract import Scheduling
from nucbatch.store.run_folder import RunFolder

pytestmark = pytest.mark.slow

CHANNELS = ("DAPI", "GFP", "RFP")
WELLS = ("A01", "A02", "A03", "A04", "A05")


def run(plate: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(nucbatch, ["run", str(plate), "-o", str(out), "--channel", "DAPI", *options])


@pytest.fixture
def plate(tmp_path: Path, write_field: Callable[[Path, str, int, int], None]) -> Path:
    folder = tmp_path / "plate"
    folder.mkdir()
    for seed, well in enumerate(WELLS):
        write_field(folder, f"{well}_1", seed, 160)
    return folder


def executed_after(plate: Path, out: Path, happens: Callable[[], object], **options: float) -> RunFolder:
    """What the command line does, but for something that happens once all is planned."""
    prepared = prepare(open_plate(plate, read_timeout_s=5.0), RunSettings(channel="DAPI"), **options)
    happens()
    return execute(prepared, out, scheduling=Scheduling(workers=1)).folder


def require_failed(folder: RunFolder, failed: dict[str, str]) -> None:
    """Just the fields of these wells have failed, for these reasons, which their GFP files have too."""
    fields = pd.read_parquet(folder.fields).set_index("Metadata_Well")
    assert set(fields.index[fields["Status"] == "failed"]) == set(failed)
    assert set(fields.index[fields["Count_Nuclei"].isna()]) == set(failed)
    files = pd.read_csv(folder.files, keep_default_na=False).set_index("path")
    for path, row in files.iterrows():
        well, _, name = str(path).removesuffix(".tif").split("_")
        if well not in failed:
            assert row["status"] == "used"
        elif name == "GFP":
            assert row["status"] == "quarantined"
            assert row["reason"].startswith(failed[well])
        else:
            assert row["status"] == "ignored"
            assert row["reason"].startswith("incomplete-field: ")


@contextmanager
def share_that_hangs(path: Path) -> Iterator[None]:
    """Every open of the file waits, as on a network share that is gone: a process holds a lease on it."""
    script = (
        "import fcntl, os, signal, sys\n"
        "signal.signal(signal.SIGIO, signal.SIG_IGN)\n"  # the kernel asks for the lease back
        "descriptor = os.open(sys.argv[1], os.O_RDWR)\n"
        "fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        if holder.stdout.readline() != b"held\n":
            pytest.skip("this file system gives no leases")
        yield
    finally:
        holder.stdin.close()
        holder.stdout.close()
        holder.wait()
        while hanging():  # what was left behind comes back by itself now
            pass


def test_files_that_vanish_change_or_hang_once_all_is_planned(plate: Path, tmp_path: Path) -> None:
    gone, changed, hung = (plate / f"{well}_1_GFP.tif" for well in ("A02", "A03", "A04"))
    with ExitStack() as during:

        def happens() -> None:
            gone.rename(tmp_path / "kept.tif")
            tifffile.imwrite(changed, tifffile.imread(changed)[::-1])
            during.enter_context(share_that_hangs(hung))

        folder = executed_after(plate, tmp_path / "out", happens)
    reasons = {
        "A02": "has vanished since the run was planned: put it back",
        "A03": "has changed since the run was planned (",
        "A04": "not read within 5 s: the disk or network share does not answer.",
    }
    require_failed(folder, reasons)

    (tmp_path / "kept.tif").rename(gone)
    mended = run(plate, folder.path, "--workers", "1")
    assert mended.exit_code == 0, mended.output
    assert "2 of 5 fields are done already" in mended.output
    require_failed(folder, {})

    before = pd.read_parquet(folder.nuclei)
    tifffile.imwrite(changed, tifffile.imread(changed) // 2)
    again = run(plate, folder.path, "--workers", "1")
    assert again.exit_code == 0, again.output
    assert "files have changed are processed again: 1, A/3/1 among them" in again.output
    after = pd.read_parquet(folder.nuclei)
    same = before["Metadata_Well"] != "A03"
    pd.testing.assert_frame_equal(before[same], after[same])
    mean = "Nuclei_Intensity_MeanIntensity_GFP"
    assert (after.loc[~same, mean] < before.loc[~same, mean]).all()


def test_done_fields_whose_files_are_gone_are_left_out_with_a_line(plate: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(plate, out, "--workers", "1").exit_code == 0
    tables = {path: path.read_bytes() for path in (out / "nuclei.parquet", out / "wells.csv")}
    aside = tmp_path / "aside"
    aside.mkdir()
    (plate / "A02_1_DAPI.tif").rename(aside / "A02_1_DAPI.tif")
    for path in plate.glob("A05_*"):
        path.rename(aside / path.name)
    without = run(plate, out, "--workers", "1")
    assert without.exit_code == 3, without.output
    assert "are left out of the tables; put the files back" in without.output
    assert ": 2, A/2/1 among them" in without.output
    assert "processed again" not in without.output
    assert list(pd.read_csv(out / "wells.csv")["Metadata_Well"]) == ["A01", "A02", "A03", "A04"]
    for path in aside.iterdir():
        path.rename(plate / path.name)
    again = run(plate, out, "--workers", "1")
    assert again.exit_code == 0, again.output
    assert "5 of 5 fields are done already" in again.output
    assert {path: path.read_bytes() for path in tables} == tables


def test_a_large_image_on_a_share_that_hangs(plate: Path, tmp_path: Path) -> None:
    hung = plate / "A02_1_GFP.tif"
    for well in WELLS[2:]:
        for name in CHANNELS:
            (plate / f"{well}_1_{name}.tif").unlink()
    with ExitStack() as during:
        folder = executed_after(
            plate,
            tmp_path / "out",
            lambda: during.enter_context(share_that_hangs(hung)),
            block_px=128,
        )
    require_failed(folder, {"A02": "not read within 5 s: the disk or network share does not answer."})


def test_a_share_that_hangs_before_the_plan(plate: Path) -> None:
    with share_that_hangs(plate / "A02_1_GFP.tif"):
        shown = CliRunner().invoke(nucbatch, ["inspect", str(plate), "--read-timeout", "2"])
    text = " ".join(shown.output.split())
    assert shown.exit_code == 3, shown.output
    assert "A02_1_GFP.tif not read within 2 s: the disk or network share does not answer" in text
    assert "15 found = 14 used + 0 ignored + 1 quarantined" in text
    assert CliRunner().invoke(nucbatch, ["inspect", str(plate)]).exit_code == 0
