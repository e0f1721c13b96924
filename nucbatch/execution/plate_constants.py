"""One pair of normalisation constants for a whole plate, from a sample of its fields.

The sample is chosen by a hash of the fields' names, so that it doesn't depend on their order. The grey
levels of all its pixels are counted together, so that a few empty or very bright wells decide nothing.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from nucbatch.core.errors import InputError, UnreadableImage
from nucbatch.core.grey_levels import GreyLevels, countable
from nucbatch.core.plate import Field
from nucbatch.core.settings import NormaliseSettings, RunSettings
from nucbatch.execution.job import seen_channel
from nucbatch.execution.plate_sample import sampled
from nucbatch.inference.normalise import constants_of
from nucbatch.planning.plan import Plan
from nucbatch.readers.pixels import field_channels, read_field


def with_plate_constants(plan: Plan, begun: RunSettings | None, threads: int = 1) -> tuple[Plan, str]:
    """The plan with the plate's constants in its settings, and a sentence that says what they are.

    The plan itself and an empty sentence where each field has its own. ``begun`` are the settings with which
    the run's folder was begun: its constants are kept, also where fields have come in since.

    Raises:
        InputError: the fields' pixels can't be counted together, or none can be read.
    """
    normalise = plan.settings.normalise
    if normalise.over == "field" or normalise.low is not None:
        return plan, ""
    if begun is not None and _without_constants(begun.normalise) == normalise:
        return _with(plan, begun.normalise), ""
    sample = sample_of(plan)
    with ThreadPoolExecutor(threads) as pool:
        counted = [levels for levels in pool.map(lambda field: _levels_of(plan, field), sample) if levels]
    if not counted:
        raise InputError(
            f"none of the {len(sample)} fields chosen to normalise {plan.plate.name} by can be read: see "
            "nucbatch inspect, or normalise each field by itself."
        )
    total = sum(counted[1:], counted[0])
    found = constants_of(total, normalise)
    if found.blank:
        raise InputError(
            f"the {len(counted)} fields chosen to normalise {plan.plate.name} by have only one grey level, "
            f"{found.low:g}: normalise each field by itself."
        )
    values = normalise.model_copy(update={"low": found.low, "high": found.high})
    return _with(plan, values), (
        f"All fields are normalised alike: grey levels {found.low:g} to {found.high:g}, from "
        f"{len(counted)} of {len(plan.usable):,} fields."
    )


def sample_of(plan: Plan) -> list[Field]:
    """Up to ``SAMPLE`` usable fields of ordinary size, by the hash of their names.

    Raises:
        InputError: there are none, or their pixels are of several types or can't be counted.
    """
    fields = [field for field in plan.usable if not plan.is_large(field)]
    kinds = sorted({f"{field.dtype}, {_kind(field)}" for field in fields})
    if len(kinds) != 1 or not countable(fields[0].dtype):
        raise InputError(
            f"{plan.plate.name} can't be normalised as a whole: that needs fields in one piece, all uint8 or "
            f"all uint16, all grey or all RGB; here they are {'; '.join(kinds) or 'none'}. Normalise each "
            "field by itself."
        )
    return sampled(fields)


def _levels_of(plan: Plan, field: Field) -> GreyLevels | None:
    """The grey levels that the network would see of a field; None where it can't be read."""
    channels = field_channels(plan.plate, field)
    channel = seen_channel(channels, plan.settings.channel)
    seen = channels if channel is None else (channels[channel],)
    try:
        return GreyLevels.of(read_field(plan.plate.root, field, seen, plan.read_timeout_s))
    except UnreadableImage:  # the run quarantines it
        return None


def _kind(field: Field) -> str:
    return "RGB" if any(plane.samples == 3 for plane in field.planes) else "grey"


def _without_constants(settings: NormaliseSettings) -> NormaliseSettings:
    return settings.model_copy(update={"low": None, "high": None})


def _with(plan: Plan, normalise: NormaliseSettings) -> Plan:
    return replace(plan, settings=plan.settings.model_copy(update={"normalise": normalise}))
