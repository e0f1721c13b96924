"""Channels of a field that were recorded at different places give a note."""

import re

import numpy as np
import pytest
import tifffile
from golden import all_trees

from nucbatch.readers.find import open_plate

PLANE = '<Plane DeltaT="1" PositionX="{}" PositionY="0" TheC="1" TheT="0" TheZ="0"/></Pixels>'


def built(tmp_path, name: str):
    tree = next(tree for tree in all_trees() if tree.name == name)
    return tree, tree.build(tmp_path)


def apart(plate) -> list[str]:
    return [re.sub(r" The first.*", "", remark) for remark in plate.remarks if "µm apart" in remark]


@pytest.mark.parametrize("name", [tree.name for tree in all_trees()])
def test_no_golden_tree_has_planes_that_lie_apart(tmp_path, name):
    tree, given = built(tmp_path, name)
    assert apart(tree.open(tmp_path, given)) == []


def test_an_index_of_harmony_with_channels_at_different_places(tmp_path):
    tree, given = built(tmp_path, "Harmony V5")
    (index,) = tmp_path.rglob("Index.idx.xml")
    text = index.read_text("utf-8-sig")
    moved = re.sub(
        r"(<ChannelID>2</ChannelID>.*?<PositionX[^>]*>)[^<]*", r"\g<1>0.5", text, flags=re.DOTALL, count=1
    )
    assert moved != text
    index.write_text(moved)
    (said,) = apart(tree.open(tmp_path, given))
    assert said.startswith("The planes of 1 field lie up to 500,")


def test_metadata_of_scanr_with_channels_at_different_places(tmp_path):
    tree, given = built(tmp_path, "ScanR 3.3")
    side = tmp_path / "data/metadata.ome.xml"
    text = side.read_text()
    side.write_text(text.replace("</Pixels>", PLANE.format(0), 1))
    (said,) = apart(tree.open(tmp_path, given))
    assert said.startswith("The planes of 1 field lie up to ")


@pytest.mark.parametrize(("x", "said"), [(1.0, 0), (40.0, 1)])
def test_headers_of_metaxpress_with_channels_at_different_places(tmp_path, x, said):
    for wave, place in ((1, 0.0), (2, x)):
        properties = "".join(
            f'<prop id="stage-position-{axis}" type="float" value="{value}"/>'
            for axis, value in (("x", place), ("y", 0.0))
        )
        text = f"<MetaData><PlaneInfo>{properties}</PlaneInfo></MetaData>"
        tifffile.imwrite(
            tmp_path / f"p_B02_w{wave}.tif", np.full((8, 8), wave, np.uint16), description=text, metadata=None
        )
    assert (
        apart(open_plate(tmp_path))
        == ["The planes of 1 field lie up to 40.0 µm apart by the image files."] * said
    )
