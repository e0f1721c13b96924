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
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from dask.tokenize import tokenize
from distributed import Client, default_client, get_worker
from distributed.system import MEMORY_LIMIT
from numpy.typing import NDArray

from nucbatch.core.errors import InputError, MemoryRefused, WeightsError
from nucbatch.core.image_axes import image_stack
from nucbatch.core.numeric_kind import Offer, decide
from nucbatch.core.segmentation_options import Diameter, Normalise, SegmentationOptions, objects_given
from nucbatch.core.settings import NormaliseSettings, ObjectSettings
from nucbatch.planning.memory import PROCESS_BYTES, NetworkSize, gib, image_bytes
from nucbatch.schedulers.connected import connected_workers
from nucbatch.version import __version__

if TYPE_CHECKING:
    from nucbatch.inference.scale import Scale


def segment_dask(
    images: da.Array,
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
) -> da.Array:
    """Segments every image of a Dask array lazily, with the same labels as ``nucbatch.segment``.

    Nothing runs until the result is computed, by any scheduler or client. The images of one chunk are one
    task; images that are cut along Y or X are joined first. Each worker loads the model once. Equal arrays,
    weights and settings give equal task names, so Dask computes them once.

    Args:
        images: (Y, X) grey or (Y, X, 3) RGB; with ``axes`` an array of any axes. Integers or floats.
        axes: a letter per axis, as for ``nucbatch.segment``.
        channel: index along C of the channel that shows nuclei, likewise.
        model: name of a shipped model, or path of a weight file that every worker can read.
        diameter: typical diameter of the nuclei, as for ``nucbatch.segment``, like all of the following.
        pixel_size: µm per pixel, for a diameter in micrometres.
        normalise: "foreground", "percentiles" or two grey levels (low, high).
        foreground: least probability of a nucleus' pixels.
        join: merge centres closer than this fraction of the radius.
        merge: merge neighbours where the interior map on their border exceeds this fraction.
        interior: least interior value of a centre, for models without offsets.
        min_area: area of the smallest nucleus, in px.
        micronuclei: "drop" or "count" objects of less than a third of the typical diameter.
        precision: arithmetic of the network, as for ``nucbatch.segment``. "auto" is chosen when the graph is
            built, from the workers of the current client, or from this machine if there is none.

    Returns:
        Labels (..., Y, X) uint32, chunked like the leading axes; in each image 1..N, 0 is background.

    Raises:
        InputError: not a Dask array of images, or an invalid setting. WeightsError: unknown model.
        PrecisionError: no worker can compute in this precision.
        MemoryRefused: a chunk fits in no worker of the current client, if there is one.

    Some errors can only be detected on a worker and are raised by ``compute()``: InputError (pixels that are
    not finite), WeightsError (the worker lacks the weight file), PrecisionError (it computes in other kinds
    than the workers that were there before) and MemoryRefused (the worker's memory).

    Examples:
        >>> import dask.array as da
        >>> import nucbatch as nb
        >>> images = da.zeros((4, 60, 70), dtype="uint8", chunks=(1, 60, 70))
        >>> labels = nb.segment_dask(images, axes="TYX")  # nothing runs yet
        >>> labels.shape, labels.dtype, labels.npartitions
        ((4, 60, 70), dtype('uint32'), 4)
    """
    from nucbatch.execution.prepared import chosen
    from nucbatch.inference.predict import grid_of
    from nucbatch.inference.scale import Scale
    from nucbatch.networks.checkpoint import read_card
    from nucbatch.networks.contract import build, memory_width
    from nucbatch.networks.locate import locate, shipped

    images, colour = _image_stack(images, axes, channel)
    settings = SegmentationOptions(
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
    ).image_settings(pixel_size)
    path = locate(settings.model)
    card = read_card(path)
    thresholds, normalisation = chosen(card, settings)
    scale = Scale.of(card, settings.model_copy(update={"normalise": normalisation}))
    network = build(card.architecture, card.config)
    step = _Step(
        # Shipped weights are found in each worker's own installation; other files need one path for all.
        settings.model if settings.model in shipped() else str(path.absolute()),
        card.sha256,
        thresholds,
        normalisation,
        NetworkSize(
            grid_of(network),
            memory_width(network, card.config),
            scale.largest_zoom,
        ),
        scale,
        colour,
        decide(settings.precision, _offers(), card.differences).kind,
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
    kind: str

    @property
    def parts(self) -> tuple[str, ...]:
        """The parameters as text, equal in every process; part of the task's name."""
        settings = (self.objects.model_dump_json(), self.normalise.model_dump_json())
        return (self.model, self.sha256, *settings, repr(self.scale), str(self.colour), self.kind)


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
    from nucbatch.inference.queue import queue_of_process
    from nucbatch.inference.segment import segment_stack
    from nucbatch.networks.locate import shipped

    images = np.asarray(images)
    path = Path(shipped().get(step.model, step.model))
    if not path.is_file():
        raise WeightsError(
            f"{_here()} has no weight file {step.model}: put it at this path for every worker."
        )
    needed_bytes = _chunk_bytes(images.shape, images.dtype, step)
    if needed_bytes > _memory_bytes():
        raise _refused(images.shape, needed_bytes, f"{_here()} has {gib(_memory_bytes())}")
    queue = queue_of_process(str(path), step.sha256, step.kind)
    return segment_stack(
        images, step.colour, queue, step.objects, step.normalise, step.scale, f" of chunk {block_id}"
    )


def _image_stack(images: Any, axes: str | None, channel: int | None) -> tuple[da.Array, bool]:
    """Returns the images (..., Y, X) or (..., Y, X, 3), and whether they are RGB.

    Raises:
        InputError: not a Dask array, or not an array of images.
    """
    from nucbatch.inference.segment import require_pixels

    if not isinstance(images, da.Array):
        raise InputError(
            f"segment_dask takes a dask.array, not {type(images).__name__}. For an array in memory use "
            "nucbatch.segment(image); for images of several sizes, dask.delayed(nucbatch.segment)(image)."
        )
    if any(math.isnan(side) for side in images.shape):
        raise InputError(
            f"the images' size isn't known ({images.shape}): call compute_chunk_sizes() on the array first."
        )
    stack, colour = image_stack(images, axes, channel)
    require_pixels(stack.shape[-3:] if colour else stack.shape[-2:], stack.dtype)
    return stack, colour


def _offers() -> list[Offer]:
    """Returns the numeric kinds of each worker of the current client, or of this process without one."""
    from nucbatch.inference.device import offer_here

    client = _client()
    if client is None:
        return [offer_here()]
    return list(client.run(offer_here).values()) or [Offer()]


def _client() -> Client | None:
    """Returns the current client, if there is one that can be asked."""
    try:
        client = default_client()
    except ValueError:
        return None
    return None if client.asynchronous else client


def _require_client_memory(images: da.Array, step: _Step) -> None:
    """Checks, before anything is submitted, that every chunk fits in a worker of the current client.

    Without a client or workers, each task checks on its worker.

    Raises:
        MemoryRefused: a chunk fits in no worker.
    """
    client = _client()
    if client is None:
        return
    workers = connected_workers(client).values()
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
