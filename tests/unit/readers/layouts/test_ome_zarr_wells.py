"""Images of a well that show the same field are never counted together."""

import json

import numpy as np
import pytest
import zarr

from nucbatch.core.errors import InputError
from nucbatch.readers.find import open_plate
from nucbatch.readers.layouts.ome_zarr_wells import sites_of
from nucbatch.readers.plate_summary import summarise
from nucbatch.readers.summary_text import facts
from nucbatch.zarr_format.ome import WellImage


def described(path, **attributes):
    """Writes what a group's metadata say."""
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5", **attributes}}}
    path.mkdir(parents=True, exist_ok=True)
    (path / "zarr.json").write_text(json.dumps(group))


def write_plate(path, wells):
    """``wells``: for each ``row/column`` its images' names."""
    described(path, plate={"wells": [{"path": well} for well in wells]})
    for well, images in wells.items():
        described(path / well, well={"images": [{"path": image} for image in images]})
        for image in images:
            described(
                path / well / image,
                multiscales=[{"axes": [{"name": "y"}, {"name": "x"}], "datasets": [{"path": "0"}]}],
            )
            zarr.create_array(path / well / image / "0", data=np.ones((8, 8), np.uint8))
    return path


def fates(plate):
    return {record.path: f"{record.status.value} {record.reason}".strip() for record in plate.files}


def listed_in(path, well, images):
    """Writes what a well lists: (name, acquisition)."""
    listed = [{"path": name} | ({} if number is None else {"acquisition": number}) for name, number in images]
    described(path / well, well={"images": listed})


@pytest.fixture
def twice(tmp_path):
    """A plate of two wells, each imaged in two acquisitions."""
    path = write_plate(tmp_path / "p.zarr", {"A/1": ["0", "1"], "B/2": ["0", "1"]})
    for well in ("A/1", "B/2"):
        listed_in(path, well, [("0", 3), ("1", 12)])
    acquisitions = [{"id": 3, "name": "cycle 1"}, {"id": 12}]
    described(path, plate={"wells": [{"path": "A/1"}, {"path": "B/2"}], "acquisitions": acquisitions})
    return path


def test_several_acquisitions_require_a_choice(twice):
    with pytest.raises(InputError) as caught:
        open_plate(twice)
    assert str(caught.value) == (
        "p.zarr holds 2 acquisitions, which are not counted together: choose one with --acquisition.\n"
        "  3 (cycle 1): 2 images in 2 wells\n"
        "  12: 2 images in 2 wells"
    )
    with pytest.raises(InputError, match=r"has no acquisition '7'\. It has:\n  3 \(cycle 1\): 2 images"):
        open_plate(twice, acquisition="7")


@pytest.mark.parametrize(("number", "image", "shown"), [("3", "0", "3 (cycle 1)"), ("12", "1", "12")])
def test_the_chosen_acquisition_is_read_alone(twice, number, image, shown):
    plate = open_plate(twice, acquisition=number)
    assert [(field.well, field.site, field.problem) for field in plate.fields] == [
        ("A01", 1, ""),
        ("B02", 1, ""),
    ]
    assert [field.planes[0].path for field in plate.fields] == [
        f"p.zarr/{well}/{image}/" for well in ("A/1", "B/2")
    ]
    assert dict(facts(summarise(plate)))["acquisition"] == shown
    other = "1" if image == "0" else "0"
    assert fates(plate)[f"p.zarr/A/1/{other}/"].startswith("ignored other-acquisition: ")


def test_the_only_acquisition_needs_no_choice(tmp_path):
    path = write_plate(tmp_path / "p.zarr", {"A/1": ["0", "1"]})
    listed_in(path, "A/1", [("0", 5), ("1", 5)])
    plate = open_plate(path)
    assert [(field.site, field.problem) for field in plate.fields] == [(1, ""), (2, "")]
    assert plate.acquisition == "5"


def test_images_without_an_acquisition_beside_others_are_one_more(tmp_path):
    path = write_plate(tmp_path / "p.zarr", {"A/1": ["0", "1"]})
    listed_in(path, "A/1", [("0", None), ("1", 1)])
    with pytest.raises(InputError, match=r"\n  1: 1 image in 1 well\n  without a number: 1 image in 1 well$"):
        open_plate(path)
    assert len(open_plate(path, acquisition="1").fields) == 1


def test_a_well_given_alone_has_acquisitions_and_derived_images_too(twice):
    with pytest.raises(InputError, match="1 holds 2 acquisitions"):
        open_plate(twice / "A/1")
    assert len(open_plate(twice / "A/1", acquisition="3").fields) == 1
    listed_in(twice, "A/1", [("0", None), ("1", None), ("0_mip", None)])
    plate = open_plate(twice / "A/1")
    assert [field.name for field in plate.fields] == ["1_0", "1_1"]
    assert fates(plate)["1/0_mip/"].startswith("ignored derived-image: ")


@pytest.mark.parametrize("source", ["p.zarr", "p.zarr/A/1/0"])
def test_choosing_a_missing_acquisition_is_an_error(tmp_path, source):
    write_plate(tmp_path / "p.zarr", {"A/1": ["0"]})
    with pytest.raises(InputError, match=r"Its wells record none|leave it out"):
        open_plate(tmp_path / source, acquisition="0")


def test_derived_images_are_not_sites(tmp_path):
    path = write_plate(tmp_path / "p.zarr", {"A/1": ["0", "0_mip", "1", "1_illum_corr", "1_illum_corr_mip"]})
    plate = open_plate(path)
    assert [(field.site, field.planes[0].path) for field in plate.fields] == [
        (1, "p.zarr/A/1/0/"),
        (2, "p.zarr/A/1/1/"),
    ]
    said = fates(plate)
    assert said["p.zarr/A/1/0_mip/"] == (
        "ignored derived-image: computed from another image of its well, which is used"
    )
    assert said["p.zarr/A/1/1_illum_corr_mip/"].startswith("ignored derived-image")


def test_two_versions_of_one_field_are_not_both_counted(tmp_path):
    path = write_plate(
        tmp_path / "p.zarr", {"A/1": ["0_mip", "0_illum_corr", "1"], "A/2": ["0_mip", "1_mip"]}
    )
    plate = open_plate(path)
    assert [(field.well, field.site, bool(field.problem)) for field in plate.fields] == [
        ("A01", 1, False),
        ("A01", 2, True),
        ("A02", 1, False),
        ("A02", 2, False),
    ]
    said = fates(plate)["p.zarr/A/1/0_mip/"]
    assert said.startswith("quarantined 0_mip, 0_illum_corr are versions of one field, 0, which its well")


@pytest.mark.parametrize(
    "names",
    [["0", "1"], ["1t0", "1t1"], ["left", "right"], ["s_1", "s_2"], ["1_2", "1_3"], ["site_a", "site_b"]],
)
def test_similar_names_are_separate_sites(names):
    assert sites_of([WellImage(name) for name in names], "").names == names
