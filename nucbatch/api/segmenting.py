"""``nucbatch.segment``: finds the nuclei of images in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucbatch.core.errors import InputError
from nucbatch.core.image_axes import image_stack
from nucbatch.core.numeric_kind import decide
from nucbatch.core.segmentation_options import Diameter, Normalise, SegmentationOptions, objects_given
from nucbatch.execution.prepared import chosen
from nucbatch.inference.device import offer_here
from nucbatch.inference.queue import queue_of_process
from nucbatch.inference.scale import Scale
from nucbatch.inference.segment import require_pixels, segment_stack
from nucbatch.networks.checkpoint import read_card
from nucbatch.networks.locate import locate


def segment(
    image: Any,
    *,
    axes: str | None = None,
    channel: int | None = None,
    model: str | Path = "default",
    diameter: Diameter = "auto",
    pixel_size: float | None = None,
    normalise: Normalise = None,
    foreground: float | None = None,
    join: float | None = None,
    merge: float | None = None,
    interior: float | None = None,
    min_area: int | None = None,
    micronuclei: str | None = None,
    precision: str = "auto",
) -> NDArray[np.uint32]:
    """Finds the nuclei of an image, or of each image of a stack, in the same way as a run.

    Args:
        image: (Y, X) grey or (Y, X, 3) RGB; with ``axes`` an array of any axes. Integers or floats.
        axes: a letter per axis: Y, X; C for channels, of which one is segmented; Z for z-steps, which are
            projected by maximum; S for the colours of RGB; any other letter, such as T, for images that are
            segmented each by itself.
        channel: index along C of the channel that shows nuclei, from 0; needed where C has several.
        model: name of a shipped model, or path of a weight file or a package of bioimage.io.
        diameter: typical diameter of the nuclei, to which the image is rescaled for the model: a number of
            px, or a text such as "12um". "auto": the image is reduced if its nuclei turn out to be much
            larger than those the model was trained on. "none": never rescaled.
        pixel_size: µm per pixel, for a diameter in micrometres.
        normalise: "foreground", "percentiles" or two grey levels (low, high); None: as the model was trained.
        foreground: least probability of a nucleus' pixels (0 to 1); this and the following default to the
            model's own.
        join: merge centres closer than this fraction of the radius.
        merge: merge neighbouring nuclei where the interior map on their border exceeds this fraction.
        interior: least interior value of a nucleus' centre, for models without offsets.
        min_area: area of the smallest nucleus, in px.
        micronuclei: "drop" or "count" objects of less than a third of the typical nucleus' diameter.
        precision: arithmetic of the network: "fp32", "bf16", "fp16", or "auto", as in a run on this machine.

    Returns:
        Labels (Y, X) uint32, or (..., Y, X) of a stack: in each image 1..N in raster order of each nucleus'
        first pixel; 0 is background.

    Raises:
        InputError: the array doesn't fit its axes, or has another pixel type, no pixels, or pixels that are
            not finite; or an option is invalid.
        WeightsError: there is no such model. PrecisionError: this machine can't compute in this precision.

    Examples:
        >>> import nucbatch as nb
        >>> import numpy as np
        >>> from nucbatch.synthetic import make_field
        >>> image, truth = make_field(160, np.random.default_rng(3), nuclei=6, channels=2)  # (2, 160, 160)
        >>> labels = nb.segment(image, axes="CYX", channel=0, diameter=20)
        >>> labels.shape, labels.dtype, int(labels.max())
        ((160, 160), dtype('uint32'), 6)
    """
    if isinstance(image, str | Path):
        raise InputError(f"{image} is a path: read the image first, or give the path to nucbatch.run.")
    stack, colour = image_stack(np.asarray(image), axes, channel)
    require_pixels(stack.shape[-3:] if colour else stack.shape[-2:], stack.dtype)
    options = SegmentationOptions(
        model=str(model),
        diameter=diameter,
        precision=precision,
        normalise=normalise,
        objects=objects_given(
            foreground=foreground,
            join=join,
            merge=merge,
            interior=interior,
            min_area=min_area,
            micronuclei=micronuclei,
        ),
    )
    settings = options.image_settings(pixel_size)
    weights = locate(settings.model)
    kind = decide(settings.precision, [offer_here()], read_card(weights).differences).kind
    queue = queue_of_process(str(weights), kind=kind)
    thresholds, normalisation = chosen(queue.card, settings)
    scale = Scale.of(queue.card, settings.model_copy(update={"normalise": normalisation}))
    return segment_stack(stack, colour, queue, thresholds, normalisation, scale)
