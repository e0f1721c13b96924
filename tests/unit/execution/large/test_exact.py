"""Results of a large image are byte-identical for any blocks, order and repetition."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from foreign_package import build
from skimage.draw import disk

from nucbatch.core.settings import NormaliseSettings, ObjectSettings
from nucbatch.core.tiles import Box
from nucbatch.execution.large.image_progress import ImageProgress
from nucbatch.masks.objects import find_nuclei
from nucbatch.networks.checkpoint import load_weights, read_card, save_weights
from nucbatch.networks.locate import shipped
from nucbatch.store.fragments import read_fragment
from nucbatch.store.receipt import Receipt

SIZES = (128, 200, 256, 512, 1024)


@pytest.mark.slow
def test_all_block_sizes_leave_what_the_image_in_one_piece_leaves(bench: Any, tmp_path: Path) -> None:
    whole = bench.image(tmp_path / "whole", 4096)
    expected = bench.in_one_piece(whole)
    assert expected.nuclei > 100
    table = read_fragment(whole.folder.fragment(whole.field.key)).to_pandas()
    assert {"Nuclei_Math_NucleusCytoplasmRatio_GFP", "Cytoplasm_AreaShape_Area"} <= set(table)
    assert table["Nuclei_Confidence"].between(0, 1).all()
    assert table["Nuclei_Confidence"].nunique() > 50
    for block_px in SIZES:
        image = bench.image(tmp_path / str(block_px), block_px)
        receipt = bench.in_blocks(image, seed=block_px)
        assert receipt.qc == expected.qc
        assert (receipt.nuclei, receipt.labels_sha256) == (expected.nuclei, expected.labels_sha256)
        rows = read_fragment(image.folder.fragment(image.field.key)).to_pandas()
        pd.testing.assert_frame_equal(rows, table, check_exact=True)
        mine, theirs = bench.outcome_of(image), bench.outcome_of(whole)
        del mine["rows"], theirs["rows"]  # one fragment is written by groups of rows, the other at once
        assert mine == theirs


def test_a_broken_copy_lacks_the_same_pixels_in_blocks(bench: Any, tmp_path: Path) -> None:
    pixels = tifffile.imread(bench.picture)
    pixels[1, 350:] = 0  # of the last channel
    broken = tmp_path / "broken.ome.tif"
    tifffile.imwrite(broken, pixels, metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}})
    bench = bench.of(broken)
    expected = bench.in_one_piece(bench.image(tmp_path / "whole", 4096))
    assert expected.qc["QC_Absent"] == 0.5
    assert bench.in_blocks(bench.image(tmp_path / "blocks", 256)).qc == expected.qc


@pytest.mark.slow
def test_many_tiles_and_any_blocks_are_one_result(bench: Any, tmp_path: Path) -> None:
    """Tiles of 192 px, 8 by 10, whose seams do not coincide with the blocks."""
    images = [bench.image(tmp_path / str(px), px, largest_px=192) for px in (128, 333, 4096)]
    assert images[0].tile_rows()[0] > 4
    receipts = [bench.in_blocks(image, seed=7) for image in images]
    assert all(receipts[0] == receipt for receipt in receipts[1:])
    assert all(bench.outcome_of(images[0]) == bench.outcome_of(image) for image in images[1:])


@pytest.mark.slow
def test_a_network_of_a_package_is_as_exact(bench: Any, tmp_path: Path) -> None:
    """Its mean and standard deviation are those of the whole image, and its halo the measured one."""
    bench = replace(bench, weights=build(tmp_path / "spots.zip"))
    normalised = read_card(bench.weights).normalise
    whole = bench.image(tmp_path / "whole", 4096, largest_px=192, normalise=normalised)
    expected = bench.in_blocks(whole)
    assert expected.nuclei > 50
    for block_px in (128, 333):
        image = bench.image(tmp_path / str(block_px), block_px, largest_px=192, normalise=normalised)
        receipt = bench.in_blocks(image, seed=block_px)
        assert (receipt.nuclei, receipt.labels_sha256) == (expected.nuclei, expected.labels_sha256)


def test_tiles_of_another_size_move_last_bits_at_most(bench: Any, tmp_path: Path) -> None:
    """Windows cover the receptive field, so only the order of a device's sums can differ."""
    maps = []
    for largest_px in (192, 320):
        image = bench.image(tmp_path / str(largest_px), 512, largest_px=largest_px)
        bench.in_blocks(image)
        maps.append(image.maps().read(image.blocks.box(0, 0)))
    shown = (maps[0][0] > 0) & (maps[1][0] > 0)  # elsewhere offsets are not kept
    assert np.abs(maps[0][:2].astype(int) - maps[1][:2]).max() <= 1
    assert np.abs(maps[0][:, shown].astype(int) - maps[1][:, shown]).max() <= 1


@pytest.mark.slow
def test_scaled_images_too(bench: Any, tmp_path: Path) -> None:
    whole = bench.image(tmp_path / "whole", 4096, diameter_px=14.0)
    assert whole.zoom != 1
    expected = bench.in_one_piece(whole)
    image = bench.image(tmp_path / "blocks", 200, diameter_px=14.0)
    receipt = bench.in_blocks(image)
    assert receipt.labels_sha256 == expected.labels_sha256
    assert receipt.qc == expected.qc


