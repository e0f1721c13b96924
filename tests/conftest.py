"""Where the real data lies, a SLURM for those that need one, and how to wait for what others do."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from s3_server import Bucket, served

if TYPE_CHECKING:
    from dask.distributed import LocalCluster
    from xdist.scheduler import LoadScopeScheduling

settings.register_profile("nucbatch", deadline=None)  # kernels compile, and other work shares the cores
settings.load_profile("nucbatch")

Eventually = Callable[[Callable[[], object]], None]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images beside the project; tests that ask for it carry the mark ``real_data``."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real images are not beside the project ({folder.parent.name}/{folder.name})")
    return folder


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need a SLURM or a GPU are slow, without a mark of their own."""
    for item in items:
        if any(item.get_closest_marker(name) for name in ("gpu", "slurm")):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """With ``pytest -n 2``, the tests of a file go to one process, and so do all that need the one SLURM."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            return "slurm" if "/slurm/" in path or "test_schedulers_contract" in path else path

    return ByFile(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Replaces captured lone surrogates, from names that are no UTF-8, which pytest-xdist can't send."""
    report = yield
    report.sections = [
        (name, content.encode("utf-8", "backslashreplace").decode()) for name, content in report.sections
    ]
    return report


@pytest.fixture(autouse=True)
def a_gpu_for_those_that_need_one(request: pytest.FixtureRequest) -> None:
    """Skips tests marked ``gpu`` where there is none."""
    if request.node.get_closest_marker("gpu") is not None:
        import torch  # only for these

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device here")


@pytest.fixture
def eventually() -> Eventually:
    """Waits until a condition holds that another process brings about; fails if it never does."""

    def wait(condition: Callable[[], object]) -> None:
        for _ in range(1200):
            if condition():
                return
            time.sleep(0.1)
        pytest.fail("it never came to that")

    return wait


@pytest.fixture(scope="session")
def measurement_package(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str, str], Path]:
    """Writes a package with a measurement (its name, class and source) to a folder for the import path."""

    def write(name: str, measurement: str, source: str) -> Path:
        folder = tmp_path_factory.mktemp("site")
        (folder / f"{name}.py").write_text(source)
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[nucbatch.features]\n{name} = {name}:{measurement}\n")
        return folder

    return write


@pytest.fixture
def existing_cluster() -> Iterator[LocalCluster]:
    """A cluster of one worker that the user has started, and that must outlive a run."""
    import dask.config
    from dask.distributed import LocalCluster

    from nucbatch.schedulers.workers import CLUSTER_CONFIG

    with (
        dask.config.set(CLUSTER_CONFIG),
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs="CRITICAL",
        ) as cluster,
    ):
        yield cluster


@pytest.fixture(scope="session")
def slurm() -> Iterator[Path]:
    """A SLURM of two nodes on this machine, to which ``sbatch`` and the like lead; its folder."""
    where = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
    missing = [
        name for name in ("slurmctld", "slurmd", "munged", "sbatch") if not shutil.which(name, path=where)
    ]
    if missing:
        pytest.skip(
            f"there is no SLURM here ({', '.join(missing)} missing): apt-get install slurmctld slurmd "
            "slurm-client munge"
        )
    scripts = Path(__file__).parents[1] / "cluster" / "slurm" / "local"
    # Not pytest's own folder: a socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="slurm") as folder, pytest.MonkeyPatch.context() as patch:
        started = subprocess.run([scripts / "start.sh", folder], capture_output=True, text=True, check=False)
        try:
            assert started.returncode == 0, started.stderr
            patch.setenv("SLURM_CONF", started.stdout.strip())
            yield Path(folder)
        finally:
            subprocess.run([scripts / "stop.sh", folder], check=True)


@pytest.fixture(scope="session")
def bucket() -> Iterator[Bucket]:
    """An empty bucket of an S3 server on this machine, to which the environment leads."""
    with served() as found:
        yield found
