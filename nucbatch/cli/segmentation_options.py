"""Options of the command line for the model, the normalisation and the objects: what a run computes."""

from __future__ import annotations

from functools import wraps
from typing import Any

import click

from nucbatch.cli.headings import Command, headed, option
from nucbatch.core.numeric_kind import ASKED
from nucbatch.core.segmentation_options import SegmentationOptions

PRECISION = option(
    "--precision",
    type=click.Choice(ASKED),
    default="auto",
    show_default=True,
    help="Numeric precision of the network. auto: the fastest that all workers have, if the model's card "
    "shows that its scores are those of fp32; else fp32. bf16 needs a processor or GPU with instructions "
    "for it, fp16 a GPU. A run keeps the arithmetic that it was started with.",
)
_MODEL = (
    option(
        "--model",
        default="default",
        show_default=True,
        help="A shipped model, a weight file, or a package of bioimage.io.",
    ),
    option("--channel", default="", help="Channel with the nuclei, if its name doesn't tell."),
    option(
        "--diameter",
        metavar="D",
        help="Typical diameter of a nucleus, to which images are rescaled for the model: 60 (px), or "
        "12um. none: no rescaling. auto: reduce images whose nuclei are much larger than the model knows, "
        "enlarge those with much smaller ones; those of a plate all alike. [default: auto]",
    ),
    PRECISION,
    option(
        "--normalise",
        metavar="METHOD",
        help="foreground: by the levels of background and foreground. percentiles: 1 and 99.8 of all "
        "pixels. LOW,HIGH: these grey levels. [default: as the model was trained]",
    ),
    option(
        "--normalise-over",
        type=click.Choice(["field", "plate"]),
        help="One normalisation per field, or one for all fields, from up to 64 of them. [default: field]",
    ),
)
_OBJECTS = (
    option("--foreground", type=float, help="Least probability of a nucleus' pixels (0 to 1)."),
    option("--join", type=float, help="Merge centres closer than this fraction of the radius."),
    option(
        "--merge",
        type=float,
        help="Merge neighbouring nuclei where the interior map on their border exceeds this fraction of "
        "the lower of their maxima; 1 never.",
    ),
    option(
        "--interior",
        type=float,
        help="Least interior value of a nucleus' centre, for models without offsets.",
    ),
    option(
        "--micronuclei",
        type=click.Choice(["drop", "count"]),
        help="Objects of less than a third of the typical nucleus' diameter: micronuclei, apoptotic bodies, "
        "debris. Not for RGB images. [default: drop]",
    ),
)
_OBJECT_NAMES = ("foreground", "join", "merge", "interior", "micronuclei")


def segmentation_options(command: Command) -> Command:
    """Adds the options; the command gets ``segmentation`` (SegmentationOptions)."""

    @wraps(command)
    def collected(**values: Any) -> Any:
        given = {name: values.pop(name) for name in _OBJECT_NAMES}
        objects = {name: value for name, value in given.items() if value is not None}
        own = {name: values.pop(name) for name in SegmentationOptions.__slots__ if name != "objects"}
        return command(segmentation=SegmentationOptions(**own, objects=objects), **values)

    decorated = headed("Nuclei [default: as the model's card says]", *_OBJECTS)(collected)
    return headed("Model and image", *_MODEL)(decorated)
