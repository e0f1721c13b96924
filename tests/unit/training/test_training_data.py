import shutil
from pathlib import Path

import numpy as np
import pytest

from nucbatch.errors import InputError, InputNotFound
from nucbatch.settings import NormaliseSettings
from nucbatch.training.data import find_data, load_sample, sampling_weights


@pytest.fixture
def data(small_data: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_data, tmp_path / "data"))


def test_entries_come_with_their_split_and_a_hash_that_follows_every_byte(data: Path) -> None:
    found = find_data(data)
    assert [entry.name for entry in found.split("train")] == ["f0", "f1", "f2", "f3", "f4"]
    assert [entry.name for entry in found.split("val")] == ["f5"]
    assert found.sha256 == find_data(data).sha256
    shutil.copy(data / "labels" / "f0.png", data / "labels" / "f1.png")
    assert find_data(data).sha256 != found.sha256


def test_without_split_csv_a_tenth_is_held_out(data: Path) -> None:
    (data / "split.csv").unlink()
    found = find_data(data)
    assert len(found.split("val")) == 1
    assert len(found.split("train")) == 5


def test_unpaired_files_are_listed(data: Path) -> None:
    (data / "labels" / "f3.png").unlink()
    with pytest.raises(InputError, match=r"no partner of the same stem.*f3"):
        find_data(data)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="is no folder"):
        find_data(tmp_path / "nowhere")


def test_a_split_that_is_not_known_or_lacks_a_row_is_refused(data: Path) -> None:
    text = (data / "split.csv").read_text()
    (data / "split.csv").write_text(text.replace("f0,train", "f0,dev"))
    with pytest.raises(InputError, match="not 'dev'"):
        find_data(data)
    (data / "split.csv").write_text(text.replace("f2,train,fluorescence\n", ""))
    with pytest.raises(InputError, match="no row for 1 images: f2"):
        find_data(data)


def test_image_and_labels_of_different_size_are_refused(data: Path) -> None:
    import imagecodecs

    imagecodecs.imwrite(str(data / "labels" / "f0.png"), np.zeros((5, 5), np.uint16))
    with pytest.raises(InputError, match="must be of one size"):
        load_sample(find_data(data).split("train")[0], NormaliseSettings())


def test_a_sample_holds_image_and_targets_in_one_stack(data: Path) -> None:
    sample = load_sample(find_data(data).split("train")[0], NormaliseSettings())
    maps = sample.maps.numpy()
    assert maps.shape == (6, 96, 96)
    np.testing.assert_array_equal(maps[3], (sample.labels > 0) * 255)
    assert maps[4].max() == 255
    assert not maps[4][sample.labels == 0].any()
    assert set(np.unique(maps[5])) <= {32, 128}


def test_rare_kinds_are_drawn_more_often_than_their_share(data: Path) -> None:
    samples = [load_sample(entry, NormaliseSettings()) for entry in find_data(data).entries]
    from dataclasses import replace

    samples[0] = replace(samples[0], modality="histology")
    weights = sampling_weights(samples)
    assert np.isclose(weights.sum(), 1)
    assert 1 / 6 < weights[0] < 1 / 2
