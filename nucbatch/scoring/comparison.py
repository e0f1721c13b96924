"""Compares several models on the same images: one table of scores, speed and size, with intervals.

Each model is compared with the first one. A difference counts as shown only if its interval leaves out 0.
Without true labels, the models' agreement with one another takes the scores' place.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from nucbatch.scoring.bootstrap import COMPARED, Difference, as_records, differences, intervals
from nucbatch.scoring.table import ScoreTable, plain
from nucbatch.store.sheets import neutral

AGREEMENT = ("pixel_f1", "object_f1_50", "ap_50", "pq")
"""Pooled figures of the agreement between two models."""


@dataclass(frozen=True, slots=True)
class ModelRun:
    """A model as it ran on the images.

    Attributes:
        name: a short name, which is also its folder's.
        parameters: number of values of its network; 0 for a method that has nothing to learn.
        megapixels_per_s: of the whole run, end to end.
        worker_bytes: projected peak memory of a worker.
        counts: nuclei by image.
        wells: well of each image, by its name; empty for images that belong to no plate.
        table: scores against the true labels; None without them.
    """

    name: str
    parameters: int
    megapixels_per_s: float
    worker_bytes: int
    counts: Mapping[str, int]
    wells: Mapping[str, str] = field(default_factory=dict)
    table: ScoreTable | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """Figures of the second model's masks against the first's; undefined ones are NaN.

    ``count_ratio`` and ``count_correlation`` compare their counts by well (by image without a plate): the
    median of the second's over the first's, and Pearson's coefficient.
    """

    first: str
    second: str
    figures: Mapping[str, float]


@dataclass(frozen=True)  # without slots: figures are computed once and kept
class Comparison:
    """Several models on the same images.

    Attributes:
        runs: the models; each is compared with the first.
        clusters: cluster of each image, for the intervals; None: each image is one.
        agreement: scores of one model's masks against another's, by the two names.
    """

    runs: tuple[ModelRun, ...]
    clusters: Mapping[str, str] | None
    agreement: Mapping[tuple[str, str], ScoreTable]

    @cached_property
    def differences(self) -> dict[str, list[Difference]]:
        """Each further model minus the first, by its name; empty without true labels.

        Raises:
            InputError: an image has no cluster.
        """
        first = self.runs[0].table
        return {
            run.name: differences(first, run.table, self.clusters)
            for run in self.runs[1:]
            if first is not None and run.table is not None
        }

    @cached_property
    def rows(self) -> list[dict[str, object]]:
        """One row per model: size, speed, memory and nuclei, then each figure with its interval."""
        rows: list[dict[str, object]] = []
        for run in self.runs:
            row: dict[str, object] = {
                "model": run.name,
                "parameters": run.parameters,
                "megapixels_per_s": round(run.megapixels_per_s, 3),
                "worker_gib": round(run.worker_bytes / 2**30, 2),
                "images": len(run.counts),
                "nuclei": sum(run.counts.values()),
            }
            if run.table is not None:
                row["images_scored"] = len(run.table.rows)
                found = intervals(run.table, self.clusters)
                for total, figure, _ in COMPARED:
                    interval = found[total, figure]
                    values = {"": interval.value, "_low": interval.low, "_high": interval.high}
                    row |= plain({f"{figure}{end}": value for end, value in values.items()})
            rows.append(row)
        return rows

    @cached_property
    def agreements(self) -> list[Agreement]:
        """The agreement of each pair of models."""
        counts = {run.name: _by_well(run) for run in self.runs}
        found = []
        for (one, other), table in self.agreement.items():
            pooled = table.pooled.figures()
            figures = {key: pooled[key] for key in AGREEMENT}
            found.append(Agreement(one, other, figures | _agree(counts[one], counts[other])))
        return found

    def as_csv(self) -> str:
        """:meth:`rows` as CSV."""
        return csv_of(self.rows)

    def counts_csv(self) -> str:
        """Nuclei per image and model as CSV, with the image's well if it has one."""
        wells = {name: well for run in self.runs for name, well in run.wells.items()}
        names = dict.fromkeys(name for run in self.runs for name in run.counts)
        return csv_of(
            [
                {"image": name}
                | ({"well": wells.get(name, "")} if wells else {})
                | {run.name: run.counts.get(name) for run in self.runs}
                for name in names
            ]
        )

    def as_json(self, about: Mapping[str, object]) -> str:
        """Everything as JSON text: ``about``, the models, the differences and the agreement."""
        content = {
            **about,
            "models": self.rows,
            "differences": {name: as_records(found) for name, found in self.differences.items()},
            "agreement": [
                {"first": one.first, "second": one.second, **plain(one.figures)} for one in self.agreements
            ],
        }
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _by_well(run: ModelRun) -> dict[str, int]:
    """Nuclei by well, or by image where images have no well."""
    counts: dict[str, int] = {}
    for name, count in run.counts.items():
        place = run.wells.get(name, name)
        counts[place] = counts.get(place, 0) + count
    return counts


def _agree(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, float]:
    """Median ratio and correlation of the counts of places that both have; NaN where they are undefined."""
    both = [place for place in first if place in second]
    one, other = (np.array([counts[place] for place in both], np.float64) for counts in (first, second))
    ratios = other[one > 0] / one[one > 0]
    varies = len(both) > 1 and one.std() > 0 and other.std() > 0
    return {
        "count_ratio": float(np.median(ratios)) if len(ratios) else math.nan,
        "count_correlation": float(np.corrcoef(one, other)[0, 1]) if varies else math.nan,
    }


def csv_of(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows with the same columns as CSV text, safe for spreadsheets."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(neutral, rows[0]))
    writer.writerows([neutral(value) for value in row.values()] for row in rows)
    return text.getvalue()
