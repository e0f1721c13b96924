"""A small image with nuclei, a small network, and a driver that needs no cluster."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from nucbatch.core.calibration import Calibration, ConfidenceModel, Standardised
from nucbatch.core.settings import ObjectSettings, RunSettings
from nucbatch.execution.field_task import FieldTask
from nucbatch.execution.job import FieldJob
from nucbatch.execution.large.image import LargeImage
from nucbatch.execution.large.image_progress import ImageProgress
from nucbatch.execution.large.scale_task import ScaleTask
from nucbatch.execution.process_field import process_field
from nucbatch.features.confidence import EVIDENCE
from nucbatch.inference.predict import grid_of
from nucbatch.inference.scale import Fit, Scale
from nucbatch.networks.checkpoint import load_weights, read_card, save_weights
from nucbatch.networks.model_card import Card
from nucbatch.networks.unet import UNet
from nucbatch.planning.plan import make_plan
from nucbatch.readers.find import open_plate
from nucbatch.store.receipt import Receipt
from nucbatch.store.run_folder import RunFolder
from nucbatch.synthetic import make_field

CONFIG = {"in_channels": 3, "outputs": 4, "width": 2, "depth": 2}
OBJECTS = ObjectSettings(foreground=0.5, peak=0.0, min_area_px=9)
COUNT = len(EVIDENCE)
CALIBRATION = Calibration(
    images=10,
    groups=5,
    confidence=ConfidenceModel(
        evidence=Standardised(names=EVIDENCE, means=(0.4,) * COUNT, spreads=(2.0,) * COUNT),
        linear=tuple(0.3 + 0.1 * place for place in range(COUNT)),
        square=(-0.2,) * COUNT,
        constant=0.1,
    ),
)


@dataclass(frozen=True)
class Bench:
    """An image file and weights for tests; :meth:`image` builds a run with a folder, blocks and settings."""

    picture: Path
    weights: Path

    def of(self, picture: Path) -> Bench:
        """Returns the same with another image."""
        return replace(self, picture=picture)

    def in_one_piece(self, image: LargeImage) -> Receipt:
        return in_one_piece(image)

    def in_blocks(self, image: LargeImage, seed: int = 0) -> Receipt:
        receipt = in_blocks(image, seed)
        assert receipt is not None
        return receipt

    def stopped_after(self, units: int, image: LargeImage) -> None:
        assert in_blocks(image, 1, units) is None

    def outcome_of(self, image: LargeImage) -> dict[str, bytes]:
        return outcome_of(image)

    def image(self, out: Path, block_px: int, *, largest_px: int = 2048, **settings: object) -> LargeImage:
        plate = open_plate(self.picture)
        network, card = load_weights(self.weights)
        wanted = RunSettings(
            model=str(self.weights),
            model_hash=card.sha256,
            objects=OBJECTS,
            channel=plate.channels[0].name,
            diameter_px="none",
            calibration=CALIBRATION,
        ).model_copy(update=settings)
        plan = make_plan(plate, wanted, block_px)
        folder = RunFolder(out)
        folder.create()
        (field,) = plan.usable
        sight = (
            grid_of(network, largest_px, largest_px),
            len(card.outputs),
            Scale.of(card, plan.settings).given or Fit(),
            block_px,
        )
        image = LargeImage.of(plan, field, folder, str(self.weights), *sight)
        return image if wanted.diameter_px != "auto" else ScaleTask(image).run().image


def in_one_piece(image: LargeImage) -> Receipt:
    """Builds the task of the same image as a single-block field."""
    return process_field(
        FieldTask(**{each.name: getattr(image, each.name) for each in fields(FieldJob)})  # what every job has
    )


def in_blocks(image: LargeImage, seed: int = 0, most: int | None = None) -> Receipt | None:
    """Runs units in random order, some twice; returns None if they are not done after ``most``."""
    rng, progress, done = np.random.default_rng(seed), ImageProgress(image), 0
    while not progress.finished:
        ready = []
        while (unit := progress.next()) is not None:
            ready.append(unit)
        assert ready, "nothing may run, and it is not finished"
        for index in rng.permutation(len(ready)):
            if most is not None and done >= most:
                progress.close()
                return None
            outcome = ready[index].run()
            if rng.random() < 0.2:
                again = ready[index].run()
                assert [replace(one.unit, changed_ns=0) for one in again] == [
                    replace(one.unit, changed_ns=0) for one in outcome
                ]
            progress.accept(outcome)
            done += len(outcome)
    assert not progress.problem
    return replace(progress.receipt(), seconds={}, worker="", committed_ns=0)


def outcome_of(image: LargeImage) -> dict[str, bytes]:
    """Returns the content of all files that a run writes for an image."""
    found = {
        path.relative_to(image.group).as_posix(): path.read_bytes()
        for path in image.group.rglob("*")
        if path.is_file()
    }
    return found | {"rows": image.folder.fragment(image.field.key).read_bytes()}


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Writes an image of two 16-bit channels, 700 × 900 px, and the weights of a small network."""
    folder = tmp_path_factory.mktemp("bench")
    images, _ = make_field(900, np.random.default_rng(5), nuclei=180, channels=2)
    tifffile.imwrite(
        folder / "picture.ome.tif",
        np.stack(images)[:, :700].astype(np.uint16),
        metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}},
    )
    torch.manual_seed(1)
    network = UNet(**CONFIG)
    network.eval()
    with torch.no_grad():
        probe = (images[0][:688, :896] / np.percentile(images[0], 99.8)).clip(0, 1).astype(np.float32)
        logits = network(torch.from_numpy(np.stack([probe] * 3)[None]))
        # Stretched so that each map spans its range, and a fifth or so is foreground.
        stretch = 3 / logits.std(dim=(0, 2, 3))
        network.head.weight.mul_(stretch[:, None, None, None])
        network.head.bias.copy_(
            (network.head.bias - logits.mean(dim=(0, 2, 3))) * stretch + torch.tensor([-1.0, 0.0, 0.0, 0.0])
        )
    card = Card(
        name="tiny",
        architecture="unet",
        config=CONFIG,
        outputs=("foreground", "interior", "offset_y", "offset_x"),
        nucleus_diameter_px=19.0,
        objects=OBJECTS,
    )
    save_weights(folder / "tiny.safetensors", network, card, half=False)
    assert read_card(folder / "tiny.safetensors").sha256
    return Bench(folder / "picture.ome.tif", folder / "tiny.safetensors")
