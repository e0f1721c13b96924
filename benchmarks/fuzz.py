"""Fuzz test: thousands of damaged inputs, each of which must be read, or refused with a reason.

    python -m benchmarks.fuzz                           # 5,000 mutants of the built-in inputs, seed 0
    python -m benchmarks.fuzz --seed 7 --mutants 20000 --kind tiff
    python -m benchmarks.fuzz --inputs FOLDER           # a user's own images besides

Inputs of seven kinds (TIFF dialects, PNG and JPEG, Zarr 2 and 3, manifests, metadata in XML and HTD, weights)
are truncated, bits are flipped, pages zeroed, parts of other files spliced in, and numbers changed. Every
mutant is opened as ``inspect`` and a run would, in a separate process forked from a prepared one, with limits
of memory (--memory, in addition to the prepared process) and CPU time (--seconds). Defects are:

- foreign: an exception that is not nucbatch's own;
- crash: the process died; hang: it reached the limit of time;
- truncation accepted: a file that holds pixels was cut short, and other pixels were read from it than from
  the whole. Where the same pixels come out, what was cut off held none. Lines cut off a manifest or off
  metadata can't be distinguished from lines that were never there, so those are not counted.

Every undamaged input is read first: at least 99 % must be accepted. Exit code 0: no defect; 1: defects, whose
mutants are kept in --keep. The same seed and number make the same mutants.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from benchmarks.fuzz_child import Outcome, outcome, start
from benchmarks.fuzz_inputs import KINDS, Sound, of_folder, sound_inputs
from benchmarks.mutations import MUTATIONS, TRUNCATE, mutated

_WALL_PER_CPU = 6  # a process may wait for others; beyond that it hangs without using the processor
BAD = ("foreign", "crash", "hang", "truncation accepted")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A damaged copy of an input; ``file`` is the damaged file."""

    number: int
    sound: Sound
    mutation: str
    file: str


@dataclass(slots=True)
class _Running:
    mutant: Mutant
    folder: Path
    pipe: int
    begun: float
    output: bytes = b""


class Runner:
    """Reads inputs in separate processes, several at once."""

    def __init__(self, scratch: Path, jobs: int, memory_bytes: int, cpu_s: int) -> None:
        self._scratch, self._jobs, self._memory_bytes, self._cpu_s = scratch, jobs, memory_bytes, cpu_s
        self._running: dict[int, _Running] = {}

    def read(self, mutants: Iterator[tuple[Mutant, bytes | None]]) -> Iterator[tuple[Mutant, Path, Outcome]]:
        """Each input, the folder in which it lay, and what came of it; the folder is then removed.

        ``None`` in the place of bytes: as it is.
        """
        for mutant, data in mutants:
            while len(self._running) >= self._jobs:
                yield from self._finished()
            folder = self._scratch / f"{mutant.number}"
            _laid_out(mutant, data, folder)
            child, pipe = start(mutant.sound, folder, self._memory_bytes, self._cpu_s)
            self._running[child] = _Running(mutant, folder, pipe, time.monotonic())
        while self._running:
            yield from self._finished()

    def _finished(self) -> Iterator[tuple[Mutant, Path, Outcome]]:
        pipes = {running.pipe: child for child, running in self._running.items()}
        ready, _, _ = select.select(list(pipes), [], [], 1.0)
        for pipe in ready:
            child = pipes[pipe]
            part = os.read(pipe, 1 << 16)
            self._running[child].output += part
            if not part:
                yield self._ended(child)
        for child, running in list(self._running.items()):
            if time.monotonic() > running.begun + _WALL_PER_CPU * self._cpu_s:
                os.kill(child, signal.SIGKILL)

    def _ended(self, child: int) -> tuple[Mutant, Path, Outcome]:
        _, status = os.waitpid(child, 0)
        running = self._running.pop(child)
        os.close(running.pipe)
        return running.mutant, running.folder, outcome(status, running.output)


