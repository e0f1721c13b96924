"""Normalisation constants of a whole plate, from a sample of its fields.

The sample is chosen by a hash of the fields' names, so it does not depend on their order. The constants come
from one histogram of the whole sample, so that a few empty or very bright wells have little effect.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import compress

from nucbatch.core.errors import InputError, UnreadableImage
from nucbatch.core.grey_levels import GreyLevels, countable
from nucbatch.core.plate import Field
from nucbatch.core.settings import NormaliseSettings, RunSettings
from nucbatch.execution.job import seen_channel
from nucbatch.execution.plate_sample import sampled
from nucbatch.inference.normalise import constants_of
from nucbatch.object_store import at_once
from nucbatch.planning.plan import Plan
from nucbatch.readers.pixels import FieldReader, field_channels


def with_plate_constants(plan: Plan, begun: RunSettings | None, threads: int = 1) -> tuple[Plan, str]:
    """Adds the plate's normalisation constants to the plan's settings.

    Args:
        plan: the plan.
        begun: the settings with which the run was started, if it was; their constants are kept, also when
            fields were added since.
        threads: number of threads for reading.

    Returns:
        The plan and a message with the constants; the unchanged plan and an empty message if each field is
        normalised by itself.

    Raises:
        InputError: the fields' pixel types differ or can't be counted, or no field can be read.
    """
    normalise = plan.settings.normalise
    if normalise.over == "field" or normalise.low is not None:
        return plan, ""
    if begun is not None and _without_constants(begun.normalise) == normalise:
        return _with(plan, begun.normalise), ""
    sample = sample_of(plan)
    with ThreadPoolExecutor(at_once(plan.plate.root, threads)) as pool:
        counted = [levels for levels in pool.map(lambda field: _levels_of(plan, field), sample) if levels]
    if not counted:
        raise InputError(
            f"none of the {len(sample)} fields sampled to normalise {plan.plate.name} can be read: see "
            "nucbatch inspect, or normalise each field by itself."
        )
    total = sum(counted[1:], counted[0])
    found = constants_of(total, normalise)
    if found.blank:
        raise InputError(
            f"the {len(counted)} fields sampled to normalise {plan.plate.name} have only one grey level, "
            f"{found.low:g}: normalise each field by itself."
        )
    values = normalise.model_copy(update={"low": found.low, "high": found.high})
    return _with(plan, values), (
        f"All fields are normalised alike: grey levels {found.low:g} to {found.high:g}, from "
        f"{len(counted)} of {len(plan.usable):,} fields."
    )


def sample_of(plan: Plan) -> list[Field]:
    """Chooses up to ``SAMPLE`` usable fields of one block, by the hash of their names.

    Raises:
        InputError: there are no such fields, or their pixel types differ or can't be counted.
    """
    fields = plan.usable
    small = [not large for large in plan.large(fields)]
    forms = set(
        compress(zip(fields.values("dtype"), fields.of_parts("planes", "samples"), strict=True), small)
    )
    kinds = sorted({f"{dtype}, {'RGB' if (3,) in samples else 'grey'}" for dtype, samples in forms})
    if len(kinds) != 1 or not countable(next(iter(forms))[0]):
        raise InputError(
            f"{plan.plate.name} can't be normalised as a whole: its fields must fit in one block and be all "
            f"uint8 or all uint16, all grey or all RGB; they are {'; '.join(kinds) or 'none'}. Normalise "
            "each field by itself."
        )
    return sampled(fields, small)


def _levels_of(plan: Plan, field: Field) -> GreyLevels | None:
    """Returns the histogram of a field's segmented channels; None if the field can't be read."""
    channels = field_channels(plan.plate, field)
    channel = seen_channel(channels, plan.settings.channel)
    seen = channels if channel is None else (channels[channel],)
    try:
        return GreyLevels.of(FieldReader.of(plan.plate).read_whole(field, seen))
    except UnreadableImage:  # the run will quarantine it
        return None


def _without_constants(settings: NormaliseSettings) -> NormaliseSettings:
    return settings.model_copy(update={"low": None, "high": None})


def _with(plan: Plan, normalise: NormaliseSettings) -> Plan:
    return replace(plan, settings=plan.settings.model_copy(update={"normalise": normalise}))
