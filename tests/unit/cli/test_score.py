"""``nucbatch score`` as a user meets it: folders of labels, a run's folder, files written, clear errors."""

import csv
import json
from dataclasses import replace

import imagecodecs
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from nucbatch.cli.score import score
from nucbatch.core.errors import InputError, InputNotFound
from nucbatch.core.plate import Channel, Field, Plate
from nucbatch.store.images import create_images, write_field
from nucbatch.store.label_tiff import write_label_tiff
from nucbatch.store.receipt import Receipt
from nucbatch.store.run_folder import RunFolder
from tests.run_tables import write_receipts


def run(*arguments: object):
    return CliRunner().invoke(score, [str(argument) for argument in arguments], catch_exceptions=False)


def labels(count, size=32):
    image = np.zeros((size, size), np.uint32)
    for number in range(count):
        row, column = divmod(number, 4)
        image[row * 8 : row * 8 + 6, column * 8 : column * 8 + 6] = number + 1
    return image


@pytest.fixture
def truth(tmp_path):
    folder = tmp_path / "truth"
    folder.mkdir()
    for name, count in (("one", 1), ("many", 9), ("none", 0)):
        (folder / f"{name}.png").write_bytes(imagecodecs.png_encode(labels(count).astype(np.uint16)))
    return folder


@pytest.fixture
def pred(tmp_path):
    folder = tmp_path / "pred"
    folder.mkdir()
    for name, count in (("one", 1), ("many", 8), ("none", 0)):
        tifffile.imwrite(folder / f"{name}.tif", labels(count), photometric="minisblack")
    return folder


