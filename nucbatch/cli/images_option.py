"""``--images``: whether the output folder holds a copy of the images."""

from __future__ import annotations

import click

from nucbatch.cli.headings import option

IMAGES = option(
    "--images",
    type=click.Choice(["copy", "none"]),
    default="copy",
    show_default=True,
    help="copy: the OME-Zarr has the images beside their masks, and the output needs no other file. none: it "
    "has the masks alone; the report and Python read the images where they are. For few bytes and files.",
)
