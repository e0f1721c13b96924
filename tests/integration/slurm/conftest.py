"""Sessions on the tests' SLURM, and small tasks that end when a test says so."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from distributed import Client, Future

from nucbatch.schedulers.connected import connected_workers
from nucbatch.schedulers.contract import Cluster, Place, Resources, scheduler

MIB = 2**20
SMALL = Resources(process_bytes=200 * MIB, block_bytes=50 * MIB)


@dataclass
class SlurmSession:
    """A connected cluster, its messages and the run's folder."""

    cluster: Cluster
    folder: Path
    messages: list[str]
    eventually: Callable[[Callable[[], object]], None]

    @property
    def client(self) -> Client:
        return self.cluster.client

    def workers(self) -> dict[str, dict[str, object]]:
        """Returns the scheduler's information on its workers, by name."""
        return {info["name"]: info for info in connected_workers(self.client).values()}

    def look_until(self, condition: Callable[[], object]) -> None:
        """Calls the watch repeatedly, as a waiting driver does."""

        def looked() -> object:
            self.cluster.watch()
            return condition()

        self.eventually(looked)

    def finish(self, futures: list[Future]) -> None:
        self.look_until(lambda: all(future.done() for future in futures))
        assert [future.status for future in futures] == ["finished"] * len(futures)

    def was_reported(self, words: str) -> bool:
        return any(words in sentence for sentence in self.messages)


@dataclass
class Gated:
    """Tasks that record where they start, and end when the gate is opened."""

    folder: Path
    count: int = field(default=0)

    def submit(self, client: Client, pieces: int) -> list[Future]:
        self.count += pieces
        # A shell that SLURM's signal ended before its worker would count as a finished task.
        command = (
            "trap '' TERM; "
            f"echo $SLURM_JOB_ID $SLURMD_NODENAME >> '{self.folder}/starts'; "
            f"until [ -e '{self.folder}/gate' ]; do sleep 0.1; done"
        )
        return client.map(subprocess.run, [["sh", "-c", command]] * pieces, pure=False)

    def open(self) -> None:
        (self.folder / "gate").touch()

    def starts(self) -> list[tuple[str, str]]:
        """Returns job and node of each started task, in order."""
        path = self.folder / "starts"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(line.split()[0], line.split()[1]) for line in lines]


@pytest.fixture
def gated(tmp_path: Path) -> Gated:
    return Gated(tmp_path)


@pytest.fixture
def place(tmp_path: Path) -> Callable[..., Place]:
    """Builds a place for the SLURM backend, with test settings unless given; collects its messages."""

    def make(messages: list[str] | None = None, **settings: object) -> Place:
        heard = messages if messages is not None else []
        chosen: dict[str, object] = {"partition": "cpu", "walltime": "0:10:00", "min_jobs": 1, "max_jobs": 1}
        return Place(
            tmp_path / "run",
            "test",
            settings=chosen | {"cores": 1} | settings,
            tell=heard.append,
            inform=heard.append,
        )

    return make


@pytest.fixture
def session(
    slurm: Path, place: Callable[..., Place], eventually: Callable[[Callable[[], object]], None]
) -> Callable[..., AbstractContextManager[SlurmSession]]:
    """Starts SLURM sessions with given settings."""

    @contextmanager
    def begin(**settings: object) -> Iterator[SlurmSession]:
        messages: list[str] = []
        here = place(messages, **settings)
        with scheduler("slurm").connect(SMALL, here) as cluster:
            yield SlurmSession(cluster, here.folder, messages, eventually)

    return begin


@pytest.fixture
def jobs(slurm: Path) -> Callable[[], dict[str, str]]:
    """Returns SLURM's state of each job that has not ended, by job ID."""

    def listed() -> dict[str, str]:
        answer = subprocess.run(["squeue", "-h", "-o", "%i %T"], capture_output=True, text=True, check=True)
        return dict(line.split() for line in answer.stdout.splitlines())  # type: ignore[misc]

    return listed


@pytest.fixture(autouse=True)
def nothing_left(
    slurm: Path, jobs: Callable[[], dict[str, str]], eventually: Callable[..., None]
) -> Iterator[None]:
    """Checks that each test leaves an empty queue."""
    yield
    eventually(lambda: not jobs())
