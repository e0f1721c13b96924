"""A run's OME-Zarr is valid by the specification's schemas and models, and its reference reader opens it.

The schemas are the ones published with OME-Zarr 0.5, as ngff-zarr ships them; its code is not used.
"""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import ome_zarr_models
import pytest
import zarr
from jsonschema import Draft202012Validator, ValidationError
from ome_zarr.io import parse_url
from ome_zarr.reader import Node, Reader
from ome_zarr_models.v05.bioformats2raw import BioFormats2Raw
from ome_zarr_models.v05.hcs import HCS
from ome_zarr_models.v05.image import Image
from ome_zarr_models.v05.image_label import ImageLabel
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from nucbatch.core.errors import InputError
from nucbatch.core.plate import Channel, Field, Plate
from nucbatch.labels.ome_zarr_images import open_images
from nucbatch.readers.find import open_plate
from nucbatch.store.images import create_images, write_field
from nucbatch.store.labels_alone import write_labels_alone
from nucbatch.store.ngff import Version
from nucbatch.store.run_folder import RunFolder
from nucbatch.store.stamps import stamp_of
from nucbatch.store.stored_images import field_groups, read_image, read_labels

CHANNELS = (Channel("DAPI", 0), Channel("GFP", 1))


def _fields(groups: list[str], pixel_size_um: float | None) -> tuple[Field, ...]:
    # Of a plate: two sites of B3, two of D6 (one at a later time), and C4 without an image that can be used.
    wells = {"B/3/1": "B03", "B/3/2": "B03", "D/6/1": "D06", "D/6/2t1": "D06", "C/4/1": "C04"}
    return tuple(
        Field(
            wells.get(group, ""),
            1,
            0,
            group,
            group.replace("/", "_"),
            (),
            300,
            520,
            "uint16",
            pixel_size_um,
            "cut short" if group == "C/4/1" else "",
        )
        for group in groups
    )


def _run(
    path: Path, groups: list[str], pixel_size_um: float | None, *, is_plate: bool
) -> tuple[RunFolder, Plate]:
    folder = RunFolder(path)
    plate = Plate("Plate 1", "/", "x", CHANNELS, _fields(groups, pixel_size_um), (), is_plate=is_plate)
    store = create_images(folder, plate)
    rng = np.random.default_rng(0)
    for field in plate.fields:
        if not field.problem:
            labels = np.zeros((300, 520), np.uint32)
            labels[10:40, 30:50], labels[200:230, 300:330] = 1, 2
            image = rng.integers(0, 900, (2, 300, 520), np.uint16)
            write_field(store, field, CHANNELS, image, labels)
    return folder, plate


@pytest.fixture(params=[0.325, None], ids=["sized", "unsized"])
def plate_run(request: pytest.FixtureRequest, tmp_path: Path) -> RunFolder:
    groups = ["B/3/1", "B/3/2", "C/4/1", "D/6/1", "D/6/2t1"]
    return _run(tmp_path, groups, request.param, is_plate=True)[0]


@pytest.fixture
def collection_run(tmp_path: Path) -> RunFolder:
    return _run(tmp_path, ["one", "two.b", "labels"], None, is_plate=False)[0]


