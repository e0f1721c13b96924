"""Packages of bioimage.io that are refused: what is not supported, damaged or hostile."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign_package import STANDARDISE, Spots, build, put_at, refused, script_of
from torch import Tensor, nn

from nucbatch.core.errors import WeightsError
from nucbatch.networks.packages.script_pickles import require_within_records
from nucbatch.networks.packages.torchscript import load_script


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (put_at("type", "dataset"), "describes no model of bioimage.io (its type is 'dataset')"),
        (put_at("format_version", "0.3.6"), "has format '0.3.6': 0.4 and 0.5 are supported"),
        (put_at("inputs", []), "has 0 inputs: models of one image are supported"),
        (put_at("inputs", 0, "axes", 1, {"type": "space", "id": "z"}), "axes batch, z, y, x: flat images"),
        (
            put_at("inputs", 0, "preprocessing", [{"id": "custom"}]),
            "'custom' before the network can't be expressed",
        ),
        (
            put_at(
                "inputs", 0, "preprocessing", [{"id": "scale_range", "kwargs": {"axes": ["batch", "y", "x"]}}]
            ),
            "scale_range over a data set can't be expressed",
        ),
        (
            put_at("inputs", 0, "preprocessing", [{"id": "clip", "kwargs": {"min": 1}}, STANDARDISE]),
            "zero_mean_unit_variance after clip can't be expressed",
        ),
        (put_at("inputs", 0, "preprocessing", []), "test output probability is not reproduced"),
        (
            put_at("outputs", 0, "postprocessing", [{"id": "stardist_postprocessing"}]),
            "'stardist_postprocessing' after the network can't be expressed: supported are ensure_",
        ),
        (put_at("outputs", 0, "axes", 1, "channel_names", ["boundary", "distance"]), "nuclei can't be made"),
        (put_at("weights", {"onnx": {"source": "weights.onnx"}}), "has weights in onnx: torchscript or"),
        (
            put_at(
                "weights",
                {"pytorch_state_dict": {"source": "weights.pt", "architecture": {"source": "a.py"}}},
            ),
            "weights.pt are a pickle, which can run code when it is loaded",
        ),
        (
            put_at(
                "weights",
                {"pytorch_state_dict": {"source": "w.safetensors", "architecture": {"source": "a.py"}}},
            ),
            "is Python code, which nucbatch doesn't run: it must be one of ",
        ),
        (put_at("weights", "torchscript", "sha256", "0" * 64), "its description says 000000000000"),
        (
            put_at("weights", "torchscript", "source", "gone.pt"),
            "has no file gone.pt, which its description names",
        ),
        (put_at("weights", "torchscript", "source", "../weights.pt"), "which is not inside the package"),
        (put_at("weights", "torchscript", "source", "/etc/passwd"), "which is not inside the package"),
        (put_at("weights", "torchscript", "source", "https://a.org/w.pt"), "nucbatch downloads nothing"),
        (put_at("inputs", 0, "test_tensor", "source", "rdf.yaml"), "SHA-256"),
    ],
)
@pytest.mark.parametrize("kind", [".zip", ""])
def test_what_is_not_supported_is_refused_by_name(
    tmp_path: Path, changed: Any, words: str, kind: str
) -> None:
    message = refused(build(tmp_path / f"p{kind}", changed=changed))
    assert words in message
    assert str(tmp_path) in message


class _Global(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(torch.cat([x, x], 1) - x.mean())


class _Place(nn.Module):
    """Knows where in the window a pixel lies."""

    def forward(self, x: Tensor) -> Tensor:
        place = torch.arange(x.shape[3]).expand(x.shape[0], 1, x.shape[2], x.shape[3]) / 100.0
        return torch.sigmoid(torch.cat([x, x + place], 1))


class _Smaller(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(torch.cat([x, x], 1)[:, :, 2:-2, 2:-2])


class _Logits(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, x], 1)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (_Global(), "maybe on the whole image (as with instance or group normalisation"),
        (_Place(), "two tiles that show the same pixels"),
        (_Smaller(), "only networks whose output has the image's size are supported"),
        (_Logits(), "which are no probabilities: 0 to 1 is supported"),
    ],
)
def test_networks_whose_results_would_depend_on_tiles_are_refused(
    tmp_path: Path, network: nn.Module, words: str
) -> None:
    assert words in refused(build(tmp_path / "p", network=network))


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps({"weight": 1}),
        b"",
        b"PK\x03\x04 cut short",
    ],
)
def test_pickles_and_damaged_archives_are_refused_as_torchscript(content: bytes) -> None:
    with pytest.raises(WeightsError, match="is not a TorchScript archive"):
        load_script("weights.pt", content)


def test_an_archive_of_torch_save_is_refused_before_it_is_parsed() -> None:
    stream = io.BytesIO()
    torch.save({"weight": torch.zeros(1)}, stream)
    with pytest.raises(WeightsError, match=r"is not TorchScript: a pickle of torch\.save can run code"):
        load_script("weights.pt", stream.getvalue())


def rewritten(content: bytes, name: str, change: Any) -> bytes:
    """A TorchScript archive in which one record is changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            held = old.read(info)
            new.writestr(info.filename, change(held) if info.filename.endswith(name) else held)
    return out.getvalue()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"_9 = torch.save(x, 'stolen')", "operation torch.save is not known"),
        (b"_9 = ops.aten.save(x, 'stolen')", "operation ops.aten.save is not known"),
        (b"_9 = torch.from_file('/etc/passwd', False, 100)", "operation torch.from_file is not known"),
        (b"_9 = (x).save('stolen')", "method save is not known"),
        (b"f = x.save\n    _9 = f('stolen')", "function f is not known"),
        (b"_9 = getattr(x, 'save')('stolen')", "it calls something without a name"),
        (b"_9 = __torch__.torch.classes.quantized.Linear(x)", "is a class of a C"),
        (b"while True:\n      pass", "While is not known"),
        (b"import os", "Import is not known"),
    ],
)
def test_code_that_does_more_than_arithmetic_is_refused(tmp_path: Path, line: bytes, words: str) -> None:
    content = script_of(Spots())
    changed = rewritten(
        content,
        "code/__torch__/foreign_package.py",
        lambda code: code.replace(b"    fine = self.fine\n", b"    fine = self.fine\n    " + line + b"\n", 1),
    )
    assert changed != content
    with pytest.raises(WeightsError, match=words):
        load_script("weights.pt", changed)


