from dataclasses import replace

import numpy as np
import tifffile

from nucbatch.core.plate import Channel, Plate
from nucbatch.readers.assemble import FieldFacts, Sighting, assemble
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.plate_cache import cache_content, load_plate
from nucbatch.readers.verify_headers import verified

DNA = Channel("DNA", 9, ("ch1", "w1"), 385.0, 465.0, "0000FF")
FACTS = FieldFacts((-315.0, 0.5), 0.598, "2", "2024-05-06T07:08:09Z")


def described(root: str = "/plate") -> Plate:
    files = (FoundFile("a.tif"), FoundFile("b.tif"))
    return assemble(
        Listing(root, "plate", files),
        name="plate",
        layout="vendor",
        sightings=[Sighting(files[0], "DNA", "B03", 1), Sighting(files[1], "GFP", "B03", 1)],
        records=[],
        channels=[DNA, "GFP"],
        gaps={("B03", 2, 0): "autofocus failed"},
        facts={("B03", 1, 0): FACTS, ("B03", 2, 0): FieldFacts((0.0, 315.5))},
        rows=8,
        columns=12,
        evidence="side file",
        remarks=["Positions are those of the plan."],
    )


def test_facts_of_a_side_file_reach_fields_channels_and_plate():
    plate = described()
    first, lost = plate.fields
    assert (first.position_um, first.pixel_size_um) == (FACTS.position_um, 0.598)
    assert (first.acquisition, first.time) == ("2", "2024-05-06T07:08:09Z")
    assert (lost.problem, lost.position_um) == ("autofocus failed", (0.0, 315.5))
    assert plate.channels[0] == Channel("DNA", 0, DNA.aliases, 385.0, 465.0, "0000FF")
    assert plate.channels[1] == Channel("GFP", 1)
    assert (plate.rows, plate.columns, plate.evidence) == (8, 12, "side file")


def test_a_channel_is_found_by_its_alias():
    plate = described()
    assert plate.channel("W1").name == "DNA"


def test_facts_survive_the_cache(tmp_path):
    plate = described(str(tmp_path))
    wanted = "0" * 64
    kept = cache_content(replace(plate, listed=wanted))
    assert kept is not None
    (tmp_path / "plate.json").write_bytes(kept)
    assert load_plate(tmp_path / "plate.json", wanted, str(tmp_path)) == replace(plate, listed=wanted)


def test_the_pixel_size_of_a_side_file_wins_over_the_headers(tmp_path):
    camera = {"resolution": (1 / 6.45e-4, 1 / 6.45e-4), "resolutionunit": 3}
    for name in ("a.tif", "b.tif"):
        tifffile.imwrite(tmp_path / name, np.zeros((8, 9), np.uint16), **camera)
    plate = described(str(tmp_path))
    assert verified(plate).fields[0].pixel_size_um == 0.598
    assert verified(plate, 0.3).fields[0].pixel_size_um == 0.3


def test_the_position_of_a_side_file_wins_over_the_headers(tmp_path):
    stage = "".join(
        f'<prop id="stage-position-{axis}" type="float" value="{value}"/>'
        for axis, value in (("x", 7), ("y", 5))
    )
    for name in ("a.tif", "b.tif"):
        text = f"<MetaData><PlaneInfo>{stage}</PlaneInfo></MetaData>"
        tifffile.imwrite(tmp_path / name, np.zeros((8, 9), np.uint16), description=text, metadata=None)
    plate = described(str(tmp_path))
    assert verified(plate).fields[0].position_um == FACTS.position_um
    unplaced = replace(plate, fields=(replace(plate.fields[0], position_um=None), *plate.fields[1:]))
    assert verified(unplaced).fields[0].position_um == (5.0, 7.0)
