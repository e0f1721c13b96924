"""``nucbatch models``: the weight files that ship with nucbatch, and what their cards say."""

from __future__ import annotations

import click


@click.group(short_help="List the shipped models, or show one.")
def models() -> None:
    """The shipped models and their cards."""


@models.command("list")
def list_models() -> None:
    """One line per shipped model."""
    from nucbatch.networks.checkpoint import read_card, shipped

    for name, path in shipped().items():
        card = read_card(path)
        scores = ", ".join(f"{key} {value:.3f}" for key, value in card.scores.items())
        click.echo(f"{name}: {card.architecture} {card.config}, {path.stat().st_size / 1e6:.1f} MB; {scores}")


@models.command()
@click.argument("model")
def show(model: str) -> None:
    """The card of MODEL, a shipped model's name or a weight file, as JSON."""
    from nucbatch.networks.checkpoint import locate, read_card

    click.echo(read_card(locate(model)).model_dump_json(indent=2))
