"""``nucbatch.run``: segments and measures a plate into a run's folder."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

from nucbatch.api.run_keywords import (
    Listed,
    SchedulerOptions,
    Several,
    experiment_asked,
    listed,
    one_of,
    scheduler_settings,
)
from nucbatch.core.errors import InputError
from nucbatch.core.log_file import early_records
from nucbatch.core.measure_settings import features_asked, ring_asked
from nucbatch.core.plate import READ_TIMEOUT_S
from nucbatch.core.segmentation_options import Diameter, Normalise, SegmentationOptions, objects_given
from nucbatch.core.selection import Selection
from nucbatch.execution.run_request import InputOptions, RunRequest
from nucbatch.execution.warm_start import load_ahead
from nucbatch.object_store import as_path

if TYPE_CHECKING:
    from nucbatch.api.opened_run import Run
    from nucbatch.execution.session import RunResult


@early_records()
def run(
    plate: str | Path,
    out: str | Path,
    *,
    work: str | Path | None = None,
    layout: str = "",
    acquisition: str = "",
    plate_name: str = "",
    pattern: str = "",
    pixel_size: float | None = None,
    resolution: float | None = None,
    flatfield: bool = False,
    illumination: str | Path | None = None,
    illumination_method: Literal["divide", "subtract"] = "divide",
    root: str | Path | None = None,
    read_timeout: float = READ_TIMEOUT_S,
    wells: Listed = "",
    sites: Listed = "",
    times: Listed = "",
    labels: str = "zarr",
    images: str = "copy",
    ome_zarr: str | None = None,
    in_place: bool = False,
    overlaps: str = "once",
    table: str = "parquet",
    model: str | Path = "default",
    channel: str = "",
    diameter: Diameter = "auto",
    precision: str = "auto",
    normalise: Normalise = None,
    normalise_over: str | None = None,
    foreground: float | None = None,
    join: float | None = None,
    merge: float | None = None,
    interior: float | None = None,
    micronuclei: str | None = None,
    metadata: str | Path | None = None,
    positive: Several = "",
    negative: Several = "",
    series: str = "",
    dose: str = "",
    dose_unit: str = "",
    measure: Several = "",
    ring: str | None = None,
    features: str = "",
    min_area: int | None = None,
    max_area: int | None = None,
    drop_border: bool = False,
    min_confidence: float | None = None,
    scheduler: str = "local",
    workers: int | None = None,
    block_size: int | None = None,
    insecure: bool = False,
    restart: bool = False,
    keep_probabilities: bool = False,
    reuse_probabilities: bool = False,
    verify: bool = False,
    fail_fast: bool = False,
    progress: bool = True,
    **scheduler_options: Unpack[SchedulerOptions],
) -> Run:
    """Finds and measures the nuclei of a plate, a folder of images or one image, in worker processes.

    The same call again continues where an earlier one stopped. Keywords are the options of ``nucbatch run``,
    which ``nucbatch run --help`` explains; those of single schedulers (``partition``, ``walltime``, …) too.
    In a script, call it under ``if __name__ == "__main__":``, because worker processes import the script.

    Args:
        plate: a plate's folder, a folder of images, one image, an OME-Zarr, or a manifest CSV.
        out: the run's folder, or an address such as "s3://bucket/run".
        work: where ``out`` is an address: folder in which results wait until they are sent.
        layout: layout of the input, if it isn't recognised.
        acquisition: acquisition to read, if a plate has several.
        plate_name: plate to read of a manifest that names several (``--plate``).
        pattern: regular expression for the file names.
        pixel_size: µm per pixel, instead of the value in the files.
        resolution: pixel size in µm; the nearest level of a pyramid is read.
        flatfield: whether to divide pixels by the flat-field profiles that the microscope stored.
        illumination: folder with an image of each channel's illumination, by which pixels are corrected.
        illumination_method: whether to "divide" pixels by these images or to "subtract" the images.
        root: folder of a manifest's images.
        read_timeout: longest time to read a file, in seconds.
        wells: wells to process, such as "B02,C03-C10" or ["B02", "B03"]; the rest can follow later.
        sites: sites to process, from 1.
        times: time points to process, from 0.
        labels: masks as "zarr" (with the images), "tiff" or "both".
        images: "copy", or "none" for an OME-Zarr of the masks alone; the images are then read from ``plate``.
        ome_zarr: version of the OME-Zarr, "0.5" or "0.4".
        in_place: whether to write masks into the images of an OME-Zarr that is the input.
        overlaps: whether nuclei in overlapping fields count "once", or all are kept ("keep").
        table: "parquet", or "csv" for nuclei.csv beside it.
        model: a shipped model, a weight file, or a package of bioimage.io.
        channel: channel with the nuclei, if its name doesn't tell.
        diameter: typical diameter of a nucleus: 60 (px), "12um", "auto" or "none".
        precision: arithmetic of the network: "fp32", "bf16", "fp16", or "auto", the fastest that all workers
            have and whose scores on the model's card are those of "fp32". A run keeps its arithmetic.
        normalise: "foreground", "percentiles" or two grey levels (low, high).
        normalise_over: one normalisation per "field", or one for the "plate".
        foreground: least probability of a nucleus' pixels; this and the following default to the model's.
        join: merge centres closer than this fraction of the radius.
        merge: merge neighbours where the interior map on their border exceeds this fraction.
        interior: least interior value of a centre, for models without offsets.
        micronuclei: "drop" or "count" objects of less than a third of the typical diameter.
        metadata: table of the wells (CSV), whose columns go into all tables as Metadata_<Column>.
        positive: positive controls, such as "Dose=10".
        negative: negative controls, likewise.
        series: series to judge apart: a column, "rows", or groups of rows such as "A-D,E-H".
        dose: column with the doses, to which curves are fitted.
        dose_unit: unit of the doses, such as "uM"; without one they are steps of a dilution series.
        measure: columns of wells.csv to fit and to normalise; by default the one with the best Z'.
        ring: ring in which the cytoplasm is measured, such as "1:6" (px) or "0.5um:3um"; or "none".
        features: further measurements, such as "texture,granularity,radial_distribution".
        min_area: smaller nuclei are left out of counts and statistics, but stay in the table; in px.
        max_area: larger nuclei likewise.
        drop_border: whether nuclei that touch the border of their image are left out likewise.
        min_confidence: objects of a lower confidence (0 to 1) are left out likewise.
        scheduler: "local", "cuda", "slurm", or a scheduler's address or file.
        workers: number of worker processes; None: one per core.
        block_size: side of the blocks of large images, in px.
        insecure: whether to connect to a scheduler without TLS.
        restart: whether to delete an earlier run in the folder first.
        keep_probabilities: whether to keep the network's probabilities, for other thresholds later.
        reuse_probabilities: whether to redo objects and tables alone, from kept probabilities.
        verify: whether to compare the checksums of all finished results.
        fail_fast: whether to stop at the first file or field that can't be used.
        progress: whether to show a progress bar, or lines where there is no terminal.
        scheduler_options: options of single schedulers.

    Returns:
        The opened run, with tables, images and labels. Fields that failed and files that can't be used are in
        its tables, and a Python warning counts them.

    Raises:
        InputError, InputNotFound, WeightsError: the input or an option can't be used; nothing was started.
        SettingsConflict: the folder has a run with other settings. RunLocked: another process works in it.
        MemoryRefused, SchedulerError, StoreError, FieldFailed: the run can't go on.
        Stopped: Ctrl-C, or a signal; finished results are kept.

    Examples:
        >>> import nucbatch as nb
        >>> run = nb.run("plate", "out", channel="DAPI", progress=False)
        >>> run.fields["Status"].unique().tolist()
        ['done']
    """
    settings = scheduler_settings(scheduler_options)
    if workers is not None and workers < 1:
        raise InputError(f"workers is {workers}: a run needs at least 1, or None for one per core.")
    one_of("labels", labels, ("zarr", "tiff", "both"))
    one_of("images", images, ("copy", "none"))
    one_of("illumination_method", illumination_method, ("divide", "subtract"))
    load_ahead(scheduler)

    from nucbatch.api.opened_run import open_run
    from nucbatch.core.console import terminal
    from nucbatch.execution.progress_bar import RunBar
    from nucbatch.execution.run_in_store import execute_to, work_in
    from nucbatch.schedulers.contract import Scheduling

    request = RunRequest(
        InputOptions(
            Path(plate),
            layout=layout,
            acquisition=acquisition,
            plate_name=plate_name,
            pattern=pattern,
            pixel_size_um=pixel_size,
            resolution_um=resolution,
            flatfield=flatfield,
            illumination=None if illumination is None else Path(illumination),
            illumination_method=illumination_method,
            root=None if root is None else Path(root),
            read_timeout_s=read_timeout,
        ),
        SegmentationOptions(
            str(model),
            channel,
            diameter,
            precision,
            normalise,
            normalise_over,
            objects_given(
                foreground=foreground,
                join=join,
                merge=merge,
                interior=interior,
                micronuclei=micronuclei,
            ),
        ),
        Selection.parse(listed(wells), listed(sites), listed(times)),
        labels,
        ome_zarr,
        in_place,
        overlaps,
        block_size,
        table=table,
        images=images,
        experiment=experiment_asked(
            metadata,
            positive=positive,
            negative=negative,
            series=series,
            dose=dose,
            dose_unit=dose_unit,
            measure=measure,
        ),
        measure={"ring": ring_asked(ring), "features": features_asked(features)},
        counted={
            "min_area_px": min_area,
            "max_area_px": max_area,
            "drop_border": drop_border,
            "min_confidence": min_confidence,
        },
    )
    target, waiting = as_path(out), None if work is None else Path(work)
    prepared = request.prepare(work_in(target, waiting))
    with RunBar(terminal(soft_wrap=True)) if progress else nullcontext() as bar:
        for sentence in prepared.warnings:
            if bar is None:
                warnings.warn(sentence, stacklevel=_CALLER)
            else:
                bar.note(sentence)
        result = execute_to(
            prepared,
            target,
            work=waiting,
            scheduling=Scheduling(scheduler, settings, insecure, workers),
            restart=restart,
            keep_probabilities=keep_probabilities,
            reuse_probabilities=reuse_probabilities,
            fail_fast=fail_fast,
            verify=verify,
            progress=bar,
        )
    if problems := _problems(result):
        warnings.warn(problems, stacklevel=_CALLER)
    return open_run(out)


_CALLER = 3
"""Frames from a warning to the caller of :func:`run`, past its decorator."""


def _problems(result: RunResult) -> str:
    """What of the input is not in the counts; empty if everything is."""
    totals = result.totals
    if totals.complete:
        return ""
    return (
        f"{totals.fields_failed:,} fields of {result.folder.path} failed, and {totals.files_quarantined:,} "
        "files can't be used: .fields and .files of the run say why."
    )