@pytest.fixture(params=["0.5", "0.4"])
def located(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[RunFolder, Version]:
    """A plate of 8 x 12 wells whose fields have positions and acquisitions."""
    groups = ["B/3/1", "B/3/2", "C/4/1", "D/6/1"]
    fields = tuple(
        replace(field, position_um=(100.0, -50.0 * place), acquisition=f"scan {place % 2}")
        for place, field in enumerate(_fields(groups, 0.5))
    )
    plate = Plate("Plate 1", "/", "x", CHANNELS, fields, (), rows=8, columns=12)
    folder, version = RunFolder(tmp_path), request.param
    store = create_images(folder, plate, version=version)
    image = np.random.default_rng(0).integers(0, 900, (2, 300, 520), np.uint16)
    for field in plate.fields:
        if not field.problem:
            labels = np.zeros((300, 520), np.uint32)
            labels[10:40, 30:50] = 7
            write_field(store, field, CHANNELS, image, labels, version=version)
    return folder, version


@pytest.fixture(scope="module")
def schemas() -> dict[str, Draft202012Validator]:
    return _schemas("0.5")


def _schemas(version: Version) -> dict[str, Draft202012Validator]:
    """The published schemas by name; ``strict_`` ones also want what the text recommends."""
    spec = importlib.util.find_spec("ngff_zarr")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "spec" / version / "schemas"
    documents = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.schema")}
    registry: Registry[Any] = Registry().with_resources(
        (document["$id"], Resource.from_contents(document, default_specification=DRAFT202012))
        for document in documents.values()
    )
    return {name: Draft202012Validator(document, registry=registry) for name, document in documents.items()}


def _attributes(group: Path) -> Any:
    return json.loads((group / "zarr.json").read_text(encoding="utf-8"))["attributes"]


def test_every_group_of_a_plate_fits_its_published_schema(
    plate_run: RunFolder, schemas: dict[str, Draft202012Validator]
) -> None:
    store = plate_run.plate_zarr
    schemas["strict_plate"].validate(_attributes(store))
    for well, images in {"B/3": ["1", "2"], "D/6": ["1", "2t1"]}.items():
        schemas["strict_well"].validate(_attributes(store / well))
        for image in images:
            group = store / well / image
            schemas["strict_image"].validate(_attributes(group))
            schemas["strict_image"].validate(_attributes(group / "labels" / "nuclei"))
            schemas["label"].validate(_attributes(group / "labels" / "nuclei"))


def test_every_group_of_a_collection_fits_its_published_schema(
    collection_run: RunFolder, schemas: dict[str, Draft202012Validator]
) -> None:
    store = collection_run.images_zarr
    schemas["bf2raw"].validate(_attributes(store))
    schemas["ome"].validate(_attributes(store / "OME"))
    for name in _attributes(store / "OME")["ome"]["series"]:
        schemas["strict_image"].validate(_attributes(store / name))
        schemas["label"].validate(_attributes(store / name / "labels" / "nuclei"))


@pytest.mark.parametrize("schema", ["plate", "well", "image", "label"])
def test_the_schemas_refuse_what_is_no_ome_zarr(
    schema: str, schemas: dict[str, Draft202012Validator]
) -> None:
    with pytest.raises(ValidationError):
        schemas[schema].validate({"ome": {"version": "0.5"}})


def test_every_array_of_a_field_is_one_file_names_its_axes_and_keeps_chunks_small(
    plate_run: RunFolder,
) -> None:
    root = zarr.open_group(plate_run.plate_zarr, mode="r")
    arrays = {path: node for path, node in root.members(max_depth=None) if isinstance(node, zarr.Array)}
    assert len(arrays) == 4 * (2 + 2)
    for path, array in arrays.items():
        described = array.metadata.to_dict()
        assert described["chunk_key_encoding"] == {"name": "default", "configuration": {"separator": "."}}
        assert described["dimension_names"] == (("y", "x") if "labels" in path else ("c", "y", "x"))
        assert max(array.chunks) <= 1024
        chunk = "c.0.0" if "labels" in path else "c.0.0.0"
        files = {file.name for file in (plate_run.plate_zarr / path).iterdir()}
        assert files <= {chunk, "zarr.json"}  # labels of a field without nuclei have no chunk
        assert array.dtype == (np.uint32 if "labels" in path else np.uint16)


def test_labels_have_their_images_levels_and_scales(plate_run: RunFolder) -> None:
    group = plate_run.plate_zarr / "B/3/1"
    (image,) = _attributes(group)["ome"]["multiscales"]
    (labels,) = _attributes(group / "labels/nuclei")["ome"]["multiscales"]
    assert len(image["datasets"]) == len(labels["datasets"]) >= 2
    for above, below in zip(image["datasets"], labels["datasets"], strict=True):
        for one, two in zip(
            above["coordinateTransformations"], below["coordinateTransformations"], strict=True
        ):
            assert one[one["type"]][1:] == two[two["type"]]


def test_the_models_accept_a_plate_its_images_and_their_labels(plate_run: RunFolder) -> None:
    root = zarr.open_group(plate_run.plate_zarr, mode="r")
    plate = ome_zarr_models.open_ome_zarr(root)
    assert isinstance(plate, HCS)
    assert plate.n_wells == 2
    wells = list(plate.well_groups)
    assert [[image.path for image in well.ome_attributes.well.images] for well in wells] == [
        ["1", "2"],
        ["1", "2t1"],
    ]
    for path in ("B/3/1", "B/3/2", "D/6/1", "D/6/2t1"):
        image = Image.from_zarr(root[path])
        assert image.labels is not None
        assert image.labels.label_paths == ["nuclei"]
        label = ImageLabel.from_zarr(root[f"{path}/labels/nuclei"])
        assert label.ome_attributes.image_label is not None


def test_the_models_accept_a_collection(collection_run: RunFolder) -> None:
    root = zarr.open_group(collection_run.images_zarr, mode="r")
    assert isinstance(BioFormats2Raw.from_zarr(root), BioFormats2Raw)
    for name in ("one", "two.b", "labels"):
        assert isinstance(ome_zarr_models.open_ome_zarr(root[name]), Image)


@pytest.fixture
def labels_alone(tmp_path: Path) -> RunFolder:
    """A plate without a copy of its images."""
    folder = RunFolder(tmp_path)
    plate = Plate("Plate 1", "/", "x", CHANNELS, _fields(["B/3/1", "D/6/1"], 0.325), ())
    store = create_images(folder, plate)
    for field in plate.fields:
        labels = np.zeros((300, 520), np.uint32)
        labels[10:40, 30:50] = 9
        written = write_labels_alone(store / field.group, field, labels)
        there = {path for path in (store / field.group).rglob("*") if path.is_file()}
        assert written == {path: stamp_of(path)[0] for path in there}
    return folder


def test_a_plate_of_labels_alone_is_valid_as_images_and_as_labels(
    labels_alone: RunFolder, schemas: dict[str, Draft202012Validator]
) -> None:
    store = labels_alone.plate_zarr
    schemas["strict_plate"].validate(_attributes(store))
    root = zarr.open_group(store, mode="r")
    assert isinstance(ome_zarr_models.open_ome_zarr(root), HCS)
    for path in ("B/3/1", "D/6/1"):
        for group in (store / path, store / path / "labels" / "nuclei"):
            schemas["strict_image"].validate(_attributes(group))
        schemas["label"].validate(_attributes(store / path / "labels" / "nuclei"))
        image = Image.from_zarr(root[path])
        assert image.labels is not None
        assert image.labels.label_paths == ["nuclei"]
        assert isinstance(ImageLabel.from_zarr(root[f"{path}/labels/nuclei"]), ImageLabel)
        nodes = [node for node in _nodes(store / path) if node.data]
        assert [level.shape for level in nodes[0].data] == [(300, 520), (150, 260)]
        assert all(np.unique(node.data[0].compute()).tolist() == [0, 9] for node in nodes)
    arrays = [path for path, node in root.members(max_depth=None) if isinstance(node, zarr.Array)]
    assert len(arrays) == 2 * 2


def test_labels_alone_are_never_taken_for_images(labels_alone: RunFolder) -> None:
    store = labels_alone.plate_zarr
    opened = open_plate(store)
    assert [field.problem for field in opened.fields] == [
        f"plate.zarr/{path}/: it holds labels alone, of a run with --images none: name the images that were "
        "segmented"
        for path in ("B/3/1", "D/6/1")
    ]
    for image in open_images(store):
        assert image.read_labels("nuclei").max() == 9
        with pytest.raises(InputError, match="it holds labels alone"):
            image.read_image()


def _nodes(path: Path) -> list[Node]:
    location = parse_url(path)
    assert location is not None
    return list(Reader(location)())


def test_the_reference_reader_opens_image_and_labels(plate_run: RunFolder) -> None:
    image, labels = [node for node in _nodes(plate_run.plate_zarr / "B/3/1") if node.data]
    assert [level.shape for level in image.data] == [(2, 300, 520), (2, 150, 260)]
    assert [level.shape for level in labels.data] == [(300, 520), (150, 260)]
    assert image.metadata["channel_names"] == ["DAPI", "GFP"]
    assert np.unique(labels.data[0].compute()).tolist() == [0, 1, 2]
    assert labels.metadata["name"] == "nuclei"


def test_the_reference_reader_opens_the_labels_alone_and_finds_their_image(plate_run: RunFolder) -> None:
    shapes = [
        node.data[0].shape for node in _nodes(plate_run.plate_zarr / "B/3/1/labels/nuclei") if node.data
    ]
    assert sorted(shapes) == [(2, 300, 520), (300, 520)]


def test_the_reference_reader_opens_the_whole_plate(plate_run: RunFolder) -> None:
    plate = next(node for node in _nodes(plate_run.plate_zarr) if node.data)
    picture = plate.data[-1]
    # One field of each of 4 x 6 wells: D6 makes it a 24-well plate.
    assert picture.shape == (2, 4 * 150, 6 * 260)
    first = picture[:, 150:300, 520:780].compute()
    assert first.any()
    assert (first == zarr.open_array(plate_run.plate_zarr / "B/3/1/1", mode="r")[...]).all()


def _ome(group: Path, version: Version) -> Any:
    """The OME-Zarr attributes of a group, as the schemas of this version take them."""
    return (
        json.loads((group / ".zattrs").read_text(encoding="utf-8"))
        if version == "0.4"
        else _attributes(group)
    )


def test_positions_acquisitions_and_the_plates_size_fit_the_schemas_and_the_models(
    located: tuple[RunFolder, Version],
) -> None:
    folder, version = located
    store, schemas = folder.plate_zarr, _schemas(version)
    schemas["strict_plate"].validate(_ome(store, version))
    schemas["strict_well"].validate(_ome(store / "B/3", version))
    schemas["strict_image"].validate(_ome(store / "B/3/2", version))
    schemas["label"].validate(_ome(store / "B/3/2/labels/nuclei", version))
    root = zarr.open_group(store, mode="r")
    plate = ome_zarr_models.open_ome_zarr(root)
    assert type(plate).__name__ == "HCS"
    described = plate.ome_attributes.plate if version == "0.5" else plate.attributes.plate
    assert (len(described.rows), len(described.columns)) == (8, 12)
    assert [(one.id, one.name) for one in described.acquisitions] == [(0, "scan 0"), (1, "scan 1")]
    for path in ("B/3/1", "B/3/2", "D/6/1", "B/3/1/labels/nuclei"):
        assert ome_zarr_models.open_ome_zarr(root[path]) is not None
    well = _ome(store / "B/3", version)
    images = (well if version == "0.4" else well["ome"])["well"]["images"]
    assert [(image["path"], image["acquisition"]) for image in images] == [("1", 0), ("2", 1)]


def test_the_reference_reader_opens_both_versions(located: tuple[RunFolder, Version]) -> None:
    folder, _ = located
    image, labels = [node for node in _nodes(folder.plate_zarr / "B/3/2") if node.data]
    assert [level.shape for level in image.data] == [(2, 300, 520), (2, 150, 260)]
    assert np.unique(labels.data[0].compute()).tolist() == [0, 7]
    _, shift = image.metadata["coordinateTransformations"][0]
    # The centre lies at (100, -50) µm, and a pixel measures 0.5 µm.
    assert shift["translation"] == [0.0, 100.0 - 75.0, -50.0 - 130.0]
    assert labels.metadata["coordinateTransformations"][0][1]["translation"] == [25.0, -180.0]
    picture = next(node for node in _nodes(folder.plate_zarr) if node.data).data[-1]
    assert picture.shape == (2, 8 * 150, 12 * 260)


def test_written_images_are_read_back_in_both_versions(located: tuple[RunFolder, Version]) -> None:
    folder, version = located
    assert field_groups(folder) == ["B/3/1", "B/3/2", "D/6/1"]
    pixels = np.random.default_rng(0).integers(0, 900, (2, 300, 520), np.uint16)
    assert (read_image(folder, "D/6/1") == pixels).all()
    assert read_labels(folder, "D/6/1").max() == 7
    root = zarr.open_group(folder.plate_zarr, mode="r")
    assert (np.asarray(root["D/6/1/0"]) == pixels).all()
    assert root.metadata.zarr_format == (3 if version == "0.5" else 2)
    field = _fields(["D/6/1"], 0.5)[0]
    there = {path for path in (folder.plate_zarr / "D/6/1").rglob("*") if path.is_file()}
    written = write_field(
        folder.plate_zarr, field, CHANNELS, pixels, read_labels(folder, "D/6/1"), version=version
    )
    assert written == {path: stamp_of(path)[0] for path in there}
