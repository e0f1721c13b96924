"""``segment_dask`` in any Dask graph: lazy, independent of chunks, also on an existing cluster."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster
from numpy.typing import NDArray

import nucbatch
from nucbatch.core.errors import InputError, MemoryRefused, WeightsError
from nucbatch.networks.checkpoint import load_weights, save_weights
from nucbatch.networks.locate import locate
from nucbatch.schedulers.connected import connected_workers
from nucbatch.schedulers.workers import CLUSTER_CONFIG
from nucbatch.synthetic import make_field


def fields(*leading: int) -> NDArray[np.uint16]:
    """Draws different fields (*leading, 96, 112) uint16 with a few nuclei each."""
    made = np.empty((*leading, 96, 112), np.uint16)
    for number, place in enumerate(np.ndindex(leading)):
        images, _ = make_field(112, np.random.default_rng(number), nuclei=4)
        made[place] = images[0][:96]
    return made


def one_by_one(images: NDArray[np.generic], **options: object) -> NDArray[np.uint32]:
    """Segments each image of (N, Y, X) or (N, Y, X, 3) with ``nucbatch.segment``."""
    return np.stack([nucbatch.segment(image, **options) for image in images])


@pytest.fixture(scope="module")
def lab() -> Iterator[Client]:
    """Starts a cluster with two worker processes, as a lab may have."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Writes a weight file: the shipped weights with other thresholds."""
    network, card = load_weights(locate("default"))
    path = tmp_path / "ours.safetensors"
    save_weights(path, network, card.model_copy(update={"name": "ours"}))
    return path


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [
        ((), (96, 112)),
        ((), (17, 40)),
        ((3,), (1, 96, 112)),
        ((3,), (3, 50, 112)),
        ((3,), (2, 13, 29)),
        ((2, 2), (1, 2, 96, 56)),
    ],
)
def test_labels_are_those_of_each_image_whatever_the_chunks(
    shape: tuple[int, ...], chunks: tuple[int, ...]
) -> None:
    images = fields(*shape)
    lazy = nucbatch.segment_dask(da.from_array(images, chunks), axes="TNYX"[-images.ndim :])
    labels = lazy.compute(scheduler="threads")
    expected = one_by_one(images.reshape(-1, 96, 112)).reshape(images.shape)
    assert expected.max() > 0
    np.testing.assert_array_equal(labels, expected)
    assert lazy.dtype == labels.dtype == np.uint32
    assert lazy.shape == labels.shape
    assert lazy.chunks[:-2] == da.from_array(images, chunks).chunks[:-2]


