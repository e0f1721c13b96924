from dataclasses import replace

import numpy as np
import pytest

from nucbatch.labels.sources import Pixels
from nucbatch.training.data_checks import (
    Assigned,
    ImageFacts,
    data_sha256,
    duplicates,
    errors_of,
    facts_of,
    pixel_sha256,
    warnings_of,
)


def placed(name: str, split: str, image: str = "", group: str = "") -> Assigned:
    return Assigned(ImageFacts(name, image or name, "labels", False, "labels", 0), split, group)


FINE = [placed("a", "train"), *(placed(f"v{number}", "val") for number in range(5))]


def test_a_sound_set_has_neither_errors_nor_warnings() -> None:
    assert errors_of(FINE) == []
    assert warnings_of(FINE) == []


def test_every_copy_is_named_with_its_split() -> None:
    leak = [*FINE, placed("x", "train", "same"), placed("y", "test", "same"), placed("z", "test", "same")]
    (error,) = errors_of(leak)
    assert "x (train) = y (test) = z (test)." in error
    assert not any("more than once" in warning for warning in warnings_of(leak))
    assert [[one.facts.name for one in same] for same in duplicates(leak)] == [["x", "y", "z"]]


def test_copies_with_other_labels_are_said_to_have_them() -> None:
    one, two = placed("x", "train", "same"), placed("y", "train", "same")
    two = replace(two, facts=replace(two.facts, labels_sha256="other"))
    (warning,) = warnings_of([*FINE, one, two])
    assert "x (train) = y (train), with different labels" in warning


def test_groups_are_named_with_their_splits_and_an_empty_group_binds_nothing() -> None:
    torn = [placed("x", "train", group="m1"), placed("y", "test", group="m1"), placed("z", "val", group="m2")]
    (error,) = errors_of([*FINE, *torn])
    assert "1 groups" in error
    assert "m1 (test, train)" in error


@pytest.mark.parametrize(("held_out", "expected"), [(0, "thresholds can't"), (4, "Only 4 in the val split")])
def test_a_small_val_split_is_a_warning(held_out: int, expected: str) -> None:
    (warning,) = warnings_of(FINE[: 1 + held_out])
    assert expected in warning


def test_long_lists_end_in_their_number() -> None:
    empty = [
        replace(one, facts=replace(one.facts, kind="empty"))
        for one in (placed(f"e{number:02}", "train") for number in range(30))
    ]
    (warning,) = warnings_of([*FINE, *empty])
    assert "30 images have no labels" in warning
    assert "e19 and 10 more" in warning
    assert "e20" not in warning


def test_a_pixel_hash_knows_shape_and_type_but_not_byte_order_or_layout_in_memory() -> None:
    pixels = np.arange(12, dtype="<u2").reshape(3, 4)
    assert (
        pixel_sha256(pixels) == pixel_sha256(pixels.astype(">u2")) == pixel_sha256(np.asfortranarray(pixels))
    )
    others = [pixels.reshape(4, 3), pixels.astype(np.uint8), pixels[::-1]]
    assert len({pixel_sha256(one) for one in [pixels, *others]}) == 4


def test_facts_see_flat_images_and_grey_saved_as_rgb() -> None:
    labels = np.zeros((4, 5), np.uint16)
    grey = np.arange(20, dtype=np.uint8).reshape(4, 5)
    seen = facts_of("a", Pixels(grey, labels))
    assert (seen.kind, seen.flat) == ("empty", False)
    assert facts_of("b", Pixels(np.stack([grey] * 3, axis=-1), labels)).image_sha256 == seen.image_sha256
    assert facts_of("c", Pixels(np.full((4, 5), 9), labels)).flat
    assert not facts_of("d", Pixels(np.full((4, 5, 3), (1, 2, 3)), labels)).flat


def test_the_data_hash_depends_on_every_field_and_the_order() -> None:
    rows = [("a", "train"), ("b", "val")]
    hashes = {data_sha256(rows), data_sha256(rows[::-1]), data_sha256([("a", "train"), ("b", "train")])}
    assert len(hashes) == 3
