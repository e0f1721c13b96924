"""``segment_dask``: segmentation inside any Dask graph, on any Dask scheduler.

Each image is segmented whole in one task, however its array is chunked, so labels do not depend on chunks. An
image too large for a worker is refused; use a run for it, which cuts images into blocks. Arrays and settings
are checked when the graph is built. Nothing is computed then, and only workers load the weights. Dask's
scheduler imports this module to unpickle tasks. So PyTorch is imported only inside functions, which saves the
scheduler 250 MB and several seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import dask.array as da
import numpy as np
from dask.tokenize import tokenize
from distributed import default_client, get_worker
from distributed.system import MEMORY_LIMIT
from numpy.typing import NDArray

from nucbatch.core.errors import InputError, MemoryRefused, WeightsError
from nucbatch.core.settings import NormaliseSettings, ObjectSettings, validated
from nucbatch.planning.memory import PROCESS_BYTES, NetworkSize, gib, image_bytes
from nucbatch.version import __version__

if TYPE_CHECKING:
    from nucbatch.inference.scale import Scale


def segment_dask(
    images: da.Array,
    *,
    model: str = "default",
    objects: ObjectSettings | None = None,
    diameter_px: float | Literal["auto", "none"] = "auto",
) -> da.Array:
    """Segments every image of a Dask array lazily, with the same labels as ``nucbatch.segment``.

    Nothing runs until the result is computed, by any scheduler or client. The images of one chunk are one
    task; images that are cut along Y or X are joined first. Each worker loads the model once. Equal arrays,
    weights and settings give equal task names, so Dask computes them once.

    Args:
        images: (..., Y, X) grey or (..., Y, X, 3) RGB; integers or floats. With three or more axes, a last
            axis of length 3 is colour.
        model: name of a shipped model, or path of a weight file that every worker can read.
        objects: fields that are set override the model's own thresholds and sizes.
        diameter_px: typical diameter of the nuclei in px; images are rescaled so that it fits the model.
            "auto": reduces each image whose nuclei are much larger than those the model was trained on.
            "none": never rescales.

    Returns:
        Labels (..., Y, X) uint32, chunked like the leading axes; in each image 1..N, 0 is background.

    Raises:
        InputError: not a Dask array of images, or an invalid setting. WeightsError: unknown model.
        MemoryRefused: a chunk fits in no worker of the current client, if there is one.

    Some errors can only be detected on a worker and are raised by ``compute()``: InputError (pixels that are
    not finite), WeightsError (the worker lacks the weight file) and MemoryRefused (the worker's memory).
    """
    from nucbatch.execution.prepared import chosen
    from nucbatch.inference.predict import grid_of
    from nucbatch.inference.scale import Scale
    from nucbatch.networks.checkpoint import locate, read_card, shipped
    from nucbatch.networks.contract import build

    colour = _require_images(images)
    settings = validated({"diameter_px": diameter_px} | ({} if objects is None else {"objects": objects}))
    path = locate(model)
    card = read_card(path)
    thresholds, normalisation = chosen(card, settings)
    scale = Scale.of(card, settings.model_copy(update={"normalise": normalisation}))
    step = _Step(
        # Shipped weights are found in each worker's own installation; other files need one path for all.
        model if model in shipped() else str(path.absolute()),
        card.sha256,
        thresholds,
        normalisation,
        NetworkSize(
            grid_of(build(card.architecture, card.config)),
            card.config.get("width", 64),
            scale.largest_zoom,
        ),
        scale,
        colour,
    )
    rows = images.ndim - (3 if colour else 2)
    whole = images.rechunk(dict.fromkeys(range(rows, images.ndim), -1))
    _require_client_memory(whole, step)
    return da.map_blocks(
        segment_chunk,
        whole,
        step,
        name=f"nucbatch-segment-{tokenize(whole, step.parts, __version__)}",
        drop_axis=images.ndim - 1 if colour else None,
        meta=np.empty((0,) * (rows + 2), np.uint32),
    )


@dataclass(frozen=True, slots=True)
class _Step:
    """The parameters of a task; ``model`` is a shipped model's name or an absolute path."""

    model: str
    sha256: str
    objects: ObjectSettings
    normalise: NormaliseSettings
    network: NetworkSize
    scale: Scale
    colour: bool

    @property
    def parts(self) -> tuple[str, ...]:
        """The parameters as text, equal in every process; part of the task's name."""
        settings = (self.objects.model_dump_json(), self.normalise.model_dump_json())
        return (self.model, self.sha256, *settings, repr(self.scale), str(self.colour))


def segment_chunk(
    images: NDArray[np.generic], step: _Step, block_id: tuple[int, ...] | None = None
) -> NDArray[np.uint32]:
    """Segments the images of one chunk on a worker.

    Args:
        images: (..., Y, X) or (..., Y, X, 3).
        step: the parameters.
        block_id: the chunk's index, for messages.

    Returns:
        Labels (..., Y, X) uint32.

    Raises:
        InputError: an image has pixels that are not finite. WeightsError, MemoryRefused: this worker lacks
            the weight file or the memory.
    """
    from nucbatch.inference.normalise import find_constants
    from nucbatch.inference.queue import queue_of_process
    from nucbatch.inference.segment import require_image, segment_image
    from nucbatch.networks.checkpoint import shipped

    images = np.asarray(images)
    leading = images.shape[: images.ndim - (3 if step.colour else 2)]
    path = Path(shipped().get(step.model, step.model))
    if not path.is_file():
        raise WeightsError(
            f"{_here()} has no weight file {step.model}: put it at this path for every worker."
        )
    needed_bytes = _chunk_bytes(images.shape, images.dtype, step)
    if needed_bytes > _memory_bytes():
        raise _refused(images.shape, needed_bytes, f"{_here()} has {gib(_memory_bytes())}")
    queue = queue_of_process(str(path), step.sha256)
    labels = np.zeros(images.shape[: len(leading) + 2], np.uint32)
    for place in np.ndindex(leading):
        try:
            image = require_image(images[place])
        except InputError as error:
            raise InputError(
                f"image {place} of chunk {block_id}: {error}" if leading else str(error)
            ) from error
        constants = find_constants(image, step.normalise)
        labels[place] = segment_image(
            image, constants, queue.grid, queue.predict, step.objects, step.scale
        ).labels
    return labels


def _require_images(images: Any) -> bool:
    """Checks the array, and tells whether its images are RGB.

    Raises:
        InputError: not a Dask array, or not an array of images.
    """
    from nucbatch.inference.segment import require_pixels

    if not isinstance(images, da.Array):
        raise InputError(
            f"segment_dask takes a dask.array, not {type(images).__name__}. For an array in memory use "
            "nucbatch.segment(image); for images of several sizes, dask.delayed(nucbatch.segment)(image)."
        )
    colour = bool(images.ndim > 2 and images.shape[-1] == 3)
    shape = images.shape[images.ndim - (3 if colour else 2) :]
    if len(shape) < 2:
        raise InputError(
            f"an array of shape {images.shape} has no images: give (..., Y, X) or (..., Y, X, 3)."
        )
    if any(math.isnan(side) for side in shape):
        raise InputError(
            f"the images' size isn't known ({images.shape}): call compute_chunk_sizes() on the array first."
        )
    require_pixels(shape, images.dtype)
    return colour


def _require_client_memory(images: da.Array, step: _Step) -> None:
    """Checks, before anything is submitted, that every chunk fits in a worker of the current client.

    Without a client or workers, each task checks on its worker.

    Raises:
        MemoryRefused: a chunk fits in no worker.
    """
    try:
        client = default_client()
    except ValueError:  # no client
        return
    if client.asynchronous:
        return
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    if not workers or not all(worker["memory_limit"] for worker in workers):
        return
    largest_bytes = max(worker["memory_limit"] for worker in workers)
    shape = tuple(max(sizes, default=0) for sizes in images.chunks)
    needed_bytes = _chunk_bytes(shape, images.dtype, step)
    if needed_bytes > largest_bytes:
        raise _refused(shape, needed_bytes, f"the largest has {gib(largest_bytes)}")


def _chunk_bytes(shape: tuple[int, ...], dtype: np.dtype[Any], step: _Step) -> int:
    """Projects the peak memory of a task in bytes: the chunk's images and labels, and one segmentation."""
    *leading, height, width, samples = shape if step.colour else (*shape, 1)
    held = math.prod(leading) * height * width * (samples * dtype.itemsize + np.dtype(np.uint32).itemsize)
    return PROCESS_BYTES + held + image_bytes((height, width), samples, dtype, step.network)


def _refused(shape: tuple[int, ...], needed_bytes: int, room: str) -> MemoryRefused:
    return MemoryRefused(
        f"a chunk of images of shape {shape} needs {gib(needed_bytes)} in one worker; {room}. Use fewer "
        "images per chunk. For a single image that is too large use nucbatch run (nucbatch.run_plate in "
        "Python), which cuts it into blocks and finds the same nuclei."
    )


def _memory_bytes() -> int:
    """Returns this worker's memory limit in bytes, or the machine's memory without a limit or worker."""
    try:
        return get_worker().memory_manager.memory_limit or int(MEMORY_LIMIT)
    except ValueError:  # not in a worker of distributed
        return int(MEMORY_LIMIT)


def _here() -> str:
    """Names this worker or machine, for messages."""
    try:
        return f"worker {get_worker().address}"
    except ValueError:
        return "this machine"
