"""Pixels marked in ``ignore/``: they count neither for the loss nor for the scores of a training."""

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import torch
import zarr

from nucbatch.core.errors import InputError
from nucbatch.core.settings import NormaliseSettings, ObjectSettings
from nucbatch.training.augment import BatchSettings, make_batch
from nucbatch.training.data import Entry, find_data
from nucbatch.training.nuclei_task import loss_and_dice
from nucbatch.training.paper_task import PaperTask
from nucbatch.training.recipe import Recipe
from nucbatch.training.sample import load_sample
from nucbatch.training.validate import score_maps

SIDE = 64


def write(path: Path, pixels: np.ndarray[Any, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    imagecodecs.imwrite(str(path), pixels)


def noise(seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE), np.uint8)


def square(top: int, left: int, side: int, value: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[top : top + side, left : left + side] = value
    return mask


IGNORED = square(40, 40, 10, 255)
LABELS = square(8, 8, 16, 1)


def in_folders(folder: Path) -> None:
    for seed, name in enumerate("ab"):
        write(folder / "images" / f"{name}.png", noise(seed))
        write(folder / "labels" / f"{name}.png", LABELS)
    write(folder / "ignore" / "a.png", IGNORED)
    (folder / "split.csv").write_text("id,split\na,train\nb,val\n")


def beside(folder: Path) -> None:
    for seed, name in enumerate("ab"):
        write(folder / f"{name}.png", noise(seed))
        write(folder / f"{name}_mask.png", LABELS)
    write(folder / "a_ignore.png", IGNORED)
    (folder / "split.csv").write_text("id,split\na,train\nb,val\n")


def kaggle(folder: Path) -> None:
    for seed, name in enumerate("ab"):
        write(folder / name / "images" / f"{name}.png", noise(seed))
        write(folder / name / "masks" / "1.png", LABELS * 255)
    write(folder / "a" / "ignore" / "1.png", np.vstack([IGNORED[: SIDE // 2], 0 * IGNORED[SIDE // 2 :]]))
    write(folder / "a" / "ignore" / "2.png", IGNORED)
    (folder / "split.csv").write_text("id,split\na,train\nb,val\n")


def in_zarr(folder: Path) -> None:
    for seed, name in enumerate("ab"):
        group = zarr.open_group(folder / f"{name}.zarr", mode="w", zarr_format=2)
        described = {
            "version": "0.4",
            "axes": [{"name": "y"}, {"name": "x"}],
            "datasets": [{"path": "0"}],
        }
        group.create_array("0", data=noise(seed))
        group.attrs["multiscales"] = [described]
        labels = group.create_group("labels")
        names = ("cells", "ignore") if name == "a" else ("cells",)
        labels.attrs["labels"] = list(names)
        for kind in names:
            one = labels.create_group(kind)
            one.create_array("0", data=LABELS if kind == "cells" else IGNORED)
            one.attrs["multiscales"] = [described]
    (folder / "split.csv").write_text("id,split\na.zarr,train\nb.zarr,val\n")


@pytest.mark.parametrize("lay_out", [in_folders, beside, kaggle, in_zarr])
def test_ignored_pixels_are_read_in_every_layout_and_said(lay_out: Any, tmp_path: Path) -> None:
    lay_out(tmp_path)
    data = find_data(tmp_path)
    marked, whole = (entry.source.read().ignore for entry in data.entries)
    np.testing.assert_array_equal(marked, IGNORED > 0)
    assert whole is None
    assert any("In 1 of 2 images, 100 px in all are marked to be ignored" in line for line in data.warnings)


def test_the_hash_of_a_data_set_follows_its_ignored_pixels(tmp_path: Path) -> None:
    in_folders(tmp_path)
    before = find_data(tmp_path).sha256
    write(tmp_path / "ignore" / "a.png", square(40, 40, 11, 255))
    assert find_data(tmp_path).sha256 != before
    write(tmp_path / "ignore" / "a.png", square(40, 40, 11, 0))
    empty = find_data(tmp_path).sha256
    (tmp_path / "ignore" / "a.png").unlink()
    assert find_data(tmp_path).sha256 == empty


def test_masks_that_belong_to_no_image_or_do_not_fit_are_refused(tmp_path: Path) -> None:
    in_folders(tmp_path)
    write(tmp_path / "ignore" / "c.png", IGNORED)
    with pytest.raises(InputError, match=r"1 files have no partner of the same stem in .*images: c\.png"):
        find_data(tmp_path)
    (tmp_path / "ignore" / "c.png").unlink()
    write(tmp_path / "ignore" / "a.png", IGNORED[:50])
    with pytest.raises(InputError, match=r"a\.png: .* mask is 64 × 50 px, the labels 64 × 64"):
        find_data(tmp_path)


def sample_of(folder: Path) -> tuple[Entry, Any]:
    in_folders(folder)
    entry = find_data(folder).split("train")[0]
    return entry, load_sample(entry, NormaliseSettings())


def test_a_crop_gives_ignored_pixels_no_weight_and_the_loss_does_not_see_them(tmp_path: Path) -> None:
    _, sample = sample_of(tmp_path)
    settings = BatchSettings(2, SIDE, (1.0, 1.0), empty_share=0, defocused_share=0, rescaled_share=0)
    for step in range(4):
        batch = make_batch([sample], np.ones(1), settings, NormaliseSettings(), seed=0, step=step)
        out = batch.weight == 0
        assert int(out[0].sum()) > 60
        logits = torch.zeros(2, 4, SIDE, SIDE)
        loss, dice = loss_and_dice(logits, batch)
        wrong = torch.where(out.expand_as(logits), 9.0, logits)
        assert loss_and_dice(wrong, batch) == (loss, dice)


def test_the_papers_loss_and_figures_leave_ignored_pixels_out(tmp_path: Path) -> None:
    in_folders(tmp_path)
    recipe = Recipe(name="p", task="paper", width=1, depth=1, outputs=("foreground",), epochs=1, batch=1)
    task = PaperTask(find_data(tmp_path), recipe.model_copy(update={"crop_px": SIDE}))
    batch = task.batch(0)
    assert int((~batch.known).sum()) == 100
    logits = (batch.masks * 2 - 1) * 5
    loss, dice = task.loss(logits, batch)
    wrong = torch.where(batch.known, logits, torch.full_like(logits, 9.0))
    assert task.loss(wrong, batch) == (loss, dice)
    assert dice == 1.0


def test_validation_leaves_ignored_pixels_and_nuclei_in_them_out(tmp_path: Path) -> None:
    _, sample = sample_of(tmp_path)
    maps = np.zeros((2, SIDE, SIDE), np.uint8)
    maps[:, 8:24, 8:24] = 255
    maps[:, 39:50, 39:50] = 255  # found where the truth is unknown
    scored = score_maps([maps], [sample], ObjectSettings())
    assert (scored.objects.tp[0], scored.objects.fp[0], scored.objects.fn[0]) == (1, 0, 0)
    assert scored.pixels.fp == 11 * 11 - 100
    assert scored.pixels.total == SIDE * SIDE - 100
