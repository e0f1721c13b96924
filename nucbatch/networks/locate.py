"""Finds the weight file of a model by its name or path, without reading it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from nucbatch.core.errors import WeightsError
from nucbatch.networks.packages.archive import DESCRIPTIONS, is_package


@cache
def shipped() -> dict[str, Path]:
    """The weight files inside the package, by name."""
    folder = Path(str(files("nucbatch.networks"))) / "weights"
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def locate(model: str) -> Path:
    """The weight file of a shipped model's name, or of a path; for a package of bioimage.io, the package.

    Raises:
        WeightsError: it is neither a shipped name nor a file nor a package; for another folder, the message
            names the weight files in it.
    """
    if model in shipped():
        return shipped()[model]
    path = Path(model)
    if path.name in DESCRIPTIONS and path.is_file():
        return path.parent
    if path.is_file() or (path.is_dir() and is_package(path)):
        return path
    if path.is_dir():
        inside = sorted(file.name for file in path.glob("*.safetensors") if file.name != "state.safetensors")
        if not inside:
            raise WeightsError(f"model {model!r} is a folder without a weight file (*.safetensors).")
        meant = path / ("weights.safetensors" if "weights.safetensors" in inside else inside[0])
        raise WeightsError(
            f"model {model!r} is a folder. Name the weight file in it, such as {meant} (there "
            f"{'is' if len(inside) == 1 else 'are'} {', '.join(inside)})."
        )
    names = ", ".join(shipped()) or "none"
    raise WeightsError(f"model {model!r} is neither a shipped model ({names}) nor a weight file's path.")
