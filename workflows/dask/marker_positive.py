"""Counts the marker-positive nuclei of each well: nucbatch as one step of a lab's own Dask graph.

The lab's own code reads files, measures and counts, on its own client; nucbatch only makes the labels in
between. Memory holds the chunks in progress and the table of nuclei.

    python workflows/dask/marker_positive.py PLATE -o wells.csv                    # on this machine
    python workflows/dask/marker_positive.py PLATE -o wells.csv --client FILE      # on the lab's own cluster
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import tifffile
from distributed import Client
from numpy.typing import NDArray
from scipy import ndimage

import nucbatch

FILES = r"_(?P<well>[A-P]\d\d)_s(?P<site>\d+)_w(?P<channel>\d)(?!_thumb).*\.tiff?$"
TABLE = pd.DataFrame(
    {"well": pd.Series(dtype=str), "site": pd.Series(dtype=int), "marker": pd.Series(dtype=float)}
)


def fields(plate: Path, nuclear: str, marker: str) -> pd.DataFrame:
    """One row per field, (well, site), with the paths of its two channels."""
    found = [(re.search(FILES, path.name), path) for path in sorted(plate.rglob("*"))]
    rows = [match.groupdict() | {"path": str(path)} for match, path in found if match]
    if not rows:
        raise SystemExit(f"no file in {plate} is named as {FILES}")
    table = pd.DataFrame(rows).pivot(index=["well", "site"], columns="channel", values="path")
    if missing := {nuclear, marker} - set(table.columns):
        raise SystemExit(
            f"no files of channel {', '.join(sorted(missing))}: there are {', '.join(table.columns)}"
        )
    return table[[nuclear, marker]].dropna().set_axis(["nuclei", "marker"], axis="columns")


def stack(paths: pd.Series) -> da.Array:
    """The files' images (N, Y, X), read lazily; all have the shape of the first."""
    first = tifffile.imread(paths.iloc[0])
    read = dask.delayed(tifffile.imread, pure=True)
    return da.stack([da.from_delayed(read(path), first.shape, first.dtype) for path in paths])


def measure(well: str, site: str, labels: NDArray[np.uint32], marker: NDArray[np.generic]) -> pd.DataFrame:
    """One row per nucleus: mean marker intensity as a multiple of the field's background.

    ``labels`` and ``marker`` are (1, Y, X).
    """
    numbers = np.arange(1, labels.max(initial=0) + 1)
    background = np.median(marker[labels == 0])
    means = np.asarray(ndimage.mean(marker, labels, numbers)) / background
    return pd.DataFrame({"well": well, "site": int(site), "marker": means}).astype(TABLE.dtypes.to_dict())


def graph(table: pd.DataFrame, model: str) -> dd.DataFrame:
    """All of it, from the files of :func:`fields` to a table of nuclei; nothing has run yet."""
    labels = nucbatch.segment_dask(stack(table["nuclei"]), axes="NYX", model=model)
    blocks = zip(
        table.index, labels.to_delayed().ravel(), stack(table["marker"]).to_delayed().ravel(), strict=True
    )
    return dd.from_delayed([dask.delayed(measure)(*place, *pair) for place, *pair in blocks], meta=TABLE)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plate", type=Path, help="a folder of TIFFs named ..._B02_s1_w1....tif")
    parser.add_argument("-o", "--out", type=Path, required=True, help="a CSV, one row per well")
    parser.add_argument("--nuclei", default="1", help="the channel that shows nuclei (default: 1)")
    parser.add_argument("--marker", default="2", help="the channel that shows the marker (default: 2)")
    parser.add_argument(
        "--above", type=float, default=2.0, help="positive: at least this many times the background"
    )
    parser.add_argument(
        "--model", default="default", help="a shipped model, or a weight file all workers see"
    )
    parser.add_argument("--client", help="the lab's scheduler: its address, or its file (.json)")
    asked = parser.parse_args()

    table = fields(asked.plate, asked.nuclei, asked.marker)
    with lab_client(asked.client):
        nuclei = graph(table, asked.model)
        nuclei["positive"] = nuclei["marker"] > asked.above
        wells = nuclei.groupby("well").agg({"marker": ["count", "mean"], "positive": "mean"}).compute()
    wells = wells.set_axis(["nuclei", "marker_mean", "positive"], axis="columns")
    wells = wells.reindex(sorted(table.index.unique("well")))  # a well without nuclei is a well, too
    wells["nuclei"] = wells["nuclei"].fillna(0).astype(int)
    wells.to_csv(asked.out)
    print(f"{wells['nuclei'].sum():,} nuclei in {len(wells)} wells: {asked.out}")


def lab_client(where: str | None) -> Client:
    """A client of the lab's own cluster; of a cluster on this machine if none is named."""
    if where is None:
        # TLS with keys of its own: without, every user of this machine could run programs as you.
        return Client(security=True, dashboard_address="127.0.0.1:0", threads_per_worker=2)
    return Client(scheduler_file=where) if where.endswith(".json") else Client(where)


if __name__ == "__main__":
    main()
