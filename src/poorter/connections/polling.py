# SPDX-License-Identifier: EUPL-1.2
"""Feeds at a URL: asked again and again, unchanged answers left alone, failing ones less often."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import msgspec

from poorter.city.clock import Clock
from poorter.city.entity import Entity
from poorter.city.errors import Unavailable
from poorter.city.time import format_us
from poorter.connections.counting import Counts
from poorter.connections.model import Connection, Poll
from poorter.connections.writing import Parcel, Writing, count_rejects
from poorter.load.mapping import Map
from poorter.load.rows import Reject, Taker, make_taker
from poorter.load.sources.opening import open_rows
from poorter.standards.http.outgoing import Outgoing, Reply

BATCH_MAX = 500
FAILURES_OPEN = 3
WAIT_S_MAX = 3600.0
#: a column that every row of a feed has: when its answer came, for feeds that don't say
RECEIVED = "(received)"


@dataclass(slots=True)
class Breaker:
    """Closed: asked at its pace. After FAILURES_OPEN failures in a row it is open: asked half as
    often each time, at most hourly, one try at a time; the first success closes it."""

    every_s: float
    failures: int = 0
    wrong: str = ""

    @property
    def open(self) -> bool:
        """Whether the feed counts as failing."""
        return self.failures >= FAILURES_OPEN

    def succeeded(self) -> None:
        """All is well again."""
        self.failures, self.wrong = 0, ""

    def failed(self, why: str) -> None:
        """One failure more."""
        self.failures += 1
        self.wrong = why[:300]

    def wait_s(self) -> float:
        """Until the next try."""
        if not self.open:
            return self.every_s
        return min(self.every_s * 2.0 ** min(self.failures - FAILURES_OPEN + 1, 20), WAIT_S_MAX)


@dataclass(slots=True)
class Feed:
    """One feed. `ask` fetches; `take` writes, on a thread of its own."""

    connection: Connection
    poll: Poll
    clock: Clock
    counts: Counts
    writing: Writing
    outgoing: Outgoing
    newer_part: Callable[[Entity], Entity | None]
    breaker: Breaker = field(init=False)
    _etag: str = ""
    _modified: str = ""

    def __post_init__(self) -> None:
        self.breaker = Breaker(self.poll.every_s)

    async def ask(self) -> list[bytes]:
        """The pages of the feed; none when nothing changed. Raises Unavailable, Invalid."""
        pages: list[bytes] = []
        url = self.poll.url
        while url and len(pages) < self.poll.pages_max:
            reply = await self.outgoing.send("GET", url, self._headers(first=not pages))
            if reply.status == 304:
                return []
            if reply.status != 200:
                raise Unavailable(f"{self.connection.name}: the source answers {reply.status}")
            if not pages:
                self._etag = reply.headers.get("etag", "")
                self._modified = reply.headers.get("last-modified", "")
            pages.append(reply.body)
            url = self._next(url, reply)
        return pages

    def _headers(self, first: bool) -> dict[str, str]:
        headers = {"accept": "*/*"}
        if first and self._etag:
            headers["if-none-match"] = self._etag
        if first and self._modified:
            headers["if-modified-since"] = self._modified
        return headers

    def _next(self, url: str, reply: Reply) -> str:
        if not self.poll.next:
            return ""
        try:
            found: Any = msgspec.json.decode(reply.body)
        except (msgspec.DecodeError, RecursionError) as wrong:
            raise Unavailable(f"{self.connection.name}: the answer is not JSON: {wrong}") from None
        # a name may hold a dot itself (@iot.nextLink): the whole of it comes before its parts
        if isinstance(found, dict) and self.poll.next in found:
            following = found[self.poll.next]
        else:
            following = _at(found, self.poll.next)
        return urljoin(url, following) if isinstance(following, str) else ""

    def take(self, pages: Sequence[bytes]) -> None:
        """Read the pages by the map and write them. Raises Invalid for one that can't be read."""
        take = make_taker(self.connection.map, self.clock.now_us)
        for page in pages:
            self._take_page(page, take)

    def _take_page(self, page: bytes, take: Taker) -> None:
        map_ = self.connection.map
        with tempfile.TemporaryDirectory(prefix="poorter-feed-") as folder:
            file = Path(folder) / f"{self.connection.name}{_suffix(map_)}"
            file.write_bytes(page)
            now_us = self.clock.now_us()
            received = format_us(now_us)
            parcels: list[Parcel] = []
            with open_rows(file, map_) as opened:
                for line, row in opened.rows:
                    if isinstance(row, str):
                        reject = Reject(line, "(row)", "", row)
                        count_rejects(self.counts, [reject], "", now_us)
                        continue
                    taken = take(line, row | {RECEIVED: received})
                    count_rejects(self.counts, taken.rejects, "", now_us)
                    self.counts.missing += taken.missing
                    if taken.readings:
                        parcels.append(Parcel("", tuple(taken.readings)))
                    elif taken.thing is not None:
                        newer = self.newer_part(taken.thing)
                        if newer is None:
                            self.counts.take("", now_us, 0, 0, 1)
                        else:
                            parcels.append(Parcel("", thing=newer))
                    if len(parcels) >= BATCH_MAX:
                        self.writing.write(parcels)
                        parcels = []
            if parcels:
                self.writing.write(parcels)

    def forget(self) -> None:
        """Ask for all of it again: what came could not be taken."""
        self._etag = self._modified = ""


def _at(found: Any, path: str) -> Any:
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _suffix(map_: Map) -> str:
    endings = {"excel": ".xlsx", "geopackage": ".gpkg"}
    return endings.get(map_.source.format, "." + map_.source.format)
