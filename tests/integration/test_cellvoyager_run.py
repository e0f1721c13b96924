"""A CellVoyager plate from its files to the counts of its wells, with overlapping fields and a lost one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from click.testing import CliRunner
from golden.cellvoyager import record, write_side_files

from nucbatch.cli.main import nucbatch
from nucbatch.store.run_folder import RunFolder
from nucbatch.synthetic.field import draw_field

pytestmark = pytest.mark.slow

SIDE, STEP, PIXEL_UM = 256, 230, 0.325


def test_nuclei_of_overlapping_fields_count_once_and_lost_fields_are_listed(tmp_path: Path) -> None:
    plate = tmp_path / "my plate_#1"
    plate.mkdir()
    images, labels = draw_field(SIDE + STEP, SIDE + STEP, np.random.default_rng(1), nuclei=90)
    records = []
    for site, (y, x) in enumerate(((0, 0), (0, 1), (1, 1), (1, 0)), start=1):
        for channel in (1, 2):
            name = f"my plate_#1_AA05_T0001F00{site}L01A0{channel}Z01C0{channel}.tif"
            top, left = y * STEP, x * STEP
            tifffile.imwrite(plate / name, images[channel - 1, top : top + SIDE, left : left + SIDE])
            stage = {"X": (x - 0.5) * STEP * PIXEL_UM, "Y": (0.5 - y) * STEP * PIXEL_UM}
            records.append(record(name, **stage))
    numbers = {"Row": 27, "Column": 6, "TimePoint": 1, "TimelineIndex": 1, "X": 0, "Y": 0}
    records.append(record(lost="AF Error at AA06 No. 0 (my plate)", FieldIndex=1, **numbers))
    write_side_files(plate, records, rows=32, columns=48)

    out = RunFolder(tmp_path / "out")
    done = CliRunner().invoke(nucbatch, ["run", str(plate), "-o", str(out.path), "--workers", "1"])
    assert done.exit_code == 3, done.output
    wells = pd.read_csv(out.wells).set_index("Metadata_Well")
    truth = int(labels.max())
    assert abs(wells.loc["AA05", "Count_Nuclei"] - truth) <= 0.03 * truth
    assert wells.loc["AA05", "Count_Nuclei_Seen"] > wells.loc["AA05", "Count_Nuclei"]
    assert wells.loc["AA06", "Fields_Failed"] == 1
    assert wells.loc["AA06", "Reason"] == "AF Error at AA06 No. 0 (my plate)"
    fields = pd.read_parquet(out.fields)
    assert list(fields["Status"]) == ["done"] * 4 + ["quarantined"]
    assert any("405" in column for column in pd.read_parquet(out.nuclei).columns)
