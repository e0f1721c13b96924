"""A network as a table: each layer with its output's shape and its parameters, in order of execution.

The network is built on torch's *meta* device, which has shapes without values, so that 31 million parameters
need no memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nucbatch.networks.contract import build, count_parameters


@dataclass(frozen=True, slots=True)
class Layer:
    """One row: name, kind, output shape (C, Y, X) and number of values of a layer.

    ``parameters`` includes running means and variances. A layer without parameters that is called several
    times has a row for each call.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int


@dataclass(frozen=True, slots=True)
class LayerTable:
    """All layers, and the total numbers of values and of trainable parameters."""

    layers: tuple[Layer, ...]
    parameters: int
    trainable: int


def summarise(architecture: str, config: dict[str, int], side_px: int = 256) -> LayerTable:
    """The layers of an architecture on an image of ``side_px``².

    Raises:
        InputError: there is no such architecture, or ``side_px`` does not fit it.
    """
    with torch.device("meta"):
        network = build(architecture, config).eval()
        image = torch.empty(1, config.get("in_channels", 3), side_px, side_px)
    layers: list[Layer] = []

    def note(name: str, module: nn.Module, output: Tensor) -> None:
        layers.append(
            Layer(name, type(module).__name__, tuple(output.shape[1:]), count_parameters(module)[0])
        )

    for name, module in network.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda module, _, output, name=name: note(name, module, output))
    with torch.no_grad():
        network(image)
    return LayerTable(tuple(layers), *count_parameters(network))


def as_text(summary: LayerTable) -> str:
    """The table as text, with the totals below it."""
    rows = [
        (layer.name, layer.kind, " × ".join(map(str, layer.output)), f"{layer.parameters:,}")
        for layer in summary.layers
    ]
    head = ("layer", "kind", "output (C × Y × X)", "parameters")
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [_line(row, widths) for row in [head, *rows]]
    lines.insert(1, "-" * (sum(widths) + 2 * (len(widths) - 1)))
    fixed = summary.parameters - summary.trainable
    totals = [
        f"{'parameters in all':24}{summary.parameters:>14,}",
        f"{'trained by gradient':24}{summary.trainable:>14,}",
        f"{'running statistics':24}{fixed:>14,}",
    ]
    return "\n".join([*lines, lines[1], *totals])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    texts = [text.ljust(width) for text, width in zip(row[:-1], widths[:-1], strict=True)]
    return "  ".join([*texts, row[-1].rjust(widths[-1])])