@pytest.mark.parametrize("chunks", [(1, 96, 112, 3), (2, 40, 112, 1)])
def test_an_axis_named_s_is_colour(chunks: tuple[int, ...]) -> None:
    images = np.repeat((fields(2) // 256).astype(np.uint8)[..., np.newaxis], 3, axis=3)
    images[..., 2] //= 2
    lazy = nucbatch.segment_dask(da.from_array(images, chunks), axes="NYXS")
    assert lazy.shape == (2, 96, 112)
    assert lazy.chunks == (da.from_array(images, chunks).chunks[0], (96,), (112,))
    expected = one_by_one(images)
    assert expected.max() > 0
    np.testing.assert_array_equal(lazy.compute(scheduler="threads"), expected)


def test_settings_and_a_models_own_file_are_heeded(weights: Path) -> None:
    images = fields(1)
    options = {"min_area": 250, "diameter": 30.0}
    labels = nucbatch.segment_dask(da.from_array(images), axes="NYX", model=weights, **options)
    found = labels.compute(scheduler="threads")
    np.testing.assert_array_equal(found, one_by_one(images, model=str(weights), **options))
    assert (found != one_by_one(images)).any()


def test_nothing_runs_before_the_result_is_wanted() -> None:
    def never(*_: object, **__: object) -> NDArray[np.uint16]:
        raise AssertionError("an image was read while the graph was made")

    images = da.map_blocks(never, chunks=((1, 1), (96,), (112,)), dtype=np.uint16, meta=np.empty((0, 0, 0)))
    lazy = nucbatch.segment_dask(images.astype(np.uint16), axes="NYX")
    assert lazy.shape == (2, 96, 112)
    with pytest.raises(AssertionError, match="while the graph"):
        lazy.compute(scheduler="threads")


def test_an_image_is_one_task() -> None:
    lazy = nucbatch.segment_dask(da.zeros((5, 96, 112), chunks=(1, 10, 10), dtype=np.uint8), axes="NYX")
    assert lazy.npartitions == 5
    images = da.zeros((4, 96, 112), chunks=(4, 10, 10), dtype=np.uint8)
    assert nucbatch.segment_dask(images, axes="NYX").npartitions == 1


def test_names_tell_what_is_equal(weights: Path) -> None:
    images = da.from_array(fields(2), (1, 96, 112))
    name = nucbatch.segment_dask(images, axes="NYX").name
    assert nucbatch.segment_dask(images, axes="NYX").name == name
    assert nucbatch.segment_dask(images.rechunk((1, 20, 20)), axes="NYX").name != name
    others = [
        nucbatch.segment_dask(images + 1, axes="NYX"),
        nucbatch.segment_dask(images, axes="NYX", diameter=12.0),
        nucbatch.segment_dask(images, axes="NYX", foreground=0.83),
        nucbatch.segment_dask(images, axes="NYX", model=str(weights)),
    ]
    network, card = load_weights(weights)
    next(network.parameters()).data += 1
    save_weights(weights, network, card)
    others.append(nucbatch.segment_dask(images, axes="NYX", model=str(weights)))
    assert len({name, *(other.name for other in others)}) == len(others) + 1


@pytest.mark.slow
def test_names_are_the_same_in_another_process() -> None:
    code = (
        "import dask.array as da, nucbatch\n"
        "images = da.zeros((2, 64, 64), chunks=(1, 64, 64), dtype='uint16', name='images')\n"
        "print(nucbatch.segment_dask(images, axes='NYX', diameter=12).name)"
    )
    names = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(names) == 1


def test_a_scheduler_that_opens_the_module_does_not_load_pytorch() -> None:
    code = "import nucbatch.execution.dask_api, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_on_a_labs_own_client_it_joins_what_comes_before_and_after(lab: Client) -> None:
    images = fields(4)
    seen = da.from_array(images, (1, 48, 56)) - 100  # what the lab does before,
    labels = nucbatch.segment_dask(seen, axes="NYX")
    largest = labels.map_blocks(
        lambda chunk: chunk.max(axis=(1, 2)), drop_axis=(1, 2), dtype=np.uint32
    )  # and after
    found, counts = dask.compute(labels, largest)
    expected = one_by_one(images - 100)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(counts, expected.max(axis=(1, 2)))
    workers = lab.has_what()
    assert len(workers) == 2


@pytest.mark.slow
def test_a_worker_opens_one_lane_for_all_its_threads(lab: Client) -> None:
    labels = nucbatch.segment_dask(da.from_array(fields(6), (1, 96, 112)), axes="NYX")
    lab.compute(labels).result()

    def queues() -> int:
        import threading

        return sum(thread.name == "nucbatch-inference" for thread in threading.enumerate())

    assert set(lab.run(queues).values()) == {1}


@pytest.mark.slow
def test_a_worker_without_the_weight_file_says_so(lab: Client, weights: Path) -> None:
    images = da.from_array(fields(2), (1, 96, 112))
    labels = nucbatch.segment_dask(images, axes="NYX", model=weights)
    weights.unlink()
    with pytest.raises(
        WeightsError, match=r"worker tcp://\S+ has no weight file /.*ours\.safetensors: put it"
    ):
        lab.compute(labels).result()


def test_a_weight_file_that_changed_since_the_graph_was_made_is_refused(weights: Path) -> None:
    labels = nucbatch.segment_dask(da.from_array(fields(1)), axes="NYX", model=weights)
    network, card = load_weights(weights)
    next(network.parameters()).data += 1
    save_weights(weights, network, card)
    with pytest.raises(WeightsError, match="changed"):
        labels.compute(scheduler="threads")


def test_a_relative_path_is_found_from_anywhere(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = fields(1)
    monkeypatch.chdir(weights.parent)
    labels = nucbatch.segment_dask(da.from_array(images), axes="NYX", model=weights.name)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    np.testing.assert_array_equal(labels.compute(scheduler="threads"), one_by_one(images))


@pytest.mark.slow
def test_an_image_too_large_for_every_worker_is_refused_when_the_graph_is_made(lab: Client) -> None:
    room = min(worker["memory_limit"] for worker in connected_workers(lab).values())
    side = int((room / 64) ** 0.5)
    with pytest.raises(MemoryRefused, match=r"needs \d+\.\d GiB in one worker; .* nucbatch run"):
        nucbatch.segment_dask(da.zeros((side, side), chunks=1024, dtype=np.uint16))


def test_a_worker_too_small_refuses_its_chunk() -> None:
    labels = nucbatch.segment_dask(da.zeros((64, 64), dtype=np.uint16))  # before there is any worker
    with (
        dask.config.set(CLUSTER_CONFIG),  # or the worker, which is this process, may pause before its task
        LocalCluster(
            n_workers=1, processes=False, memory_limit="200 MiB", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
        pytest.raises(
            MemoryRefused, match=r"\(64, 64\) needs 0\.\d GiB in one worker; worker \S+ has 0\.2 GiB"
        ),
    ):
        client.compute(labels).result()


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (da.zeros(5, dtype=np.uint8), "shape"),
        (da.zeros((4, 5), dtype=bool), "bool"),
        (da.zeros((2, 4, 3), dtype=complex), "complex"),
        (da.zeros((0, 5), dtype=np.uint8), "shape"),
        (da.zeros((2, 4, 5), dtype=np.uint8), 'axes="CYX"'),
        (da.zeros((9, 9), dtype=np.uint8)[da.zeros(9, dtype=bool)], "compute_chunk_sizes"),
        (np.zeros((4, 5), np.uint8), "dask.array"),
        ([dask.delayed(np.zeros)((4, 5))], "delayed"),
    ],
)
def test_arrays_that_hold_no_images_are_refused_at_once(images: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        nucbatch.segment_dask(images)


def test_settings_are_checked_at_once() -> None:
    images = da.zeros((64, 64), dtype=np.uint8)
    with pytest.raises(InputError, match=r"diameter = 0\.5 must be at least 4"):
        nucbatch.segment_dask(images, diameter=0.5)
    with pytest.raises(WeightsError, match="neither a shipped model"):
        nucbatch.segment_dask(images, model="no-such-model")


def test_pixels_that_are_not_finite_are_found_with_their_place() -> None:
    images = fields(2, 2).astype(np.float32)
    images[1, 1, 5, 5] = np.nan
    labels = nucbatch.segment_dask(da.from_array(images, (1, 2, 96, 112)), axes="TNYX")
    with pytest.raises(InputError, match=r"image \(0, 1\) of chunk \(1, 0, 0, 0\): the image has NaN"):
        labels.compute(scheduler="threads")


def test_one_channel_is_segmented_and_z_steps_are_projected_lazily() -> None:
    images = np.stack([np.zeros_like(fields(2)), fields(2)])  # (C, Z, Y, X)
    lazy = nucbatch.segment_dask(da.from_array(images, (1, 1, 96, 112)), axes="CZYX", channel=1)
    labels = lazy.compute(scheduler="threads")
    assert labels.max() > 0
    np.testing.assert_array_equal(labels, nucbatch.segment(images[1].max(axis=0)))


def test_no_images_give_no_labels() -> None:
    images = da.zeros((0, 64, 64), dtype=np.uint8)
    labels = nucbatch.segment_dask(images, axes="NYX").compute(scheduler="threads")
    assert labels.shape == (0, 64, 64)
    assert labels.dtype == np.uint32


def test_delayed_images_of_many_sizes_go_through_segment_itself() -> None:
    images = [fields()[:80], fields()[:, :70]]
    lazy = [dask.delayed(nucbatch.segment)(dask.delayed(image)) for image in images]
    for labels, image in zip(dask.compute(*lazy, scheduler="threads"), images, strict=True):
        np.testing.assert_array_equal(labels, nucbatch.segment(image))
