"""Executes a prepared run with a progress bar, prints its result and exits with its code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from nucbatch.cli.terminal import INTERRUPTED, terminal

if TYPE_CHECKING:
    from rich.console import Console

    from nucbatch.execution.prepared import Prepared


def carry_out(console: Console, prepared: Prepared, out: Path, **session: Any) -> NoReturn:
    """Executes a run in a folder, and exits with its code.

    Args:
        console: where the progress is shown.
        prepared: the run.
        out: the run's folder.
        session: further arguments of :func:`nucbatch.execution.session.execute`.
    """
    from nucbatch.cli.run_summary import exit_code, summarise
    from nucbatch.core.signals import Stopped
    from nucbatch.execution.progress_bar import RunBar
    from nucbatch.execution.session import execute

    try:
        with RunBar(console) as bar:
            result = execute(prepared, out, progress=bar, **session)
    except Stopped as stopped:
        click.echo(f"{stopped}. Finished results are kept: run the same command again to continue.", err=True)
        sys.exit(stopped.exit_code)
    except KeyboardInterrupt:
        click.echo("\nStopped. Finished results are kept: run the same command again to continue.", err=True)
        sys.exit(INTERRUPTED)
    summarise(terminal(soft_wrap=True), result)
    sys.exit(exit_code(result))
