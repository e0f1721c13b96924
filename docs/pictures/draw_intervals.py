"""Draws docs/pictures/plate-intervals.png: the plate map of a run's report, and its counts with intervals.

    nucbatch run sbs96 -o out --channel Channel2
    python docs/pictures/draw_intervals.py out/report.html

The plate is BBBC013 of the Broad Bioimage Benchmark Collection. Needs Debian's Chromium and playwright.
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).parent / "plate-intervals.png"
SHOWN = """
for (const section of document.querySelectorAll("main > section")) {
  if (!["heatmap", "count_intervals"].includes(section.id)) section.remove();
}
for (const part of document.querySelectorAll("#values, #heatmap p.note, header, footer")) part.remove();
"""


def main() -> None:
    report = Path(sys.argv[1]).absolute()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 900, "height": 400}, color_scheme="light")
        page.goto(report.as_uri())
        page.evaluate(SHOWN)
        drawn = Image.open(io.BytesIO(page.screenshot(full_page=True)))
        browser.close()
    drawn.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
