"""Exports a network as an ONNX file, which onnxruntime and others run without PyTorch and nucbatch.

Input ``image`` (N, C, H, W) float32: normalised pixels, 0 to 1; H and W are multiples of the stride. Output
``maps`` (N, outputs, H, W) float32: probabilities. The file's metadata hold the model's card and the tile
geometry.
"""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from nucbatch.core.errors import InputError
from nucbatch.inference.export.portable import PortableNetwork, require_equal, require_portable
from nucbatch.networks.checkpoint import load_weights

_INSTALL = "pip install 'nucbatch[onnx]'"


def export_onnx(weights: Path, path: Path, channels: int = 1) -> float:
    """Writes a model as ``path``, after comparing it with the original in onnxruntime.

    Args:
        weights: the model's weight file.
        path: the ONNX file.
        channels: 1 for grey images, 3 for RGB.

    Returns:
        The largest difference of a probability from the original, on a random image.

    Raises:
        InputError: a package is missing, ``path`` exists, or the model can't be exported.
        WeightsError: ``weights`` is not a usable weight file.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401 (used by run_onnx, below)
        import onnxscript  # noqa: F401 (used by torch's exporter)
    except ImportError as error:
        raise InputError(f"exporting to ONNX needs {error.name}: {_INSTALL}.") from error
    if path.exists():
        raise InputError(f"{path} exists: name another file, so that it is not overwritten.")
    network, card = load_weights(weights)
    require_portable(card)
    portable = PortableNetwork(network, channels)
    model = onnx.load_model_from_string(_exported(portable))
    described = {
        "nucbatch": json.dumps(card.model_dump(mode="json")),
        "stride_px": str(portable.stride),
        "halo_px": str(portable.halo_px),
        "outputs": ",".join(card.outputs),
    }
    onnx.helper.set_model_props(model, described)
    content = model.SerializeToString()
    difference = require_equal(portable, lambda image: run_onnx(content, image), "ONNX")
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    partial.replace(path)
    return difference


def run_onnx(content: bytes, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Runs an exported model in onnxruntime on one CPU core; shapes as in the module's description."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["maps"], {"image": image})[0], np.float32)


def _exported(portable: PortableNetwork) -> bytes:
    """Returns the ONNX file as torch writes it."""
    size = torch.export.Dim
    stride = portable.stride
    sides = {axis: stride * size(name) if stride > 1 else size(name) for axis, name in ((2, "h"), (3, "w"))}
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it reports each optional library that is not installed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about itself
            program = torch.onnx.export(
                portable,
                (portable.example(4 * stride).expand(2, -1, -1, -1),),
                dynamo=True,
                verbose=False,
                input_names=["image"],
                output_names=["maps"],
                dynamic_shapes=({0: size("n"), **sides},),
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0][:200]
        raise InputError(f"the network can't be exported as ONNX: {reason}") from error
    finally:
        logger.setLevel(level)
    if program is None:
        raise AssertionError("torch.onnx.export returns a program if dynamo is True")
    return bytes(program.model_proto.SerializeToString())
