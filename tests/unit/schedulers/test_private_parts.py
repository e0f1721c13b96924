"""Parts of Python, Dask and dask-jobqueue that are not public and are used all the same.

Each has no public replacement. These tests compare them with what the code relies on, so that a new version
that changes one fails here, by name, and not in a run. Where one fails: read the new source, adapt the module
named in the test, then the test.
"""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import textwrap
from multiprocessing import forkserver, process, spawn
from pathlib import Path

import nucbatch

USED = {
    "readers/formats/czi.py": {"_planes"},  # tests/unit/readers/formats/test_container_damage.py
    "schedulers/children.py": {"_inheriting"},
    "schedulers/cuda.py": {"_i"},
    "schedulers/forkserver.py": {"_forkserver", "_forkserver_pid", "_stop"},
    "schedulers/slurm/jobs.py": {"_correct_state", "_i", "_update_worker_status"},
}


def test_no_module_uses_other_private_parts_than_those_below() -> None:
    root = Path(nucbatch.__file__).parent
    found = {
        path.relative_to(root).as_posix(): foreign
        for path in sorted(root.rglob("*.py"))
        if (foreign := _foreign(ast.parse(path.read_bytes())))
    }
    assert found == USED


def _foreign(tree: ast.Module) -> set[str]:
    """Private names that a module reads of objects and does not define itself."""
    own: set[str] = set()
    read: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.Attribute):
            (own if isinstance(node.ctx, ast.Store) else read).add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "getattr":
            name = node.args[1]
            read |= {name.value} if isinstance(name, ast.Constant) else set()
    # What a module overrides or counts up is others' too; ``os._exit`` is public.
    taken_over = {"_i", "_update_worker_status"} & (own | read)
    foreign = (read - own | taken_over) - {"_exit"}
    return {name for name in foreign if name.startswith("_") and not name.startswith("__")}


def test_pythons_fork_server_can_be_asked_for_its_number_and_stopped() -> None:
    server = forkserver._forkserver
    assert isinstance(server, forkserver.ForkServer)
    assert "_forkserver_pid" in vars(server)
    assert list(inspect.signature(server._stop).parameters) == []
    for name in ("ensure_running", "set_forkserver_preload"):
        assert getattr(forkserver, name).__self__ is server


def test_a_process_that_is_just_being_started_says_so() -> None:
    """Python 3.11 to 3.13 set the mark while a new process imports its parent's script."""
    body = textwrap.dedent(inspect.getsource(spawn._main))
    assert "process.current_process()._inheriting = True" in body
    assert "del process.current_process()._inheriting" in body
    assert not hasattr(process.current_process(), "_inheriting")


def test_a_dask_cluster_counts_its_workers_and_starts_those_that_lack() -> None:
    """In a process of its own: dask-jobqueue's import must be without side effects, see ``jobs.py``."""
    script = """
        import inspect
        from nucbatch.schedulers.slurm.jobs import SLURMCluster, WorkerJobs
        from distributed import SpecCluster
        from distributed.deploy.cluster import Cluster

        assert issubclass(SLURMCluster, SpecCluster)
        assert inspect.iscoroutinefunction(inspect.unwrap(SpecCluster._correct_state_internal))
        assert list(inspect.signature(SpecCluster._correct_state).parameters) == ["self"]
        assert "self._i = 0" in inspect.getsource(SpecCluster.__init__)
        assert "self._i" in inspect.getsource(SpecCluster._new_worker_name) + inspect.getsource(
            SpecCluster.new_worker_spec
        )
        for owner in (Cluster, SpecCluster, WorkerJobs):
            assert list(inspect.signature(owner._update_worker_status).parameters) == ["self", "op", "msg"]
            assert "_update_worker_status" in vars(owner)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