def test_folders_of_labels_are_paired_by_stem_and_all_figures_are_written(pred, truth, tmp_path):
    result = run(pred, "--gt", truth, "--json", tmp_path / "s.json", "--csv", tmp_path / "s.csv")
    assert result.exit_code == 0
    assert "3 images" in result.output
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["pooled"]["nuclei_truth"] == 10
    assert summary["pooled"]["nuclei_predicted"] == 9
    assert summary["pooled"]["object_f1_50"] == pytest.approx(18 / 19)
    with (tmp_path / "s.csv").open(newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["many", "none", "one"]
    assert rows["many"]["count_error"] == "-1"
    assert rows["none"]["object_precision_50"] == ""


def receipt(key, status, reason, nuclei):
    return Receipt(
        field=key,
        status=status,
        reason=reason,
        nuclei=nuclei,
        labels_sha256="",
        qc={},
        seconds={},
        worker="",
    )


def make_run(path, counts, *, failed=(), tiff=False, wells=()):
    """An ended run with the labels of ``counts`` (nuclei by name), and fields that failed."""
    folder = RunFolder(path)
    folder.create()
    channel = Channel("DNA", 0)
    fields = [
        Field("A01", site, 0, f"A/1/{site}", name, (), 32, 32, "uint8")
        for site, name in enumerate([*counts, *failed], 1)
    ]
    for place, well in enumerate(wells):
        fields[place] = replace(fields[place], well=well, site=1, group=f"{well[0]}/{int(well[1:])}/1")
    plate = Plate("P", str(path), "test", (channel,), tuple(fields), ())
    if not tiff:
        store = create_images(folder, plate, failed=[field.key for field in fields if field.name in failed])
    receipts = {}
    for field in fields:
        if field.name in failed:
            receipts[field.key] = receipt(field.key, "failed", "cut short", 0)
            continue
        found = labels(counts[field.name])
        receipts[field.key] = receipt(field.key, "done", "", counts[field.name])
        if tiff:
            write_label_tiff(folder.label_tiff(field.name), found)
        else:
            write_field(store, field, [channel], np.zeros((1, 32, 32), np.uint8), found)
    write_receipts(folder.fields, plate, receipts)
    return folder


@pytest.mark.parametrize("tiff", [False, True])
def test_a_runs_folder_is_scored_by_the_names_of_its_segmented_fields(truth, tmp_path, tiff):
    counts = {"one": 1, "many": 9, "none": 0}
    folder = make_run(tmp_path / "out", counts, failed=["broken"], tiff=tiff)
    result = run(folder.path, "--gt", truth, "--json", tmp_path / "s.json")
    assert result.exit_code == 0
    pooled = json.loads((tmp_path / "s.json").read_text())["pooled"]
    assert (pooled["nuclei_truth"], pooled["pq"]) == (10, 1.0)


@pytest.mark.parametrize("name", ["DNA-A-01_cp_masks.tif", "A01.tif", "A01_s1.tif", "P_A01_s1.tif"])
def test_truth_for_a_part_of_a_run_has_the_name_of_the_file_the_well_or_the_field(tmp_path, name):
    folder = make_run(tmp_path / "out", {"P_A01_s1": 3, "P_A02_s1": 9}, wells=("A01", "A02"))
    folder.files.write_text(
        "path,status,image,channel\nx/RNA-A-01.tif,used,A/1/1,RNA\nx/DNA-A-01.tif,used,A/1/1,DNA\n"
        "x/RNA-A-02.tif,used,A/2/1,RNA\nx/DNA-A-02.tif,used,A/2/1,DNA\nnotes.txt,ignored,,\n"
    )
    folder.run_json.write_text('{"settings": {"channel": "DNA"}}')
    (tmp_path / "gt").mkdir()
    tifffile.imwrite(tmp_path / "gt" / name, labels(3), photometric="minisblack")
    result = run(folder.path, "--gt", tmp_path / "gt", "--json", tmp_path / "s.json")
    assert "Scored 1 of 2 predicted images; 1 have no truth" in result.output
    assert json.loads((tmp_path / "s.json").read_text())["pooled"]["object_f1_50"] == 1


def test_a_run_may_be_the_truth(tmp_path):
    counts = {"one": 1, "many": 9}
    first, second = make_run(tmp_path / "a", counts), make_run(tmp_path / "b", counts, tiff=True)
    assert run(first.path, "--gt", second.path, "--csv", tmp_path / "s.csv").exit_code == 0
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 1 + 2


def test_a_failed_field_that_has_a_truth_is_listed(truth, tmp_path):
    folder = make_run(tmp_path / "out", {"one": 1, "many": 9}, failed=["none"])
    with pytest.raises(InputError, match=r"1 without prediction:\n  none"):
        run(folder.path, "--gt", truth)


def test_a_run_that_has_not_ended_is_refused(truth, tmp_path):
    folder = RunFolder(tmp_path / "out")
    folder.create()
    with pytest.raises(InputNotFound, match="has not ended"):
        run(folder.path, "--gt", truth)


def test_unpaired_images_are_listed(pred, truth):
    (truth / "one.png").rename(truth / "two.png")
    with pytest.raises(InputError, match=r"without truth:\n  one\n.*without prediction:\n  two\n"):
        run(pred, "--gt", truth)


def test_sizes_that_differ_and_colours_are_listed(pred, truth):
    tifffile.imwrite(pred / "one.tif", labels(1, size=40), photometric="minisblack")
    tifffile.imwrite(pred / "many.tif", np.zeros((32, 32, 3), np.uint8), photometric="rgb")
    with pytest.raises(InputError, match=r"(?s)2 of 3 pairs.*many: .*\(32, 32, 3\).*one: .*40 × 40 px"):
        run(pred, "--gt", truth)


def test_the_folder_of_a_file_is_made(pred, truth, tmp_path):
    assert run(pred, "--gt", truth, "--csv", tmp_path / "no" / "such" / "s.csv").exit_code == 0
    assert (tmp_path / "no" / "such" / "s_totals.csv").is_file()


@pytest.mark.parametrize("option", ["--csv", "--json", "--html"])
def test_a_file_that_can_not_be_written_is_an_error_before_anything_is_scored(option, truth, tmp_path):
    with pytest.raises(InputError, match=r"one\.png can't be made .*: name another file"):
        run(tmp_path / "no predictions", "--gt", truth, option, truth / "one.png" / "s.csv")
    with pytest.raises(InputError, match="is a folder: name a file in it"):
        run(tmp_path / "no predictions", "--gt", truth, option, truth)


def test_names_are_not_taken_for_markup(pred, truth):
    for folder, suffix in ((pred, ".tif"), (truth, ".png")):
        (folder / f"one{suffix}").rename(folder / f"[bold]x{suffix}")
    assert "[bold]x" in run(pred, "--gt", truth).output


def test_a_page_pictures_and_totals_by_a_column(pred, truth, tmp_path):
    (tmp_path / "by.csv").write_text("id,stain\none,DAPI\nmany,H&E\nnone,DAPI\n")
    result = run(
        *(pred, "--gt", truth, "--by", tmp_path / "by.csv", "--column", "stain"),
        *("--html", tmp_path / "s.html", "--pictures", tmp_path / "p", "--csv", tmp_path / "s.csv"),
        *("--json", tmp_path / "s.json"),
    )
    assert result.exit_code == 0
    assert "By stain" in result.output
    html = (tmp_path / "s.html").read_text(encoding="utf-8")
    assert "H&amp;E" in html
    assert html.count("<figure>") == 1
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["many.png"]
    with (tmp_path / "s.csv").open(newline="") as file:
        assert [row["stain"] for row in csv.DictReader(file)] == ["H&E", "DAPI", "DAPI"]
    with (tmp_path / "s_totals.csv").open(newline="") as file:
        assert [row["stain"] for row in csv.DictReader(file)][::3] == ["(all)", "DAPI", "H&E"]
    groups = json.loads((tmp_path / "s.json").read_text())["by"]["groups"]
    assert groups["DAPI"]["pooled"]["nuclei_truth"] == 1


def test_images_are_drawn_over_if_they_are_given(pred, truth, tmp_path):
    (tmp_path / "images").mkdir()
    image = np.full((32, 32, 3), (250, 10, 10), np.uint8)
    (tmp_path / "images" / "many.jpg").write_bytes(imagecodecs.jpeg8_encode(image))
    run(pred, "--gt", truth, "--images", tmp_path / "images", "--pictures", tmp_path / "p")
    shown = imagecodecs.png_decode((tmp_path / "p" / "many.png").read_bytes())
    assert shown[-1, -1, 0] > 240
    image = np.zeros((8, 8, 3), np.uint8)
    (tmp_path / "images" / "many.jpg").write_bytes(imagecodecs.jpeg8_encode(image))
    with pytest.raises(InputError, match=r"image of many can't be shown: .*32 × 32"):
        run(pred, "--gt", truth, "--images", tmp_path / "images", "--html", tmp_path / "s.html")


def test_a_runs_own_image_is_drawn_over(truth, tmp_path):
    folder = make_run(tmp_path / "out", {"one": 1, "many": 8, "none": 0})
    assert run(folder.path, "--gt", truth, "--html", tmp_path / "s.html").exit_code == 0
    assert "no image found" not in (tmp_path / "s.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--by", "by.csv"), "--by needs --column, to group"),
        (("--column", "stain"), "name it with --by. There is no split.csv"),
        (("--where", "split=test"), "name it with --by. There is no split.csv"),
        (("--by", "by.csv", "--where", "split"), "must be COLUMN=VALUE"),
        (("--by", "by.csv", "--where", "dye=DAPI"), "no column 'dye': it has id, stain"),
        (
            ("--by", "by.csv", "--where", "stain=H&E"),
            r"none of the 3 true images has stain = H&E in by\.csv\. In that file stain is DAPI",
        ),
        (("--ignore", "empty"), "empty has no label images"),
        (("--ignore", "no"), "no does not exist"),
        (("--ignore", "empty", "--count-ignored"), "contradict each other"),
        (("--by", "by.csv", "--column", "dye"), "no column 'dye': it has id, stain"),
        (("--by", "by.csv", "--column", "stain"), r"2 of 3 images have no row.*\n  many\n  none\n"),
        (("--by", "no.csv", "--column", "stain"), r"no\.csv is not a file"),
        (("--images", "no"), "no is not a folder"),
        (("--images", "empty"), "empty has no pictures"),
    ],
)
def test_options_that_can_not_be_followed(pred, truth, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "by.csv").write_text("id,stain\none,DAPI\n")
    (tmp_path / "empty").mkdir()
    with pytest.raises((InputError, InputNotFound), match=message):
        run(pred, "--gt", truth, *arguments)


