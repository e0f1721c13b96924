"""Draws pictures of a run's report for the documentation.

    nucbatch run sbs96 -o out --channel Channel2 --metadata 1049_Metadata.csv --dose SBS_Doses \\
        --positive SBS_Controls=1 --negative SBS_Controls=-1 --series A-D,E-H
    python docs/pictures/draw_report.py out/report.html assay

*assay* draws docs/report.png: plate map, dose curves and some fields. *intervals* draws
docs/pictures/plate-intervals.png: plate map, and counts with their intervals.

The plate is BBBC013 of the Broad Bioimage Benchmark Collection. Needs Debian's Chromium and playwright.
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
ASSAY = """
for (const section of document.querySelectorAll("main > section")) {
  if (!["heatmap", "assay", "contact"].includes(section.id)) section.remove();
}
const after = (start) => { while (start.nextElementSibling) start.nextElementSibling.remove(); };
after(document.querySelector("#assay .charts"));
after(document.querySelectorAll(".sheet .cell")[3]);
const rest = "#values, #heatmap p.note, #contact p.note, footer";
for (const part of document.querySelectorAll(rest)) part.remove();
"""
INTERVALS = """
for (const section of document.querySelectorAll("main > section")) {
  if (!["heatmap", "count_intervals"].includes(section.id)) section.remove();
}
for (const part of document.querySelectorAll("#values, #heatmap p.note, header, footer")) part.remove();
"""
PICTURES = {
    "assay": (HERE.parent / "report.png", ASSAY, 1200),
    "intervals": (HERE / "plate-intervals.png", INTERVALS, 900),
}
"""Where each picture goes, what the page is reduced to, and its width."""


def main() -> None:
    report, (picture, shown, width) = Path(sys.argv[1]).absolute(), PICTURES[sys.argv[2]]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 400}, color_scheme="light")
        page.goto(report.as_uri())
        page.evaluate(shown)
        drawn = Image.open(io.BytesIO(page.screenshot(full_page=True)))
        browser.close()
    drawn.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(picture, optimize=True)


if __name__ == "__main__":
    main()
