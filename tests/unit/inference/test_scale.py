from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nucbatch.core.errors import InputError
from nucbatch.core.settings import ObjectSettings, RunSettings
from nucbatch.core.tiles import TileGrid
from nucbatch.execution.prepared import chosen
from nucbatch.inference.normalise import Constants
from nucbatch.inference.scale import LARGEST_RATIO, SMALLEST_RATIO, Fit, Scale, fit, nuclear_diameter
from nucbatch.inference.segment import segment_image
from nucbatch.masks.components import components_of
from nucbatch.networks.checkpoint import read_card
from nucbatch.networks.locate import shipped
from nucbatch.networks.model_card import Card

CARD = read_card(shipped()["default"]).model_copy(update={"nucleus_diameter_px": 20.0})
GRID = TileGrid(stride=16, halo=16, largest=2048, whole=2048)


def discs(side: int, diameter_px: int, pitch_px: int) -> NDArray[np.uint8]:
    """Draws bright discs on a square grid on a dark background."""
    image = np.zeros((side, side), np.uint8)
    y, x = np.mgrid[:pitch_px, :pitch_px] - pitch_px / 2 + 0.5
    disc = np.hypot(y, x) <= diameter_px / 2
    for top in range(0, side - pitch_px + 1, pitch_px):
        for left in range(0, side - pitch_px + 1, pitch_px):
            image[top : top + pitch_px, left : left + pitch_px][disc] = 200
    return image


class Shredder:
    """Simulates a network that finds bright discs, but cuts those longer than ``most_px`` into pieces."""

    def __init__(self, most_px: int) -> None:
        self.most_px = most_px
        self.seen: list[int] = []

    def __call__(self, tile: NDArray[np.float32]) -> NDArray[np.uint8]:
        self.seen.append(tile.shape[-1])
        bright = tile[0] > 0.5
        starts = np.flatnonzero(np.diff(np.pad(bright.any(axis=0).astype(int), 1)))
        longest = int(np.diff(starts)[::2].max(initial=0))
        if longest > self.most_px:
            bright[:: self.most_px] = False
            bright[:, :: self.most_px] = False
        maps = np.zeros((2, *bright.shape), np.uint8)
        maps[:, bright] = 255
        return maps


def test_pieces_hardly_move_the_diameter() -> None:
    whole = np.full(10, 7854)
    pieces = np.full(40, 400)
    assert nuclear_diameter(whole) == 100.0
    assert nuclear_diameter(np.concatenate([whole, pieces])) == 100.0
    assert nuclear_diameter(np.zeros(0, np.int64)) == 0.0
    assert nuclear_diameter(np.array([314, 314, 315])) == 19.99  # half of the area is reached in the second


def test_only_much_larger_or_smaller_nuclei_are_rescaled() -> None:
    scale = Scale.of(CARD, RunSettings(diameter_px="auto"))
    assert scale.zoom is None
    assert scale.zoom_for(0.0) == scale.zoom_for(20.0) == scale.zoom_for(LARGEST_RATIO * 20) == 1.0
    assert scale.zoom_for(80.0) == 0.25
    assert scale.zoom_for(8.0) == scale.zoom_for(SMALLEST_RATIO * 20) == 2.0
    assert scale.zoom_for(SMALLEST_RATIO * 20 + 0.1) == 1.0


def test_the_scale_that_settings_ask_for() -> None:
    def zoom(**settings: object) -> float | None:
        return Scale.of(CARD, RunSettings.model_validate(settings)).zoom

    assert zoom(diameter_px=40) == 0.5
    assert zoom(diameter_px="none") == 1.0
    assert zoom(diameter_px="auto") is None
    assert zoom(diameter_px="auto", plate_diameter_px=100) == 0.2
    assert zoom(diameter_px="auto", plate_diameter_px=30) == 1.0
    assert zoom(diameter_px="auto", plate_diameter_px=0) == 1.0
    assert zoom(diameter_px="none", plate_diameter_px=100) == 1.0


