"""Golden trees of Harmony and Columbus (Operetta CLS, Opera Phenix), each with the index that they write."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tifffile

from golden import Expected, GoldenTree, write_images

Place = tuple[int, int, int, int, int, int]
"""Row, column, field, plane, channel and time point of an image, each from 1."""

STAINS = ("HOECHST 33342", "Alexa 488, long", 'a "quoted" [name]')
PIXEL_M = 2.96688132474701e-07
PROFILE = (
    "{Background: {Character: NonFlat, Mean: 443.79058, NonFlatness: {Corrected: 0.1, Random: INF}, Profile: "
    "{Coefficients: [[1.2132], [0.0658, -0.0855], [-1.4032, 0.1826, -1.4825]], Dims: [16, 16], "
    "Origin: [7.5, 7.5], Scale: [0.0625, 0.0625], Type: Polynomial}, Quality: 1.0}, Channel: %d, "
    "ChannelName: %s, Version: Acapella:2013}"
)
IDENTITY = (
    "{Background: {Character: Null, Mean: NaN, Profile: {Type: Identity}, Quality: 0.25}, Channel: %d, "
    "ChannelName: %s, Version: Acapella:2013}"
)


def places(
    wells: Iterable[tuple[int, int]], fields: int, planes: int = 1, channels: int = 2, times: int = 1
) -> list[Place]:
    """Returns the places of a complete measurement."""
    return [
        (row, column, field, plane, channel, time)
        for time in range(1, times + 1)
        for row, column in wells
        for field in range(1, fields + 1)
        for plane in range(1, planes + 1)
        for channel in range(1, channels + 1)
    ]


def old_name(place: Place) -> str:
    """Returns the name that Harmony 4 writes."""
    return "r{:02}c{:02}f{:02}p{:02}-ch{}sk{}fk1fl1.tiff".format(*place)


def new_name(place: Place) -> str:
    """Returns the name that later exports have."""
    return "r{:02}c{:02}f{:02}p{:02}-ch{:02}t{:02}.tiff".format(*place)


def _position(field: int) -> str:
    """Returns the position of a field in a row of three: field 1 is the one in the centre, y is up."""
    x_m = (0.0, -6.4e-4, 6.4e-4)[(field - 1) % 3]
    y_m = (field - 1) // 3 * 6.4e-4
    return f'<PositionX Unit="m">{x_m!r}</PositionX><PositionY Unit="m">{y_m!r}</PositionY>'


def _of_channel(channel: int, name: str, pixel_m: float) -> str:
    excitation, emission = ((405, 456), (488, 522), (740, 0))[(channel - 1) % 3]
    return (
        f"<ChannelName>{name.replace('&', '&amp;')}</ChannelName>"
        f'<ImageResolutionX Unit="m">{pixel_m!r}</ImageResolutionX>'
        f'<ImageResolutionY Unit="m">{pixel_m!r}</ImageResolutionY>'
        "<ImageSizeX>16</ImageSizeX><ImageSizeY>16</ImageSizeY><BinningX>1</BinningX><BinningY>1</BinningY>"
        f'<MainExcitationWavelength Unit="nm">{excitation}</MainExcitationWavelength>'
        f'<MainEmissionWavelength Unit="nm">{emission}</MainEmissionWavelength>'
    )


def _placed(place: Place, name: str, first_time: int, state: str) -> str:
    row, column, field, plane, channel, time = place
    return (
        f"<id>{row:02}{column:02}K{time}F{field}P{plane}R{channel}</id><State>{state}</State>"
        f"<URL>{name}</URL><Row>{row}</Row><Col>{column}</Col><FieldID>{field}</FieldID><PlaneID>{plane}</PlaneID>"
        f"<TimepointID>{time - 1 + first_time}</TimepointID><ChannelID>{channel}</ChannelID>"
        "<FlimID>1</FlimID>"
    )


def index(
    listed: Iterable[tuple[Place, str]],
    version: str = "V5",
    *,
    plate: str = "Plate 7",
    stains: tuple[str, ...] = STAINS,
    states: dict[str, str] | None = None,
    profiles: tuple[str, ...] = (IDENTITY, PROFILE, PROFILE),
    pixel_m: float = PIXEL_M,
) -> str:
    """Returns the XML of an index that lists these images."""
    listed = list(listed)
    old = version == "V5"
    wells = dict.fromkeys((place[0], place[1]) for place, _ in listed)
    channels = sorted({place[4] for place, _ in listed})
    entries = "".join(
        f'<Entry ChannelID="{channel}"><FlatfieldProfile>'
        f"{profiles[channel - 1] % (channel, stains[channel - 1])}</FlatfieldProfile></Entry>"
        for channel in channels
    )
    named = "".join(
        f'<Entry ChannelID="{channel}">{_of_channel(channel, stains[channel - 1], pixel_m)}</Entry>'
        for channel in reversed(channels)
    )
    images = "".join(
        '<Image Version="1">'
        + _placed(place, name, 0 if old else 1, (states or {}).get(name, "Ok"))
        + (_of_channel(place[4], stains[place[4] - 1], pixel_m) if old else "")
        + _position(place[2])
        + (f"<AbsTime>2022-12-19T10:19:2{place[5]}.58+01:00</AbsTime>" if old else "")
        + "</Image>\n"
        for place, name in listed
    )
    namespace = (
        "http://www.perkinelmer.com/PEHH/HarmonyV5"
        if old
        else f"43B2A954-E3C3-47E1-B392-6635266B0DD3/Harmony{version}"
    )
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<EvaluationInputData Version="{1 if old else 2}" '
        f'xmlns="{namespace}"><Plates><Plate><PlateID>{plate}</PlateID><Name>{plate}</Name>'
        "<PlateRows>16</PlateRows><PlateColumns>24</PlateColumns>"
        + "".join(f'<Well id="{row:02}{column:02}" />' for row, column in wells)
        + "</Plate></Plates><Wells>"
        + "".join(
            f'<Well><id>{row:02}{column:02}</id><Row>{row}</Row><Col>{column}</Col><Image id="x" /></Well>'
            for row, column in wells
        )
        + f"</Wells><Maps><Map>{entries}</Map>"
        + ("" if old else f"<Map>{named}</Map>")
        + f"</Maps><Images>{images}</Images></EvaluationInputData>"
    )


def named(listed: Iterable[Place]) -> list[tuple[Place, str]]:
    """Returns the places, each with the name of Harmony 4."""
    return [(place, old_name(place)) for place in listed]


ONE = named(places([(2, 3)], 2))
"""Two fields of one well in two channels."""


def written(
    folder: Path,
    listed: Iterable[tuple[Place, str]],
    *edits: tuple[str, str],
    name: str = "Index.idx.xml",
    version: str = "V5",
    **how: object,
) -> Path:
    """Writes a measurement of these images, with the index' text edited by (regex, replacement)."""
    write_images(folder, (name for _, name in listed))
    text = index(listed, version, **how)
    for regex, replacement in edits:
        text, count = re.subn(regex, replacement, text)
        assert count
    (folder / name).write_text(text, encoding="utf-8-sig")
    return folder


