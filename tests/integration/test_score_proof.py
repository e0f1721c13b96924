"""Scores of real labels: equal to others' code, and the same from Kaggle's masks as from label images."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import ndimage
from skimage.metrics import adapted_rand_error
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score

from nucbatch.cli.main import nucbatch
from nucbatch.readers.pixels import read_image
from nucbatch.scoring import ImageScore, score_image
from nucbatch.store.label_tiff import write_label_tiff

pytestmark = pytest.mark.real_data


def image_ids(folder: Path, *, modality: str) -> list[str]:
    with (folder / "split.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [row["id"] for row in rows if row["split"] == "val" and row["modality"] == modality][:3]


def disturbed(truth: np.ndarray) -> np.ndarray:
    """Pieces of the foreground, eroded and shifted: merges, misses, moved edges."""
    pieces = ndimage.label(ndimage.binary_erosion(truth > 0))[0]
    return np.roll(pieces, (2, -1), (0, 1))


@pytest.mark.parametrize("modality", ["fluorescence", "histology", "brightfield"])
def test_figures_equal_others_code(shared_data: Path, modality: str) -> None:
    folder = shared_data / "dsb2018"
    ids = image_ids(folder, modality=modality)
    assert ids
    pooled, truths, preds = ImageScore("pooled"), [], []
    for name in ids:
        truth = read_image(folder / "labels" / f"{name}.png").astype(np.int64)
        pred = disturbed(truth)
        score = score_image(name, truth, pred)
        expected = adapted_rand_error(truth, pred)[0]
        assert score.rand.adapted_error == pytest.approx(expected, abs=1e-12)
        background = pred == 0
        alone = np.where(background, pred.max() + background.cumsum().reshape(pred.shape), pred)
        assert score.rand.error == pytest.approx(adapted_rand_error(truth, alone)[0], abs=1e-12)
        pooled += score
        truths.append(truth.ravel() > 0)
        preds.append(pred.ravel() > 0)
    both = np.concatenate(truths), np.concatenate(preds)
    assert pooled.pixels.precision == pytest.approx(precision_score(*both))
    assert pooled.pixels.recall == pytest.approx(recall_score(*both))
    assert pooled.pixels.f1 == pytest.approx(f1_score(*both))
    assert pooled.pixels.jaccard == pytest.approx(jaccard_score(*both))


def test_kaggles_masks_are_the_same_truth_as_label_images(shared_data: Path, tmp_path: Path) -> None:
    kaggle = shared_data / "dsb2018_kaggle_layout"
    ids = sorted(path.name for path in (kaggle / "stage1_train").iterdir())
    assert len(ids) == 20
    (tmp_path / "pred").mkdir()
    for name in ids:
        truth = read_image(shared_data / "dsb2018" / "labels" / f"{name}.png")
        write_label_tiff(tmp_path / "pred" / f"{name}.tif", truth.astype(np.uint32))
    for given in (kaggle, kaggle / "stage1_train"):
        arguments = ["score", str(tmp_path / "pred"), "--gt", str(given), "--json", str(tmp_path / "s.json")]
        done = CliRunner().invoke(nucbatch, arguments, catch_exceptions=False)
        assert done.exit_code == 0
        pooled = json.loads((tmp_path / "s.json").read_text())["pooled"]
        assert (pooled["nuclei_truth"], pooled["mean_ap"], pooled["rand_error"]) == (667, 1.0, 0.0)
