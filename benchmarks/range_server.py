"""A bare object store on this machine, for benchmarks: it lists, and answers GET, HEAD and Range.

It speaks as much of S3's protocol as reading needs, holds all objects in memory, and waits before each answer
for as long as it is told. Its own cost is a small part of a millisecond for each request.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_TIME = "2025-01-01T00:00:00.000Z"
_HEAD_TIME = b"Last-Modified: Wed, 01 Jan 2025 00:00:00 GMT\r\n"
_REASONS = {200: b"OK", 206: b"Partial Content", 404: b"Not Found", 416: b"Range Not Satisfiable"}


class Counts:
    """Numbers of requests and of bytes answered, shared with the server's process."""

    def __init__(self) -> None:
        self.requests = multiprocessing.Value("q", 0)
        self.sent_bytes = multiprocessing.Value("q", 0)

    def add(self, sent_bytes: int) -> None:
        with self.requests.get_lock():
            self.requests.value += 1
            self.sent_bytes.value += sent_bytes

    def take(self) -> tuple[int, int]:
        """Returns both numbers and sets them to zero."""
        with self.requests.get_lock():
            found = self.requests.value, self.sent_bytes.value
            self.requests.value = self.sent_bytes.value = 0
        return found


@contextmanager
def served(objects: Mapping[str, bytes], latency_s: float = 0.0) -> Iterator[Counts]:
    """Starts a server whose only bucket, of any name, holds the objects; the environment names it."""
    counts, port = Counts(), multiprocessing.Value("i", 0)
    server = multiprocessing.Process(
        target=_serve, args=(port, dict(objects), latency_s, counts), daemon=True
    )
    server.start()
    while not port.value:
        time.sleep(0.01)
    before = dict(os.environ)
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port.value}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
        "AWS_REGION": "us-east-1",
    }
    try:
        yield counts
    finally:
        os.environ.clear()
        os.environ.update(before)
        server.terminate()
        server.join()


def _serve(port: Any, objects: dict[str, bytes], latency_s: float, counts: Counts) -> None:
    names = sorted(objects)
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    port.value = listening.getsockname()[1]
    while True:
        connection, _ = listening.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        arguments = connection, objects, names, latency_s, counts
        threading.Thread(target=_converse, args=arguments, daemon=True).start()


def _converse(
    connection: socket.socket, objects: dict[str, bytes], names: list[str], latency_s: float, counts: Counts
) -> None:
    waiting = b""
    while True:
        while b"\r\n\r\n" not in waiting:
            try:
                part = connection.recv(65536)
            except ConnectionError:
                return
            if not part:
                return
            waiting += part
        request, _, waiting = waiting.partition(b"\r\n\r\n")
        status, head, body = _answer(request, objects, names)
        time.sleep(latency_s)
        counts.add(len(body))
        first = b"HTTP/1.1 %d %s\r\n%sContent-Length: %d\r\n" % (status, _REASONS[status], head, len(body))
        connection.sendall(first + b"\r\n")
        if not request.startswith(b"HEAD"):
            connection.sendall(body)


def _answer(request: bytes, objects: dict[str, bytes], names: list[str]) -> tuple[int, bytes, memoryview]:
    """Returns status, headers and body of the answer."""
    first, *lines = request.split(b"\r\n")
    address = urlsplit(first.split(b" ")[1].decode())
    key = unquote(address.path).lstrip("/").partition("/")[2]
    if not key:
        listed = _page({name: values[0] for name, values in parse_qs(address.query).items()}, objects, names)
        return 200, b"Content-Type: application/xml\r\n", memoryview(listed.encode())
    if key not in objects:
        return 404, b"", memoryview(b"")
    content = memoryview(objects[key])
    head = b'ETag: "%d"\r\n' % len(content) + _HEAD_TIME
    for line in lines:
        if line.lower().startswith(b"range:"):
            low, _, high = line.partition(b"=")[2].partition(b"-")
            begin, end = int(low), min(len(content), int(high) + 1 if high else len(content))
            if begin >= len(content):
                return 416, head, memoryview(b"")
            head += b"Content-Range: bytes %d-%d/%d\r\n" % (begin, end - 1, len(content))
            return 206, head, content[begin:end]
    return 200, head, content


def _page(asked: dict[str, str], objects: dict[str, bytes], names: list[str]) -> str:
    """Returns one page of ListObjectsV2, which answers ``prefix``, ``delimiter`` and places to start at."""
    prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter", "")
    after = max(asked.get("start-after", ""), asked.get("continuation-token", ""))
    found: dict[str, str] = {}
    for name in names[bisect_right(names, after) :]:
        if not name.startswith(prefix) or len(found) > 1000:
            if found:
                break
            continue
        inside, cut, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
        if cut:
            folder = escape(prefix + inside + delimiter)
            found.setdefault(folder, f"<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>")
        else:
            found[name] = (
                f"<Contents><Key>{escape(name)}</Key><LastModified>{_TIME}</LastModified>"
                f'<ETag>"{len(objects[name])}"</ETag><Size>{len(objects[name])}</Size></Contents>'
            )
    more = len(found) > 1000
    if more:
        found.popitem()
    token = f"<NextContinuationToken>{escape(list(found)[-1])}</NextContinuationToken>" if more else ""
    return (
        '<?xml version="1.0"?><ListBucketResult><Name>bench</Name>'
        f"<Prefix>{escape(prefix)}</Prefix><KeyCount>{len(found)}</KeyCount><MaxKeys>1000</MaxKeys>"
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{''.join(found.values())}</ListBucketResult>"
    )
