"""Evidence for an object in the network's maps, and the confidence that follows from it."""

import numpy as np
import pytest

from nucbatch.core.calibration import Calibration, ConfidenceModel, Standardised
from nucbatch.features.confidence import CONFIDENCE, EVIDENCE, confidence_family, evidence_of
from nucbatch.features.measure import measure
from nucbatch.features.measured_objects import objects_of

COUNT = len(EVIDENCE)


def model(**linear: float) -> ConfidenceModel:
    return ConfidenceModel(
        evidence=Standardised(names=EVIDENCE, means=(0.0,) * COUNT, spreads=(1.0,) * COUNT),
        linear=tuple(linear.get(name, 0.0) for name in EVIDENCE),
        square=(0.0,) * COUNT,
        constant=0.0,
    )


def two_squares() -> tuple[np.ndarray, np.ndarray]:
    """Labels (12, 16) of two touching squares of 4 px, and maps whose offsets point nowhere."""
    labels = np.zeros((12, 16), np.uint32)
    labels[4:8, 3:7], labels[4:8, 7:11] = 1, 2
    maps = np.zeros((4, 12, 16), np.uint8)
    maps[0], maps[2:] = 51, 128
    maps[0, labels == 1], maps[0, labels == 2] = 255, 102
    maps[1, labels > 0] = 128
    maps[1, 5, 4] = 255
    return labels, maps


def test_evidence_of_touching_squares() -> None:
    labels, maps = two_squares()
    found = evidence_of(objects_of(labels), maps, zoom=0.5)
    first, second = (dict(zip(EVIDENCE, row, strict=True)) for row in found)
    assert (first["foreground"], second["foreground"]) == (1.0, 0.4)
    assert (first["uncertain"], second["uncertain"]) == (0.0, 1.0)
    assert first["peak"] == 1.0
    assert first["outside"] == pytest.approx(0.2)
    assert first["edge_contrast"] == pytest.approx(0.8)
    assert first["contact"] == 4 / 16
    assert first["cut"] == pytest.approx(128 / 255)
    assert first["log_area"] == pytest.approx(np.log(16 / 4))


def test_offsets_that_meet_in_one_point_spread_less() -> None:
    labels, maps = two_squares()
    ys, xs = np.mgrid[:12, :16]
    to = np.rint(((5.5 - ys) / 64 + 0.5) * 255), np.rint(((4.5 - xs) / 64 + 0.5) * 255)
    maps[2:, labels == 1] = np.stack(to)[:, labels == 1]
    first, second = evidence_of(objects_of(labels), maps, 1.0)[:, EVIDENCE.index("flow_spread")]
    assert first < 0.1
    assert second == pytest.approx(np.sqrt(2 * 1.25) / np.sqrt(16 / np.pi))


def test_a_window_gives_the_confidence_of_the_whole_image() -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((60, 60), np.uint32)
    labels[20:31, 20:35], labels[31:40, 25:38] = 1, 2
    maps = rng.integers(0, 256, (4, 60, 60), dtype=np.uint8)
    chosen = model(foreground=1, interior=-2, flow_spread=0.5, outside=3, cut=1, compactness=1)
    window = np.s_[19:41, 19:39]
    whole = chosen.confidences(evidence_of(objects_of(labels), maps, 1.0))
    cut = chosen.confidences(evidence_of(objects_of(labels[window]), maps[:, *window], 1.0))
    assert whole.tolist() == cut.tolist()
    assert len(set(whole.tolist())) == 2


def test_the_column_is_there_with_a_calibration_alone() -> None:
    labels, maps = two_squares()
    image = np.ones((1, 12, 16), np.uint8)
    calibration = Calibration(images=1, groups=1, confidence=model(foreground=1.0))
    columns = measure(
        labels, image, ["DAPI"], further=confidence_family(calibration, maps, labels.shape, 1.0)
    )
    assert CONFIDENCE not in measure(labels, image, ["DAPI"])
    assert columns[CONFIDENCE].tolist() == [0.7311, 0.5987]
    empty = np.zeros_like(labels)
    none = measure(empty, image, ["DAPI"], further=confidence_family(calibration, None, empty.shape, 1.0))
    assert none[CONFIDENCE].shape == (0,)
    assert confidence_family(None, maps, labels.shape, 1.0) == ()


@pytest.mark.parametrize("outputs", [1, 2])
def test_networks_of_fewer_maps_have_confidences_too(outputs: int) -> None:
    labels, maps = two_squares()
    assert np.isfinite(evidence_of(objects_of(labels), maps[:outputs], 1.0)).all()
