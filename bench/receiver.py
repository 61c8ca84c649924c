# SPDX-License-Identifier: EUPL-1.2
"""A receiver of notifications in a process of its own: when each came, against when it was sent.

The updates carry the moment they were sent at as their value; GET / gives what was noted, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time


def serve(port: int) -> None:
    """Serve until killed."""
    delays_ms: list[float] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                answer = b""
                if head.startswith(b"GET"):
                    answer = json.dumps(delays_ms).encode()
                    delays_ms.clear()
                else:
                    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                    _note(await reader.readexactly(length), delays_ms)
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(answer) + answer
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(run())


def _note(body: bytes, delays_ms: list[float]) -> None:
    now_ms = time.time() * 1000
    for entity in json.loads(body)["data"]:
        delays_ms.append(now_ms - entity["n"]["value"])


if __name__ == "__main__":
    serve(int(sys.argv[1]))
