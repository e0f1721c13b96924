"""Draws the two pictures of CONTRIBUTING.md: the way of a field, and of a large image, through the code.

    python docs/pictures/draw_ways.py

Each box is a function with its file. It is called by the nearest box above it that stands further left.
`tests/unit/test_pictures.py` checks that files and functions exist, that callers name what they call, and
that the pictures are what this script draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

HERE = Path(__file__).parent

BOX_PX, GAP_PX, ROW_PX, INDENT_PX, MARGIN_PX, TOP_PX = 410, 70, 72, 18, 20, 78
FONT = "font-family='DejaVu Sans Mono, Menlo, Consolas, monospace'"
TEXT = "font-family='Helvetica, Arial, DejaVu Sans, sans-serif'"


PROCESS_FIELD = "execution/process_field.py"


@dataclass(frozen=True)
class Step:
    """A box: functions of one file, and what they do. ``depth``: how deep in the calls of its column.

    ``named_in``: the file that names the function where that isn't its caller's, because it is handed on.
    """

    depth: int
    file: str
    functions: tuple[str, ...]
    text: str
    named_in: str = ""


@dataclass(frozen=True)
class Way:
    """A picture. ``driver`` and ``worker`` are its columns; ``last`` is what the driver does at the end."""

    name: str
    title: str
    description: str
    sent: str
    returned: str
    driver: tuple[Step, ...]
    worker: tuple[Step, ...]
    last: tuple[Step, ...]


FIELD = Way(
    "way-of-a-field",
    "The way of a field",
    "One field is processed on one worker, in a task of its own or with other small fields. A box calls the "
    "boxes below it that stand further right.",
    "FieldTask",
    "Receipt",
    driver=(
        Step(0, "cli/run.py", ("run",), "reads the options"),
        Step(1, "execution/run_request.py", ("RunRequest.prepare",), "checks the options"),
        Step(2, "readers/find.py", ("open_plate",), "lists the folder; a layout makes a Plate of it"),
        Step(2, "execution/prepared.py", ("prepare",), "settles channel, weights and thresholds"),
        Step(3, "execution/network_facts.py", ("network_facts",), "in a process beside it, with PyTorch"),
        Step(3, "planning/plan.py", ("make_plan",), "puts the fields in order"),
        Step(
            1,
            "execution/session.py",
            ("execute",),
            "the lock; the steps of a session, one by one",
            named_in="execution/run_in_store.py",
        ),
        Step(2, "execution/session_steps.py", ("Session.work",), "starts the workers; then the tables"),
        Step(3, "execution/driver.py", ("drive",), "receipts go into the ledger as they arrive"),
        Step(4, "execution/driver.py", ("Driver.receipts",), "asks for the next work while there is room"),
        Step(5, "execution/work_queue.py", ("WorkQueue.next_field",), "what was not done yet"),
        Step(5, "execution/window.py", ("Window.submit",), "two tasks per worker thread, by Dask"),
    ),
    worker=(
        Step(0, "execution/worker.py", ("perform",), "watches the process' memory"),
        Step(
            1,
            PROCESS_FIELD,
            ("process_field",),
            "the whole task, in 50 lines",
            named_in="execution/field_task.py",
        ),
        Step(2, "readers/pixels.py", ("FieldReader.read_usable",), "files to pixels (C, Y, X); z by maximum"),
        Step(
            2,
            "execution/image_statistics.py",
            ("image_statistics",),
            "grey levels that become 0 and 1; quality",
        ),
        Step(2, "inference/segment.py", ("segment_image",), "normalises; labels of one image"),
        Step(3, "inference/predict.py", ("predict_image",), "cuts the image into the network's tiles"),
        Step(
            4,
            "inference/queue.py",
            ("TimedPredictor.predict",),
            "each tile, submitted to this worker's queue",
            PROCESS_FIELD,
        ),
        Step(
            5,
            "inference/device.py",
            ("CpuDevice.begin", "CudaDevice.begin"),
            "a batch of tiles on the device",
        ),
        Step(6, "inference/predict.py", ("forward",), "the network: maps (N, 4, H, W) uint8"),
        Step(3, "masks/objects.py", ("find_in_image",), "maps to labels 1..N"),
        Step(4, "masks/components.py", ("components_of",), "foreground: connected components on runs"),
        Step(4, "masks/flow_endpoints.py", ("split_by_offsets",), "offsets that meet are one nucleus"),
        Step(5, "masks/flows.py", ("follow_flows",), "the pixel loop, compiled by numba"),
        Step(2, "features/measure.py", ("measure",), "shape and intensity of each nucleus"),
        Step(2, "store/images.py", ("write_field",), "image and labels as OME-Zarr"),
        Step(2, "store/fragments.py", ("write_fragment",), "rows of nuclei, and the receipt"),
    ),
    last=(
        Step(4, "store/ledger.py", ("Ledger.append",), "the field is done when this line is on disk"),
        Step(3, "execution/finalise.py", ("finalise",), "tables, from the files on disk"),
        Step(2, "report/page.py", ("write_report",), "report.html"),
    ),
)

LARGE = Way(
    "way-of-a-large-image",
    "The way of a large image's block",
    "Each stage is cut into units of work, and waits for what it needs of the stages before it.",
    "UnitTask",
    "UnitDone",
    driver=(
        Step(0, "execution/session_steps.py", ("Session.work",), "as for a field"),
        Step(1, "execution/driver.py", ("drive",), "as for a field"),
        Step(2, "execution/driver.py", ("Driver.receipts",), "asks for the next work while there is room"),
        Step(3, "execution/work_queue.py", ("WorkQueue.next_image",), "the next image of several blocks"),
        Step(3, "execution/large/image_progress.py", ("ImageProgress.next",), "which unit may begin now"),
        Step(4, "execution/large/stages.py", ("stages_of",), "the one list of stages, in order"),
        Step(3, "execution/window.py", ("Window.submit",), "by Dask"),
    ),
    worker=(
        Step(0, "execution/worker.py", ("perform",), "watches the process' memory"),
        Step(1, "execution/large/unit.py", ("UnitTask.run", "UnitTask.do"), "one unit of one stage"),
        Step(2, "execution/large/stages.py", ("stages_of",), "finds the stage; each runs one of these:"),
        Step(3, "execution/large/survey.py", ("open_files",), "open: converts what has no windows"),
        Step(3, "execution/large/survey.py", ("survey",), "survey: copies, counts grey levels"),
        Step(3, "execution/large/survey.py", ("add_up",), "constants: of the whole image"),
        Step(3, "execution/large/predict_tile.py", ("predict_tile",), "predict: one tile, stored as uint8"),
        Step(4, "inference/queue.py", ("InferenceQueue.predict_timed",), "the network, as for a field"),
        Step(3, "execution/large/block_objects.py", ("find_in_block",), "objects: found, kept"),
        Step(4, "masks/block.py", ("nuclei_of_block",), "widens until all that touches is in view"),
        Step(5, "masks/objects.py", ("find_in_window",), "maps to labels; the pixel loops"),
        Step(6, "masks/parts.py", ("divide",), "too large components are split into interiors"),
        Step(3, "execution/large/number.py", ("number",), "number: keys become 1..N"),
        Step(4, "masks/seams.py", ("unite",), "oversized objects, over faces of blocks"),
        Step(3, "execution/large/write.py", ("write_labels",), "labels: full resolution"),
        Step(3, "execution/large/measure_block.py", ("measure_block",), "measure: with their surroundings"),
        Step(3, "execution/large/write.py", ("shrink",), "shrink: levels of the pyramids"),
        Step(3, "execution/large/write.py", ("finish",), "finish: the table, and the receipt"),
    ),
    last=(
        Step(
            3, "execution/large/image_progress.py", ("ImageProgress.accept",), "units that are done, on disk"
        ),
        Step(
            3, "execution/large/image_progress.py", ("ImageProgress.receipt",), "after the last: one receipt"
        ),
        Step(2, "store/ledger.py", ("Ledger.append",), "as for a field"),
        Step(1, "execution/finalise.py", ("finalise",), "tables, from the files on disk"),
    ),
)

WAYS = (FIELD, LARGE)


def box(step: Step, x: int, y: int, number: int) -> list[str]:
    """A step's box as SVG elements; deeper steps are indented."""
    grey = f"{FONT} font-size='11' fill='#546e7a'"
    black = f"{TEXT} font-size='12.5' fill='#212121'"
    left, width = x + INDENT_PX * step.depth, BOX_PX - INDENT_PX * step.depth
    return [
        f"<rect x='{left}' y='{y}' width='{width}' height='{ROW_PX - 12}' rx='5' fill='#ffffff' "
        "stroke='#90a4ae'/>",
        f"<text x='{left + 10}' y='{y + 18}' {FONT} font-size='13' font-weight='bold' fill='#1a237e'>"
        f"{number} {escape(', '.join(step.functions))}</text>",
        f"<text x='{left + 10}' y='{y + 34}' {grey}>nucbatch/{step.file}</text>",
        f"<text x='{left + 10}' y='{y + 51}' {black}>{escape(step.text)}</text>",
    ]


