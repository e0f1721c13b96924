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
    from nucbatch.execution.session import RunResult


def carry_out(console: Console, prepared: Prepared, out: Path, **session: Any) -> NoReturn:
    """Executes a run in a folder, prints its result, and exits with its code; arguments as below."""
    from nucbatch.cli.run_summary import exit_code, summarise

    result = execute_shown(console, prepared, out, **session)
    summarise(terminal(soft_wrap=True), result)
    sys.exit(exit_code(result))


def execute_shown(console: Console, prepared: Prepared, out: Path, **session: Any) -> RunResult:
    """Executes a run in a folder with a progress bar; exits if it is interrupted.

    Args:
        console: where the progress is shown.
        prepared: the run.
        out: the run's folder or address.
        session: further arguments of :func:`nucbatch.execution.run_in_store.execute_to`.
    """
    from nucbatch.core.signals import Stopped
    from nucbatch.execution.progress_bar import RunBar
    from nucbatch.execution.run_in_store import execute_to

    try:
        with RunBar(console) as bar:
            return execute_to(prepared, out, progress=bar, **session)
    except Stopped as stopped:
        click.echo(f"{stopped}. Finished results are kept: run the same command again to continue.", err=True)
        sys.exit(stopped.exit_code)
    except KeyboardInterrupt:
        click.echo("\nStopped. Finished results are kept: run the same command again to continue.", err=True)
        sys.exit(INTERRUPTED)
