"""Images of formats that are not decoded: the refusal names the format and the command that converts it."""

import re
import subprocess

import pytest
from golden import quarantined, write_images

from nucbatch.core.errors import InputError
from nucbatch.readers.find import open_plate
from nucbatch.readers.foreign_images import foreign_suffixes, reason


def refusal(path) -> str:
    with pytest.raises(InputError) as caught:
        open_plate(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "maker", "converted"),
    [
        ("a b.vsi", "Olympus", ["a b.ome.tif"]),
        ("a.ims", "Imaris", ["a.ome.tif"]),
    ],
)
def test_the_command_converts_each_file_to_a_name_that_is_recognised(tmp_path, name, maker, converted):
    plate = tmp_path / "my plate"
    plate.mkdir()
    (plate / name).write_bytes(b"\0\0\0\x10")
    message = refusal(plate)
    assert f"({maker}" in message
    assert message.splitlines()[1:] == refusal(plate / name).splitlines()[1:]
    command = re.sub("bfconvert -nogroup", "printf '%s>%s\\n'", message.splitlines()[-1])
    said = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == [f"{name}>{one}" for one in converted]


def test_an_unreadable_picture_is_converted_by_any_program(tmp_path):
    (tmp_path / "a.bmp").write_bytes(b"BM")
    assert refusal(tmp_path).endswith("It holds 1 .bmp image. Convert them to TIFF or PNG.")


def test_a_foreign_image_beside_others_is_quarantined_with_the_mend(tmp_path):
    write_images(tmp_path, ["a.tif"])
    (tmp_path / "b.vsi").write_bytes(b"x")
    assert quarantined(open_plate(tmp_path)) == {"b.vsi": reason("b.vsi")}
    assert "bfconvert" in reason("b.vsi")
    assert all("convert" in reason(f"x{suffix}") for suffix in foreign_suffixes())
