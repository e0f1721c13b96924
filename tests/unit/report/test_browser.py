"""The report in a real browser: values by pointer and keyboard, and no message, error or request."""

import re
import shutil

import pytest

from nucbatch.report.page import write_report

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("chromium is not installed: apt-get install chromium", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")

WELLS = [("B02", 8), ("B02", 5), ("B03", 0), ("B04", None), ("B05", 3), ("B05", None), ("C02", 6)]


@pytest.fixture(scope="module")
def report(tmp_path_factory, draw_run):
    """The address of a report: counted, empty, failed and partly failed wells of two channels."""
    return write_report(draw_run(tmp_path_factory.mktemp("browser"), WELLS).path).as_uri()


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, report):
    """``open_page(**options of a browser's context)`` → the report's page; at the end it has said nothing."""
    contexts, said = [], []

    def open_report(address=report, **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url))
        page.goto(address)
        return page

    yield open_report
    for context in contexts:
        context.close()
    # The page itself and the images inside it are the only things that a browser asks for.
    assert [one for one in said if not one.startswith(("file:", "data:image/"))] == []
    assert len([one for one in said if one.startswith("file:")]) == len(contexts)


def tip(page):
    """The lines that the page shows for a well."""
    return page.locator("#tip").inner_text().splitlines()


def choose(page, name):
    page.select_option("#measure", label=name)


def test_a_well_says_its_value_under_the_pointer(open_page):
    page = open_page()
    well = page.locator("[data-at='1,2']")
    well.hover()
    value = f"Nuclei per counted field: {well.locator('text').text_content()}"
    assert tip(page) == ["B02", value, "2 fields counted"]
    page.locator("[data-at='1,4']").hover()
    assert tip(page) == ["B04", "not counted", "0 fields counted; 1 field failed"]
    page.locator("[data-at='0,1']").hover()
    assert tip(page) == ["A01", "no image"]
    page.mouse.move(0, 0)
    assert page.locator("#tip").is_hidden()


