"""The panel of overlaps: the sentence, the fields on the stage, and nuclei that count in another field."""

import numpy as np

from nucbatch.core.plate import Field, Plate
from nucbatch.report.overlaps import render
from nucbatch.report.run_data import RunData
from nucbatch.store.fragments import write_fragment
from nucbatch.store.receipt import Receipt
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.sheets import write_run
from nucbatch.store.tables import identity_columns
from tests.run_tables import join_fragments, write_receipts


def finished(tmp_path, *, step_um=90.0, elsewhere=(2,), flags=(), settings=None, positions=True):
    """A run of two wells with two fields of 100 px each; in the second field of B03, some count elsewhere."""
    run = RunFolder(tmp_path / "out")
    run.create()
    fields = [
        Field(
            well,
            site,
            0,
            f"B/{int(well[1:])}/{site}",
            f"P_{well}_s{site}",
            (),
            100,
            100,
            "uint16",
            1.0,
            position_um=(50.0, 50.0 + step_um * (site - 1)) if positions else None,
        )
        for well in ("B02", "B03")
        for site in (1, 2)
    ]
    paths = {}
    for field in fields:
        columns = identity_columns("P", field, 3) | {
            "Nuclei_AreaShape_Area": np.array([100, 100, 100]),
            "Metadata_Nuclei_Location_Center_X": np.array([4.5, 49.5, 94.5]),
            "Metadata_Nuclei_Location_Center_Y": np.array([9.5, 49.5, 89.5]),
        }
        write_fragment(run.fragment(field.key), columns)
        paths[field.key] = run.fragment(field.key)
    left_out = {paths["B/3/2"]: {"overlap": np.array(elsewhere)}} if elsewhere else {}
    join_fragments(paths.values(), run.nuclei, not_counted=left_out if positions else None)
    receipts = {field.key: Receipt(field.key, "done", "", 3, "", {}, {}, "here") for field in fields}
    flagged = {field.key: list(flags) for field in fields if field.well == "B02"}
    write_receipts(
        run.fields,
        Plate("P", "/", "x", (), tuple(fields), ()),
        receipts,
        flagged,
        elsewhere={"B/3/2": len(elsewhere)},
    )
    write_run(run.run_json, {"settings": settings or {"overlaps": "once"}})
    return RunData(run)


def test_the_well_with_repeats_is_drawn_with_both_kinds_of_nuclei(tmp_path):
    panel = str(render(finished(tmp_path)))
    assert "share 10.0 % of their side" in panel
    assert "show 12 nuclei; 11 count" in panel
    assert "Fields of well B03" in panel
    assert panel.count("<rect") == 2
    assert panel.count("<circle ") == 6
    # Of the second field's nuclei the middle one counts elsewhere: x is 90 + 50 of 190 µm on 640 units.
    assert f'class="elsewhere" cx="{140 * 640 / 190:.1f}"' in panel
    assert panel.count('class="elsewhere"') == 1
    assert "don't agree" not in panel.replace("&#39;", "'")


def test_wells_with_wrong_positions_are_named(tmp_path):
    panel = str(render(finished(tmp_path, elsewhere=(), flags=["wrong-positions"]))).replace("&#39;", "'")
    assert "Stage positions don't agree with the images" in panel
    assert "in 1\nwell: B02" in panel


def test_it_says_when_all_nuclei_are_kept(tmp_path):
    panel = str(render(finished(tmp_path, elsewhere=(), settings={"overlaps": "keep"})))
    assert "All 12 nuclei count" in panel


def test_without_overlaps_there_is_no_panel(tmp_path):
    assert render(finished(tmp_path / "apart", step_um=100, elsewhere=())) == ""
    assert render(finished(tmp_path / "unknown", positions=False, elsewhere=())) == ""
