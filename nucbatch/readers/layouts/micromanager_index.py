"""Images of Micro-Manager's stacks without OME metadata, from the list of images in each stack's header."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from nucbatch.core.errors import UnreadableImage
from nucbatch.core.plate import Channel
from nucbatch.readers.formats.micromanager_index import StackIndex, read_stack_index
from nucbatch.readers.formats.ome_model import OmeSeries, PlaneSource
from nucbatch.readers.formats.ome_planes import PlaneKey
from nucbatch.readers.formats.pixel_info import MOST_PROJECTED
from nucbatch.readers.layouts.micromanager_metadata import interpreted
from nucbatch.readers.layouts.ome_sets import OmeSets, SetImage
from nucbatch.readers.listing import FoundFile, Listing


def add_indexed(
    sets: OmeSets, listing: Listing, stacks: list[FoundFile], position_of: Callable[[str], str]
) -> None:
    """Adds the images of stacks; those without a list of images keep their reason, or get one.

    Args:
        sets: gets the images.
        listing: the input.
        stacks: the stacks.
        position_of: what is the same for a stack and for those that continue it, by path.
    """
    found: dict[tuple[str, int], dict[PlaneKey, tuple[FoundFile, int]]] = defaultdict(dict)
    indices: dict[tuple[str, int], StackIndex] = {}
    for file in stacks:
        try:
            index = listing.read(file.path, read_stack_index)
        except UnreadableImage as error:
            sets.refused.setdefault(file.path, str(error).removeprefix(f"{file.path}: "))
            continue
        sets.refused.pop(file.path, None)
        for position, pages in index.pages.items():
            key = position_of(file.path), position
            indices.setdefault(key, index)
            found[key] |= {plane: (file, page) for plane, page in pages.items()}
    for key, planes in found.items():
        image = _image(indices[key], key[1], planes)
        sets.images[image.document, image.series.id] = image


def _image(index: StackIndex, position: int, planes: dict[PlaneKey, tuple[FoundFile, int]]) -> SetImage:
    known = interpreted({"Summary": index.summary})
    times, channels, steps = (1 + max(key[axis] for key in planes) for axis in range(3))
    planned = index.summary.get("Slices")
    if isinstance(planned, int) and steps < planned <= MOST_PROJECTED:
        steps = planned
    channels = max(channels, len(known.channels))
    names = known.channels if len(known.channels) == channels else ("",) * channels
    several = len(index.pages) > 1
    series = OmeSeries(
        id=f"Position:{position}",
        name=f"position {position}" if several else "",
        label=known.positions[position] if several and position < len(known.positions) else "",
        time="",
        sizes=(times, channels, steps),
        size_px=None,
        samples=1,
        channels=tuple(Channel(name, number) for number, name in enumerate(names)),
        pixel_size_um=known.pixel_size_um,
        planes={key: PlaneSource("", "", page) for key, (_, page) in planes.items()},
        is_implicit=False,
        stage_um={},
        has_unknown_places=False,
    )
    image = SetImage(series, min(file.path for file, _ in planes.values()))
    for key in series.expected():
        if key in planes:
            image.planes[key] = planes[key]
            image.places[key] = planes[key][0].path, planes[key][1]
        else:
            image.missing[key] = "not in its stack's list of images: not acquired, or lost"
    return image
