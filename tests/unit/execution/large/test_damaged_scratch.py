"""Damaged intermediate files of a large image have their units repeated."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nucbatch.core.errors import DamagedFile
from nucbatch.execution.large.image_progress import ImageProgress
from nucbatch.execution.large.stages import LABELS, NUMBER, OBJECTS, PREDICT
from nucbatch.store.receipt import Receipt
from nucbatch.store.stamps import TABLE, packed
from nucbatch.store.verify_files import file_problems, files_of

DAMAGES: dict[str, Callable[[Path], object]] = {
    "removed": Path.unlink,
    "emptied": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "one bit": lambda path: _flip(path),
}


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def steps(progress: ImageProgress) -> Iterator[str]:
    """Runs an image's units in order, repeats damaged ones, and yields each unit's stage."""
    while not progress.finished:
        ready = []
        while (unit := progress.next()) is not None:
            ready.append(unit)
        assert ready, "nothing may run, and it is not finished"
        for unit in ready:
            try:
                progress.accept(unit.run())
            except DamagedFile as error:
                progress.doubt(error)
            else:
                yield unit.stage
        progress.mend()


def scratch_files(image: Any) -> list[Path]:
    return sorted(
        path
        for path in image.scratch.path.rglob("*")
        if path.is_file() and path.name not in ("units.txt", "objects.json")
    )


@pytest.fixture(scope="module")
def expected(bench: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Receipt, dict[str, bytes]]:
    image = bench.image(tmp_path_factory.mktemp("whole"), 512, largest_px=448)
    return bench.in_blocks(image), bench.outcome_of(image)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("until", [stage.name for stage in (PREDICT, OBJECTS, NUMBER, LABELS)])
def test_files_damaged_under_way_are_made_again(
    bench: Any, expected: tuple[Receipt, dict[str, bytes]], tmp_path: Path, until: str, damage: str
) -> None:
    """Lists all files of the scratch folder, kind by kind."""
    image = bench.image(tmp_path, 512, largest_px=448)
    progress = ImageProgress(image)
    moves = steps(progress)
    while next(moves) != until:
        pass
    kinds = {path.relative_to(image.scratch.path).parts[0]: path for path in scratch_files(image)}
    assert len(kinds) >= 3
    for path in kinds.values():
        DAMAGES[damage](path)
    assert list(moves)
    receipt = progress.receipt()
    assert (receipt.nuclei, receipt.labels_sha256, receipt.qc) == (
        expected[0].nuclei, expected[0].labels_sha256, expected[0].qc,
    )  # fmt: skip
    assert bench.outcome_of(image) == expected[1]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["units.txt", "objects.json", "constants.json"])
def test_damaged_records_are_made_again_when_the_run_is_taken_up(
    bench: Any, expected: tuple[Receipt, dict[str, bytes]], tmp_path: Path, name: str, damage: str
) -> None:
    image = bench.image(tmp_path, 512, largest_px=448)
    bench.stopped_after(14, image)
    DAMAGES[damage](image.scratch.path / name)
    assert bench.in_blocks(image) == expected[0]
    assert bench.outcome_of(image) == expected[1]


def test_a_damaged_line_of_the_record_costs_its_unit_alone(bench: Any, tmp_path: Path) -> None:
    image = bench.image(tmp_path, 256, largest_px=320)
    bench.stopped_after(20, image)
    progress = ImageProgress(image)
    before, _ = progress.units
    progress.close()
    lines = image.scratch.units.read_bytes().split(b"\n")
    lines[5] = bytes(len(lines[5]))
    image.scratch.units.write_bytes(b"\n".join(lines))
    progress = ImageProgress(image)
    assert progress.units[0] == before - 1
    progress.close()


def test_a_file_that_is_damaged_repeatedly_ends_the_session(bench: Any, tmp_path: Path) -> None:
    image = bench.image(tmp_path, 512, largest_px=448)
    bench.stopped_after(14, image)
    progress, path = ImageProgress(image), image.scratch.constants
    path.unlink()
    progress.doubt(DamagedFile.at(path, "is gone"))
    progress.mend()
    progress.doubt(DamagedFile.at(path, "is gone"))
    with pytest.raises(DamagedFile, match=r"constants\.json is gone"):
        progress.mend()
    progress.close()


def test_a_verified_course_reads_what_was_not_changed_since(bench: Any, tmp_path: Path) -> None:
    image = bench.image(tmp_path, 512, largest_px=448)
    bench.stopped_after(10, image)
    path = next(path for path in scratch_files(image) if path.parts[-3] == "survey")
    info = path.stat()
    _flip(path)
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    progress = ImageProgress(image)
    before, _ = progress.units
    progress.close()
    progress = ImageProgress(image, verify=True)
    assert progress.units[0] == before - 2  # the one, and opening the files that it was made of
    progress.close()


def test_a_finished_image_stands_for_all_its_files(bench: Any, tmp_path: Path) -> None:
    image = bench.image(tmp_path, 512, labels="both")
    receipt = bench.in_blocks(image)
    named = {image.places.path(name) for name, _ in receipt.files.items()}
    written = {path for path in image.group.rglob("*") if path.is_file()}
    assert named == written | {image.places.label_tiff, image.places.table}
    many = replace(receipt, names=TABLE, stamps=packed([receipt.files.stamp(TABLE)]))
    assert file_problems(image.places, many, verify=True) == {}
    files = files_of(image.places, many)
    assert files is not None
    assert {image.places.path(name) for name, _ in files.items()} == named - {image.places.table}
