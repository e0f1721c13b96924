"""OME-Zarr plates and collections: listing, reading, repeated writing."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nucbatch.core.errors import InputError, StoreError
from nucbatch.core.plate import Channel, Field, Plate
from nucbatch.core.plate_geometry import split_well
from nucbatch.store.images import create_images, write_field
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stored_images import field_groups, read_channels, read_image, read_labels

CHANNELS = (Channel("DAPI", 0), Channel("GFP", 1))


def _field(well: str, site: int, problem: str = "") -> Field:
    row, column = split_well(well)
    return Field(
        well, site, 0, f"{row}/{column}/{site}", f"P_{well}_s{site}", (), 300, 280, "uint16", 0.5, problem
    )


def _plate(*fields: Field, is_plate: bool = True) -> Plate:
    return Plate("P", "/", "x", CHANNELS, fields, (), is_plate=is_plate)


def _pixels(seed: int) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint32]]:
    rng = np.random.default_rng(seed)
    labels = np.zeros((300, 280), np.uint32)
    labels[20:40, 30:60], labels[250:300, 1:3] = 1, 2
    return rng.integers(0, 4000, (2, 300, 280), np.uint16), labels


def _write(folder: RunFolder, plate: Plate, failed: Collection[str] = ()) -> None:
    store = create_images(folder, plate, failed)
    for number, field in enumerate(plate.fields):
        if not field.problem and field.key not in failed:
            write_field(store, field, CHANNELS, *_pixels(number))


def _files(path: Path) -> dict[str, bytes]:
    return {
        found.relative_to(path).as_posix(): found.read_bytes() for found in path.rglob("*") if found.is_file()
    }


def _ome(path: Path) -> dict[str, Any]:
    ome: dict[str, Any] = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]
    return ome


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def test_image_and_labels_can_be_read_at_every_level(folder: RunFolder) -> None:
    _write(folder, _plate(_field("B03", 1)))
    image, labels = _pixels(0)
    assert (read_image(folder, "B/3/1") == image).all()
    assert (read_labels(folder, "B/3/1") == labels).all()
    assert read_labels(folder, "B/3/1").dtype == np.uint32
    assert read_image(folder, "B/3/1", 1).shape == (2, 150, 140)
    assert (read_labels(folder, "B/3/1", 1) == labels[::2, ::2]).all()
    assert read_channels(folder, "B/3/1") == ["DAPI", "GFP"]


@pytest.mark.parametrize("channels", [1, 5])
@pytest.mark.parametrize(("side_px", "files", "folders"), [(1080, 15, 9), (2160, 19, 11)])
def test_a_field_writes_one_file_per_level(
    side_px: int, files: int, folders: int, channels: int, tmp_path: Path
) -> None:
    field = Field("B03", 1, 0, "B/3/1", "x", (), side_px, side_px, "uint8")
    names = [Channel(f"C{number}", number) for number in range(channels)]
    image = np.ones((channels, side_px, side_px), np.uint8)
    write_field(tmp_path, field, names, image, image[0].astype(np.uint32))
    left = [tmp_path / "B/3/1", *(tmp_path / "B/3/1").rglob("*")]
    assert sum(path.is_file() for path in left) == files
    assert sum(path.is_dir() for path in left) == folders


def test_metadata_above_the_fields_are_written_before_pixels(folder: RunFolder) -> None:
    create_images(folder, _plate(_field("B03", 1), _field("B03", 2), _field("AA12", 1)))
    assert sorted(_files(folder.plate_zarr)) == [
        *["AA/12/zarr.json", "AA/zarr.json", "B/3/zarr.json", "B/zarr.json"],
        "zarr.json",
    ]
    assert field_groups(folder) == ["B/3/1", "B/3/2", "AA/12/1"]


def test_unusable_fields_are_not_listed_and_empty_wells_keep_row_and_column(
    folder: RunFolder,
) -> None:
    create_images(
        folder, _plate(_field("B03", 1), _field("B03", 2, "cut short"), _field("H12", 1, "no file"))
    )
    assert field_groups(folder) == ["B/3/1"]
    plate = _ome(folder.plate_zarr)["plate"]
    assert [well["path"] for well in plate["wells"]] == ["B/3"]
    assert not (folder.plate_zarr / "H").exists()
    names = [[entry["name"] for entry in plate[side]] for side in ("rows", "columns")]
    assert names == [list("ABCDEFGH"), [str(number) for number in range(1, 13)]]


def test_fields_that_fail_later_give_the_same_metadata(tmp_path: Path) -> None:
    fields = (_field("B03", 1), _field("B03", 2), _field("B04", 1), _field("C01", 1))
    known, late = RunFolder(tmp_path / "known"), RunFolder(tmp_path / "late")
    failed = {"B/3/2", "B/4/1", "C/1/1"}
    _write(known, _plate(*fields), failed)
    _write(late, _plate(*fields))
    create_images(late, _plate(*fields), failed)
    assert _files(late.path) == _files(known.path)
    folders = [
        sorted(path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_dir())
        for run in (known, late)
    ]
    assert folders[0] == folders[1]


def test_a_plate_without_usable_fields_is_a_plain_group(folder: RunFolder) -> None:
    create_images(folder, _plate(_field("B03", 1, "cut short")))
    assert field_groups(folder) == []
    assert sorted(_files(folder.plate_zarr)) == ["zarr.json"]


def test_writing_twice_gives_the_same_bytes(folder: RunFolder) -> None:
    plate = _plate(_field("B03", 1), _field("B03", 2))
    _write(folder, plate)
    before = _files(folder.path)
    _write(folder, plate)
    assert _files(folder.path) == before


def test_a_field_becomes_an_image_after_its_pixels_are_written(folder: RunFolder) -> None:
    field = _field("B03", 1)
    store = create_images(folder, _plate(field))
    image, labels = _pixels(0)
    (store / "B/3/1").mkdir()
    (store / "B/3/1/labels").write_text("in the way")
    with pytest.raises(StoreError, match="can't be written"):
        write_field(store, field, CHANNELS, image, labels)
    assert (store / "B/3/1/0/zarr.json").exists()
    assert not (store / "B/3/1/zarr.json").exists()


def test_a_collection_lists_its_images_in_order(folder: RunFolder) -> None:
    names = ["zebra", "labels", "a-b_c.d"]
    fields = [Field("", site, 0, name, name, (), 300, 280, "uint16") for site, name in enumerate(names, 1)]
    bad = Field("", 4, 0, "bad", "bad", (), 0, 0, "", problem="cut short")
    _write(folder, _plate(*fields, bad, is_plate=False))
    assert field_groups(folder) == names
    assert not folder.plate_zarr.exists()
    assert (read_labels(folder, "labels") == _pixels(1)[1]).all()


def test_a_field_without_nuclei_has_labels(folder: RunFolder) -> None:
    field = _field("B03", 1)
    store = create_images(folder, _plate(field))
    image = np.zeros((2, 300, 280), np.uint16)
    write_field(store, field, CHANNELS, image, np.zeros((300, 280), np.uint32))
    assert not read_labels(folder, "B/3/1").any()
    assert read_image(folder, "B/3/1").shape == image.shape


def test_an_image_of_one_pixel_is_valid(folder: RunFolder) -> None:
    field = _field("B03", 1)
    store = create_images(folder, _plate(field))
    write_field(
        store,
        field,
        CHANNELS[:1],
        np.ones((1, 1, 1), np.float32),
        np.ones((1, 1), np.uint32),
    )
    assert read_labels(folder, "B/3/1", 1).tolist() == [[1]]


@pytest.mark.parametrize(
    ("image", "labels"),
    [((300, 280), (300, 280)), ((1, 300, 280), (300, 280)), ((2, 300, 280), (280, 300)), ((2, 0, 5), (0, 5))],
)
def test_mismatched_shapes_are_rejected(
    image: tuple[int, ...], labels: tuple[int, int], folder: RunFolder
) -> None:
    field = _field("B03", 1)
    store = create_images(folder, _plate(field))
    with pytest.raises(InputError, match="do not match"):
        write_field(store, field, CHANNELS, np.zeros(image), np.zeros(labels, np.uint32))


def test_labels_of_another_dtype_are_rejected(folder: RunFolder) -> None:
    field = _field("B03", 1)
    store = create_images(folder, _plate(field))
    image, labels = _pixels(0)
    signed: Any = labels.astype(np.int64)
    with pytest.raises(InputError, match="labels are int64, they must be uint32"):
        write_field(store, field, CHANNELS, image, signed)


def test_a_group_outside_the_store_is_rejected(folder: RunFolder) -> None:
    field = Field("", 1, 0, "../outside", "x", (), 300, 280, "uint16")
    with pytest.raises(StoreError, match="is not a valid name"):
        write_field(folder.images_zarr, field, CHANNELS, *_pixels(0))


def test_reading_a_missing_image_is_an_error(folder: RunFolder) -> None:
    with pytest.raises(StoreError, match=r"neither plate\.zarr nor images\.zarr"):
        field_groups(folder)
    create_images(folder, _plate(_field("B03", 1)))
    with pytest.raises(StoreError, match="can't be read"):
        read_image(folder, "B/3/1")
    with pytest.raises(StoreError, match="can't be read"):
        read_channels(folder, "B/3/1")


def test_a_truncated_chunk_is_rejected_before_decoding(folder: RunFolder) -> None:
    field = _field("B03", 1)
    pixels, labels = _pixels(0)
    store = create_images(folder, _plate(field))
    write_field(store, field, CHANNELS[:1], pixels[:1], labels)
    chunk = next(path for path in (store / "B/3/1/0").rglob("c*") if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:9000])
    with pytest.raises(StoreError, match="its Blosc header promises"):
        read_image(folder, "B/3/1")


def test_groups_that_are_the_same_at_the_end_are_not_written_again(folder: RunFolder) -> None:
    fields = [_field("B03", 1), _field("B04", 1), _field("C03", 1)]
    store = create_images(folder, _plate(*fields))
    before = {path: path.stat().st_ino for path in store.rglob("zarr.json")}
    (store / "B" / "3" / "zarr.json").write_bytes(b"")  # as a failing machine leaves it
    create_images(folder, _plate(*fields), {fields[1].key}, reasons={fields[1].key: "damaged"})
    after = {path: path.stat().st_ino for path in store.rglob("zarr.json")}
    written = {path.relative_to(store).as_posix() for path in after if after[path] != before[path]}
    assert written == {"zarr.json", "B/3/zarr.json"}
    assert "B/4/zarr.json" not in {path.relative_to(store).as_posix() for path in after}
    assert _ome(store / "B" / "3")["well"]
