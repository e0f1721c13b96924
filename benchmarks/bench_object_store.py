"""Reading of objects from a bare server on this machine: libraries, small objects, ranges, and with latency.

    python -m benchmarks.bench_object_store [--objects 300] [--latency-ms 0 20]

The server answers GET, HEAD and Range from memory and does nothing else, so that its own cost is small. A
local file of the same size is read beside them. CPU time is that of the client.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_THREADS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=300)
    parser.add_argument("--latency-ms", type=float, nargs="*", default=[0, 20])
    asked = parser.parse_args()
    table = Table(title=f"{asked.objects} objects, {_THREADS} at once")
    for column in ("latency, ms", "object", "how", "objects/s", "MB/s", "CPU ms/object"):
        table.add_column(column, justify="right")
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_REGION": "us-east-1"}
    for latency in asked.latency_ms:
        for size, shown in ((10_000, "10 kB"), (2_000_000, "2 MB")):
            port = multiprocessing.Value("i", 0)
            server = multiprocessing.Process(target=serve, args=(port, size, latency / 1000), daemon=True)
            server.start()
            while not port.value:
                time.sleep(0.01)
            os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port.value}"
            for how, read in readers(size).items():
                cpu, began = time.process_time(), time.perf_counter()
                with ThreadPoolExecutor(_THREADS) as pool:
                    total = sum(pool.map(read, range(asked.objects)))
                seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
                table.add_row(
                    f"{latency:g}",
                    shown,
                    how,
                    f"{asked.objects / seconds:,.0f}",
                    f"{total / seconds / 1e6:,.1f}",
                    f"{1000 * cpu / asked.objects:.2f}",
                )
            server.terminate()
    Console().print(table)


def readers(size: int) -> dict[str, Callable[[int], int]]:
    """Returns ways to read an object by its number, each giving the bytes read."""
    from nucbatch.object_store import ObjectPath

    folder = Path(tempfile.mkdtemp(prefix="bench-store-"))
    path = folder / "local"
    path.write_bytes(bytes(size))

    def local(number: int) -> int:
        return len(path.read_bytes())

    def whole(number: int) -> int:
        return len(ObjectPath(f"s3://bench/{number}").read_bytes())

    def ranged(number: int) -> int:
        with ObjectPath(f"s3://bench/{number}").open() as file:
            file.seek(size // 2)
            return len(file.read(10_000))

    found: dict[str, Callable[[int], int]] = {
        "local file": local,
        "obstore, whole": whole,
        "obstore, header": ranged,
    }
    try:
        import s3fs
    except ImportError:
        return found
    files: Any = s3fs.S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"], skip_instance_cache=True)
    found["s3fs, whole"] = lambda number: len(files.cat_file(f"bench/{number}"))
    found["s3fs, header"] = lambda number: len(files.cat_file(f"bench/{number}", 0, 10_000))
    return found


def serve(port: Any, size: int, latency_s: float) -> None:
    """Answers every GET and HEAD with bytes of an object of this size."""
    content = memoryview(bytes(size))
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)
    port.value = listening.getsockname()[1]
    while True:
        connection, _ = listening.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_answer, args=(connection, content, latency_s), daemon=True).start()


def _answer(connection: socket.socket, content: memoryview, latency_s: float) -> None:
    waiting = b""
    while True:
        while b"\r\n\r\n" not in waiting:
            part = connection.recv(65536)
            if not part:
                return
            waiting += part
        request, _, waiting = waiting.partition(b"\r\n\r\n")
        first, end, status = 0, len(content), b"200 OK"
        for line in request.lower().split(b"\r\n"):
            if line.startswith(b"range:"):
                low, _, high = line.partition(b"bytes=")[2].partition(b"-")
                first, end = int(low), min(len(content), int(high) + 1 if high else len(content))
                status = b"206 Partial Content"
        head = b'HTTP/1.1 %s\r\nContent-Length: %d\r\nETag: "x"\r\n' % (status, end - first)
        head += b"Last-Modified: Wed, 01 Jan 2025 00:00:00 GMT\r\n"
        if status.startswith(b"206"):
            head += b"Content-Range: bytes %d-%d/%d\r\n" % (first, end - 1, len(content))
        time.sleep(latency_s)
        connection.sendall(head + b"\r\n")
        if not request.startswith(b"HEAD"):
            connection.sendall(content[first:end])


if __name__ == "__main__":
    main()