@pytest.mark.slow
def test_micronuclei_are_left_out_alike_in_blocks(bench: Any, tmp_path: Path) -> None:
    """The diameter is set so high that many of the objects are taken for micronuclei."""
    expected = bench.in_one_piece(bench.image(tmp_path / "whole", 4096, diameter_px=30.0))
    counted = bench.in_one_piece(
        bench.image(
            tmp_path / "counted",
            4096,
            diameter_px=30.0,
            objects=ObjectSettings(foreground=0.5, peak=0.0, min_area_px=9, micronuclei="count"),
        )
    )
    assert expected.qc["QC_Micronuclei"] == counted.nuclei - expected.nuclei > 0
    for block_px in (128, 333):
        receipt = bench.in_blocks(bench.image(tmp_path / str(block_px), block_px, diameter_px=30.0))
        assert (receipt.nuclei, receipt.labels_sha256) == (expected.nuclei, expected.labels_sha256)
        assert receipt.qc == expected.qc


@pytest.mark.slow
@pytest.mark.parametrize(("wide_px", "blocks_px"), [(900, (200, 512)), (2300, (333,))])
def test_the_scale_is_found_alike_in_one_piece_and_in_blocks_of_any_size(
    bench: Any, tmp_path: Path, wide_px: int, blocks_px: tuple[int, ...]
) -> None:
    """An image of one tile is measured as a whole, a larger one in windows."""
    network, card = load_weights(bench.weights)
    weights = tmp_path / "small.safetensors"
    save_weights(weights, network, card.model_copy(update={"nucleus_diameter_px": 4.0}))
    wide = tmp_path / "wide.ome.tif"
    pixels = np.tile(tifffile.imread(bench.picture), (1, 1, 3))[:, :, :wide_px]
    tifffile.imwrite(wide, pixels, metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}})
    small = replace(bench, picture=wide, weights=weights)
    expected = small.in_one_piece(small.image(tmp_path / "whole", 4096, diameter_px="auto"))
    assert expected.qc["QC_Zoom"] < 0.5
    assert expected.nuclei > 5
    for block_px in blocks_px:
        image = small.image(tmp_path / str(block_px), block_px, diameter_px="auto")
        assert image.zoom == expected.qc["QC_Zoom"]
        receipt = small.in_blocks(image)
        assert receipt.labels_sha256 == expected.labels_sha256
        assert receipt.qc == expected.qc


@pytest.mark.slow
def test_clusters_of_colours_are_those_of_the_whole_image(bench: Any, tmp_path: Path) -> None:
    """Stained discs lie in some blocks only; the clusters come from the counts of all blocks."""
    rng = np.random.default_rng(5)
    pixels = rng.normal((240, 238, 242), 4, (500, 700, 3))
    for row, column in rng.integers(20, 480, (40, 2)):
        pixels[disk((row, column), 9)] = rng.normal((110, 80, 160), 6)
    pixels[:, 550:] = rng.normal((225, 160, 200), 5, (500, 150, 3))
    picture = tmp_path / "stained.tif"
    tifffile.imwrite(picture, pixels.clip(0, 255).astype(np.uint8), photometric="rgb")
    stained = replace(bench, picture=picture, weights=shipped()["lab-kmeans-watershed"])
    settings = {"channel": "", "normalise": NormaliseSettings(method="lab-kmeans")}
    expected = stained.in_one_piece(stained.image(tmp_path / "whole", 4096, **settings))
    assert expected.nuclei > 20
    for block_px in (128, 333):
        receipt = stained.in_blocks(stained.image(tmp_path / str(block_px), block_px, **settings))
        assert (receipt.nuclei, receipt.labels_sha256) == (expected.nuclei, expected.labels_sha256)
        assert receipt.qc == expected.qc


def test_label_tiffs_hold_the_same_labels(bench: Any, tmp_path: Path) -> None:
    image = bench.image(tmp_path / "both", 256, labels="both")
    bench.in_blocks(image)
    labels = tifffile.imread(image.folder.label_tiff(image.field.name))
    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(labels, image.labels().read(Box(0, 0, 700, 900)))
    alone = bench.image(tmp_path / "tiff", 256, labels="tiff")
    bench.in_blocks(alone)
    np.testing.assert_array_equal(tifffile.imread(alone.folder.label_tiff(alone.field.name)), labels)
    assert not alone.folder.images_zarr.exists()


def test_a_blank_image_has_no_nuclei(bench: Any, tmp_path: Path) -> None:
    path = tmp_path / "blank.tif"
    tifffile.imwrite(path, np.full((400, 500), 77, np.uint16))
    image = bench.of(path).image(tmp_path / "out", 128)
    receipt = bench.in_blocks(image)
    assert receipt.nuclei == 0
    assert read_fragment(image.folder.fragment(image.field.key)).num_rows == 0


