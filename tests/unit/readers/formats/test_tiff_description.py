"""Pixel sizes from the metadata that microscopes write."""

import pytest

from nucbatch.readers.formats.tiff_description import (
    metaseries,
    ome_on_stage,
    pixel_size_um,
    stage_position_um,
)

OME = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image>'
    '<Pixels PhysicalSizeX="{size}" PhysicalSizeXUnit="{unit}"/></Image></OME>'
)
METASERIES = (
    '<MetaData><PlaneInfo><prop id="spatial-calibration-state" type="bool" value="{state}"/>'
    '<prop id="spatial-calibration-x" type="float" value="1.3668"/>'
    '<prop id="spatial-calibration-units" type="string" value="um"/>'
    '<custom-prop id="_IllumSetting_" type="string" value="Texas Red"/></PlaneInfo></MetaData>'
)


@pytest.mark.parametrize(
    ("size", "unit", "expected"),
    [
        ("0.65", "µm", 0.65),
        ("650", "nm", 0.65),
        ("0.65", "pixel", None),
        ("0", "µm", None),
        ("nan", "µm", None),
    ],
)
def test_ome_xml(size, unit, expected):
    assert pixel_size_um(OME.format(size=size, unit=unit)) == pytest.approx(expected)


def test_ome_without_a_unit_means_micrometres():
    assert pixel_size_um('<OME><Image><Pixels PhysicalSizeX="0.5"/></Image></OME>') == 0.5


def test_metaseries_gives_size_and_stain():
    text = METASERIES.format(state="on")
    assert pixel_size_um(text) == 1.3668
    assert metaseries(text)["_IllumSetting_"] == "Texas Red"
    assert pixel_size_um(METASERIES.format(state="off")) is None


def test_imagej_uses_its_unit():
    assert pixel_size_um("ImageJ=1.53\nunit=micron\n", [(2, 1)]) == 0.5
    assert pixel_size_um("ImageJ=1.53\nunit=\\u00B5m\n", [(2, 1)]) == 0.5
    assert pixel_size_um("ImageJ=1.53\n", [(72, 1)]) is None
    assert pixel_size_um("ImageJ=1.53\nunit=inch\n", [(72, 1)]) is None


def test_print_resolution_is_ignored():
    assert pixel_size_um("", [(72, 1)]) is None


def test_malformed_xml_gives_no_pixel_size():
    assert pixel_size_um('<OME><Pixels PhysicalSizeX="1"') is None
    assert metaseries("<MetaData") == {}


def test_metaseries_gives_the_stage_position():
    text = (
        '<MetaData><PlaneInfo><prop id="stage-position-x" type="float" value="23300"/>'
        '<prop id="stage-position-y" type="float" value="{y}"/></PlaneInfo></MetaData>'
    )
    assert stage_position_um(metaseries(text.format(y="-19885.5"))) == (-19885.5, 23300.0)
    assert stage_position_um(metaseries(text.format(y="nan"))) is None
    assert stage_position_um(metaseries(text.format(y="unknown"))) is None
    assert stage_position_um(metaseries(METASERIES.format(state="on"))) is None


@pytest.mark.parametrize(
    ("plane", "place"),
    [
        ('PositionX="3" PositionY="-2"', (-2, 3)),
        ('PositionX="3" PositionY="-2" PositionXUnit="mm"', (-2000, 3000)),
        ('PositionX="3" PositionY="-2" PositionXUnit="reference frame" PositionYUnit="µm"', (-2, 3)),
        ('PositionX="3" PositionY="-2" PositionXUnit="pixel"', None),
        ('PositionX="3"', None),
        ('PositionX="nan" PositionY="0"', None),
        ('PositionX="far" PositionY="0"', None),
    ],
)
def test_ome_gives_the_place_on_the_stage(plane, place):
    planes = f'<Plane TheZ="0" {plane}/><Plane TheZ="1" PositionX="9" PositionY="9"/>'
    image = f"<Image><Pixels>{planes}</Pixels></Image>"
    assert ome_on_stage(f"<OME>{image}</OME>") == (place or (9, 9))
    assert ome_on_stage(f"<OME>{image}{image}</OME>") is None, "of which image?"
    assert ome_on_stage("<OME><Image><Pixels PositionX") is None


@pytest.mark.parametrize(("height", "size"), [("0.501", 0.5), ("1", None), ("", 0.5), ("0", 0.5)])
def test_pixels_that_are_not_square_have_no_size(height, size):
    ome = '<OME><Image><Pixels PhysicalSizeX="0.5" PhysicalSizeY="{}"/></Image></OME>'
    assert pixel_size_um(ome.format(height)) == size
    names = {"state": "on", "x": "0.5", "y": height, "units": "um"}
    properties = "".join(
        f'<prop id="spatial-calibration-{id}" value="{value}"/>' for id, value in names.items()
    )
    assert pixel_size_um(f"<MetaData><PlaneInfo>{properties}</PlaneInfo></MetaData>") == size
    down = round(1e6 / float(height or 0)) if float(height or 0) else 0
    assert pixel_size_um("ImageJ=1.53\nunit=um\n", [(2_000_000, 1_000_000), (down, 1_000_000)]) == size
    assert pixel_size_um("", [(20_000, 1), (down // 100, 1)], 3) == size
