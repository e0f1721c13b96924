"""Exports a network as TorchScript, the format that most programs around bioimage.io load."""

from __future__ import annotations

import io
import warnings

import numpy as np
import torch
from numpy.typing import NDArray

from nucbatch.inference.export.portable import PortableNetwork, require_equal


def exported(portable: PortableNetwork) -> bytes:
    """Returns the TorchScript archive of a network, after comparing it with the original.

    Raises:
        InputError: the network depends on an image's size in a way that a trace can't record.
    """
    with warnings.catch_warnings():
        # The trace records the checks of an image's size as constants, and torch calls its format deprecated.
        warnings.simplefilter("ignore")
        example = portable.example(4 * portable.stride)
        traced = torch.jit.trace(portable, example, check_trace=False)  # type: ignore[no-untyped-call]  # so in torch
        stream = io.BytesIO()
        torch.jit.save(traced, stream)

    def run(image: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(traced(torch.from_numpy(image)).numpy(), np.float32)

    require_equal(portable, run, "TorchScript")
    return stream.getvalue()