def _laid_out(mutant: Mutant, data: bytes | None, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if mutant.sound.folder.is_file():
        shutil.copyfile(mutant.sound.folder, folder / mutant.sound.opened)
    else:
        shutil.copytree(mutant.sound.folder, folder, dirs_exist_ok=True)
    if data is not None:
        (folder / mutant.file).write_bytes(data)


def mutants_of(
    sounds: list[Sound], seed: int, numbers: range, kinds: tuple[str, ...]
) -> Iterator[tuple[Mutant, bytes]]:
    """The mutants with these numbers; each depends on the seed and its number alone."""
    by_kind: dict[str, list[Sound]] = defaultdict(list)
    for sound in sounds:
        by_kind[sound.kind].append(sound)
    names = list(MUTATIONS)
    for number in numbers:
        chance = random.Random(f"{seed}/{number}")
        kind = kinds[number % len(kinds)]
        sound = chance.choice(by_kind[kind])
        mutation = names[number // len(kinds) % len(names)]
        file = _file_of(sound, chance)
        other = chance.choice(by_kind[kind])
        data = _bytes_of(sound, file)
        if data:
            others = [_bytes_of(other, chance.choice(other.files))]
            yield (
                Mutant(number, sound, mutation, file),
                mutated(data, mutation, chance, [o for o in others if o], sound.region),
            )


def _file_of(sound: Sound, chance: random.Random) -> str:
    """One of an input's files; of a Zarr, the metadata as often as all chunks together."""
    metadata = [file for file in sound.files if Path(file).name.startswith((".z", "zarr.json"))]
    chunks = [file for file in sound.files if file not in metadata]
    return chance.choice(metadata if not chunks or (metadata and chance.random() < 0.5) else chunks)


def _bytes_of(sound: Sound, file: str) -> bytes:
    return (sound.folder if sound.folder.is_file() else sound.folder / file).read_bytes()


def verdict(mutant: Mutant, found: Outcome, whole: Outcome) -> str:
    """The outcome's kind, or ``truncation accepted``."""
    shortened = mutant.mutation == TRUNCATE and mutant.sound.holds_pixels and mutant.sound.region is None
    if (
        found.fate == "read"
        and shortened
        and any(whole.images.get(name) != digest for name, digest in found.images.items())
    ):
        return "truncation accepted"
    return found.fate


def warm(sounds: list[Sound]) -> None:
    """Loads what reading needs, without starting a thread: threads do not survive a fork."""
    for module in ("networks.checkpoint", "readers.find", "readers.plate_summary", "store.sheets"):
        import_module(f"nucbatch.{module}")
    from nucbatch.core.errors import NucbatchError
    from nucbatch.readers.find import known_readers
    from nucbatch.readers.pixels import read_image

    known_readers()
    for sound in sounds:
        path = sound.folder if sound.folder.is_file() else sound.folder / sound.opened
        if sound.kind in ("tiff", "picture", "zarr 2", "zarr 3"):
            try:
                read_image(path)
            except NucbatchError:
                continue  # a stack or plate, which is read plane by plane


def main(arguments: list[str] | None = None) -> int:
    """Runs the fuzz test; see the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mutants", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0, help="the first mutant's number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=KINDS, help="only these kinds (may be repeated)")
    parser.add_argument("--inputs", type=Path, help="folder of further TIFFs, PNGs and JPEGs to damage")
    parser.add_argument("--most-inputs", type=int, default=200, help="number of them, evenly chosen")
    parser.add_argument("--seconds", type=int, default=20, help="limit of CPU time for each mutant")
    parser.add_argument(
        "--memory", type=int, default=3072, help="MiB for each mutant, beyond the warmed process"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, help="folder for mutants that show a defect")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        return _run(chosen, Path(scratch))


def _run(chosen: argparse.Namespace, scratch: Path) -> int:
    kinds = tuple(chosen.kind or KINDS)
    sounds = sound_inputs(scratch / "sound", kinds)
    if chosen.inputs:
        sounds += [sound for sound in of_folder(chosen.inputs, chosen.most_inputs) if sound.kind in kinds]
    warm(sounds)
    gc.freeze()  # or a collection in a child would copy every page of the parent
    runner = Runner(scratch / "mutants", chosen.jobs, chosen.memory << 20, chosen.seconds)
    wholes: dict[Sound, Outcome] = {}
    undamaged = ((Mutant(number, sound, "", ""), None) for number, sound in enumerate(sounds))
    for mutant, folder, found in runner.read(undamaged):
        wholes[mutant.sound] = found
        shutil.rmtree(folder)
        if found.fate != "read":
            print(f"undamaged: {mutant.sound.name}: {found.fate}: {found.reason}")
    accepted = sum(found.fate == "read" for found in wholes.values())
    print(f"undamaged inputs: {accepted:,} of {len(sounds):,} accepted ({accepted / len(sounds):.1%})")

    begun = time.monotonic()
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
    numbers = range(chosen.first, chosen.first + chosen.mutants)
    for mutant, folder, found in runner.read(mutants_of(sounds, chosen.seed, numbers, kinds)):
        fate = verdict(mutant, found, wholes[mutant.sound])
        counts[mutant.sound.kind][fate] += 1
        if fate in BAD:
            shown = f"mutant {mutant.number} ({mutant.mutation}) of {mutant.sound.name}: {mutant.file}"
            print(f"{fate}: {shown}: {found.reason}", flush=True)
            if chosen.keep:
                shutil.copytree(folder, chosen.keep / str(mutant.number), dirs_exist_ok=True)
        shutil.rmtree(folder)
    _table(counts)
    total = sum((count for count in counts.values()), Counter[str]())
    peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(
        f"seed {chosen.seed}: {sum(total.values()):,} mutants in {time.monotonic() - begun:,.0f} s; the "
        f"largest process had {peak_mib:,} MiB"
    )
    held = accepted >= 0.99 * len(sounds) and not any(total[fate] for fate in BAD)
    return 0 if held else 1


def _table(counts: dict[str, Counter[str]]) -> None:
    columns = ("mutants", "read", "refused", *BAD)
    print(f"{'kind':<10}" + "".join(f"{column:>21}" for column in columns))
    for kind, count in counts.items():
        row = [sum(count.values()), *(count[column] for column in columns[1:])]
        print(f"{kind:<10}" + "".join(f"{number:>21,}" for number in row))


if __name__ == "__main__":
    sys.exit(main())
