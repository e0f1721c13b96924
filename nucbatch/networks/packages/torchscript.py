"""Loads a TorchScript archive after its code and its pickles were checked.

The archive is written anew from the records that were checked, so that PyTorch reads the same bytes, whatever
else the original contains.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile

import torch
from torch import nn

from nucbatch.core.errors import WeightsError
from nucbatch.networks.packages.script_code import require_harmless
from nucbatch.networks.packages.script_pickles import require_within_records

LARGEST_ARCHIVE = 4 * 2**30
"""Most bytes of all records together, unpacked."""
_LARGEST_TEXT = 16 * 2**20
_MOST_RECORDS = 50_000
_KEPT = re.compile(r"version|byteorder|\.format_version|(data|constants)(\.pkl|/\w+)|code/[\w/]+\.py")
_DROPPED = re.compile(r"\.data/.*|\.storage_alignment|code/[\w/]+\.py\.debug_pkl|(extra|traced_inputs)[./].*")
"""Records that a network runs without."""


def load_script(name: str, content: bytes) -> nn.Module:
    """Returns the network of a TorchScript archive, in evaluation mode on the CPU.

    Raises:
        WeightsError: it is no such archive, or is refused; the message has the reason.
    """
    records = _records(name, content)
    for record, held in records.items():
        if record.startswith("code/"):
            require_harmless(record, held)
    for pickled in ("data", "constants"):
        if f"{pickled}.pkl" in records:
            sizes = {
                record.partition("/")[2]: len(held)
                for record, held in records.items()
                if record.startswith(f"{pickled}/")
            }
            require_within_records(f"{pickled}.pkl", records[f"{pickled}.pkl"], sizes)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch calls the format deprecated
            loaded = torch.jit.load(_written(records), map_location="cpu")  # type: ignore[no-untyped-call]  # so in torch
    except (RuntimeError, ValueError) as error:
        raise WeightsError(f"{name} can't be loaded as TorchScript: {_last_line(error)}.") from error
    network: nn.Module = loaded.eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)  # a copy of those with gradients could not be changed
    return network


def _records(name: str, content: bytes) -> dict[str, bytes]:
    """The archive's records that PyTorch needs, by name without the top folder."""
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as stored:
            infos = stored.infolist()
            names = [info.filename for info in infos]
            tops = {entry.partition("/")[0] for entry in names}
            if len(infos) > _MOST_RECORDS or len(set(names)) < len(names) or len(tops) != 1:
                raise WeightsError(
                    f"{name} is not a TorchScript archive: its records are not as PyTorch writes."
                )
            if sum(info.file_size for info in infos) > LARGEST_ARCHIVE:
                raise WeightsError(f"{name} unpacks to more than {LARGEST_ARCHIVE:,} bytes.")
            for info in infos:
                record = info.filename.partition("/")[2]
                if _DROPPED.fullmatch(record) or info.is_dir():
                    continue
                if not _KEPT.fullmatch(record):
                    raise WeightsError(f"{name} has a record {record[:100]!r} that is not known.")
                if record.endswith((".py", ".pkl")) and info.file_size > _LARGEST_TEXT:
                    raise WeightsError(f"{record} in {name} has more than {_LARGEST_TEXT:,} bytes.")
                if info.file_size > 1032 * info.compress_size + 64:  # the most that deflate reaches
                    raise WeightsError(f"{record} in {name} has not the size that the archive says.")
                found[record] = stored.read(info)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{name} is not a TorchScript archive: {error}.") from error
    if "data.pkl" not in found or not any(record.startswith("code/") for record in found):
        raise WeightsError(
            f"{name} is not TorchScript: a pickle of torch.save can run code when it is loaded, and nucbatch "
            "doesn't read it. Use a package with TorchScript or safetensors weights."
        )
    return found


def _written(records: dict[str, bytes]) -> io.BytesIO:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for record, content in records.items():
            archive.writestr(f"archive/{record}", content)
    stream.seek(0)
    return stream


def _last_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[0][:200]
