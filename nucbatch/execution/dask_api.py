"""nucbatch as one step of somebody else's Dask graph, on whatever runs that graph.

The decision owned here: an image is one task and in one piece, however its array was chunked, so that labels
can't depend on chunks. What doesn't fit a worker so is refused, and left to a run, which cuts it into blocks.
Everything that can be told from the array and the model is told when the graph is made; nothing is computed
then, and only workers load weights. A scheduler opens this module, too, to see what tasks it is handed; so it
imports PyTorch only where it is used, which spares a lab's scheduler 250 MB and seconds of silence.
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
    """Nuclei of every image of a Dask array, lazily; each image's are those of ``nucbatch.segment``.

    Nothing runs before the result is computed, by any scheduler or client. An image is one task, and so are
    the images that share a chunk: images that are cut along Y or X are put together first. A worker loads the
    model once. Equal arrays, weights and settings give equal names, so Dask computes them once.

    Args:
        images: (..., Y, X) grey or (..., Y, X, 3) RGB; integers or floats. With three axes or more, a last
            one of length 3 is colour.
        model: a shipped model's name, or a weight file's path that every worker can read.
        objects: what is set in it takes the place of the model's own thresholds and sizes.
        diameter_px: typical diameter of the nuclei, to which images are rescaled for the model. "auto": each
            image is reduced if its nuclei are found to be much larger than those the model was trained on.

    Returns:
        Labels (..., Y, X) uint32, in the leading axes' chunks; in each image 1..N, 0 is background.

    Raises:
        InputError: no Dask array, or one that can't be images; a setting. WeightsError: no such model.
        MemoryRefused: no worker of the current client, where there is one, has room for a chunk.

    What can only be seen on a worker is raised there, and comes out of ``compute()``: InputError (pixels that
    are not finite), WeightsError (the worker has no such weight file), MemoryRefused (its memory).
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
        # The shipped weights lie where each worker has nucbatch; any other file, at one path for all.
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
    """What a task must know beside its pixels; ``model`` is a shipped model's name or an absolute path."""

    model: str
    sha256: str
    objects: ObjectSettings
    normalise: NormaliseSettings
    network: NetworkSize
    scale: Scale
    colour: bool

    @property
    def parts(self) -> tuple[str, ...]:
        """All of it as text, the same in every process: what makes the name of a result."""
        settings = (self.objects.model_dump_json(), self.normalise.model_dump_json())
        return (self.model, self.sha256, *settings, repr(self.scale), str(self.colour))


def segment_chunk(
    images: NDArray[np.generic], step: _Step, block_id: tuple[int, ...] | None = None
) -> NDArray[np.uint32]:
    """One task: labels (..., Y, X) uint32 of the images (..., Y, X) or (..., Y, X, 3) of a chunk.

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
            f"{_here()} has no weight file {step.model}: put it where every worker can read it at that path."
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
    """Whether the array's images are RGB.

    Raises:
        InputError: it is no Dask array, or no array of images.
    """
    from nucbatch.inference.segment import require_pixels

    if not isinstance(images, da.Array):
        raise InputError(
            f"segment_dask takes a dask.array, not {type(images).__name__}. Of an array in memory, or of "
            "delayed images of many sizes: nucbatch.segment(image), dask.delayed(nucbatch.segment)(image)."
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
    """Refuses chunks that no worker of the current client has room for, before anything is submitted.

    Where there is no client, or no worker yet, each task finds out by itself.
    """
    try:
        client = default_client()
    except ValueError:  # there is none
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
    """Projected peak of a worker with one chunk: all its images and labels, and the work on one of them."""
    *leading, height, width, samples = shape if step.colour else (*shape, 1)
    held = math.prod(leading) * height * width * (samples * dtype.itemsize + np.dtype(np.uint32).itemsize)
    return PROCESS_BYTES + held + image_bytes((height, width), samples, dtype, step.network)


def _refused(shape: tuple[int, ...], needed_bytes: int, room: str) -> MemoryRefused:
    return MemoryRefused(
        f"a chunk of images of shape {shape} needs {gib(needed_bytes)} in one worker; {room}. Give a chunk "
        "fewer images. One that is too large by itself is for nucbatch run (nucbatch.run_plate in Python), "
        "which cuts it into blocks and finds the same nuclei."
    )


def _memory_bytes() -> int:
    """What this worker may use; all of the machine's where it has no limit or is none."""
    try:
        return get_worker().memory_manager.memory_limit or int(MEMORY_LIMIT)
    except ValueError:  # not in a worker of distributed
        return int(MEMORY_LIMIT)


def _here() -> str:
    """Where this is, for messages."""
    try:
        return f"worker {get_worker().address}"
    except ValueError:
        return "this machine"
