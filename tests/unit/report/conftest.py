"""A run's folder with the tables a test asks for."""

import json
from pathlib import Path

import pandas as pd
import pytest

from nucbatch.store.run_folder import RunFolder

RUN = {
    "nucbatch": "0.1.0",
    "plate": {"name": "P1", "layout": "imagexpress", "fields": 3},
    "settings": {"channel": "DAPI", "objects": {"foreground": 0.5}, "pixel_size_um": None},
    "model": {"name": "default", "scores": {"val pixel F1": 0.931}, "sha256": "9f" * 32},
    "environment": {"python": "3.12.1", "cores": 2},
    "timings": {"wall_s": 200.0, "wall_fields": 3, "stations_s": {"read": 2.0, "segment": 80.0}},
}


def field(well, site, count, *, reason="", plate="P1", time=0, **columns):
    """A row of fields.parquet; a count of None is a failed field."""
    return {
        "Metadata_Plate": plate,
        "Metadata_Well": well,
        "Metadata_Site": site,
        "Metadata_Time": time,
        "Metadata_Image": f"{well}/{site}",
        "Name": f"{plate}_{well}_s{site}",
        "Count_Nuclei": pd.NA if count is None else count,
        "Status": "failed" if count is None else "done",
        "Reason": reason,
        "Flags": "",
        "Height_px": 64,
        "Width_px": 64,
        **columns,
    }


def file(path, status="used", reason=""):
    """A row of files.csv."""
    empty = dict.fromkeys(("plate", "well", "site", "channel", "z", "t", "image"), "")
    return {"path": path, "status": status, "reason": reason, **empty}


def write_run(folder: Path, fields, files=(), run=RUN) -> RunFolder:
    """Writes the tables and run.json, without pixels."""
    finished = RunFolder(folder)
    finished.create()
    table = pd.DataFrame(fields).astype({"Count_Nuclei": "Int64"})
    table.to_parquet(folder / "fields.parquet")
    pd.DataFrame(list(files) or [file("a.tif")]).to_csv(folder / "files.csv", index=False)
    wells = table.groupby(["Metadata_Plate", "Metadata_Well"], as_index=False)["Count_Nuclei"].sum(
        min_count=1
    )
    wells.to_csv(folder / "wells.csv", index=False)
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    return finished


@pytest.fixture
def make_run(tmp_path):
    """``make_run(fields, files, run)`` → RunFolder; rows by ``make_run.field`` and ``make_run.file``."""

    def make(fields, files=(), run=RUN):
        return write_run(tmp_path / "out", fields, files, run)

    make.field, make.file, make.run = field, file, RUN
    return make