def test_nothing_is_written_if_something_is_wrong(pred, truth, tmp_path):
    (tmp_path / "by.csv").write_text("id,stain\none,DAPI\n")
    with pytest.raises(InputError):
        run(
            pred, "--gt", truth, "--by", tmp_path / "by.csv", "--column", "stain", "--csv", tmp_path / "s.csv"
        )
    assert not (tmp_path / "s.csv").exists()


def test_masks_are_scored_with_a_warning(pred, truth, tmp_path):
    for name in ("one", "many", "none"):
        mask = labels({"one": 1, "many": 9, "none": 0}[name]) > 0
        tifffile.imwrite(pred / f"{name}.tif", mask.astype(np.uint8) * 255, photometric="minisblack")
    result = run(pred, "--gt", truth, "--json", tmp_path / "s.json", "--html", tmp_path / "s.html")
    assert result.exit_code == 0
    assert "The prediction looks like masks" in result.stderr
    assert "The prediction looks like masks" in (tmp_path / "s.html").read_text(encoding="utf-8")
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["pooled"]["pixel_f1"] == 1.0
    assert len(summary["warnings"]) == 1


def test_labels_of_floats_and_folders_without_labels(pred, truth, tmp_path):
    tifffile.imwrite(pred / "one.tif", labels(1).astype(np.float32), photometric="minisblack")
    with pytest.raises(InputError, match=r"1 of 3 pairs.*\n  one: the prediction has pixels of type float32"):
        run(pred, "--gt", truth)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no label images"):
        run(tmp_path / "empty", "--gt", truth)


