"""Reads plates of the Acme microscope: ``acme_R02C03_F1_DAPI.tif``, and a file ``acme.plate`` beside them."""

from __future__ import annotations

import re

from nucbatch.core.plate import Plate
from nucbatch.core.plate_geometry import parse_row
from nucbatch.readers.assemble import Sighting, assemble
from nucbatch.readers.contract import Example, ReadOptions
from nucbatch.readers.listing import Listing
from nucbatch.readers.rules import ignored, no_image, quarantined

_NAME = re.compile(r"(?:^|/)acme_R(\d\d)C(\d\d)_F(\d+)_(\w+)\.tif$")


class AcmeReader:
    """The layout of the Acme microscope."""

    name = "acme"
    priority = 35
    example = Example(
        {
            "acme.plate": b"24 wells",
            **{f"acme_R02C0{column}_F1_{stain}.tif": None for column in (3, 4) for stain in ("DAPI", "GFP")},
            "acme_preview.tif": None,
        }
    )

    def recognise(self, listing: Listing) -> bool:
        """The plate's own file is there."""
        return any(file.path.rpartition("/")[2] == "acme.plate" for file in listing.files)

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """Wells, fields and stains by name; an image with another name is quarantined."""
        sightings, records = [], []
        for file in listing.files:
            match = _NAME.search(file.path)
            if match:
                row, column, field, stain = match.groups()
                sightings.append(Sighting(file, stain, f"{parse_row(row)}{column}", int(field)))
            elif file.path.endswith("acme.plate"):
                records.append(ignored(file.path, "vendor-metadata"))
            elif file.path.endswith(".tif"):
                records.append(quarantined(file.path, "its name is not like acme_R02C03_F1_DAPI.tif"))
            else:
                records.append(no_image(file.path))
        stains = sorted({sighting.channel for sighting in sightings})
        return assemble(
            listing,
            name=listing.name,
            layout=self.name,
            sightings=sightings,
            records=records,
            channels=stains,
        )
