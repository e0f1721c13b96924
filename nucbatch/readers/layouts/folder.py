"""Layout of a plain folder of images: no wells, each image is a field, subfolders included.

Whether an image is grey or RGB is known once its header is read; until then its channel is ``Grey``. Folders
of masks or labels beside a folder of images are annotations, and ignored by rule. An input that looks like a
plate is rejected unless the user insists (:mod:`nucbatch.readers.layouts.plate_signs`).
"""

from __future__ import annotations

from collections import defaultdict

from nucbatch.core.errors import InputError
from nucbatch.core.escape import printable
from nucbatch.core.plate import FileRecord, Plate
from nucbatch.readers.assemble import Sighting, assemble
from nucbatch.readers.contract import Example, ReadOptions
from nucbatch.readers.layouts.plate_signs import refuse_plates
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.names import GREY, unique_names
from nucbatch.readers.rules import ignored, no_image

_ANNOTATION_FOLDERS = frozenset({"labels", "label", "masks", "mask", "annotations", "gt", "groundtruth"})
_IMAGE_FOLDERS = frozenset({"images", "image"})


class FolderReader:
    """Reads any folder with at least one image; tried last."""

    name = "folder"
    priority = 90
    example = Example({"a.tif": None, "sub/a.tif": None, "b.png": b"<html>", "c.czi": b"x", "d.txt": b"x"})

    def recognise(self, listing: Listing) -> bool:
        """Returns whether there is an image."""
        return not listing.single and bool(listing.images())

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """Returns one field per image in path order; sites are numbered in that order.

        Raises:
            InputError: the input is one file; or it is a plate and ``options`` do not name this layout.
        """
        if listing.single:
            raise InputError(f"{listing.name} is a file: --layout {self.name} needs a folder.")
        records: list[FileRecord] = [no_image(file.path) for file in listing.others()]
        images: list[FoundFile] = []
        image_parents = _parents_of_image_folders(listing)
        for file in listing.images():
            if _annotates(file.path, image_parents):
                records.append(ignored(file.path, "annotation"))
            else:
                images.append(file)
        if options.layout != self.name:
            refuse_plates(listing, images)
        names = unique_names(file.path for file in images)
        return assemble(
            listing,
            name=listing.name,
            layout=self.name,
            sightings=[Sighting(file, GREY, site=site) for site, file in enumerate(images, start=1)],
            records=records,
            channels=[GREY] if images else [],
            labels={site: names[file.path] for site, file in enumerate(images, start=1)},
            remarks=_exported_twice(images),
        )


def _exported_twice(images: list[FoundFile]) -> list[str]:
    """Returns a remark if two folders hold images of the same names in different formats."""
    stems: dict[str, set[str]] = defaultdict(set)
    endings: dict[str, set[str]] = defaultdict(set)
    for file in images:
        folder, _, name = file.path.rpartition("/")
        stem, _, ending = name.casefold().rpartition(".")
        stems[folder].add(stem)
        endings[folder].add(ending)
    first: dict[frozenset[str], str] = {}
    for folder, names in stems.items():
        other = first.setdefault(frozenset(names), folder)
        if endings[folder].isdisjoint(endings[other]):
            pair = " and ".join(printable(one or "the input itself") for one in (other, folder))
            return [
                f"{pair} hold images of the same names in different formats, and each counts: if they are "
                "the same images, give one of the folders"
            ]
    return []


def _parents_of_image_folders(listing: Listing) -> set[str]:
    parents: set[str] = set()
    for file in listing.images():
        folders = file.path.split("/")[:-1]
        parents |= {"/".join(folders[:i]) for i, part in enumerate(folders) if part.lower() in _IMAGE_FOLDERS}
    return parents


def _annotates(path: str, image_parents: set[str]) -> bool:
    folders = path.split("/")[:-1]
    return any(
        part.lower() in _ANNOTATION_FOLDERS and "/".join(folders[:i]) in image_parents
        for i, part in enumerate(folders)
    )
