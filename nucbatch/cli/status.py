"""``nucbatch status``: shows how far a run is, from another shell, without touching it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nucbatch.cli.shared_options import RunPath
from nucbatch.cli.terminal import terminal

if TYPE_CHECKING:
    from nucbatch.store.run_status import RunStatus

_NOT_FINISHED, _SOME_FAILED = 1, 3
_MOST_IMAGES = 10
_MOST_REASONS_IN_JSON = 255


@click.command(short_help="Show how far a run is, from any shell.")
@click.argument("out", type=RunPath())
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
@click.pass_context
def status(context: click.Context, out: Path, as_json: bool) -> None:
    """Show how far the run in OUT is: fields done, failed and left, rate, time left, and who works on it.

    OUT is a folder, or an address such as s3://bucket/run. Of a screen it shows one line for each plate.

    It reads the run's ledger, takes no lock and writes nothing, so it can be called at any time.

    Exit code: 0 the run is being worked on, or is finished with all fields done; 1 it is neither worked on
    nor finished, or is no run; 2 wrong usage; 3 it is finished, and some fields failed or can't be used.
    """
    from nucbatch.execution.screen.screen_status import is_screen
    from nucbatch.store.run_status import read_status

    if is_screen(out):
        context.exit(_show_screen(out, as_json=as_json))
    found = read_status(out, most_reasons=_MOST_REASONS_IN_JSON if as_json else 5)
    if as_json:
        click.echo(json.dumps(_document(found), indent=2, ensure_ascii=False))
    else:
        console = terminal(soft_wrap=True)
        for line in _lines(out, found):
            console.print(line, markup=False)
    if found.state in ("stopped", "not started"):
        context.exit(_NOT_FINISHED)
    if found.state == "finished" and found.failed + found.unusable:
        context.exit(_SOME_FAILED)


def _show_screen(out: Path, *, as_json: bool) -> int:
    """Shows the plates of a screen; returns the exit code."""
    from nucbatch.execution.screen.screen_status import screen_status

    plates = screen_status(out)
    if as_json:
        document = {"plates": [asdict(plate) for plate in plates]}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        console = terminal(soft_wrap=True)
        finished = sum(plate.state == "finished" for plate in plates)
        console.print(f"{out}: {finished:,} of {len(plates):,} plates are finished", markup=False)
        for plate in plates:
            of = "" if plate.fields is None else f" of {plate.fields:,}"
            failed = f", {plate.failed + plate.unusable:,} failed" if plate.failed + plate.unusable else ""
            said = f": {plate.done:,}{of} fields done{failed}, {plate.nuclei:,} nuclei"
            shown = "" if plate.state == "not started" else said
            console.print(f"  {plate.name}: {plate.state}{shown}", markup=False)
    if any(plate.state in ("stopped", "not started") for plate in plates):
        return 0 if any(plate.state == "running" for plate in plates) else _NOT_FINISHED
    finished_with = all(plate.state == "finished" for plate in plates)
    return _SOME_FAILED if finished_with and any(plate.failed + plate.unusable for plate in plates) else 0


def _document(found: RunStatus) -> dict[str, object]:
    """Returns the status as plain values."""
    values = asdict(found)
    values["log"] = None if found.log is None else str(found.log)
    values["reasons"] = dict(found.reasons)
    values["images"] = [
        {
            "name": image.name,
            "stages": [dict(zip(("stage", "done", "units"), one, strict=True)) for one in image.stages],
        }
        for image in found.images
    ]
    return values


def _lines(out: Path, found: RunStatus) -> list[str]:
    """Returns the status in a few lines."""
    lines = [f"{out}: {_state(found)}"]
    if found.fields is None:
        lines.append(
            f"Fields: {found.done:,} done, {found.failed:,} failed; how many are left is not known yet"
        )
    else:
        unusable = f"; {found.unusable:,} more can't be used" if found.unusable else ""
        lines.append(
            f"Fields: {found.done:,} of {found.fields:,} done, {found.failed:,} failed, {found.to_do:,} left"
            f"{unusable}"
        )
    lines += [f"  {count:,} failed: {reason}" for reason, count in found.reasons]
    lines.append(f"Nuclei so far: {found.nuclei:,}")
    if found.arithmetic:
        lines.append(f"The network's arithmetic: {found.arithmetic}")
    session = "over this session" if found.state == "running" else "over the last session"
    rates = [(found.session_per_s, session)]
    if found.state == "running":
        rates.insert(0, (found.recent_per_s, "in the last five minutes"))
    known = [f"{_rate(per_s)} {during}" for per_s, during in rates if per_s is not None]
    if known:
        lines.append(f"Rate: {', '.join(known)}")
    if found.left_s is not None:
        lines.append(f"Time left: about {_duration(found.left_s)}")
    for image in found.images[:_MOST_IMAGES]:
        stages = ", ".join(f"{doing} {done:,} of {units:,}" for doing, done, units in image.stages)
        lines.append(f"Image {image.name}: {stages}")
    if len(found.images) > _MOST_IMAGES:
        lines.append(f"and {len(found.images) - _MOST_IMAGES:,} more images under way")
    if found.record_age_s is not None:
        lines.append(f"Last result: {_duration(found.record_age_s)} ago")
    if found.log is not None:
        lines.append(f"Log: {found.log}")
    return lines


def _state(found: RunStatus) -> str:
    """Returns the state in words, with the driver's process if one holds the lock."""
    driver = found.driver
    if driver is not None and driver.runs:
        beat = "" if driver.is_here else f", which was last heard of {_duration(driver.beat_age_s)} ago"
        return f"running, process {driver.pid} on {driver.host}{beat}"
    if found.state == "stopped":
        killed = f" (process {driver.pid} on {driver.host} was killed)" if driver is not None else ""
        return f"stopped before its end{killed}; the same command again continues it"
    return found.state


def _rate(per_s: float) -> str:
    if per_s >= 1:
        return f"{per_s:,.1f} fields/s"
    return f"{per_s * 60:.1f} fields/min" if per_s * 60 >= 1 else f"{per_s * 3600:.1f} fields/h"


def _duration(seconds: float) -> str:
    """Returns a duration in its two largest units.

    >>> _duration(3.2), _duration(125), _duration(7200), _duration(200_000)
    ('3 s', '2 min 5 s', '2 h 0 min', '2 d 7 h')
    """
    whole = round(seconds)
    for unit_s, unit, part_s, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit_s:
            return f"{whole // unit_s} {unit} {whole % unit_s // part_s} {part}"
    return f"{whole} s"
