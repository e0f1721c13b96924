"""Selection of the reader, and messages for unrecognised inputs."""

import shlex
import shutil
import subprocess

import numpy as np
import pytest
import tifffile

from nucbatch.core.errors import InputError, InputNotFound
from nucbatch.core.plate import FileStatus
from nucbatch.readers.find import known_readers, open_plate

PIXELS = np.zeros((8, 8), np.uint8)


def write(root, *names):
    for name in names:
        tifffile.imwrite(root / name, PIXELS)


def test_readers_are_tried_from_specific_to_general():
    ours = ["manifest", "omezarr", "imagexpress", "names", "pattern", "single", "folder"]
    readers = known_readers()
    assert [reader.name for reader in readers if reader.name in ours] == ours
    assert [reader.priority for reader in readers] == sorted(reader.priority for reader in readers)


@pytest.mark.parametrize(
    ("names", "layout"),
    [
        (["p_B02_s1_w1.tif", "p_B02_s1_w2.tif"], "imagexpress"),
        (["Channel1-01-A-01.tif"], "names"),
        (["cat.tif", "dog.tif"], "folder"),
    ],
)
def test_layouts_are_recognised(tmp_path, names, layout):
    write(tmp_path, *names)
    assert open_plate(tmp_path).layout == layout
    assert open_plate(tmp_path / names[0]).layout == "single"


def test_a_layout_can_be_forced(tmp_path):
    write(tmp_path, "p_B02_s1_w1.tif")
    assert open_plate(tmp_path, layout="folder").layout == "folder"
    assert open_plate(tmp_path, pattern=r"_(?P<well>B\d\d)_").layout == "pattern"


def test_a_folder_of_links_is_rejected_with_the_remedy(tmp_path):
    (tmp_path / "my data/sub").mkdir(parents=True)
    write(tmp_path / "my data", "a.tif", "sub/b.tif")
    links = tmp_path / "chosen"
    links.mkdir()
    for name in ("a.tif", "sub/b.tif"):
        (links / name.replace("/", "_")).symlink_to(tmp_path / "my data" / name)
    (links / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="only 2 symbolic links that lead out of it") as caught:
        open_plate(links)
    assert f"(a.tif to {tmp_path}/my data/a.tif)" in str(caught.value)
    commands = [shlex.split(line) for line in str(caught.value).splitlines()[1:]]
    assert commands[0] == ["nucbatch", "inspect", f"{tmp_path}/my data"]
    subprocess.run([*commands[1][:3], tmp_path / "copy"], check=True)
    assert len(open_plate(tmp_path / "copy").fields) == 2
    subprocess.run(["cp", "-rlL", links, tmp_path / "linked"], check=True)
    assert len(open_plate(tmp_path / "linked").fields) == 2
    shutil.rmtree(tmp_path / "my data")
    with pytest.raises(InputError, match="Their targets don't exist either"):
        open_plate(links)


def test_a_folder_of_linked_folders_is_rejected(tmp_path):
    (tmp_path / "data/one").mkdir(parents=True)
    write(tmp_path / "data/one", "a.tif")
    (tmp_path / "chosen").mkdir()
    (tmp_path / "chosen/one").symlink_to(tmp_path / "data/one")
    with pytest.raises(InputError, match=rf"no image of its own.*\n  nucbatch inspect {tmp_path}/data/one"):
        open_plate(tmp_path / "chosen")


def test_links_beside_a_file_are_quarantined(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "chosen").mkdir()
    write(tmp_path / "data", "a.tif")
    write(tmp_path / "chosen", "b.tif")
    (tmp_path / "chosen/a.tif").symlink_to(tmp_path / "data/a.tif")
    plate = open_plate(tmp_path / "chosen")
    assert {file.path: file.reason.partition(":")[0] for file in plate.files} == {
        "a.tif": "a link that leads out of the input",
        "b.tif": "",
    }


def test_unrecognised_inputs_give_the_remedy(tmp_path):
    with pytest.raises(InputNotFound, match="does not exist"):
        open_plate(tmp_path / "gone")
    with pytest.raises(
        InputError,
        match=r"'czi' is not known: use one of manifest, omezarr, containers, .*pattern, single, ",
    ):
        open_plate(tmp_path, layout="czi")
    with pytest.raises(InputError, match=r"no images below .*: 0 files found"):
        open_plate(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"no images below .*: 1 file found"):
        open_plate(tmp_path)
    with pytest.raises(
        InputError, match=r"notes\.txt is no TIFF, SVS, PNG, JPEG, ND2, LIF, CZI, OME-Zarr or manifest CSV"
    ):
        open_plate(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="leave one out"):
        open_plate(tmp_path, layout="folder", pattern="(?P<well>.)")
    with pytest.raises(InputError, match="a pixel size of -1"):
        open_plate(tmp_path, pixel_size_um=-1)


SCANR = [f"A{w}--W0000{w}--P00001--Z00000--T00000--{c}.tif" for w in (1, 2) for c in ("DAPI", "GFP")]
HARMONY = [f"r01c0{c}f01p01-ch{w}sk1fk1fl1.tiff" for c in (1, 2, 3) for w in (1, 2)]


def test_plates_of_several_layouts_are_rejected_with_commands(tmp_path):
    for folder, names in (("x/one/data", SCANR), ("x/two", HARMONY)):
        (tmp_path / folder).mkdir(parents=True)
        write(tmp_path / folder, *names)
    with pytest.raises(
        InputError, match=r"several kinds \(harmony, scanr\).*\n.*run .*/one -o .*\n.*run .*/two -o"
    ):
        open_plate(tmp_path / "x")
    assert open_plate(tmp_path / "x/one").layout == "scanr"
    write(tmp_path / "x/one", *HARMONY)
    with pytest.raises(InputError, match="Put each plate into a folder of its own"):
        open_plate(tmp_path / "x/one")


def test_strays_beside_a_plates_images_are_quarantined(tmp_path):
    write(tmp_path, *SCANR, *HARMONY)
    plate = open_plate(tmp_path)
    assert (plate.layout, sum(bool(record.reason) for record in plate.files)) == ("harmony", len(SCANR))


def test_a_large_plate_is_opened_in_a_process_of_its_own(tmp_path, caplog):
    """The same plate, log and errors come from there; a small number of files stands for a large one."""
    folder = tmp_path / "p1"
    folder.mkdir()
    for site in (1, 2):
        tifffile.imwrite(folder / f"p1_A01_s{site}_w1.tif", np.zeros((8, 9), np.uint16))
    (folder / "p1_A01_s3_w1.tif").write_bytes(b"no picture")
    with caplog.at_level("INFO", "nucbatch"):
        apart = open_plate(folder, apart_from=3, pixel_size_um=0.5)
    assert "fields: 3" in caplog.text
    assert apart == open_plate(folder, pixel_size_um=0.5)
    assert apart.files[2].status is FileStatus.QUARANTINED
    with pytest.raises(InputError, match="--acquisition is for plates with acquisitions"):
        open_plate(folder, apart_from=3, acquisition="first")