def test_a_model_that_does_not_know_its_nuclei_sees_images_as_they_are() -> None:
    unknowing: Card = CARD.model_copy(update={"nucleus_diameter_px": None})
    assert Scale.of(unknowing, RunSettings(diameter_px="auto")).zoom == 1.0
    with pytest.raises(InputError, match="how large the nuclei were"):
        Scale.of(unknowing, RunSettings(diameter_px=50.0))


def test_large_nuclei_that_come_out_in_pieces_are_found_whole_in_a_second_pass() -> None:
    image = discs(480, 110, 160)
    network = Shredder(most_px=70)
    found = segment_image(image, Constants(0, 200), GRID, network, ObjectSettings(), Scale(None, 20.0))
    assert found.labels.max() == 9
    assert found.zoom < 0.5
    assert found.diameter_px == pytest.approx(110, rel=0.05)
    assert found.labels.shape == image.shape
    assert network.seen[0] == 480
    assert network.seen[1] < 240
    as_it_is = segment_image(image, Constants(0, 200), GRID, network, ObjectSettings())
    assert as_it_is.labels.max() > 9


def test_other_thresholds_do_not_change_what_the_network_sees() -> None:
    image = discs(480, 110, 160)
    networks = Shredder(most_px=70), Shredder(most_px=70)
    zooms = [
        segment_image(image, Constants(0, 200), GRID, network, objects, Scale(None, 20.0)).zoom
        for network, objects in zip(
            networks, (ObjectSettings(), ObjectSettings(min_area_px=12000)), strict=True
        )
    ]
    assert zooms[0] == zooms[1] < 0.5
    assert networks[0].seen == networks[1].seen


def test_nuclei_of_ordinary_size_are_looked_at_once() -> None:
    image = discs(320, 30, 64)
    network = Shredder(most_px=70)
    found = segment_image(image, Constants(0, 200), GRID, network, ObjectSettings(), Scale(None, 20.0))
    assert network.seen == [320]
    assert found.zoom == 1.0
    np.testing.assert_array_equal(
        found.labels, segment_image(image, Constants(0, 200), GRID, network, ObjectSettings()).labels
    )


def test_small_nuclei_are_enlarged() -> None:
    image = discs(240, 8, 16)
    network = Shredder(most_px=70)
    found = segment_image(image, Constants(0, 200), GRID, network, ObjectSettings(), Scale(None, 20.0))
    assert (network.seen[0], network.seen[-1]) == (240, 480)
    assert (found.zoom, found.labels.max(), found.labels.shape) == (2.0, 15 * 15, image.shape)
    assert found.diameter_px == pytest.approx(8, rel=0.1)


def test_what_is_too_large_in_itself_is_not_enlarged_after_it_was_reduced() -> None:
    # Reduced, the clumps are as small as small nuclei would be.
    sizes = {1.0: drawn(64, 128), 20 / 64.04: drawn(6, 128)}
    found = fit(
        lambda zoom: [sizes[min(sizes, key=lambda one: abs(one - zoom))]],
        [(drawn(64, 128) != 0).astype(np.uint8) * 200],
        Scale(None, typical_px=20.0),
    )
    assert found.zoom <= 1


def test_a_blank_image_has_no_scale_to_find() -> None:
    blank = np.full((64, 64), 7, np.uint8)
    network = Shredder(most_px=70)
    found = segment_image(blank, Constants(7, 7), GRID, network, ObjectSettings(), Scale(None, 20.0))
    assert (found.labels.max(), found.zoom, found.diameter_px) == (0, 1.0, 0.0)
    assert network.seen == []


def test_the_smallest_area_follows_the_scale_unless_it_was_given() -> None:
    own, _ = chosen(CARD, RunSettings())
    given, _ = chosen(CARD, RunSettings(objects=ObjectSettings(min_area_px=25)))
    assert own.min_area_px == given.min_area_px == 25
    assert own.at(0.2).min_area_px == 625
    assert own.at(2.0).min_area_px == 6
    assert given.at(0.2).min_area_px == given.at(2.0).min_area_px == 25
    assert own.at(1.0) == own


