"""A run's folder with the tables a test asks for."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nucbatch.core.plate import Channel, Field, FileRecord, FileStatus, Plate
from nucbatch.core.plate_geometry import split_well
from nucbatch.experiment.wells import by_well
from nucbatch.store.fragments import write_fragment
from nucbatch.store.images import create_images, write_field
from nucbatch.store.receipt import Receipt
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.sheets import write_files_csv, write_wells
from nucbatch.store.sheets import write_run as write_run_json
from nucbatch.store.tables import identity_columns
from nucbatch.synthetic import make_field
from tests.run_tables import join_fragments, write_receipts

LONG_NAME = "Nuclei_Math_Log2NucleusCytoplasmRatio_A_channel_with_a_long_name"
CHANNELS = (Channel("DAPI", 0), Channel("FITC", 1))

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


def write_wells_csv(path: Path, fields: pd.DataFrame, **columns) -> None:
    """Writes a row per well and time point, with its counts and ``columns``."""
    groups = fields.groupby(["Metadata_Plate", "Metadata_Well", "Metadata_Time"])["Count_Nuclei"]
    counts = {"Count_Nuclei": groups.sum(min_count=1), "Count_Nuclei_PerField_Mean": groups.mean()}
    table = pd.DataFrame(counts).reset_index()
    further = pd.DataFrame(columns, index=table.index)
    pd.concat([table, further], axis=1).to_csv(path, index=False)


def write_run(folder: Path, fields, files=(), run=RUN, **columns) -> RunFolder:
    """Writes the tables and run.json, without pixels; ``columns`` are further ones of wells.csv."""
    finished = RunFolder(folder)
    finished.create()
    table = pd.DataFrame(fields).astype({"Count_Nuclei": "Int64"})
    table.to_parquet(folder / "fields.parquet")
    pd.DataFrame(list(files) or [file("a.tif")]).to_csv(folder / "files.csv", index=False)
    write_wells_csv(folder / "wells.csv", table, **columns)
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    return finished


def drawn_run(folder, counts, channels=CHANNELS, channel="DAPI", size_px=160):
    """A finished run over synthetic fields: (well, nuclei) each, None for a failed one."""
    run = RunFolder(folder / "out")
    run.create()
    fields = tuple(
        Field(
            well,
            site,
            0,
            "{}/{}/{}".format(*split_well(well), site),
            f"P1_{well}_s{site}",
            (),
            size_px,
            size_px,
            "uint16",
        )
        for site, (well, _) in enumerate(counts, start=1)
    )
    files = tuple(FileRecord(f"{field.name}.tif", FileStatus.USED, group=field.group) for field in fields)
    plate = Plate("P1", "/nowhere", "imagexpress", channels, fields, files)
    failed = [field.key for field, (_, nuclei) in zip(fields, counts, strict=True) if nuclei is None]
    store = create_images(run, plate, failed)
    receipts = {}
    for field, (_, nuclei) in zip(fields, counts, strict=True):
        rng = np.random.default_rng(field.site)
        image, labels = make_field(size_px, rng, nuclei=nuclei or 0, channels=len(channels))
        done = nuclei is not None
        qc = {"QC_Focus": 0.1 + field.site / 1000, "QC_Saturated": 0.0} if done else {}
        status, reason = ("done", "") if done else ("failed", "cut short")
        count = int(labels.max())
        receipts[field.key] = Receipt(field.key, status, reason, count, "", qc, {}, "here")
        if done:
            write_field(store, field, channels, image, labels.astype(np.uint32))
            areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
            columns = identity_columns("P1", field, count) | {
                "Nuclei_AreaShape_Area": areas,
                LONG_NAME: areas / 7,
            }
            write_fragment(run.fragment(field.key), columns)
    write_receipts(run.fields, plate, receipts)
    join_fragments([run.fragment(key) for key in receipts if key not in failed], run.nuclei)
    write_wells(run.wells, by_well(run.nuclei, pd.read_parquet(run.fields)))
    write_files_csv(run.files, plate)
    write_run_json(run.run_json, {"nucbatch": "0.1.0", "settings": {"channel": channel, "labels": "zarr"}})
    return run


@pytest.fixture(scope="session")
def draw_run():
    """``draw_run(folder, [("B02", 8), ("B03", None)])`` → RunFolder with images, labels and tables."""
    return drawn_run


@pytest.fixture
def make_run(tmp_path):
    """``make_run(fields, files, run)`` → RunFolder; rows by ``make_run.field`` and ``make_run.file``."""

    def make(fields, files=(), run=RUN, **columns):
        return write_run(tmp_path / "out", fields, files, run, **columns)

    make.field, make.file, make.run = field, file, RUN
    return make
