"""The nuclei table goes into pycytominer as it is."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nucbatch.core.plate import Field
from nucbatch.experiment.wells import by_well
from nucbatch.features import measure
from nucbatch.store.fragments import write_fragment
from nucbatch.store.tables import identity_columns
from nucbatch.synthetic import make_field
from tests.run_tables import join_fragments

# pycytominer sets this option of pandas when it is imported; pandas 3 warns that it has no effect any more.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The 'mode.copy_on_write' option is deprecated:DeprecationWarning"
)


@pytest.fixture
def nuclei(tmp_path: Path) -> pd.DataFrame:
    """Four wells of two sites; one site without a nucleus."""
    rng = np.random.default_rng(0)
    fragments = []
    for well, column in (("A01", 1), ("A02", 2), ("A03", 3), ("A04", 4)):
        for site in (1, 2):
            field = Field(well, site, 0, f"A/{column}/{site}", f"{well}_{site}", (), 64, 64, "uint8")
            count = 0 if (well, site) == ("A02", 1) else 10 * column + site
            path = tmp_path / "fragments" / f"{well}_{site}.parquet"
            measured = {
                "Nuclei_AreaShape_Area": rng.integers(50, 200, count),
                "Nuclei_Intensity_MeanIntensity_DAPI": rng.normal(column, 0.1, count),
            }
            write_fragment(path, identity_columns("P1", field, count) | measured)
            fragments.append(path)
    join_fragments(fragments, tmp_path / "nuclei.parquet")
    return pd.read_parquet(tmp_path / "nuclei.parquet")


def test_aggregate_makes_one_row_per_well(nuclei: pd.DataFrame) -> None:
    from pycytominer import aggregate

    wells = aggregate(nuclei, compute_object_count=True)
    assert wells["Metadata_Well"].tolist() == ["A01", "A02", "A03", "A04"]
    assert wells["Metadata_Object_Count"].tolist() == [23, 22, 63, 83]
    areas = nuclei.groupby("Metadata_Well")["Nuclei_AreaShape_Area"].median()
    assert wells["Nuclei_AreaShape_Area"].tolist() == areas.tolist()
    assert "Metadata_Plate" in wells


def test_normalize_standardises_each_measurement_and_keeps_the_metadata(nuclei: pd.DataFrame) -> None:
    from pycytominer import normalize

    normalized = normalize(nuclei)
    measured = ["Nuclei_AreaShape_Area", "Nuclei_Intensity_MeanIntensity_DAPI"]
    np.testing.assert_allclose(normalized[measured].mean(), 0, atol=1e-12)
    np.testing.assert_allclose(normalized[measured].std(ddof=0), 1)
    metadata = [name for name in nuclei if name.startswith("Metadata_")]
    pd.testing.assert_frame_equal(normalized[metadata], nuclei[metadata])


def test_normalize_against_some_wells_after_aggregate(nuclei: pd.DataFrame) -> None:
    from pycytominer import aggregate, normalize

    normalized = normalize(aggregate(nuclei), samples="Metadata_Well == 'A01' or Metadata_Well == 'A04'")
    controls = normalized[normalized["Metadata_Well"].isin(["A01", "A04"])]
    np.testing.assert_allclose(controls["Nuclei_Intensity_MeanIntensity_DAPI"].mean(), 0, atol=1e-12)
    assert len(normalized) == 4


def test_aggregate_by_time_point_agrees_with_the_table_of_wells(tmp_path: Path) -> None:
    from pycytominer import aggregate

    fragments, rows = [], []
    for site in (1, 2):
        for t in (0, 1):
            field = Field("B02", site, t, f"B/2/{site}t{t}", f"B02_{site}_{t}", (), 64, 64, "uint8")
            count = 3 + site + 10 * t
            fragments.append(tmp_path / "fragments" / f"{site}_{t}.parquet")
            areas = np.arange(count, dtype=np.int64) + 100 * t + 10
            measured = {"Nuclei_AreaShape_Area": areas}
            write_fragment(fragments[-1], identity_columns("P1", field, count) | measured)
            rows.append(("P1", "B02", t, "done", count, "", ""))
    join_fragments(fragments, tmp_path / "nuclei.parquet")
    nuclei = pd.read_parquet(tmp_path / "nuclei.parquet")
    strata = ["Metadata_Plate", "Metadata_Well", "Metadata_Time"]
    theirs = aggregate(nuclei, strata=strata, compute_object_count=True)
    columns = [*strata, "Status", "Count_Nuclei", "Reason", "Flags"]
    ours = by_well(tmp_path / "nuclei.parquet", pd.DataFrame(rows, columns=columns))
    assert ours["Metadata_Time"].tolist() == theirs["Metadata_Time"].tolist() == [0, 1]
    assert ours["Count_Nuclei"].tolist() == theirs["Metadata_Object_Count"].tolist() == [9, 29]
    assert ours["Median_Nuclei_AreaShape_Area"].tolist() == theirs["Nuclei_AreaShape_Area"].tolist()


def test_raw_measurements_are_normalised_and_selected_and_no_metadata_is(tmp_path: Path) -> None:
    from pycytominer import feature_select, normalize

    paths = []
    for site in (1, 2):
        images, labels = make_field(300, np.random.default_rng(site), nuclei=40, channels=2)
        field = Field("B02", site, 0, f"B/2/{site}", f"B02_{site}", (), 300, 300, "uint16")
        columns = measure(labels, np.stack(images).astype(np.uint16), ("DAPI", "GFP"))
        paths.append(tmp_path / f"{site}.parquet")
        write_fragment(paths[-1], identity_columns("P1", field, int(labels.max())) | columns)
    join_fragments(
        paths, tmp_path / "nuclei.parquet", not_counted={}, pixel_sizes_um=dict.fromkeys(paths, 0.5)
    )
    nuclei = pd.read_parquet(tmp_path / "nuclei.parquet")
    operations = ["variance_threshold", "correlation_threshold", "drop_na_columns", "blocklist"]
    normalised = normalize(nuclei)
    selected = feature_select(normalised, operation=operations)
    assert list(normalised) == list(nuclei)
    features = [name for name in selected if not name.startswith("Metadata_")]
    assert len(features) > 20
    assert all(name.startswith(("Nuclei_", "Cytoplasm_")) for name in features)
    assert not [name for name in features if "BoundingBox" in name or "Location" in name or "Center_" in name]
    metadata = [name for name in nuclei if name.startswith("Metadata_")]
    pd.testing.assert_frame_equal(selected[metadata], nuclei[metadata])
