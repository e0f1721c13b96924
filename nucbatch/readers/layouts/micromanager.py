"""Layout of Micro-Manager: stacks (``exp_MMStack_B2-Site_0.ome.tif``) and folders of single images.

- A position whose label is that of the plate plugin (``B2-Site_0``) is a field: well B02, site 1.
- Without such labels, positions are images of a collection, each with its label as name.
- The metadata of a stack list every position; the planes of each are found by ``ome_sets.py``. Stacks that no
  metadata describe, as where those of the first stack are lost, are read by the list in their header.
- A folder of a position holds single images and ``metadata.txt``
  (:mod:`nucbatch.readers.layouts.micromanager_folders`).
- Which way the stage's axes run in the picture depends on the camera's mounting, and is not recorded.
"""

from __future__ import annotations

import posixpath
import re

from nucbatch.core.errors import InputError
from nucbatch.core.escape import printable
from nucbatch.core.plate import Plate
from nucbatch.readers.assemble import assemble
from nucbatch.readers.contract import Example, NotThisLayout, ReadOptions
from nucbatch.readers.layouts.micromanager_folders import (
    NOT_TRIED,
    field_of,
    parse_image,
    read_folders,
)
from nucbatch.readers.layouts.micromanager_index import add_indexed
from nucbatch.readers.layouts.ome_accounts import (
    drop_unacquired,
    mark_undescribed_pages,
    require_whole,
    unused_records,
)
from nucbatch.readers.layouts.ome_fields import Fields
from nucbatch.readers.layouts.ome_sets import OmeSets, SetImage, heads_of, read_sets
from nucbatch.readers.layouts.one_plate import several_plates
from nucbatch.readers.listing import Listing
from nucbatch.readers.names import GREY, unique_names

_STACK = re.compile(r"(?:(?P<prefix>[^/]*)_)?MMStack(?:_(?P<label>[^/]*?))?\.ome\.tiff?", re.IGNORECASE)


class MicroManagerReader:
    """Reads acquisitions of Micro-Manager."""

    name = "micromanager"
    priority = 34
    example = Example(
        {
            **{
                f"{well}-Site_{site}/img_channel00{c}_position00{p}_time000000000_z000.tif": None
                for p, (well, site) in enumerate((("B2", 0), ("B2", 1), ("C12", 0)))
                for c in (0, 1)
            },
            "B2-Site_0/metadata.txt": b'{"Summary": {"ChNames": ["DAPI", "GFP"], "PixelSize_um": 0.65}}',
            "B2-Site_1/metadata.txt": b'{"Summary": {"ChNames": ["DAPI"',
            "C12-Site_0/notes.tif": None,
        }
    )

    def recognise(self, listing: Listing) -> bool:
        """Returns whether at least half of the images have names of stacks, or of single images."""
        images = listing.images()
        if listing.single:
            return bool(images) and is_stack(images[0].path)
        stacks = sum(1 for file in images if is_stack(file.path))
        singles = sum(1 for file in images if parse_image(file.path))
        return 0 < len(images) <= 2 * max(stacks, singles)

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """Returns the plate, or the positions as a collection.

        Raises:
            NotThisLayout: stacks without metadata; or one stack alone, of one position.
            InputError: several acquisitions of a plate.
        """
        if not any(is_stack(file.path) for file in listing.images()):
            return read_folders(listing, self.name)
        return _read_stacks(listing, self.name, options)


def is_stack(path: str) -> bool:
    """Returns whether a path is named like a stack."""
    return bool(_STACK.fullmatch(posixpath.basename(path)))


def _position(path: str) -> str:
    """Returns what is the same for a position's stack and for those that continue it."""
    match = _STACK.fullmatch(posixpath.basename(path))
    well, site = field_of((match["label"] or "") if match else "")
    return f"{posixpath.dirname(path)}/{match['prefix']}/{well}/{site}" if match and well else path


