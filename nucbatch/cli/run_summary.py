"""Texts of ``nucbatch run``: the plan and the expected time before it, the result and exit code after it."""

from __future__ import annotations

from collections import Counter
from itertools import compress
from typing import TYPE_CHECKING

from nucbatch.cli.verbosity import is_quiet

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from nucbatch.execution.prepared import Prepared
    from nucbatch.execution.session import RunResult


def describe(console: Console, prepared: Prepared) -> None:
    """Prints what the run will do, in a few lines."""
    from rich.text import Text

    from nucbatch.core.escape import printable
    from nucbatch.core.plate import projection_text, z_steps
    from nucbatch.core.tiles import block_grid
    from nucbatch.readers.flat_fields import illumination_text
    from nucbatch.readers.names import plural
    from nucbatch.readers.summary_text import z_hint

    plan, plate = prepared.plan, prepared.plan.plate
    wells = f"{plural(sum(1 for _ in plate.wells()), 'well')}, " if plate.is_plate else ""
    seen = f"channel {plan.settings.channel}" if plan.settings.channel else "RGB"
    model = f"model {plan.settings.model} ({prepared.card.sha256[:12]})"
    chosen = f"{len(plan.selected):,} of them selected, " if plan.selection else ""
    console.print(
        Text(plate.name, style="bold"),
        Text(
            f"({plate.layout}): {wells}{plural(len(plate.fields), 'field')}, {len(plan.usable):,} usable, "
            f"{chosen}{plan.pixels / 1e6:,.1f} Mpx; {seen}; "
            f"{prepared.masks.sentence if prepared.masks else model}; "
            f"illumination {printable(illumination_text(plate))}"
        ),
    )
    projected: Counter[int] = Counter()
    for channels, count in Counter(plan.selected.of_parts("planes", "channel")).items():
        projected[z_steps(channels)] += count
    for steps, count in projected.most_common():
        if steps > 1:
            hint = z_hint(plate.evidence)
            console.print(f"{projection_text(steps)}, in {plural(count, 'field')}. {hint}".rstrip())
    for sentence in prepared.warnings:
        console.print(Text(sentence, style="yellow"))
    sides = zip(plan.selected.values("height_px"), plan.selected.values("width_px"), strict=True)
    large = list(compress(sides, plan.large(plan.selected)))
    if large:
        rows, columns = zip(
            *(block_grid(shape, plan.block_px).shape for shape in large),
            strict=True,
        )
        blocks = sum(down * across for down, across in zip(rows, columns, strict=True))
        console.print(
            f"{plural(len(large), 'image')} cut into {plural(blocks, 'block')} of {plan.block_px} px; the "
            "probabilities stay in the run's folder."
        )
    if plan.selected:
        needed = prepared.worker_bytes / 2**30
        console.print(f"Up to {needed:.1f} GiB per worker process with one task at a time.")


def forecast(console: Console, prepared: Prepared, out: Path, *, keep_probabilities: bool = False) -> None:
    """Prints the network's arithmetic and time alone, and the size of the probabilities that are kept."""
    from nucbatch.execution.forecast import core_seconds, kept_bytes, kind_sentence
    from nucbatch.planning.memory import gib
    from nucbatch.store.ledger import started_settings
    from nucbatch.store.run_folder import RunFolder

    if sentence := kind_sentence(prepared, started_settings(RunFolder(out))):
        console.print(sentence)
    minutes = core_seconds(prepared) / 60
    time = f"{minutes:.1f} minutes" if minutes < 100 else f"{minutes / 60:,.1f} hours"
    console.print(f"The network alone takes {time} on one core like this machine's; divide by the cores.")
    size = kept_bytes(prepared, of_fields=keep_probabilities)
    if size:
        console.print(f"The probabilities that are kept take about {gib(size)}.")


def summarise(console: Console, result: RunResult) -> None:
    """Prints the result and the paths of its files; with ``--quiet`` the first line alone."""
    from rich.text import Text

    from nucbatch.core.plate import absent_text
    from nucbatch.features.quality import WRONG_POSITIONS, meaning
    from nucbatch.readers.names import plural

    totals, folder = result.totals, result.folder
    left_out = f", {totals.fields_not_selected:,} not selected" if totals.fields_not_selected else ""
    over_time = f" (all {totals.time_points:,} time points together)" if totals.time_points > 1 else ""
    once = "" if WRONG_POSITIONS in totals.flagged else ", each counted once"
    repeats = f"{once} ({totals.seen:,} with repeats in overlapping fields)"
    repeats = repeats if totals.seen > totals.nuclei else ""
    console.print(
        f"[bold]{totals.nuclei:,} {'nucleus' if totals.nuclei == 1 else 'nuclei'}[/] in "
        f"{plural(totals.fields_done, 'field')}{over_time}{repeats}; "
        f"{plural(totals.fields_failed, 'field')} failed{left_out}; files: {totals.files_used:,} used, "
        f"{totals.files_ignored:,} ignored, {totals.files_quarantined:,} quarantined"
    )
    if is_quiet():
        return
    if totals.left_out:
        console.print(
            f"{totals.left_out:,} further nuclei are left out of the counts by --min-area, --max-area or "
            f"--drop-border; Metadata_ReasonNotCounted in {folder.nuclei} says why",
            markup=False,
        )
    if totals.at_shared_edges:
        console.print(
            Text(
                f"{totals.at_shared_edges:,} of the nuclei touch an edge that another field adjoins without "
                "overlapping: those that are cut there count in both fields. See Count_Nuclei_AtSharedEdges "
                f"in {folder.wells}",
                "yellow",
            )
        )
    if totals.stage:
        console.print(Text(totals.stage, "yellow"))
    if totals.maps_bytes:
        console.print(
            Text(
                f"Probabilities: {totals.maps_bytes / 1e6:,.1f} MB in {folder.probabilities}, for "
                "--reuse-probabilities; remove the folder when they are no longer needed"
            )
        )
    if totals.absent_chunks:
        absent = absent_text(totals.absent_chunks, totals.chunks)
        console.print(Text(f"{absent}, read as background. See reason in {folder.files}", "yellow"))
    if totals.diameter_px is not None:
        rescaled = f"; {plural(totals.rescaled, 'field')} rescaled for the model" if totals.rescaled else ""
        console.print(f"The nuclei of all fields measure about {totals.diameter_px:.0f} px{rescaled}")
    for flag, count in totals.flagged.items():
        console.print(
            Text(
                f"{plural(count, 'field')} flagged {flag}: {meaning(flag)}. See Flags in {folder.fields}",
                "yellow",
            )
        )
    for sentence in result.experiment:
        console.print(Text(sentence))
    if totals.fields_done:
        console.print(
            f"Quality limits: {totals.quality['limits']} (quality in {folder.run_json})", markup=False
        )
    for what, path in (
        ("Counts per well", folder.wells) if result.is_plate else ("Counts per field", folder.fields),
        ("Nuclei", folder.nuclei),
        ("Files", folder.files),
        ("Report", folder.report),
    ):
        console.print(Text(f"  {what}: {path}"))


def exit_code(result: RunResult) -> int:
    """0 everything is done; 1 no field is; 3 something failed, is quarantined or is missing."""
    if result.totals.fields_done == 0:
        return 1
    return 0 if result.totals.complete else 3
