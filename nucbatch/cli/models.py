"""``nucbatch models``: lists the shipped weight files, and shows their cards and layers."""

from __future__ import annotations

import json

import click

_SHOWN = ("pixel F1", "pixel IoU", "object F1 at 0.5")
"""Scores of the card that docs/model.md shows too; mean AP is pooled here and averaged over images there."""


@click.group(short_help="List the shipped models, or show one.")
def models() -> None:
    """List the shipped models, or show one."""


@models.command("list")
def list_models() -> None:
    """Show one line per shipped model, with its scores on the validation images."""
    from nucbatch.networks.checkpoint import read_card, shipped

    for name, path in shipped().items():
        card = read_card(path)
        scores = ", ".join(f"{key} {value:.3f}" for key, value in card.scores.items() if key.endswith(_SHOWN))
        click.echo(f"{name}: {card.architecture} {card.config}, {path.stat().st_size / 1e6:.1f} MB; {scores}")


@models.command()
@click.argument("model")
@click.option("--layers", is_flag=True, help="Show the layers instead of the card.")
@click.option("--json", "as_json", is_flag=True, help="Print card or recipe, layers and totals as JSON.")
def show(model: str, layers: bool, as_json: bool) -> None:
    """Show the card or the layers of MODEL.

    MODEL is the name of a shipped model, a weight file, or a preset without shipped weights, such as paper.
    Of a preset, the layers of the network that it trains are shown.
    """
    from dataclasses import asdict

    from nucbatch.networks.checkpoint import locate, read_card, shipped
    from nucbatch.networks.layer_table import as_text, summarise
    from nucbatch.training.recipe import PRESETS

    if model in PRESETS and model not in shipped():
        recipe = PRESETS[model]
        document = {"recipe": recipe.model_dump(mode="json")}
        summary = summarise(recipe.architecture, recipe.config)
        layers = True
    else:
        card = read_card(locate(model))
        document = {"card": card.model_dump(mode="json")}
        summary = summarise(card.architecture, card.config)
    if as_json:
        click.echo(json.dumps({**document, **asdict(summary)}, indent=2))
    elif layers:
        click.echo(as_text(summary))
        click.echo("A sigmoid turns the last layer's output into probabilities.")
    else:
        click.echo(json.dumps(document["card"], indent=2))
