"""Nuclei that the user leaves out: by size and border, with the reason, and counted on their own."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from nucbatch.cli.main import nucbatch
from nucbatch.core.errors import InputError
from nucbatch.core.measure_settings import CountSettings
from nucbatch.core.plate import Field
from nucbatch.core.settings import RunSettings, validated
from nucbatch.execution.left_out import left_out
from nucbatch.store.fragments import write_fragment
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.tables import identity_columns
from tests.run_tables import join_fragments


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """One field of five nuclei."""
    folder = RunFolder(tmp_path)
    field = one_field()
    columns = identity_columns("P", field, 5) | {
        "Metadata_Nuclei_TouchesBorder": np.array([True, False, False, True, False]),
        "Nuclei_AreaShape_Area": np.array([5, 20, 30, 40, 90]),
        "Nuclei_Confidence": np.array([0.2, 0.9, 0.5, 0.499, 1.0]),
    }
    write_fragment(folder.fragment(field.key), columns)
    return folder


def one_field() -> Field:
    return Field("B02", 1, 0, "B/2/1", "B02_1", (), 64, 64, "uint8")


def test_each_reason_has_its_nuclei(folder: RunFolder) -> None:
    wanted = CountSettings(min_area_px=20, max_area_px=40, drop_border=True)
    found = left_out(folder, [one_field()], wanted)
    reasons = {reason: labels.tolist() for reason, labels in found.reasons(0).items()}
    assert reasons == {"min-area": [1], "max-area": [5], "border": [1, 4]}
    assert found.labels(0).tolist() == [1, 4, 5]
    none = left_out(folder, [one_field()], CountSettings())
    assert none.reasons(0) == {}
    assert not len(none.labels(0))


def test_objects_below_a_confidence_are_left_out(folder: RunFolder) -> None:
    reasons = left_out(folder, [one_field()], CountSettings(min_confidence=0.5)).reasons(0)
    assert {reason: labels.tolist() for reason, labels in reasons.items()} == {"min-confidence": [1, 4]}


def test_rows_stay_with_the_reason(folder: RunFolder, tmp_path: Path) -> None:
    path = folder.fragment(one_field().key)
    reasons = {"min-area": np.array([1]), "border": np.array([1, 4])}
    join_fragments([path], tmp_path / "n.parquet", not_counted={path: reasons})
    nuclei = pd.read_parquet(tmp_path / "n.parquet")
    assert nuclei["Metadata_Counted"].tolist() == [False, True, True, False, True]
    assert nuclei["Metadata_ReasonNotCounted"].tolist() == ["min-area; border", "", "", "border", ""]


def test_limits_are_checked_and_change_no_result() -> None:
    with pytest.raises(InputError, match="min_area 50 px is above max_area 40 px"):
        validated({"counted": {"min_area_px": 50, "max_area_px": 40}})
    with pytest.raises(InputError, match="min_area = 0 must be at least 1"):
        validated({"counted": {"min_area_px": 0}})
    assert RunSettings(counted=CountSettings(drop_border=True)).digest() == RunSettings().digest()


def test_the_commands_take_them() -> None:
    for command in ("run", "measure"):
        shown = CliRunner().invoke(nucbatch, [command, "--help"]).output
        assert all(option in shown for option in ("--ring", "--min-area", "--max-area", "--drop-border"))