WELLS = ((2, 3), (3, 7))


def _harmony_5(folder: Path) -> Path:
    listed = [(place, old_name(place)) for place in places(WELLS, 3, planes=2)]
    write_images(folder, (f"Images/{name}" for _, name in listed))
    (folder / "Images/Index.idx.xml").write_text(index(listed), encoding="utf-8-sig")
    (folder / "Assaylayout").mkdir()
    (folder / "Assaylayout/Unnamed.xml").write_text("<AssayLayout/>")
    return folder


def _harmony_6(folder: Path) -> Path:
    listed = [(place, old_name(place)) for place in places(WELLS, 1, channels=3)]
    write_images(folder, (f"Images/{name}" for _, name in listed))
    (folder / "Images/Index.xml").write_text(index(listed, "V6"), encoding="utf-8")
    return folder


def _harmony_7(folder: Path) -> Path:
    listed = [(place, new_name(place)) for place in places(WELLS, 2, times=3)]
    write_images(folder, (f"images/r{place[0]:02}c{place[1]:02}/{name}" for place, name in listed))
    (folder / "images/Index.xml").write_text(index(listed, "V7"), encoding="utf-8-sig")
    return folder


def _interrupted(folder: Path) -> Path:
    """Field 3 of B03 is not there, C07 lost a channel of field 2, and one image failed."""
    listed = [(place, old_name(place)) for place in places(WELLS, 3)]
    gone = {old_name((2, 3, 3, 1, 1, 1)), old_name((2, 3, 3, 1, 2, 1)), old_name((3, 7, 2, 1, 2, 1))}
    write_images(folder, (name for _, name in listed if name not in gone))
    states = {old_name((3, 7, 3, 1, 1, 1)): "Error"}
    (folder / "Index.idx.xml").write_text(index(listed, states=states), encoding="utf-8-sig")
    return folder


def _referenced(folder: Path) -> Path:
    """The index names paths of the machine that wrote it; fields have three digits."""
    listed = [(place, old_name(place)) for place in ((1, 1, field, 1, 1, 1) for field in (99, 100, 101))]
    write_images(folder, (name for _, name in listed))
    paths = [(place, f"\\\\server\\share\\Images\\{name}") for place, name in listed]
    (folder / "Index.ref.xml").write_text(index(paths), encoding="utf-16")
    return folder


