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
_STOP_S = 15.0
log = logging.getLogger(__name__)


class Asker:
    """Whoever asked, for an act that takes long."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.stopping = False

    @property
    def gone(self) -> bool:
        """Nobody waits any more, or the city stops: what is not done is better left."""
        left = self._reader.at_eof() or self._writer.is_closing()  # the latter: killed, say
        return self.stopping or left

    def tell(self, words: str) -> None:
        """How far it is. On the event loop."""
        if not self.gone:
            self._writer.write(msgspec.json.encode({"doing": words}) + b"\n")


#: answers in words, or raises a CityError
Act = Callable[[Mapping[str, Any], Asker], Awaitable[str]]


class Control:
    """Listens while the city is served."""

    def __init__(self, data: Path, acts: Mapping[str, Act]) -> None:
        self._data = data
        self._acts = acts
        self._server: asyncio.Server | None = None
        self._asking: dict[asyncio.Task[dict[str, str]], Asker] = {}

    async def start(self) -> None:
        """Listen. One process has the folder, so a socket that is there was left by a crash."""
        (self._data / FILE).unlink(missing_ok=True)
        with _short(self._data) as path:
            self._server = await asyncio.start_unix_server(
                self._answer, path, limit=CONTROL_LINE_BYTES_MAX
            )
        (self._data / FILE).chmod(0o600)

    async def stop(self) -> None:
        """Listen no more; what is under way is told so, and has a while to end."""
        if self._server is not None:
            self._server.close()
            (self._data / FILE).unlink(missing_ok=True)
        for asker in self._asking.values():
            asker.stopping = True
        if self._asking:
            await asyncio.wait(tuple(self._asking), timeout=_STOP_S)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line, asker = await reader.readline(), Asker(reader, writer)
            task = asyncio.create_task(self._acted(line, asker), name="asked")
            self._asking[task] = asker
            task.add_done_callback(self._asking.pop)
            answer = await task
        except (ValueError, OSError):
            answer = {"wrong": "a question is one line of JSON"}
        with suppress(OSError):
            writer.write(msgspec.json.encode(answer) + b"\n")
            await writer.drain()
        writer.close()

    async def _acted(self, line: bytes, asker: Asker) -> dict[str, str]:
        try:
            asked = msgspec.json.decode(line, type=dict[str, Any])
            act = self._acts.get(str(asked.get("ask")))
            if act is None:
                raise Invalid(f"this city can't be asked for {asked.get('ask')!r:.40}")
            return {"said": await act(asked, asker)}
        except CityError as wrong:
            return {"wrong": wrong.detail}
        except msgspec.MsgspecError:
            return {"wrong": "a question is one line of JSON"}


async def ask_served(
    data: Path, question: Mapping[str, Any], doing: Callable[[str], None] = log.info
) -> str | None:
    """What the city that is served here answers; None when none is. `doing` hears how far it is.

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
        while "doing" in answer:
            doing(answer["doing"])
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
