# SPDX-License-Identifier: EUPL-1.2
"""What an operator of this machine asks of the city that is served here: one line in, one line out,
through a socket in its data folder. Whoever may open that folder may ask; nobody else can."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from poorter.city.errors import CityError, Invalid, Unavailable
from poorter.city.limits import CONTROL_LINE_BYTES_MAX

FILE = "control.sock"
log = logging.getLogger(__name__)
#: answers in words, or raises a CityError
Act = Callable[[Mapping[str, Any]], Awaitable[str]]


class Control:
    """Listens while the city is served."""

    def __init__(self, data: Path, acts: Mapping[str, Act]) -> None:
        self._data = data
        self._acts = acts
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. One process has the folder, so a socket that is there was left by a crash."""
        (self._data / FILE).unlink(missing_ok=True)
        with _short(self._data) as path:
            self._server = await asyncio.start_unix_server(
                self._answer, path, limit=CONTROL_LINE_BYTES_MAX
            )
        (self._data / FILE).chmod(0o600)

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            (self._data / FILE).unlink(missing_ok=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await self._acted(await reader.readline())
        except (ValueError, OSError):
            answer = {"wrong": "a question is one line of JSON"}
        with suppress(OSError):
            writer.write(msgspec.json.encode(answer) + b"\n")
            await writer.drain()
        writer.close()

    async def _acted(self, line: bytes) -> dict[str, str]:
        try:
            asked = msgspec.json.decode(line, type=dict[str, Any])
            act = self._acts.get(str(asked.get("ask")))
            if act is None:
                raise Invalid(f"this city can't be asked for {asked.get('ask')!r:.40}")
            return {"said": await act(asked)}
        except CityError as wrong:
            return {"wrong": wrong.detail}
        except msgspec.MsgspecError:
            return {"wrong": "a question is one line of JSON"}


async def ask_served(data: Path, question: Mapping[str, Any]) -> str | None:
    """What the city that is served here answers; None when none is.

    Raises: Unavailable with its words when it can't do it.
    """
    try:
        with _short(data) as path:
            reader, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return None
    try:
        writer.write(msgspec.json.encode(question) + b"\n")
        answer = msgspec.json.decode(await reader.readline() or b"{}")
    finally:
        writer.close()
    if "said" not in answer:
        raise Unavailable(answer.get("wrong", "the city stopped before it was done"))
    return str(answer["said"])


@contextmanager
def _short(data: Path) -> Iterator[str]:
    """A name of the socket that fits, however long the folder's is: there are 108 bytes for it."""
    handle = os.open(data, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}/{FILE}"
    finally:
        os.close(handle)
