"""A run's own predictions given as labels to learn from: they are found, named and written on the card."""

from pathlib import Path

import imagecodecs
import numpy as np
import tifffile

from nucbatch.core.plate import Channel, Field, Plate
from nucbatch.core.settings import RunSettings
from nucbatch.store.digest import labels_digest
from nucbatch.store.images import create_images, write_field
from nucbatch.store.label_tiff import write_label_tiff
from nucbatch.store.ledger import Ledger
from nucbatch.store.receipt import Receipt
from nucbatch.store.run_folder import RunFolder
from nucbatch.training.card import weights_card
from nucbatch.training.data import find_data
from nucbatch.training.recipe import Recipe

SHAPE = (20, 24)


def labels(left: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint32]]:
    drawn = np.zeros(SHAPE, np.uint32)
    drawn[2:8, left : left + 6], drawn[10:16, 2:9] = 1, 2
    return drawn


def noise(seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, SHAPE, np.uint8)


def run_with(path: Path, *, corrected: tuple[str, ...] = ()) -> RunFolder:
    """A run of three images; the labels of the corrected ones are no longer those of its receipts."""
    channel = Channel("DNA", 0)
    fields = tuple(Field("", n, 0, f"i{n}", f"i{n}", (), *SHAPE, "uint8") for n in (1, 2, 3))
    folder = RunFolder(path)
    folder.create()
    store = create_images(folder, Plate("P", str(path), "folder", (channel,), fields, (), is_plate=False))
    with Ledger(folder, RunSettings(), "0" * 64) as ledger:
        for field in fields:
            found = labels(field.site)
            digest = labels_digest(found)
            ledger.append(Receipt(field.key, "done", "", 2, digest, {}, {}, ""))
            if field.name in corrected:
                found[19, 0] = 3
            pixels = noise(field.site)[np.newaxis]
            write_field(store, field, [channel], pixels, found)
    return folder


def named(data: object) -> list[str]:
    return [line for line in data.warnings if "own predictions, unchanged" in line]  # type: ignore[attr-defined]


def test_a_runs_own_labels_are_said_to_be_and_corrected_ones_are_not(tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", corrected=("i2",))
    for folder in (run.path, run.images_zarr):
        data = find_data(folder)
        (warning,) = named(data)
        assert f"In {folder} the labels of 2 of 3 images" in warning
        assert ": i1, i3." in warning
        assert data.predicted == 2
    every = run_with(tmp_path / "every", corrected=("i1", "i2", "i3"))
    assert not named(find_data(every.path))


def test_label_tiffs_of_a_run_are_known_wherever_they_lie(tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        (tmp_path / "images").mkdir(exist_ok=True)
        imagecodecs.imwrite(str(tmp_path / "images" / f"{name}.png"), noise(seed))
        write_label_tiff(tmp_path / "labels" / f"{name}.tif", labels(seed))
    tifffile.imwrite(tmp_path / "labels" / "b.tif", labels(5).astype(np.uint16))
    data = find_data(tmp_path)
    (warning,) = named(data)
    assert "the labels of 1 of 2 images" in warning
    assert ": a." in warning


def test_the_card_says_that_predictions_were_learned(tmp_path: Path) -> None:
    data = find_data(run_with(tmp_path / "run").path)
    card = weights_card(
        *(Recipe(width=2, depth=2), data),
        **{"name": "", "steps": 1, "start": None, "diameter_px": None, "scores": {}},  # type: ignore[arg-type]
        objects=RunSettings().objects,
    )
    assert card.training["predictions as labels"] == "3 of 3 images"


def test_a_run_whose_ledger_cannot_be_read_is_learned_from_with_a_warning(tmp_path: Path) -> None:
    run = run_with(tmp_path / "run")
    first, *_ = run.ledger.read_bytes().splitlines(keepends=True)
    run.ledger.write_bytes(first + b"{damaged}\n" + first)
    data = find_data(run.path)
    assert len(data.entries) == 3
    assert data.predicted == 0
    (warning,) = [line for line in data.warnings if "can't be distinguished from corrected labels" in line]
    assert str(run.path) in warning
