"""Measures the nuclear diameter of a whole plate from a sample of its fields, so that all use one scale.

Fields scaled individually could not be compared. So the run measures the centres of some fields before it
starts and stores the diameter in its settings. A resumed run keeps it, also for fields added later. A field
whose own nuclei would require another scale is flagged.
"""

from __future__ import annotations

from dataclasses import replace

from nucbatch.core.plate import field_rows, file_rows
from nucbatch.core.settings import RunSettings
from nucbatch.execution.measure_sample import ScaleSample, measure_sample
from nucbatch.execution.network_process import with_network
from nucbatch.execution.plate_sample import sampled
from nucbatch.execution.prepared import Prepared


def with_plate_scale(prepared: Prepared, begun: RunSettings | None, threads: int = 1) -> tuple[Prepared, str]:
    """Adds the plate's nuclear diameter to the run's settings.

    Args:
        prepared: the run.
        begun: the settings with which the run was started, if it was; their diameter is kept.
        threads: number of threads for reading and segmenting.

    Returns:
        The run and a message with the diameter; the unchanged run and an empty message if no diameter has to
        be measured for the whole plate.
    """
    if not prepared.plan.plate.is_plate or prepared.scale.zoom is not None:
        return prepared, ""
    if begun is not None and begun.diameter_px == "auto" and begun.plate_diameter_px is not None:
        return _with(prepared, begun.plate_diameter_px), ""
    plan = prepared.plan
    sample = ScaleSample(
        replace(plan.plate, fields=field_rows(sampled(plan.usable)), files=file_rows([])),
        plan.settings,
        prepared.weights,
        prepared.grid,
        prepared.scale,
    )
    # Not on workers, because the settings must be complete before the first task.
    diameter_px, nuclei, fields = with_network(measure_sample, sample, threads)
    found = _with(prepared, diameter_px)
    if not nuclei:
        return (
            found,
            f"No nuclei in {fields} of {len(prepared.plan.usable):,} fields: images are seen as they are.",
        )
    if not diameter_px:
        return found, "The diameter of the nuclei can't be measured: images are seen as they are."
    seen = "seen as they are" if found.scale.zoom == 1 else f"seen {found.scale.zoom:.2g} times as large"
    return found, (
        f"Nuclei measure about {diameter_px:.0f} px ({nuclei:,} nuclei in the middle of {fields} of "
        f"{len(prepared.plan.usable):,} fields): images are {seen}."
    )


def _with(prepared: Prepared, diameter_px: float) -> Prepared:
    settings = prepared.plan.settings.model_copy(update={"plate_diameter_px": diameter_px})
    return replace(prepared, plan=replace(prepared.plan, settings=settings))
