# SPDX-License-Identifier: EUPL-1.2
"""Whether credentials still hold: the issuers' status lists, kept for a few minutes.

A list that can't be had says nothing, so the credential is not taken: revoked looks like that too.
"""

from __future__ import annotations

from collections.abc import Iterable

from poorter.city.clock import Clock
from poorter.city.errors import CityError
from poorter.city.time import MINUTE_US
from poorter.identity.jose import BadToken, PublicKey
from poorter.identity.sdjwt import Status, holds
from poorter.standards.http.outgoing import Outgoing

KEPT_MINUTES = 5
LISTS_MAX = 200
LIST_BYTES_MAX = 1024 * 1024
TIMEOUT_S = 5.0


class Statuses:
    """Status list tokens by address."""

    def __init__(self, outgoing: Outgoing, clock: Clock) -> None:
        self._outgoing = outgoing
        self._clock = clock
        self._lists: dict[str, tuple[int, str]] = {}

    async def check(self, status: Status | None, keys: Iterable[PublicKey]) -> None:
        """Raises BadToken unless the credential holds now."""
        if status is None:
            return
        now_us = self._clock.now_us()
        if not holds(await self._token(status.uri, now_us), status, keys, now_us):
            raise BadToken("revoked")

    async def _token(self, uri: str, now_us: int) -> str:
        kept = self._lists.get(uri)
        if kept is not None and now_us < kept[0] + KEPT_MINUTES * MINUTE_US:
            return kept[1]
        headers = {"accept": "application/statuslist+jwt"}
        try:
            reply = await self._outgoing.send("GET", uri, headers, b"", TIMEOUT_S, LIST_BYTES_MAX)
            text = reply.body.decode("ascii").strip()
        except (CityError, UnicodeDecodeError):
            raise BadToken("status") from None
        if reply.status != 200:
            raise BadToken("status")
        if len(self._lists) >= LISTS_MAX:
            self._lists.clear()
        self._lists[uri] = (now_us, text)
        return text
