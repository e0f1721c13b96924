"""Sittings on the SLURM of the tests, and small work that ends when it is told to."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from distributed import Client, Future

from nucbatch.schedulers.contract import Cluster, Place, Resources, scheduler

MIB = 2**20
SMALL = Resources(process_bytes=200 * MIB, block_bytes=50 * MIB)


@dataclass
class Sitting:
    """A connected cluster, what was told, and the run's folder."""

    cluster: Cluster
    folder: Path
    told: list[str]
    eventually: Callable[[Callable[[], object]], None]

    @property
    def client(self) -> Client:
        return self.cluster.client

    def workers(self) -> dict[str, dict[str, object]]:
        """What the scheduler says of its workers, by name."""
        return {info["name"]: info for info in self.client.scheduler_info(n_workers=-1)["workers"].values()}

    def look_until(self, condition: Callable[[], object]) -> None:
        """Does what the driver does while it waits."""

        def looked() -> object:
            self.cluster.watch()
            return condition()

        self.eventually(looked)

    def finish(self, futures: list[Future]) -> None:
        self.look_until(lambda: all(future.done() for future in futures))
        assert [future.status for future in futures] == ["finished"] * len(futures)

    def was_told(self, words: str) -> bool:
        return any(words in sentence for sentence in self.told)


@dataclass
class Gated:
    """Pieces of work that note where they start, and end when the gate is opened."""

    folder: Path
    count: int = field(default=0)

    def submit(self, client: Client, pieces: int) -> list[Future]:
        self.count += pieces
        command = (
            f"echo $SLURM_JOB_ID $SLURMD_NODENAME >> '{self.folder}/starts'; "
            f"until [ -e '{self.folder}/gate' ]; do sleep 0.1; done"
        )
        return client.map(subprocess.run, [["sh", "-c", command]] * pieces, pure=False)

    def open(self) -> None:
        (self.folder / "gate").touch()

    def starts(self) -> list[tuple[str, str]]:
        """Job and node of each start, in order."""
        path = self.folder / "starts"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(line.split()[0], line.split()[1]) for line in lines]


@pytest.fixture
def gated(tmp_path: Path) -> Gated:
    return Gated(tmp_path)


@pytest.fixture
def place(tmp_path: Path) -> Callable[..., Place]:
    """A place for the SLURM backend; sentences go to ``told``, settings are for tests unless given."""

    def make(told: list[str] | None = None, **settings: object) -> Place:
        heard = told if told is not None else []
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
def sitting(
    slurm: Path, place: Callable[..., Place], eventually: Callable[[Callable[[], object]], None]
) -> Callable[..., AbstractContextManager[Sitting]]:
    """Connects to SLURM with settings."""

    @contextmanager
    def begin(**settings: object) -> Iterator[Sitting]:
        told: list[str] = []
        here = place(told, **settings)
        with scheduler("slurm").connect(SMALL, here) as cluster:
            yield Sitting(cluster, here.folder, told, eventually)

    return begin


@pytest.fixture
def jobs(slurm: Path) -> Callable[[], dict[str, str]]:
    """SLURM's word for the state of each job it knows and that has not ended, by number."""

    def listed() -> dict[str, str]:
        answer = subprocess.run(["squeue", "-h", "-o", "%i %T"], capture_output=True, text=True, check=True)
        return dict(line.split() for line in answer.stdout.splitlines())  # type: ignore[misc]

    return listed


@pytest.fixture(autouse=True)
def nothing_left(
    slurm: Path, jobs: Callable[[], dict[str, str]], eventually: Callable[..., None]
) -> Iterator[None]:
    """Each test leaves an empty queue."""
    yield
    eventually(lambda: not jobs())
