"""``nucbatch view``: looks at a run's nuclei in napari, and corrects them."""

from __future__ import annotations

from pathlib import Path

import click

from nucbatch.cli.headings import HeadedCommand, headed, option
from nucbatch.cli.shared_options import DiskPath, FolderPath
from nucbatch.cli.terminal import terminal

_PLACES = (
    option(
        "--well", "wells", default="", metavar="LIST", help="Wells to look at, such as B03. [default: all]"
    ),
    option("--sites", default="", metavar="LIST", help="Sites to look at. [default: all]"),
    option("--times", default="", metavar="LIST", help="Time points to look at. [default: all]"),
    option(
        "--suggested",
        type=DiskPath(),
        help="Go through the fields of this table of nucbatch suggest, in its order.",
    ),
)
_OUTPUT = (
    option(
        "--save",
        "folder",
        type=DiskPath(),
        help="Folder for corrections, as nucbatch train reads it.  [default: OUT-corrected]",
    ),
)


@click.command(cls=HeadedCommand, short_help="Look at a run's nuclei in napari, and correct them.")
@click.argument("out", type=FolderPath())
@headed("Fields", *_PLACES)
@headed("Output", *_OUTPUT)
def view(out: Path, wells: str, sites: str, times: str, suggested: Path | None, folder: Path | None) -> None:
    """Look at the run in OUT in napari: image, nuclei and table, linked.

    A click on a nucleus selects its row, and selected rows are outlined. Thresholds can be moved: nuclei are
    found again from the probabilities that the run kept (nucbatch run --keep-probabilities), or through the
    network. Nuclei can be painted, removed and merged, and saved as training data. The run is not changed.
    """
    from nucbatch.api.reviewing import view as open_window
    from nucbatch.readers.names import plural
    from nucbatch.review.label_folder import LabelFolder

    saved = open_window(out, wells, sites=sites, times=times, suggested=suggested, save=folder)
    corrected = sum(row["corrected"] == "yes" for row in LabelFolder(saved).origins().values())
    if corrected:
        terminal(soft_wrap=True).print(
            f"{plural(corrected, 'corrected field')}: nucbatch train {saved} --from MODEL -o NEW",
            markup=False,
        )