def arrow(points: list[tuple[int, int]], label: str, at: tuple[int, int]) -> list[str]:
    """A line with a head through points, with a word beside it, written upwards."""
    path = " ".join(f"{x},{y}" for x, y in points)
    x, y = at
    return [
        f"<polyline points='{path}' fill='none' stroke='#c62828' stroke-width='2' marker-end='url(#head)'/>",
        f"<text transform='translate({x} {y}) rotate(-90)' {FONT} font-size='12' fill='#c62828' "
        f"text-anchor='middle'>{label}</text>",
    ]


def drawn(way: Way) -> str:
    """The picture as SVG text. Its own light ground makes it readable on dark pages too."""
    right = MARGIN_PX + BOX_PX + GAP_PX
    rows = max(len(way.worker), len(way.driver) + len(way.last) + 1)
    width, height = right + BOX_PX + MARGIN_PX, TOP_PX + rows * ROW_PX + MARGIN_PX
    lines = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' "
        f"width='{width}' height='{height}' role='img'>",
        f"<title>{escape(way.title)}</title>",
        f"<desc>{escape(way.description)}</desc>",
        "<defs><marker id='head' markerWidth='8' markerHeight='8' refX='7' refY='4' orient='auto'>"
        "<path d='M0,0 L8,4 L0,8 z' fill='#c62828'/></marker></defs>",
        f"<rect width='{width}' height='{height}' rx='8' fill='#eceff1'/>",
        f"<text x='{MARGIN_PX}' y='30' {TEXT} font-size='17' font-weight='bold' fill='#212121'>"
        f"{escape(way.title)}</text>",
        f"<text x='{MARGIN_PX}' y='48' {TEXT} font-size='12.5' fill='#212121'>"
        f"{escape(way.description)}</text>",
        f"<text x='{MARGIN_PX}' y='{TOP_PX - 8}' {TEXT} font-size='13' font-weight='bold' fill='#c62828'>"
        "The command's process</text>",
        f"<text x='{right}' y='{TOP_PX - 8}' {TEXT} font-size='13' font-weight='bold' fill='#c62828'>"
        "A worker process</text>",
    ]
    first_last = rows - len(way.last)
    places = [(step, MARGIN_PX, row) for row, step in enumerate(way.driver)]
    places += [(step, right, row) for row, step in enumerate(way.worker)]
    places += [(step, MARGIN_PX, first_last + row) for row, step in enumerate(way.last)]
    for number, (step, x, row) in enumerate(places, 1):
        lines += box(step, x, TOP_PX + row * ROW_PX, number)
    middle = (ROW_PX - 12) // 2
    out_y, in_y = TOP_PX + (len(way.driver) - 1) * ROW_PX + middle, TOP_PX + middle
    from_x, gutter = MARGIN_PX + BOX_PX, MARGIN_PX + BOX_PX + GAP_PX // 2
    lines += arrow(
        [(from_x, out_y), (gutter, out_y), (gutter, in_y), (right - 2, in_y)],
        way.sent,
        (gutter - 8, (out_y + in_y) // 2),
    )
    back_y, end_y = TOP_PX + (len(way.worker) - 1) * ROW_PX + middle, TOP_PX + first_last * ROW_PX + middle
    target = from_x + 2
    lines += arrow(
        [
            (right + INDENT_PX * way.worker[-1].depth, back_y),
            (gutter, back_y),
            (gutter, end_y),
            (target, end_y),
        ],
        way.returned,
        (gutter + 16, (back_y + end_y) // 2),
    )
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    for way in WAYS:
        (HERE / f"{way.name}.svg").write_text(drawn(way), encoding="utf-8")