def test_many_images_are_printed_by_the_worst_alone(tmp_path):
    for side, found in (("pred", 1), ("truth", 2)):
        (tmp_path / side).mkdir()
        for number in range(25):
            tifffile.imwrite(tmp_path / side / f"im{number:02d}.tif", labels(found), photometric="minisblack")
    output = run(tmp_path / "pred", "--gt", tmp_path / "truth").output
    assert "The 10 images with the lowest object F1" in output
    assert "im09" in output
    assert "im10" not in output


def test_a_second_prediction_is_compared_on_the_same_draws(pred, truth, tmp_path):
    better = tmp_path / "better"
    better.mkdir()
    for name, count in (("one", 1), ("many", 9), ("none", 0)):
        tifffile.imwrite(better / f"{name}.tif", labels(count), photometric="minisblack")
    result = run(pred, "--gt", truth, "--against", better, "--json", tmp_path / "s.json")
    assert result.exit_code == 0
    assert "95 % intervals by paired bootstrap" in result.output
    document = json.loads((tmp_path / "s.json").read_text())
    assert document["against"] == str(better)
    f1 = next(row for row in document["differences"] if row["figure"] == "object_f1_50")
    assert f1["difference"] == pytest.approx(1 - 18 / 19)
    assert not f1["shown"]  # one image of three


def test_images_of_one_slide_are_drawn_together_against_another_prediction(pred, truth, tmp_path):
    table = tmp_path / "slides.csv"
    table.write_text("id,slide\none,a\nmany,a\nnone,a\n")
    result = run(
        *(pred, "--gt", truth, "--against", truth, "--by", table, "--cluster", "slide"),
        *("--json", tmp_path / "s.json"),
    )
    assert result.exit_code == 0
    rows = {row["figure"]: row for row in json.loads((tmp_path / "s.json").read_text())["differences"]}
    assert rows["object_f1_50"]["low"] == rows["object_f1_50"]["high"]
    with pytest.raises(InputError, match="--cluster needs --against"):
        run(pred, "--gt", truth, "--by", table, "--cluster", "slide")
