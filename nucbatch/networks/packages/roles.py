"""What a foreign network's output channels mean, and how they become nucbatch's maps.

nucbatch needs the probability that a pixel belongs to a nucleus (foreground), and can use one that marks
each nucleus by itself (interior). Channels are recognised by their names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from nucbatch.core.errors import WeightsError

ROLES = ("foreground", "boundary", "interior", "distance", "background", "ignore")
"""Meanings of a channel. ``distance``: from the outline, 0 to 1 in each nucleus."""

_WORDS = (
    ("background", r"background|\bbg\b"),
    ("boundary", r"bound|border|edge|contour|outline|membrane"),
    ("distance", r"dist"),
    ("interior", r"interior|inner|inside|seed|marker"),
    ("foreground", r"foreground|\bfg\b|nucle|mask|cell|probab"),
)
_ALLOWED = (
    "foreground; foreground and boundary, interior or distance (0 to 1); interior and boundary; background"
)


def roles_of(names: Sequence[str], tensor: str, given: Sequence[str]) -> tuple[str, ...]:
    """Returns the meaning of each channel.

    Args:
        names: names of the channels; those that say nothing need ``given``, unless there is one alone.
        tensor: name of the output, which counts if there is one channel.
        given: meanings from nucbatch's own section of the description; empty if there are none.

    Raises:
        WeightsError: the meaning of a channel is unknown, or the channels don't give a foreground.
    """
    if given:
        wrong = [role for role in given if role not in ROLES]
        if wrong or len(given) != len(names):
            raise WeightsError(
                f"config.nucbatch.outputs is {', '.join(map(str, given))}: name one of {', '.join(ROLES)} "
                f"for each of {len(names)} channels."
            )
        found = tuple(given)
    elif len(names) == 1:
        found = (_role(names[0]) or _role(tensor) or "foreground",)
    else:
        roles = [_role(name) for name in names]
        if None in roles:
            raise WeightsError(
                f"the output's {len(names)} channels are called {', '.join(names)}, which doesn't say what "
                "they are. Rename them in the description, or add config: {nucbatch: {outputs: [foreground, "
                f"boundary]}}}} with one of {', '.join(ROLES)} for each."
            )
        found = tuple(role for role in roles if role is not None)
    held = {role for role in found if role != "ignore"}
    if not held & {"foreground", "background"} and not {"interior", "boundary"} <= held:
        raise WeightsError(
            f"the output is {', '.join(found)}, from which nuclei can't be made. Supported are: {_ALLOWED}."
        )
    if len(held) != sum(role != "ignore" for role in found):
        raise WeightsError(
            f"the output is {', '.join(found)}: each may occur once. Supported are: {_ALLOWED}."
        )
    return found


def outputs_of(roles: Sequence[str]) -> tuple[str, ...]:
    """Names of the maps that :func:`maps_of` gives."""
    splits = {"boundary", "interior", "distance"} & set(roles)
    return ("foreground", "interior") if splits else ("foreground",)


def maps_of(channels: Tensor, roles: Sequence[str]) -> Tensor:
    """Combines probabilities (N, channels, H, W) to maps (N, outputs, H, W)."""
    by = {role: channels[:, at : at + 1] for at, role in enumerate(roles)}
    if "foreground" in by:
        foreground = by["foreground"]
    elif "interior" in by and "boundary" in by:
        foreground = (by["interior"] + by["boundary"]).clamp(0, 1)
    else:
        foreground = 1 - by["background"]
    if "interior" in by:
        return torch.cat([foreground, by["interior"]], dim=1)
    if "distance" in by:
        return torch.cat([foreground, by["distance"]], dim=1)
    if "boundary" in by:
        return torch.cat([foreground, foreground * (1 - by["boundary"])], dim=1)
    return foreground


def _role(name: str) -> str | None:
    words = re.sub(r"[_\W]+", " ", name.lower())
    return next((role for role, pattern in _WORDS if re.search(pattern, words)), None)
