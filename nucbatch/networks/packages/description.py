"""The description of a package (rdf.yaml), checked: formats 0.4 and 0.5 of bioimage.io's models.

https://bioimage-io.github.io/spec-bioimage-io. Only what is needed to run a model is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nucbatch.core.errors import WeightsError
from nucbatch.core.validation import validation_problems

_AXES = {"b": "batch", "c": "channel", "i": "index", "t": "time", "z": "z", "y": "y", "x": "x"}
"""Letters of axes in format 0.4, and their names in 0.5."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class StoredFile(_Part):
    """A file of the package."""

    source: str = Field(max_length=1000)
    sha256: str | None = None


class Step(_Part):
    """A step of pre- or post-processing."""

    id: str = Field(max_length=100)
    kwargs: dict[str, Any] = {}


class Tensor(_Part):
    """An input or output.

    Attributes:
        id: its name.
        axes: names of its axes: batch, channel, y, x; others are not supported.
        channels: names of its channels; empty if there are none.
        steps_px: (least, step) of the sides in pixels, as far as they are declared.
        processing: pre- or post-processing.
        test: example, a .npy file.
    """

    id: str = Field(max_length=200)
    axes: tuple[str, ...]
    channels: tuple[str, ...] = ()
    steps_px: tuple[int, int] | None = None
    processing: tuple[Step, ...] = ()
    test: StoredFile


class Weights(StoredFile):
    """A weight file. ``architecture``: what PyTorch state needs besides."""

    architecture: Any = None


class Description(_Part):
    """A model. ``roles``: meaning of the output's channels, if nucbatch's own section names it."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    weights: dict[str, Weights]
    own_weights: StoredFile | None = None
    roles: tuple[str, ...] = ()


def parse_description(path: Path, content: bytes) -> Description:
    """Parses a package's description.

    Raises:
        WeightsError: it is not YAML, no model, of an unknown format, or a value is missing or wrong.
    """
    try:
        document = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"the description in {path} is not YAML: {reason}.") from error
    if not isinstance(document, dict) or document.get("type") != "model":
        kind = document.get("type") if isinstance(document, dict) else type(document).__name__
        raise WeightsError(f"{path} describes no model of bioimage.io (its type is {str(kind)[:50]!r}).")
    version = str(document.get("format_version", ""))[:20]
    if not version.startswith(("0.4.", "0.5.")):
        raise WeightsError(
            f"{path} has format {version!r}: 0.4 and 0.5 are supported. Convert it with bioimageio.spec."
        )
    try:
        found = _of_0_4(document) if version.startswith("0.4.") else _of_0_5(document)
        return Description.model_validate(found)
    except ValidationError as error:
        raise WeightsError(
            f"the description in {path} can't be used: {validation_problems(error)}."
        ) from error
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise WeightsError(
            f"the description in {path} is incomplete ({type(error).__name__}: {str(error)[:100]}): check it "
            "with bioimageio.spec."
        ) from error


def _own(document: dict[str, Any]) -> dict[str, Any]:
    own = (document.get("config") or {}).get("nucbatch") or {}
    attached = document.get("attachments") or []
    files = attached if isinstance(attached, list) else []
    weights = next(
        (file for file in files if isinstance(file, dict) and file.get("source") == own.get("weights")), None
    )
    return {"own_weights": weights if own.get("weights") else None, "roles": own.get("outputs") or ()}


def _of_0_5(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": document["name"],
        "inputs": [_tensor_0_5(tensor, "preprocessing") for tensor in document["inputs"]],
        "outputs": [_tensor_0_5(tensor, "postprocessing") for tensor in document["outputs"]],
        "weights": {kind: value for kind, value in document["weights"].items() if value},
        **_own(document),
    }


def _tensor_0_5(tensor: dict[str, Any], processing: str) -> dict[str, Any]:
    axes = [axis.get("id") or axis["type"] for axis in tensor["axes"]]
    names = next((axis.get("channel_names", ()) for axis in tensor["axes"] if axis["type"] == "channel"), ())
    sides = [axis.get("size") for axis in tensor["axes"] if axis["type"] == "space"]
    steps = [(side["min"], side["step"]) for side in sides if isinstance(side, dict) and "step" in side]
    return {
        "id": tensor["id"],
        "axes": axes,
        "channels": names if isinstance(names, list) else (),
        "steps_px": (max(least for least, _ in steps), max(step for _, step in steps)) if steps else None,
        "processing": tensor.get(processing) or (),
        "test": tensor["test_tensor"],
    }


def _of_0_4(document: dict[str, Any]) -> dict[str, Any]:
    """Writes a description of format 0.4 in the words of 0.5."""
    return {
        "name": document["name"],
        "inputs": [
            _tensor_0_4(tensor, test, "preprocessing")
            for tensor, test in zip(document["inputs"], document["test_inputs"], strict=True)
        ],
        "outputs": [
            _tensor_0_4(tensor, test, "postprocessing")
            for tensor, test in zip(document["outputs"], document["test_outputs"], strict=True)
        ],
        "weights": {kind: value for kind, value in document["weights"].items() if value},
        **_own(document),
    }


def _tensor_0_4(tensor: dict[str, Any], test: str, processing: str) -> dict[str, Any]:
    axes, shape = tensor["axes"], tensor.get("shape")
    steps = None
    if isinstance(shape, dict) and "step" in shape:
        sides = [(shape["min"][at], shape["step"][at]) for at, axis in enumerate(axes) if axis in "yx"]
        steps = max(least for least, _ in sides), max(step for _, step in sides)
    return {
        "id": tensor["name"],
        "axes": [_AXES[axis] for axis in axes],
        "steps_px": steps,
        "processing": [_step_0_4(step) for step in tensor.get(processing) or ()],
        "test": {"source": test},
    }


def _step_0_4(step: dict[str, Any]) -> dict[str, Any]:
    kwargs = dict(step.get("kwargs") or {})
    mode, name = kwargs.pop("mode", "per_sample"), step["name"]
    if isinstance(kwargs.get("axes"), str):
        kwargs["axes"] = [_AXES[axis] for axis in kwargs["axes"]]
    if mode == "per_dataset":
        kwargs["axes"] = ["batch", *kwargs.get("axes", ())]
    if mode == "fixed" and name == "zero_mean_unit_variance":
        name = "fixed_zero_mean_unit_variance"
        kwargs.pop("axes", None)
    return {"id": name, "kwargs": kwargs}