def _columbus(folder: Path) -> Path:
    """Columbus' index gives the place of images whose names don't."""
    listed = [
        (place, "{:03}{:03}-{}-{:03}{:03}{:03}.tif".format(*place[:4], place[5], place[4]))
        for place in places(WELLS, 2)
    ]
    write_images(folder, (name for _, name in listed))
    text = index(listed).replace("EvaluationInputData", "MeasurementIndex")
    (folder / "MeasurementIndex.ColumbusIDX.xml").write_text(text, encoding="utf-8")
    return folder


def _columbus_pages(folder: Path) -> Path:
    """All channels and planes of a field are pages of one file; a second index only refers to the first."""
    listed = places(WELLS, 2, planes=2)
    pages: dict[str, int] = {}
    named: list[tuple[Place, str]] = []
    for place in listed:
        name = "{:03}{:03}-{}.tif".format(*place[:3])
        named.append((place, name))
        pages[name] = pages.get(name, 0) + 1
    text = index(named)
    for name, count in pages.items():
        stack = np.arange(count * 256, dtype=np.uint16).reshape(count, 16, 16)
        tifffile.imwrite(folder / name, stack, photometric="minisblack", metadata=None)
        for page in range(count):
            text = text.replace(f"<URL>{name}</URL>", f'<URL BufferNo="{page}">{name}</URL>', 1)
    (folder / "ImageIndex.ColumbusIDX.xml").write_text(text, encoding="utf-8")
    reference = (
        '<Measurement><Reference Class="IMAGEINDEX">ImageIndex.ColumbusIDX.xml</Reference></Measurement>'
    )
    (folder / "MeasurementIndex.ColumbusIDX.xml").write_text(reference, encoding="utf-8")
    return folder


def _names_5(folder: Path) -> Path:
    write_images(folder, (f"Images/{old_name(place)}" for place in places(WELLS, 2, planes=2)))
    return folder


def _names_7(folder: Path) -> Path:
    listed = places(WELLS, 2, times=2)
    write_images(folder, (f"images/r{place[0]:02}c{place[1]:02}/{new_name(place)}" for place in listed))
    return folder


_BOTH = ("B03", "C07")
_SIZE = 0.2967

TREES = (
    GoldenTree(
        "Harmony V5",
        "real file",
        _harmony_5,
        Expected("harmony", "side file", _BOTH, 6, STAINS[:2], 2, 1, _SIZE, 6, 0, (24, 2, 0)),
    ),
    GoldenTree(
        "Harmony V6",
        "quoted",
        _harmony_6,
        Expected("harmony", "side file", _BOTH, 2, STAINS, 1, 1, _SIZE, 2, 0, (6, 1, 0)),
    ),
    GoldenTree(
        "Harmony V7, time points",
        "real file",
        _harmony_7,
        Expected("harmony", "side file", _BOTH, 12, STAINS[:2], 1, 3, _SIZE, 12, 0, (24, 1, 0)),
    ),
    GoldenTree(
        "Harmony V5, interrupted copy",
        "real file",
        _interrupted,
        Expected("harmony", "side file", _BOTH, 5, STAINS[:2], 1, 1, _SIZE, 5, 1, (8, 1, 1)),
    ),
    GoldenTree(
        "Harmony, referenced images",
        "quoted",
        _referenced,
        Expected("harmony", "side file", ("A01",), 3, STAINS[:1], 1, 1, _SIZE, 3, 0, (3, 1, 0)),
    ),
    GoldenTree(
        "Columbus",
        "quoted",
        _columbus,
        Expected("harmony", "side file", _BOTH, 4, STAINS[:2], 1, 1, _SIZE, 4, 0, (8, 1, 0)),
    ),
    GoldenTree(
        "Columbus, pages",
        "quoted",
        _columbus_pages,
        Expected("harmony", "side file", _BOTH, 4, STAINS[:2], 2, 1, _SIZE, 4, 0, (4, 2, 0)),
    ),
    GoldenTree(
        "Harmony, names alone",
        "real file",
        _names_5,
        Expected("harmony", "names", _BOTH, 4, ("ch1", "ch2"), 2, files=(16, 0, 0)),
    ),
    GoldenTree(
        "Harmony, later names alone",
        "quoted",
        _names_7,
        Expected("harmony", "names", _BOTH, 8, ("ch1", "ch2"), 1, 2, files=(16, 0, 0)),
    ),
)
