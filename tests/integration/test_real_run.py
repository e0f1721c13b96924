"""The shipped model on real images: a corner of a real plate, and the validation split it is judged by."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

import nucbatch
from nucbatch.cli.main import nucbatch as command
from nucbatch.networks.checkpoint import read_card
from nucbatch.networks.locate import shipped
from nucbatch.readers.pixels import read_image
from nucbatch.scoring import score_images

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


def test_wells_of_a_real_plate_get_plausible_counts(shared_data: Path, tmp_path: Path) -> None:
    plate = tmp_path / "sbs96"
    plate.mkdir()
    for name in ("01-A-01", "84-G-12"):
        for channel in ("Channel1", "Channel2"):
            shutil.copy(shared_data / "plates" / "sbs96" / f"{channel}-{name}.tif", plate)
    shutil.copy(shared_data / "plates" / "sbs96" / "1049_Metadata.csv", plate)
    out = tmp_path / "out"
    done = CliRunner().invoke(command, ["run", str(plate), "--channel", "Channel2", "-o", str(out)])
    assert done.exit_code == 0, done.output
    wells = pd.read_csv(out / "wells.csv").set_index("Metadata_Well")
    assert list(wells.index) == ["A01", "G12"]
    assert 270 <= wells.loc["A01", "Count_Nuclei"] <= 380  # counted by eye: about 320
    assert {"Mean_Nuclei_Intensity_MeanIntensity_Channel1", "Mean_Nuclei_AreaShape_Area"} <= set(wells)
    assert 100 <= wells.loc["A01", "Median_Nuclei_AreaShape_Area"] <= 400
    files = pd.read_csv(out / "files.csv")
    assert sorted(files["status"]) == ["ignored", "used", "used", "used", "used"]


def validation_images(folder: Path) -> Iterator[tuple[Path, Path, Path]]:
    """Image, labels, and where ignored pixels would be, of each validation image."""
    with (folder / "split.csv").open(newline="") as stream:
        names = [row["id"] for row in csv.DictReader(stream) if row["split"] == "val"]
    for name in names:
        (image,) = (folder / "images").glob(f"{name}.*")
        (labels,) = (folder / "labels").glob(f"{name}.*")
        yield image, labels, folder / "ignore" / labels.name


def test_the_default_model_scores_what_its_card_says_on_the_validation_split(shared_data: Path) -> None:
    images = [one for name in ("dsb2018", "nuclei_more") for one in validation_images(shared_data / name)]
    assert len(images) == 61 + 24
    table = score_images(
        (
            image.stem,
            read_image(labels),
            nucbatch.segment(read_image(image), diameter="none"),
            read_image(ignored) if ignored.exists() else None,
        )
        for image, labels, ignored in images
    )
    pooled, card = table.pooled, read_card(shipped()["default"])
    assert pooled.pixels.f1 >= 0.90
    assert pooled.objects.f1(0.5) >= 0.80
    assert pooled.pixels.f1 == pytest.approx(card.scores["val pixel F1"], abs=0.002)
    assert pooled.objects.f1(0.5) == pytest.approx(card.scores["val object F1 at 0.5"], abs=0.005)
