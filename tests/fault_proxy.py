"""A proxy before a server on this machine that answers some requests wrongly, or late."""

from __future__ import annotations

import http.client
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_STATUS = {"503": 503, "500": 500, "429": 429, "403": 403, "404": 404}
_PATIENCE_S = 20
_REFUSED = b"<Error><Code>AccessDenied</Code><AWSAccessKeyId>%s</AWSAccessKeyId></Error>"


@dataclass
class FaultProxy:
    """A running proxy.

    Attributes:
        address: of the proxy.
        faults: kinds for the next requests, in order: a status, ``reset``, ``truncated`` (a body cut in the
            middle), ``short`` (a shorter body than asked for, with a fitting header), ``range``
            (another range), ``cut`` (the connection is reset in the middle of an upload), ``lost`` (the
            server has answered, and the answer is lost), or "" for none.
        always: kind for all requests while ``faults`` is empty.
        requests: method and path of every request.
        latency_s: added to each answer.
        headers: of every request, with the signatures.
        gate: requests are answered once as many are waiting as it has parties.
        gated: regex of the requests that wait at the gate.
        alone: paths of requests that waited in vain for the others.
    """

    address: str = ""
    faults: list[str] = field(default_factory=list)
    always: str = ""
    requests: list[str] = field(default_factory=list)
    latency_s: float = 0.0
    headers: list[dict[str, str]] = field(default_factory=list)
    gate: threading.Barrier | None = None
    gated: str = ""
    alone: list[str] = field(default_factory=list)

    def take(self) -> str:
        return self.faults.pop(0) if self.faults else self.always


@contextmanager
def faulty(server: str) -> Iterator[FaultProxy]:
    """Starts a proxy before a server."""
    proxy, lock, to = FaultProxy(), threading.Lock(), urlsplit(server)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            with lock:
                proxy.requests.append(f"{self.command} {self.path}")
                proxy.headers.append(dict(self.headers.items()))
                kind = proxy.take()
            body = self.rfile.read(length // 2 if kind == "cut" else length)
            if kind == "cut":
                self._reset()
                return
            if proxy.gate is not None and re.search(proxy.gated, f"{self.command} {self.path}"):
                try:
                    proxy.gate.wait(_PATIENCE_S)
                except threading.BrokenBarrierError:
                    proxy.alone.append(self.path)
            time.sleep(proxy.latency_s)
            if kind == "reset":
                self._reset()
                return
            if kind in _STATUS:
                self._send(_STATUS[kind], {}, _REFUSED % self.headers.get("authorization", "").encode())
                return
            headers = dict(self.headers.items())
            if kind == "range" and "range" in {name.lower() for name in headers}:
                headers = {name: value for name, value in headers.items() if name.lower() != "range"}
                headers["range"] = "bytes=3-9"
            connection = http.client.HTTPConnection(to.hostname or "", to.port)
            connection.request(self.command, self.path, body, headers)
            found = connection.getresponse()
            content = found.read()
            if kind == "lost":
                self._reset()
                connection.close()
                return
            kept = {name: value for name, value in found.getheaders() if name.lower() not in _OWN}
            if kind == "short" and len(content) > 2:
                content = content[: len(content) // 2]
            self._send(found.status, kept, content, cut=kind == "truncated", found=found)
            connection.close()

        def _reset(self) -> None:  # not an orderly end
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()

        def _send(
            self,
            status: int,
            headers: dict[str, str],
            content: bytes,
            *,
            cut: bool = False,
            found: http.client.HTTPResponse | None = None,
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            length = len(content)
            if self.command == "HEAD" and found is not None:
                length = int(found.getheader("content-length") or 0)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content[: len(content) // 2] if cut else content)
            if cut:
                self.wfile.flush()
                self.close_connection = True

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            if not isinstance(sys.exception(), ConnectionError):  # the client was killed
                super().handle_error(request, client_address)  # type: ignore[arg-type]

    server_here = Server(("127.0.0.1", 0), Handler)
    server_here.daemon_threads = True
    threading.Thread(target=server_here.serve_forever, daemon=True).start()
    proxy.address = f"http://127.0.0.1:{server_here.server_port}"
    try:
        yield proxy
    finally:
        server_here.shutdown()
        server_here.server_close()


_OWN = {"content-length", "connection", "transfer-encoding", "server", "date"}