def test_wells_can_be_reached_by_keyboard(open_page):
    page = open_page()
    page.locator("#measure").focus()
    page.keyboard.press("Tab")
    for key in ("ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    assert tip(page)[0] == "B02"
    assert page.locator(":focus").get_attribute("aria-label").startswith("B02, Nuclei per counted field: ")
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


def test_another_measure_recolours_the_wells_and_no_incomplete_sum_is_coloured(open_page):
    page = open_page()
    rect = page.locator("[data-at='1,5'] rect")
    assert rect.get_attribute("class") == "counted partly"
    choose(page, "Nuclei per well")
    assert rect.get_attribute("class") == "valueless partly"
    assert rect.get_attribute("fill") is None
    choose(page, "Mean_Nuclei_AreaShape_Area")
    assert rect.get_attribute("class") == "counted partly"
    assert page.locator("[data-at='1,3'] rect").get_attribute("class") == "valueless"  # no nucleus, no mean
    assert page.locator("[data-at='1,4'] rect").get_attribute("class") == "failed"
    assert page.locator("#key-label").inner_text() == "Mean_Nuclei_AreaShape_Area"
    numbers = [float(page.locator(f"#key-{end}").inner_text()) for end in ("low", "high")]
    assert 0 <= numbers[0] < numbers[1]


def test_the_values_are_a_table_too(open_page):
    page = open_page()
    page.locator("#values summary").click()
    rows = page.locator("#values tbody tr")
    rows.first.wait_for()
    assert rows.count() == 8
    second = rows.nth(1).locator("td").all_inner_texts()
    assert second[0] == "no image"
    assert second[3] == "failed"
    assert re.fullmatch(r"[\d.]+", second[1])


def test_a_click_on_a_well_shows_its_fields_with_outlines(open_page):
    page = open_page()
    page.locator("[data-at='1,2']").click()
    viewer = page.locator("#viewer")
    assert viewer.locator("h3").inner_text() == "B02"
    shown = viewer.locator(".shot")
    assert shown.count() == 4  # two fields in two channels
    assert shown.first.locator("img").evaluate("image => image.complete && image.naturalWidth") > 60
    # As many contours as the page says nuclei.
    count = int(re.search(r": (\d+) nucle", shown.first.inner_text())[1])
    assert shown.first.locator("path").get_attribute("d").count("M") == count > 4
    viewer.get_by_label("Outlines").uncheck()
    assert viewer.locator("path").count() == 0
    page.keyboard.press("Escape")
    assert viewer.is_hidden()
    assert page.locator(":focus").get_attribute("data-at") == "1,2"


def test_a_field_is_enlarged_and_zoomed_and_arrows_go_on_to_the_next_well(open_page):
    page = open_page()
    page.locator("[data-at='1,2']").focus()
    for key in ("Enter", "Enter"):
        page.keyboard.press(key)
    viewer = page.locator("#viewer")
    title = viewer.locator("h3")
    assert title.inner_text().startswith("B02, site 1: ")
    page.keyboard.press("+")
    assert "scale(1.5)" in viewer.locator(".stage .frame").get_attribute("style")
    viewer.locator(".stage").hover()
    page.mouse.wheel(0, -100)
    zoomed = "document.querySelector('.stage .frame').style.transform.includes('scale(1.875)')"
    page.wait_for_function(zoomed)
    sites = []
    for _ in range(3):
        page.keyboard.press("ArrowRight")
        sites.append(title.inner_text().split(":")[0])
    assert sites == ["B02, site 2", "B03, site 3", "B04"]  # B04 has no counted field
    page.keyboard.press("ArrowLeft")
    assert title.inner_text() == "B03"
    page.keyboard.press("Escape")
    assert viewer.is_hidden()
    assert page.locator(":focus").get_attribute("data-at") == "1,3"


def test_pictures_of_the_contact_sheet_open_in_the_same_way(open_page):
    page = open_page()
    page.locator(".sheet .frame").nth(1).click()
    viewer = page.locator("#viewer")
    assert viewer.locator(".stage img").is_visible()
    first = viewer.locator("h3").inner_text()
    page.keyboard.press("ArrowLeft")
    assert viewer.locator("h3").inner_text() != first
    page.keyboard.press("Escape")
    assert viewer.is_hidden()


def test_the_chosen_measure_is_drawn_by_row_and_column_and_of_the_nuclei(open_page):
    page = open_page()
    page.select_option("#measure-of-distributions", label="Mean_Nuclei_AreaShape_Area")
    charts = page.locator("#distributions-charts .chart")
    titles = charts.locator("figcaption").all_inner_texts()
    assert titles == ["By row", "By column", "Outer and inner wells", "Nuclei"]
    assert charts.nth(0).locator("circle").count() == 3  # B02, B05, C02: the others have no nucleus
    assert charts.nth(0).locator(".median").count() == 2
    assert re.search(r"all wells: \d+ nuclei", charts.nth(3).inner_text())
    chosen = page.locator("#measure").evaluate("one => one.selectedOptions[0].textContent")
    assert chosen == "Mean_Nuclei_AreaShape_Area"
    page.locator("[data-at='1,2']").click()
    assert "B02: " in page.locator("#viewer .chart").inner_text()


def test_quality_figures_have_a_map_each_and_those_that_are_alike_a_line(open_page):
    page = open_page()
    assert page.locator("#quality-maps figcaption strong").all_inner_texts() == ["Focus"]
    assert "Saturated 0" in page.locator("#quality").inner_text()
    page.locator("#quality-maps rect").first.click()
    assert page.locator("#viewer h3").inner_text() == "B02"


def test_names_with_markup_are_shown_as_text(open_page, make_run):
    nasty = "</template><img src=x onerror=alert(1)><script>alert(2)</script>"
    names = {f"Mean_Nuclei_{nasty}": [1.5, 2.5], "Metadata_AssayControl": [nasty, "positive"], "Flags": nasty}
    fields = [make_run.field(well, 1, 5, plate=nasty, QC_Focus=float(well[-1])) for well in ("B02", "B03")]
    page = open_page(write_report(make_run(fields, **names).path).as_uri())
    choose(page, f"Mean_Nuclei_{nasty}")
    page.locator("[data-at='1,2']").hover()
    assert tip(page)[1] == f"Mean_Nuclei_{nasty}: 1.50"
    page.locator("[data-at='1,2']").click()
    page.locator("#viewer summary").click()
    assert page.locator("img, script").count() == 1  # the page's own script
    assert page.locator("h1").inner_text() == nasty


@pytest.mark.parametrize("counts", [[("", 3)], [("B02", None)], [("B02", 3, 0), ("B02", 4, 7)]])
def test_images_without_wells_failures_alone_and_time_points_have_pages_too(open_page, make_run, counts):
    fields = [make_run.field(well, 1, count, time=at[0] if at else 0) for well, count, *at in counts]
    page = open_page(write_report(make_run(fields).path).as_uri())
    assert page.locator("h1").is_visible()
    assert page.locator(".plate-map").count() == (0 if counts == [("", 3)] else len(counts))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_reader_s_scheme(open_page, scheme):
    page = open_page(color_scheme=scheme)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", paper))) < 60) == (scheme == "dark")


def test_a_telephone_s_width_is_enough(open_page):
    page = open_page(viewport={"width": 390, "height": 844})
    choose(page, "Mean_Nuclei_Math_Log2NucleusCytoplasmRatio_A_channel_with_a_long_name")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("[data-at='1,2']").click()
    assert page.locator("#viewer").bounding_box()["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_printed_it_is_light_and_has_no_controls(open_page):
    page = open_page(color_scheme="dark")
    page.emulate_media(media="print")
    box = page.evaluate("getComputedStyle(document.querySelector('.state')).backgroundColor")
    assert min(map(int, re.findall(r"\d+", box))) > 180
    for control in ("nav", ".chooser", ".switch", "#values"):
        assert page.locator(control).first.is_hidden()
    assert page.locator(".plate-map").first.is_visible()
    assert page.pdf()[:5] == b"%PDF-"