def _read_stacks(listing: Listing, layout: str, options: ReadOptions) -> Plate:
    paths = [file.path for file in listing.images() if is_stack(file.path)]
    heads = heads_of(listing, paths)
    sets = read_sets(listing, {file.path: file for file in listing.images()}, (), heads)
    described = {path for image in sets.distinct() for path, _ in image.places.values()}
    rest = [file for file in listing.images() if is_stack(file.path) and file.path not in described]
    add_indexed(sets, listing, [file for file in rest if not isinstance(heads[file.path], str)], _position)
    if not sets.images:
        raise NotThisLayout(f"no stack of {listing.name} has OME metadata or a list of its images.")
    if listing.single:
        require_whole(sets, listing)
    drop_unacquired(sets)
    mark_undescribed_pages(sets, listing)
    fields, labels = _fields(sets, listing)
    return assemble(
        listing,
        name=printable(listing.name),
        layout=layout,
        sightings=fields.sightings,
        records=unused_records(listing, sets, fields, heads, why="its position names no well"),
        channels=list(fields.channels.values()) or [GREY],
        gaps=fields.gaps,
        lacking=fields.lacking,
        labels=labels,
        facts=fields.facts,
        remarks=[NOT_TRIED, *fields.position_remarks()],
    )


def _fields(sets: OmeSets, listing: Listing) -> tuple[Fields, dict[int, str] | None]:
    """Returns the fields, and their names by site if they have no wells."""
    images = sets.distinct()
    labels = _labels(images, listing)
    places = [field_of(label) for label in labels]
    fields = Fields()
    if any(well for well, _ in places):
        on_plate = [(image, *place) for image, place in zip(images, places, strict=True) if place[0]]
        _require_one_acquisition([image for image, _, _ in on_plate], listing)
        for image, well, site in on_plate:
            fields.add(image, well, site)
        return fields, None
    titles = {}
    for site, (image, label) in enumerate(zip(images, labels, strict=True), start=1):
        prefix = _prefix(image)
        title = f"{prefix}_{label}" if prefix and label else prefix or label or image.series.id
        titles[site] = f"{image.document}/{image.series.id}/{title.replace('/', '_')}.image"
        fields.add(image, "", site)
    names = unique_names(titles.values())
    return fields, {site: names[title] for site, title in titles.items()}


def _labels(images: list[SetImage], listing: Listing) -> list[str]:
    """Returns the label of each image's position; an image whose file's name contradicts it is unusable.

    The name of the stack wins, because some versions of Micro-Manager record the first position's label for
    all of them (micro-manager issue 556).

    Raises:
        InputError: one stack of all positions, in which they all have one well's label.
    """
    recorded = {image.series.label for image in images}
    shared = recorded.pop() if len(recorded) == 1 and len(images) > 1 else ""
    labels = []
    for image in images:
        match = _STACK.fullmatch(posixpath.basename(_file(image)))
        named = (match["label"] or "") if match else ""
        stage = "" if shared else image.series.label
        title = _of_name(image.series.name)
        if field_of(named)[0] and field_of(stage)[0] and field_of(named) != field_of(stage):
            reason = f"{_file(image)}: its metadata say position {stage}, its name says {named}"
            image.problem = image.problem or reason
        options = [label for label in (named, stage, title) if label]
        labels.append(next((label for label in options if field_of(label)[0]), next(iter(options), "")))
    if field_of(shared)[0] and not any(field_of(label)[0] for label in labels):
        raise InputError(
            f"{printable(listing.name)} gives all of its {len(images)} positions the label {shared}, so "
            "their wells are not known: save the acquisition again with a file for each position."
        )
    return labels


def _of_name(name: str) -> str:
    """Returns the label in an image's name: the stack's name without its ending."""
    match = _STACK.fullmatch(f"{name}.ome.tif")
    return (match["label"] or "") if match else name


def _file(image: SetImage) -> str:
    """Returns the path of an image's first file, whether it is there or not."""
    return next(iter(image.places.values()), (image.document, 0))[0]


def _prefix(image: SetImage) -> str:
    match = _STACK.fullmatch(posixpath.basename(_file(image)))
    return (match["prefix"] or "") if match else ""


def _require_one_acquisition(images: list[SetImage], listing: Listing) -> None:
    """Checks that all stacks are of one acquisition, by their folder and the text before ``_MMStack``.

    Raises:
        InputError: there are several.
    """
    folders = {posixpath.dirname(_file(image)) for image in images}
    if len(folders) > 1:
        raise several_plates(listing, sorted(folders), f"{len(folders)} acquisitions of Micro-Manager")
    prefixes = sorted({_prefix(image) for image in images})
    if len(prefixes) > 1:
        raise InputError(
            f"{printable(listing.name)} holds {len(prefixes)} acquisitions of Micro-Manager "
            f"({', '.join(map(printable, prefixes[:6]))}): put the files of each into a folder of its own."
        )
