"""The whole page, from a run's folder with real tables and a real OME-Zarr."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from nucbatch.core.errors import InputNotFound, StoreError
from nucbatch.core.plate import Channel
from nucbatch.core.plate_geometry import row_letters
from nucbatch.report import contact, distributions, thumbnails
from nucbatch.report.page import write_report

VOID = {"meta", "img", "input", "br", "link", "hr"}


class Balance(HTMLParser):
    """Checks that tags nest, and collects ids and links."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if values.get("id"):
            self.ids.append(values["id"])
        self.links += [values[name] for name in ("href", "src") if name in values]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(tmp_path, draw_run):
    run = draw_run(tmp_path, [("B02", 8), ("B03", 0), ("B04", None), ("B05", 3)])
    path = write_report(run.path)
    page = path.read_text(encoding="utf-8")
    assert path == run.report
    checker = Balance()
    checker.feed(page)
    assert checker.open == []
    assert len(checker.ids) == len(set(checker.ids))
    assert all(link.startswith(("#", "data:image/webp;base64,")) for link in checker.links)
    assert {link[1:] for link in checker.links if link.startswith("#")} <= set(checker.ids)
    assert "default-src 'none'" in page
    script = page.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert page.count("<script") == 1
    assert page.count("<figure") == 3
    assert [path.name for path in run.path.iterdir() if "partial" in path.name] == []


def test_writing_again_gives_the_same_bytes(tmp_path, draw_run):
    run = draw_run(tmp_path, [("B02", 8), ("B03", 2)])
    first = write_report(run.path).read_bytes()
    assert write_report(run.path).read_bytes() == first


def test_an_empty_field_has_no_outline_and_says_zero(tmp_path, draw_run):
    page = write_report(draw_run(tmp_path, [("B02", 8), ("B03", 0)]).path).read_text(encoding="utf-8")
    outlines = re.findall(r'<path d="([^"]*)"', page)
    assert outlines[0].count("M") >= 6
    assert outlines[1] == ""
    assert re.search(r"B03, site 2.*?0 nuclei", page, flags=re.DOTALL)


def test_fields_larger_than_the_sheet_come_from_a_lower_level(tmp_path, draw_run):
    page = write_report(draw_run(tmp_path, [("B02", 4)], size_px=1400).path).read_text(encoding="utf-8")
    assert 'viewBox="0 0 1400 1400"' in page  # 700 px, in half pixels


def test_rgb_images_are_shown_as_their_mean(tmp_path, draw_run):
    rgb = tuple(Channel(name, index) for index, name in enumerate(("R", "G", "B")))
    page = write_report(draw_run(tmp_path, [("B02", 4)], channels=rgb, channel="").path).read_text(
        encoding="utf-8"
    )
    assert page.count("<figure") == 1


def test_a_run_in_which_all_failed_still_has_a_report(tmp_path, draw_run):
    page = write_report(draw_run(tmp_path, [("B02", None)]).path).read_text(encoding="utf-8")
    assert "Nothing was counted." in page
    assert "<figure" not in page


def test_runs_that_kept_no_pixels_say_so(make_run):
    run = make_run([make_run.field("B02", 1, 3)], run=make_run.run | {"settings": {"labels": "tiff"}})
    assert "kept no pixels" in write_report(run.path).read_text(encoding="utf-8")


def test_the_masks_of_a_run_in_place_are_said_to_be_in_the_input(make_run):
    run = make_run([make_run.field("B02", 1, 3)], run=make_run.run | {"settings": {"labels": "in-place"}})
    page = write_report(run.path).read_text(encoding="utf-8")
    assert "labels/nuclei of the input's images" in page
    assert "--labels tiff" not in page


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(InputNotFound, match="does not exist"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="is not a run of nucbatch"):
        write_report(tmp_path)


@pytest.mark.slow
def test_the_page_of_1536_wells_with_hundreds_of_measures_stays_below_10_mb(make_run):
    wells = [f"{row_letters(row)}{column:02d}" for row in range(32) for column in range(1, 49)]
    fields = [make_run.field(well, 1, 9) for well in wells]
    values = np.random.default_rng(0).normal(size=(400, len(fields)))
    columns = {f"Mean_Nuclei_Intensity_MeasureOfSomeKind_Channel{at}": one for at, one in enumerate(values)}
    page = write_report(make_run(fields, **columns).path).read_text(encoding="utf-8")
    assert re.search(r'"left_out":\d{2,}', page)
    pictures = thumbnails.BUDGET + contact.ALL_IMAGES_BYTES * 4 / 3
    outlines = contact.FIELDS * 30_000
    assert len(page.encode()) + pictures + distributions.MOST_CHARACTERS + outlines < 10_000_000
