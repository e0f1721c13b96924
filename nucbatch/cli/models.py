"""``nucbatch models``: lists the shipped models; shows, calibrates, prunes and exports one."""

from __future__ import annotations

import json
from pathlib import Path

import click

from nucbatch.cli.models_check import check
from nucbatch.cli.shared_options import DiskPath

_SHOWN = ("pixel F1", "pixel IoU", "object F1 at 0.5")
"""Scores of the card that docs/model.md shows too; mean AP is pooled here and averaged over images there."""


@click.group(short_help="List the shipped models; show, calibrate, prune or export one.")
def models() -> None:
    """List the shipped models; show, calibrate, prune or export one."""


models.add_command(check)


@models.command("list")
def list_models() -> None:
    """Show one line per shipped model, with its scores on the validation images."""
    from nucbatch.networks.checkpoint import read_card
    from nucbatch.networks.locate import shipped

    for name, path in shipped().items():
        card = read_card(path)
        scores = ", ".join(f"{key} {value:.3f}" for key, value in card.scores.items() if key.endswith(_SHOWN))
        size = f"{path.stat().st_size / 1e6:.1f} MB" if card.has_weights else "without weights"
        click.echo("; ".join(filter(None, (f"{name}: {card.architecture} {card.config}, {size}", scores))))


@models.command()
@click.argument("model")
@click.option("--layers", is_flag=True, help="Show the layers instead of the card.")
@click.option("--json", "as_json", is_flag=True, help="Print card or recipe, layers and totals as JSON.")
def show(model: str, layers: bool, as_json: bool) -> None:
    """Show the card or the layers of MODEL.

    MODEL is the name of a shipped model, a weight file, a package of bioimage.io, or a preset without shipped
    weights, such as paper. Of a preset, the layers of the network that it trains are shown; of a package of
    another program, its card and what was measured of its network.
    """
    from dataclasses import asdict

    from nucbatch.networks.checkpoint import load_weights, read_card
    from nucbatch.networks.layer_table import as_text, summarise
    from nucbatch.networks.locate import locate, shipped
    from nucbatch.networks.model_card import PACKAGE
    from nucbatch.training.recipe import preset, preset_names

    if model in preset_names() and model not in shipped():
        recipe = preset(model)
        document = {"recipe": recipe.model_dump(mode="json")}
        summary = summarise(recipe.architecture, recipe.config)
        layers = True
    else:
        card = read_card(locate(model))
        document = {"card": card.model_dump(mode="json")}
        if card.architecture == PACKAGE:
            network, _ = load_weights(locate(model))
            measured = {"stride_px": network.stride, "receptive_radius_px": network.receptive_radius_px}
            click.echo(json.dumps({**document, "measured": measured}, indent=2))
            return
        summary = summarise(card.architecture, card.config)
    if as_json:
        click.echo(json.dumps({**document, **asdict(summary)}, indent=2))
    elif layers:
        click.echo(as_text(summary))
        click.echo("A sigmoid turns the last layer's output into probabilities.")
    else:
        click.echo(json.dumps(document["card"], indent=2))


@models.command()
@click.argument("model")
@click.argument("data", type=DiskPath(), nargs=-1, required=True)
@click.option(
    "-o",
    "--out",
    type=DiskPath(),
    help="Weight file to write.  [default: the model's own]",
)
@click.option("--split", default="val", show_default=True, help="Images of DATA to use.")
def calibrate(model: str, data: tuple[Path, ...], out: Path | None, split: str) -> None:
    """Fit the confidences and intervals of MODEL to labelled images, and write them into its card.

    MODEL is the name of a shipped model or a weight file. DATA are labelled images, as for nucbatch train;
    the model must not have been trained on those of the split. The weights themselves stay as they are.
    """
    from nucbatch.networks.locate import locate
    from nucbatch.training.calibrate import calibrate as fit
    from nucbatch.training.data import find_data

    weights = locate(model)
    with click.progressbar(length=1, label="Calibrating") as bar:

        def listener(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        found = fit(weights, out or weights, find_data(data), split=split, listener=listener)
    click.echo(f"{out or weights}: calibrated on {found.images} images of {found.groups} groups")


@models.command()
@click.argument("model")
@click.option(
    "--prune", "level", type=click.IntRange(min=1), required=True, help="Level of the head to keep."
)
@click.option("-o", "--out", required=True, type=DiskPath(), help="Weight file of the smaller network.")
def save(model: str, level: int, out: Path) -> None:
    """Save a pruned MODEL, which is smaller and faster.

    MODEL must have been trained with deep supervision (--preset unet-plus-plus-supervised): each of its
    levels has a head of its own, and what lies deeper is left out.
    """
    from nucbatch.networks.locate import locate
    from nucbatch.networks.prune import prune

    card = prune(locate(model), level, out)
    click.echo(f"{out}: {card.architecture} {card.config}, {out.stat().st_size / 1e6:.1f} MB")


@models.command()
@click.argument("model")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["bioimageio", "onnx"]),
    required=True,
    help="bioimageio: a package for programs around bioimage.io (a zip). onnx: a file for onnxruntime.",
)
@click.option(
    "--colour", is_flag=True, help="Take RGB images of three channels. Default: grey images of one channel."
)
@click.option("-o", "--out", required=True, type=DiskPath(), help="File to write.")
def export(model: str, kind: str, colour: bool, out: Path) -> None:
    """Export MODEL for other programs.

    MODEL is the name of a shipped model or a weight file.
    """
    from nucbatch.networks.locate import locate

    channels = 3 if colour else 1
    if kind == "onnx":
        from nucbatch.inference.export.onnx_model import export_onnx

        difference = export_onnx(locate(model), out, channels)
        click.echo(f"probabilities in onnxruntime differ by at most {difference:.1g}")
    else:
        from nucbatch.inference.export.bioimageio_package import export_package

        export_package(locate(model), out, channels)
    click.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
