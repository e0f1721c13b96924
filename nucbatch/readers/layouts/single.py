"""Layout of a single image file: a collection of one field."""

from __future__ import annotations

from nucbatch.core.errors import InputError
from nucbatch.core.plate import Plate
from nucbatch.readers.assemble import Sighting, assemble
from nucbatch.readers.contract import Example, ReadOptions
from nucbatch.readers.listing import Listing
from nucbatch.readers.names import GREY, unique_names


class SingleImageReader:
    """Reads a TIFF, SVS, PNG or JPEG file."""

    name = "single"
    priority = 60
    example = Example({"a.tif": None, "b.tif": None}, given="a.tif")

    def recognise(self, listing: Listing) -> bool:
        """Returns whether the input is one file with the suffix of an image."""
        return listing.single and bool(listing.images())

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """Returns a plate with the image as its only field, named after its stem.

        Raises:
            InputError: the input is not one image file.
        """
        if not self.recognise(listing):
            raise InputError(
                f"{listing.name} is not one TIFF, SVS, PNG or JPEG file: --layout {self.name} needs one."
            )
        (file,) = listing.images()
        label = unique_names([file.path])[file.path]
        return assemble(
            listing,
            name=label,
            layout=self.name,
            sightings=[Sighting(file, GREY)],
            records=[],
            channels=[GREY],
            labels={1: label},
        )