def drawn(diameter_px: int, pitch_px: int) -> NDArray[np.uint32]:
    return components_of(discs(1024, diameter_px, pitch_px) != 0).labels


SMALL, LARGE, CLUMP = drawn(12, 24), drawn(240, 256), drawn(1, 2048)
CLUMP[100:900, 100:900] = 1


@pytest.mark.parametrize(
    ("image", "labels", "halved", "is_reduced"),
    [
        pytest.param(LARGE != 0, SMALL, LARGE, True, id="specks in nuclei of 240 px and around them"),
        pytest.param(SMALL != 0, SMALL, SMALL, False, id="small nuclei, found at half the resolution"),
        pytest.param(SMALL != 0, SMALL, CLUMP, False, id="small nuclei that merge into a clump"),
        pytest.param(SMALL != 0, SMALL, SMALL * 0, False, id="small nuclei that disappear"),
        pytest.param(LARGE != 0, SMALL * (SMALL < 200), LARGE, False, id="a few small objects"),
    ],
)
def test_specks_of_very_large_nuclei_are_reported_from_small_nuclei(
    image: NDArray[np.bool_], labels: NDArray[np.uint32], halved: NDArray[np.uint32], is_reduced: bool
) -> None:
    found = fit(
        lambda zoom: [labels if zoom == 1 else halved],
        [image.astype(np.uint8) * 200],
        Scale(None, typical_px=20.0),
    )
    assert (found.zoom < 1) is is_reduced


def with_specks(diameter_px: int, speck_px: int) -> NDArray[np.uint8]:
    """Nine nuclei, and four specks between them."""
    image = discs(480, diameter_px, 160)
    image[80:400, 80:400] = np.maximum(image[80:400, 80:400], discs(320, speck_px, 160))
    return image


def test_micronuclei_are_dropped_unless_they_are_asked_for() -> None:
    image, constants, scale = with_specks(50, 14), Constants(0, 200), Scale(None, 20.0)

    def count(image: NDArray[np.uint8], scale: Scale = scale, **settings: object) -> int:
        objects = ObjectSettings.model_validate(settings)
        network = Shredder(most_px=70)
        return int(segment_image(image, constants, GRID, network, objects, scale).labels.max())

    everything = count(image, micronuclei="count")
    assert everything == 9 + 4
    assert count(image) == 9
    network = Shredder(most_px=70)
    assert segment_image(image, constants, GRID, network, ObjectSettings(), scale).micronuclei == 4
    assert count(image, Scale(1.0, 20.0, diameter_px=50.0)) == 9  # a plate's diameter, or the user's
    assert count(image, Scale(1.0)) == everything  # the diameter is unknown
    assert count(image, min_area_px=25, min_area_of="image") == everything
    assert count(np.stack([image] * 3, axis=2)) == everything  # lymphocytes beside tumour cells


def test_dark_nuclei_of_tissue_have_no_micronuclei() -> None:
    image, network = 200 - with_specks(50, 14), Shredder(most_px=70)
    found = segment_image(
        image,
        Constants(0, 200),
        GRID,
        lambda tile: network(1 - tile),
        ObjectSettings(),
        Scale(None, 20.0),
    )
    assert found.labels.max() == 9 + 4


def test_objects_of_more_than_a_third_of_the_diameter_are_nuclei() -> None:
    image = with_specks(50, 18)
    found = segment_image(
        image, Constants(0, 200), GRID, Shredder(most_px=70), ObjectSettings(), Scale(None, 20.0)
    )
    assert found.labels.max() == 9 + 4


def test_a_clump_of_small_nuclei_is_no_large_nucleus() -> None:
    """At its own scale the network sees clumps, and nuclei in some of them; reduced, clumps alone."""
    image = (drawn(6, 8) != 0).astype(np.uint8) * 200
    mixed = drawn(6, 8)
    mixed[:700] = 0
    mixed[:700, 100:800] = mixed.max() + 1
    found = fit(lambda zoom: [mixed if zoom == 1 else CLUMP], [image], Scale(None, typical_px=20.0))
    assert found == Fit()
