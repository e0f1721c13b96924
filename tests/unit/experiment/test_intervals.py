"""Intervals of counts per field and well."""

from pathlib import Path

import numpy as np
import pytest

from nucbatch.core.calibration import DOUBTS, IntervalModel, Standardised
from nucbatch.core.plate import Field, field_rows
from nucbatch.experiment.intervals import (
    Doubt,
    Intervals,
    Span,
    doubts_of,
    field_spans,
    intervals_of,
    joint_span,
)
from nucbatch.store.fragments import write_fragment
from nucbatch.store.tables import identity_columns
from tests.run_tables import join_fragments


def model(**changes: object) -> IntervalModel:
    """A scale of 2 nuclei, whatever the doubts."""
    values = {
        "level": 0.9,
        "doubts": Standardised(names=DOUBTS, means=(0.0, 0.0), spreads=(1.0, 1.0)),
        "weights": (0.0, 0.0),
        "constant": float(np.log(2)),
        "shift": 0.5,
        "factor": 1.5,
        "shared": 0.5,
        "largest": 100,
    }
    return IntervalModel.model_validate(values | changes)


def field(well: str, site: int) -> Field:
    group = f"{well[0]}/{int(well[1:])}/{site}" if well else f"{site}"
    return Field(well, site, 0, group, f"{well}_{site}", (), 64, 64, "uint8")


def test_the_interval_is_moved_by_the_bias_and_holds_the_count() -> None:
    (span,) = field_spans(model(), {("A/1/0", 0): 20}, {}).values()
    assert (span.centre, span.half) == (21.0, 3.0)
    assert span.ends == (18, 24)
    assert Span(20, 25.0, 2.5).ends == (20, 27)
    assert Span(0, 0.4, 1.0).ends == (0, 1)


def test_more_doubt_widens_it() -> None:
    doubts = {
        ("a", 0): Doubt(doubt=1.0),
        ("b", 0): Doubt(doubt=9.0),
        ("c", 0): Doubt(doubt=1.0, left_out=4.0),
    }
    spans = field_spans(model(weights=(0.5, 0.0)), {("a", 0): 50, ("b", 0): 50, ("c", 0): 50}, doubts)
    assert spans["b", 0].half == pytest.approx(spans["a", 0].half * (9.2 / 1.2) ** 0.5)
    assert spans["c", 0].centre == spans["a", 0].centre + 4


def test_beyond_the_calibrated_counts_errors_grow_in_proportion() -> None:
    spans = field_spans(model(), {("a", 0): 100, ("b", 0): 1000}, {})
    assert spans["b", 0].half == 10 * spans["a", 0].half


def test_a_well_keeps_the_error_that_its_fields_share() -> None:
    fields = [Span(10, 11.0, 3.0)] * 4
    assert joint_span(model(shared=1.0), fields) == Span(40, 44.0, 12.0)
    assert joint_span(model(shared=0.0), fields) == Span(40, 44.0, 6.0)
    assert 6 < joint_span(model(), fields).half < 12


def test_doubts_are_those_of_the_nuclei_that_count(tmp_path: Path) -> None:
    done = [field("B02", 1), field("B02", 2), field("B03", 1)]
    paths = [tmp_path / f"{place}.parquet" for place in range(3)]
    for one, path, count in zip(done, paths, (3, 0, 2), strict=True):
        rows = identity_columns("P", one, count) | {
            "Metadata_Nuclei_TouchesBorder": np.arange(count) == 0,
            "Nuclei_Confidence": np.linspace(0.5, 1, count) if count else np.zeros(0),
        }
        write_fragment(path, rows)
    nuclei = tmp_path / "nuclei.parquet"
    join_fragments(paths, nuclei, not_counted={paths[0]: {"min-confidence": np.array([1])}})
    doubts = doubts_of(nuclei)
    assert doubts is not None
    assert dict(doubts) == {
        ("B/2/1", 0): Doubt(doubt=0.25, at_border=0.0, left_out=0.5),
        ("B/3/1", 0): Doubt(doubt=0.5, at_border=1.0),
    }
    found = intervals_of(nuclei, model(), field_rows(done), [2, 0, 2])
    assert len(found.low) == len(found.high) == 3
    assert (found.low <= [2, 0, 2]).all()
    assert (found.high >= [2, 0, 2]).all()
    assert set(found.wells) == {("B02", 0), ("B03", 0)}
    low, high = found.wells["B02", 0]
    assert low <= 2 <= high


def test_wells_whose_fields_alternate_and_images_without_wells_have_their_intervals(tmp_path: Path) -> None:
    def found(*wells: str) -> Intervals:
        done = [field(well, site) for site, well in enumerate(wells, start=1)]
        paths = [tmp_path / f"{place}.parquet" for place in range(len(done))]
        for one, path in zip(done, paths, strict=True):
            confidence = {
                "Metadata_Nuclei_TouchesBorder": np.zeros(9, bool),
                "Nuclei_Confidence": np.full(9, 0.9),
            }
            write_fragment(path, identity_columns("P", one, 9) | confidence)
        join_fragments(paths, tmp_path / "nuclei.parquet")
        return intervals_of(tmp_path / "nuclei.parquet", model(), field_rows(done), [9] * len(done))

    assert found("B02", "B03", "B02", "B03").wells == found("B02", "B02", "B03", "B03").wells
    assert found("", "").wells["", 0] == found("B02", "B02").wells["B02", 0]


def test_a_table_without_confidences_has_no_intervals(tmp_path: Path) -> None:
    fragment, path = tmp_path / "fragment", tmp_path / "nuclei.parquet"
    write_fragment(fragment, identity_columns("P", field("B02", 1), 2))
    join_fragments([fragment], path)
    assert not len(intervals_of(path, model(), field_rows([field("B02", 1)]), [2]).low)