def test_a_method_that_runs_while_it_is_loaded_is_refused() -> None:
    changed = rewritten(
        script_of(Spots()),
        "code/__torch__/foreign_package.py",
        lambda code: code.replace(b"  def forward(", b"  def __setstate__(", 1),
    )
    with pytest.raises(WeightsError, match="method __setstate__ could run while it is loaded"):
        load_script("weights.pt", changed)


def test_a_tensor_that_exceeds_its_record_is_refused() -> None:
    changed = rewritten(script_of(Spots()), "data/0", lambda held: held[:-8])
    with pytest.raises(WeightsError, match="a tensor has 18 numbers, but 64 bytes"):
        load_script("weights.pt", changed)


def test_a_pickle_can_not_enlarge_a_storage_after_it_was_checked() -> None:
    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ"
    enlarged = storage + b"%sX\x05\0\0\0itemsJ\xff\xff\xff\x7fs%sb"
    tensor = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(%sK\0(K%ct(K\x01t\x89}tR."
    require_within_records("data.pkl", tensor % (storage, 4), {"0": 16})
    with pytest.raises(WeightsError, match="exceeds its 4 numbers"):
        require_within_records("data.pkl", tensor % (storage, 5), {"0": 16})
    for begin, end in ((b"}", b""), (b"N}", b"\x86")):
        with pytest.raises(WeightsError, match=r"data\.pkl is refused"):
            require_within_records("data.pkl", tensor % (enlarged % (begin, end), 5), {"0": 16})


def test_a_pickle_that_names_a_function_of_python_is_refused() -> None:
    hostile = b"cos\nsystem\n(S'touch stolen'\ntR."
    changed = rewritten(script_of(Spots()), "data.pkl", lambda _: hostile)
    with pytest.raises(WeightsError, match=r"os\.system is not known"):
        load_script("weights.pt", changed)


def test_a_huge_test_image_is_refused_before_it_is_allocated(tmp_path: Path) -> None:
    header = (
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1000000, 1000000), }".ljust(117) + b"\n"
    )
    huge = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header

    def changed(described: dict[str, Any]) -> None:
        described["inputs"][0]["test_tensor"] = {"source": "huge.npy"}

    message = refused(build(tmp_path / "p", changed=changed, files={"huge.npy": huge}))
    assert "it has not the bytes of its shape (1, 1, 1000000, 1000000)" in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[" * 5_000, "is not YAML"),
        (b"type: model\nformat_version: 0.5.3\n", "is incomplete"),
        (b"!!python/object/apply:os.system ['touch stolen']", "is not YAML"),
        (b"x: " + b"y" * 1_000_001, "is larger than 1,000,000 bytes"),
        (b"- a", "describes no model"),
    ],
)
def test_a_hostile_description_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "rdf.yaml").write_bytes(content)
    assert words in refused(tmp_path)


def test_a_link_out_of_a_folder_is_refused(tmp_path: Path) -> None:
    path = build(tmp_path / "p")
    outside = tmp_path / "outside.pt"
    (path / "weights.pt").rename(outside)
    (path / "weights.pt").symlink_to(outside)
    assert "is a link that leads out of the package" in refused(path)
