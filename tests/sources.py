# SPDX-License-Identifier: EUPL-1.2
"""A context source for tests: a real HTTP server that says what it is told to, and remembers."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Source:
    """`answers`: by method and path without parameters: (status, document or bytes)."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], tuple[int, Any]] = {}
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.delay_s = 0.0
        self.url = ""

    def says(self, method: str, path: str, status: int, document: Any = None) -> None:
        self.answers[method, "/ngsi-ld/v1" + path] = (status, document)


@contextmanager
def source() -> Iterator[Source]:
    """One that runs on loopback until the end of the block."""
    state = Source()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            state.asked.append((self.command, self.path, dict(self.headers), body))
            time.sleep(state.delay_s)
            status, document = state.answers.get(
                (self.command, self.path.partition("?")[0].rstrip("/")), (404, None)
            )
            raw = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(0 if document is None else len(raw)))
            self.end_headers()
            if document is not None:
                self.wfile.write(raw)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _any  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
