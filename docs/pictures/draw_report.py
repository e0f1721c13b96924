"""Draws docs/report.png from the report of a run: its plate map, dose curves and some fields.

    nucbatch run sbs96 -o out --channel Channel2 --metadata 1049_Metadata.csv --dose SBS_Doses \\
        --positive SBS_Controls=1 --negative SBS_Controls=-1 --series A-D,E-H
    python docs/pictures/draw_report.py out/report.html

The plate is BBBC013 of the Broad Bioimage Benchmark Collection. Needs Debian's Chromium and playwright.
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).parents[1] / "report.png"
SHOWN = """
for (const section of document.querySelectorAll("main > section")) {
  if (!["heatmap", "assay", "contact"].includes(section.id)) section.remove();
}
const after = (start) => { while (start.nextElementSibling) start.nextElementSibling.remove(); };
after(document.querySelector("#assay .charts"));
after(document.querySelectorAll(".sheet .cell")[3]);
const rest = "#values, #heatmap p.note, #contact p.note, footer";
for (const part of document.querySelectorAll(rest)) part.remove();
"""


def main() -> None:
    report = Path(sys.argv[1]).absolute()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme="light")
        page.goto(report.as_uri())
        page.evaluate(SHOWN)
        drawn = Image.open(io.BytesIO(page.screenshot(full_page=True)))
        browser.close()
    drawn.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
