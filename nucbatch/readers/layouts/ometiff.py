"""Layout of OME-TIFF that is more than one image a file: plates, sets of files, several images in a file.

- A plate (``Plate`` in the metadata of its files or of a companion file): wells, fields and acquisitions are
  those of the metadata.
- Without a plate, each image is a field of a collection, whether it shares its file with others or is spread
  over several files. Side pictures of slide scanners (label, macro) beside other images are left out.
- Planes whose file is not there are reported, and the field lacks their channels.
- OME metadata do not say which way the stage's axes run in the images.

Files that are each a whole image are declined, and read as pictures or by their names.

Source: OME data model 2016-06; https://ome-model.readthedocs.io/en/stable/ome-tiff/.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from dataclasses import replace

from nucbatch.core.errors import InputError
from nucbatch.core.escape import printable
from nucbatch.core.plate import Plate
from nucbatch.core.plate_geometry import plausible_well
from nucbatch.readers.assemble import assemble
from nucbatch.readers.contract import Example, NotThisLayout, ReadOptions
from nucbatch.readers.formats.ome_files import is_side_picture
from nucbatch.readers.layouts.instrument_names import InstrumentNamesReader
from nucbatch.readers.layouts.ome_accounts import (
    drop_unacquired,
    mark_undescribed_pages,
    require_whole,
    unused_records,
)
from nucbatch.readers.layouts.ome_fields import Fields
from nucbatch.readers.layouts.ome_plates import JoinedPlate, joined_plate
from nucbatch.readers.layouts.ome_sets import (
    COMPANION,
    OmeSets,
    SetImage,
    any_of_set,
    heads_of,
    named_files,
    read_sets,
)
from nucbatch.readers.layouts.pattern import PatternReader
from nucbatch.readers.listing import FoundFile, Listing, look_up
from nucbatch.readers.names import GREY, plural, unique_names

_OME_NAME = re.compile(r"\.ome\.(?:tiff?|tf2|tf8|btf)$", re.IGNORECASE)
_TIFF_NAME = re.compile(r"\.(?:tiff?|tf2|tf8|btf)$", re.IGNORECASE)
_WELL = re.compile(r"(?<![A-Za-z0-9])([A-Z]{1,2}[0-9]{1,2})(?![A-Za-z0-9])")
_SAMPLE = 32
"""Files without a companion that are looked at before the layout is declined."""
_MOST_NAMED = 6
_EXAMPLE_XML = b"""<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1">
<Plate ID="Plate:0" Name="P" Rows="8" Columns="12">%s</Plate>%s</OME>"""
_EXAMPLE_WELL = b"""<Well ID="Well:%d" Row="1" Column="%d"><WellSample ID="WellSample:%d" Index="0">
<ImageRef ID="Image:%d"/></WellSample></Well>"""
_EXAMPLE_IMAGE = b"""<Image ID="Image:%d"><Pixels ID="Pixels:%d" DimensionOrder="XYZCT" Type="uint16"
SizeX="16" SizeY="16" SizeZ="1" SizeC="1" SizeT="1"><Channel ID="Channel:%d" Name="DAPI"/>
<TiffData IFD="0" PlaneCount="1"><UUID FileName="%d.ome.tif">urn:uuid:%d</UUID></TiffData></Pixels></Image>"""


class OmeTiffReader:
    """Reads plates and sets of OME-TIFF."""

    name = "ometiff"
    priority = 35
    example = Example(
        {
            "p.companion.ome": _EXAMPLE_XML
            % (
                b"".join(_EXAMPLE_WELL % ((n,) * 4) for n in range(3)),
                b"".join(_EXAMPLE_IMAGE % ((n,) * 5) for n in range(3)),
            ),
            "0.ome.tif": None,
            "1.ome.tif": None,
            "other.ome.tif": None,
            "notes.txt": b"x",
        }
    )

    def recognise(self, listing: Listing) -> bool:
        """Returns whether a file is named like OME-TIFF or its companion; one TIFF alone may hold a plate."""
        if listing.single:
            return bool(_TIFF_NAME.search(listing.files[0].path)) or _is_companion(listing.files[0])
        return any(_OME_NAME.search(file.path) or _is_companion(file) for file in listing.files)

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """Returns the plate, or the images as a collection.

        Raises:
            NotThisLayout: no metadata describe a plate, several images or several files.
            InputError: several plates or acquisitions; or images named after wells, without a plate.
        """
        is_forced = options.layout == self.name
        companions = [file.path for file in listing.files if _is_companion(file)]
        wanted = _TIFF_NAME if is_forced or listing.single else _OME_NAME
        candidates = [file.path for file in listing.images() if wanted.search(file.path)]
        if not companions and not is_forced:
            sample = candidates[:: max(1, len(candidates) // _SAMPLE)]
            if not any_of_set(listing, sample):
                raise NotThisLayout(f"{listing.name}: each OME-TIFF is an image of its own.")
        heads = heads_of(listing, candidates)
        files = _known_files(listing, companions)
        sets = read_sets(listing, files, companions, heads)
        if listing.single and not companions and not is_forced:
            require_whole(sets, listing)
        drop_unacquired(sets)
        mark_undescribed_pages(sets, listing)
        plate = joined_plate(sets, options.acquisition, listing)
        labels = None
        if plate is None and not is_forced and _names_tell_wells(listing):
            raise NotThisLayout(f"the OME metadata of {listing.name} describe no plate, but its names do.")
        if plate:
            fields, remarks = _on_plate(plate, sets)
            why = "its OME metadata put it into no well of the plate"
        else:
            fields, labels, remarks = _collection(sets, listing, refuse_wells=not is_forced)
            why = "a side picture of a slide scanner"
        remarks += fields.position_remarks()
        read = assemble(
            listing,
            name=plate.name if plate else printable(listing.name),
            layout=self.name,
            sightings=fields.sightings,
            records=unused_records(listing, sets, fields, heads, plate.other if plate else (), why),
            channels=list(fields.channels.values()) or [GREY],
            gaps=fields.gaps,
            lacking=fields.lacking,
            labels=labels,
            facts=fields.facts,
            rows=plate.rows if plate else 0,
            columns=plate.columns if plate else 0,
            evidence="side file" if companions else "",
            remarks=remarks,
        )
        return replace(read, acquisition=plate.acquisition if plate else "")


def _is_companion(file: FoundFile) -> bool:
    return file.path.lower().endswith(COMPANION)


def _known_files(listing: Listing, companions: list[str]) -> dict[str, FoundFile]:
    """Returns the files that planes may lie in; of a companion given alone, those that it names."""
    files = {file.path: file for file in listing.images()}
    if listing.single:
        for path in companions:
            found = (look_up(listing.root, name) for name in sorted(named_files(listing, path)))
            files |= {file.path: file for file in found if isinstance(file, FoundFile)}
    return files


def _names_tell_wells(listing: Listing) -> bool:
    return any(reader.recognise(listing) for reader in (InstrumentNamesReader(), PatternReader()))


def _on_plate(plate: JoinedPlate, sets: OmeSets) -> tuple[Fields, list[str]]:
    fields, taken = Fields(), set(map(id, plate.other))
    for sample in plate.samples:
        if sample.image is None:
            fields.gap(sample.well, sample.site, sample.reason)
        else:
            taken.add(id(sample.image))
            fields.add(sample.image, sample.well, sample.site, plate.acquisition)
    left = [image for image in sets.distinct() if id(image) not in taken]
    return fields, _left_out(left, "belong to no well") if left else []


def _collection(
    sets: OmeSets, listing: Listing, refuse_wells: bool
) -> tuple[Fields, dict[int, str], list[str]]:
    """Returns each image as a field, the names of the fields by site, and remarks."""
    images = sets.distinct()
    pictures = [image for image in images if not is_side_picture(image.series.name)] or images
    if refuse_wells:
        _refuse_wells(pictures, listing)
    stems = Counter(image.document for image in pictures)
    titles = {}
    for site, image in enumerate(pictures, start=1):
        name = (image.series.name or image.series.id).replace("/", "_")
        stem = _TIFF_NAME.sub("", _OME_NAME.sub("", posixpath.basename(image.document)))
        files = {file.path for file, _ in image.planes.values()}
        if len(files) == 1 and stems[image.document] > 1:
            name = f"{stem}_{name}"
        elif len(files) == 1:
            name = stem
        titles[site] = f"{image.document}/{image.series.id}/{name}.image"
    names = unique_names(titles.values())
    fields = Fields()
    # As in a folder of pictures: the names of single channels often differ and mean the same.
    single = {image.series.channels[0].name for image in pictures if image.series.channels}
    unnamed = len(single) > 1 and all(image.series.sizes[1] == 1 for image in pictures)
    for site, image in enumerate(pictures, start=1):
        if unnamed:
            image.series = replace(image.series, channels=())
        fields.add(image, "", site)
    shown = set(map(id, pictures))
    left = [image for image in images if id(image) not in shown]
    remarks = _left_out(left, "are side pictures") if left else []
    return fields, {site: names[title] for site, title in titles.items()}, remarks


def _left_out(images: list[SetImage], why: str) -> list[str]:
    names = ", ".join(image.series.name or image.series.id for image in images[:_MOST_NAMED])
    more = f" and {len(images) - _MOST_NAMED:,} more" if len(images) > _MOST_NAMED else ""
    return [f"{plural(len(images), 'image')} left out, because they {why}: {names}{more}"]


def _refuse_wells(images: list[SetImage], listing: Listing) -> None:
    """Checks that a collection is no plate whose images are named after wells.

    Raises:
        InputError: each image's name holds a well, and there are several wells.
    """
    wells = []
    for image in images:
        found = _WELL.search(image.series.label) or _WELL.search(image.series.name)
        wells.append(plausible_well(found[1]) if found else "")
    if all(wells) and len(set(wells)) > 1:
        raise InputError(
            f"{printable(listing.name)} looks like a plate: its images are named after wells "
            f"({', '.join(dict.fromkeys(wells[:_MOST_NAMED]))}), but its OME metadata describe no Plate, so "
            "the fields of a well are not known. Export it with its plate, or give a LoadData CSV. If each "
            f"image is one of its own, add --layout {OmeTiffReader.name}."
        )