def test_rgb_is_seen_whole(bench: Any, tmp_path: Path) -> None:
    path = tmp_path / "rgb.tif"
    picture = np.random.default_rng(1).integers(0, 255, (300, 410, 3)).astype(np.uint8)
    tifffile.imwrite(path, np.repeat(np.repeat(picture[::4, ::4], 4, 0), 4, 1)[:300, :410], photometric="rgb")
    source = bench.of(path)
    whole = source.image(tmp_path / "whole", 4096, channel="")
    image = source.image(tmp_path / "blocks", 128, channel="")
    expected, receipt = bench.in_one_piece(whole), bench.in_blocks(image)
    assert (receipt.labels_sha256, receipt.qc) == (expected.labels_sha256, expected.qc)


@pytest.fixture(scope="module")
def never_stopped(bench: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Receipt, dict[str, bytes]]:
    whole = bench.image(tmp_path_factory.mktemp("never"), 256, largest_px=320)
    return bench.in_blocks(whole), bench.outcome_of(whole)


@pytest.mark.slow
@pytest.mark.parametrize("stopped_after", [5, 30])
def test_a_stopped_and_damaged_run_ends_with_the_same_bytes(
    bench: Any, never_stopped: tuple[Receipt, dict[str, bytes]], tmp_path: Path, stopped_after: int
) -> None:
    image = bench.image(tmp_path / "stopped", 256, largest_px=320)
    bench.stopped_after(stopped_after, image)
    chunks = sorted(
        path for path in image.maps().path.rglob("*") if path.is_file() and path.name[0].isdigit()
    )
    if chunks:
        chunks[0].write_bytes(chunks[0].read_bytes()[:10])
        chunks[-1].unlink()
    with image.scratch.units.open("ab") as file:
        file.write(b"objects 0 0 12")  # a line cut short by a kill
    assert (bench.in_blocks(image, seed=2), bench.outcome_of(image)) == never_stopped


def test_a_run_taken_up_again_repeats_only_what_was_not_committed(bench: Any, tmp_path: Path) -> None:
    image = bench.image(tmp_path, 256, largest_px=320)
    bench.stopped_after(20, image)
    progress = ImageProgress(image)
    assert 20 <= progress.units[0] < progress.units[1]
    progress.close()


@pytest.mark.slow
def test_objects_can_be_made_again_without_the_network(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.in_blocks(bench.image(tmp_path / "out", 256))
    other = ObjectSettings(foreground=0.6, peak=0.0, min_area_px=30)
    expected = bench.in_blocks(bench.image(tmp_path / "fresh", 200, objects=other))

    def refuse(*_: object) -> None:
        raise AssertionError("the network ran")

    monkeypatch.setattr("nucbatch.execution.large.stages.predict_tile", refuse)
    monkeypatch.setattr("nucbatch.execution.large.stages.survey", refuse)
    again = bench.image(tmp_path / "out", 128, objects=other)
    assert bench.in_blocks(again) == expected
    maps = again.maps().read(Box(0, 0, 700, 900))
    np.testing.assert_array_equal(again.labels().read(Box(0, 0, 700, 900)), find_nuclei(maps, other))


def test_labels_pass_65535(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dots on a lattice, as probabilities of an image that no network saw."""
    path = tmp_path / "dots.tif"
    tifffile.imwrite(path, np.random.default_rng(0).integers(0, 99, (1300, 1300)).astype(np.uint8))
    dots = np.zeros((4, 1300, 1300), np.uint8)
    for dy in range(2):
        for dx in range(3):
            dots[:2, dy::5, dx::5] = 255
    dots[2:] = 128

    def predict(image: object, row: int, column: int) -> float:
        image.maps().write(dots[:, : image.shape[0], : image.shape[1]])  # type: ignore[attr-defined]
        return 0.0

    monkeypatch.setattr("nucbatch.execution.large.stages.predict_tile", predict)
    settings = ObjectSettings(foreground=0.5, peak=0.0, min_area_px=2)
    image = bench.of(path).image(tmp_path / "out", 512, objects=settings, labels="both")
    receipt = bench.in_blocks(image)
    assert receipt.nuclei == 260 * 260 > 65_535
    labels = tifffile.imread(image.folder.label_tiff(image.field.name))
    assert labels.dtype == np.uint32
    assert labels.max() == 260 * 260
    table = read_fragment(image.folder.fragment(image.field.key))
    assert table["Metadata_ObjectNumber"].to_pylist() == list(range(1, 260 * 260 + 1))


@pytest.mark.slow
def test_images_wider_than_65536(bench: Any, tmp_path: Path) -> None:
    path = tmp_path / "wide.tif"
    strip = np.zeros((140, 70_000), np.uint8)
    strip[60:80, 30::1000] = 200
    strip[60:80, 31::1000] = strip[60:80, 40::1000] = 220
    tifffile.imwrite(path, strip)
    image = bench.of(path).image(tmp_path / "out", 4096)
    whole = bench.of(path).image(tmp_path / "whole", 100_000)
    assert image.blocks.shape == (1, 18)
    assert bench.in_blocks(image, seed=4) == bench.in_blocks(whole)
    assert bench.outcome_of(image) == bench.outcome_of(whole)
