"""Reads one input in a process of its own, with limits of memory and time, and reports the outcome."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.fuzz_inputs import Sound
from nucbatch.core.errors import NucbatchError


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of an input: ``read``, ``refused``, ``foreign``, ``crash`` or ``hang``.

    Foreign is an exception that isn't nucbatch's own. ``images``: the digest of each image that was read.
    """

    fate: str
    reason: str = ""
    images: dict[str, str] = field(default_factory=dict)


def start(sound: Sound, folder: Path, memory_bytes: int, cpu_s: int) -> tuple[int, int]:
    """Forks a process that reads an input in ``folder``; returns its id and the place of its outcome."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    try:
        os.close(reading)
        _limit(memory_bytes, cpu_s)
        with os.fdopen(writing, "w") as pipe:
            pipe.write(json.dumps(asdict(_read(sound, folder))))
    finally:
        os._exit(0)


def outcome(status: int, output: bytes) -> Outcome:
    """The outcome of a finished process, from its exit status and its output."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        fate = "hang" if number in (signal.SIGXCPU, signal.SIGKILL) else "crash"
        return Outcome(fate, signal.Signals(number).name)
    try:
        return Outcome(**json.loads(output))
    except ValueError:
        return Outcome("crash", f"it ended with status {status} and without an outcome")


def _limit(memory_bytes: int, cpu_s: int) -> None:
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + memory_bytes,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)


def _read(sound: Sound, folder: Path) -> Outcome:
    try:
        if sound.kind == "weights":
            images = _weights(folder / sound.opened)
        else:
            images = _images(folder / sound.opened, folder / "files.csv")
    except NucbatchError as error:
        return Outcome("refused", str(error))
    except BaseException as error:  # noqa: BLE001  # foreign errors are what this benchmark counts
        last = traceback.extract_tb(error.__traceback__)[-3:]
        places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(last))
        return Outcome("foreign", f"{type(error).__name__}: {error} ({places})"[:2000])
    return Outcome("read" if images else "refused", "" if images else "no image can be used", images)


def _weights(path: Path) -> dict[str, str]:
    from nucbatch.networks.checkpoint import load_weights, read_card

    read_card(path)
    network, card = load_weights(path)
    digest = hashlib.sha256(card.model_dump_json().encode())
    for tensor in network.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return {"network": digest.hexdigest()}


def _images(path: Path, table: Path) -> dict[str, str]:
    """The digest of each readable image; the output of ``inspect`` and files.csv are made as well."""
    from nucbatch.readers.find import open_plate
    from nucbatch.readers.formats import open_source
    from nucbatch.readers.pixels import FieldReader, field_channels
    from nucbatch.readers.plate_summary import summarise
    from nucbatch.store.sheets import write_files_csv

    plate = open_plate(path)
    json.dumps(summarise(plate).as_dict(), ensure_ascii=False).encode()
    write_files_csv(table, plate)
    images: dict[str, str] = {}
    for image in plate.fields:
        if image.problem:
            continue
        try:
            pixels = FieldReader(plate.root, 60).read_whole(image, field_channels(plate, image))
            for file in {plane.path for plane in image.planes}:
                with open_source(Path(plate.root, file), file) as source:
                    source.levels()
        except NucbatchError:
            continue
        summary = (
            f"{pixels.shape} {pixels.dtype} {[channel.name for channel in field_channels(plate, image)]}"
        )
        images[image.name] = hashlib.sha256(summary.encode() + pixels.tobytes()).hexdigest()
    return images
