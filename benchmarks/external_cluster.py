"""A Dask cluster outside nucbatch's control, reached through a TCP connection that can be cut."""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

from nucbatch.schedulers.environment import WORKER_ENVIRONMENT
from nucbatch.schedulers.workers import CLUSTER_CONFIG


class Wire:
    """Forwards TCP connections to a port of this machine; ``cut`` closes the open ones."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Closes all connections at both ends."""
        while self._open:
            end = self._open.pop()
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the other side was first

    def _accept(self) -> None:
        while True:
            near, _ = self._listening.accept()
            try:
                far = socket.create_connection(("127.0.0.1", self._port))
            except OSError:
                near.close()
                continue
            self._open += [near, far]
            threading.Thread(target=_pass_on, args=(near, far), daemon=True).start()


def _pass_on(near: socket.socket, far: socket.socket) -> None:
    with selectors.DefaultSelector() as waiting:
        waiting.register(near, selectors.EVENT_READ, far)
        waiting.register(far, selectors.EVENT_READ, near)
        while True:
            for key, _ in waiting.select():
                try:
                    passed = key.fileobj.recv(65536)
                    if passed:
                        key.data.sendall(passed)
                except OSError:
                    passed = b""
                if not passed:
                    near.close()
                    far.close()
                    return


class Outside:
    """A scheduler and two nannies with a worker each, which are restarted if they are missing."""

    def __init__(self, scratch: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._scratch = scratch
        self._wire = Wire(self.port)
        self._scheduler: subprocess.Popen[bytes] | None = None
        self._nannies: list[subprocess.Popen[bytes]] = []

    @property
    def address(self) -> str:
        """The address for clients, through the wire."""
        return f"tcp://127.0.0.1:{self._wire.port}"

    def mend(self) -> None:
        """Starts scheduler or workers that do not run, and waits until the scheduler listens."""
        if self._scheduler is None or self._scheduler.poll() is not None:
            self._end_nannies()  # they wait for a scheduler that has forgotten them
            self._scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", str(self.port))
            while True:
                try:
                    socket.create_connection(("127.0.0.1", self.port)).close()
                    break
                except OSError:
                    time.sleep(0.1)
        self._nannies = [nanny for nanny in self._nannies if nanny.poll() is None]
        while len(self._nannies) < 2:
            self._nannies.append(
                self._start(
                    "worker", f"tcp://127.0.0.1:{self.port}", "--nthreads", "2", "--host", "127.0.0.1"
                )
            )

    def cut(self) -> None:
        """Cuts the connections of all clients."""
        self._wire.cut()

    def kill_scheduler(self) -> None:
        """Sends SIGKILL to the scheduler."""
        assert self._scheduler is not None
        self._scheduler.kill()
        self._scheduler.wait()

    def kill_nanny(self) -> None:
        """Sends SIGKILL to one nanny, whose worker then exits."""
        self._nannies[0].kill()
        self._nannies[0].wait()

    def kill_worker(self) -> None:
        """Sends SIGKILL to one worker, which its nanny restarts."""
        for child in psutil.Process(self._nannies[0].pid).children(recursive=True):
            if "spawn_main" in " ".join(child.cmdline()):
                child.kill()

    def close(self) -> None:
        """Ends all processes."""
        self._end_nannies()
        if self._scheduler is not None:
            self._scheduler.kill()
            self._scheduler.wait()

    def _end_nannies(self) -> None:
        for nanny in self._nannies:
            below = psutil.Process(nanny.pid).children(recursive=True) if nanny.poll() is None else []
            for process in (nanny, *below):
                process.kill()
            nanny.wait()
        self._nannies.clear()

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        settings = {
            f"DASK_{name.upper().replace('.', '__').replace('-', '_')}": str(value)
            for name, value in CLUSTER_CONFIG.items()
            if not isinstance(value, dict)
        }
        return subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:], "--no-dashboard"],
            env=os.environ | WORKER_ENVIRONMENT | settings,
            cwd=self._scratch,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
