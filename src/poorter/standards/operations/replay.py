# SPDX-License-Identifier: EUPL-1.2
"""One key, one act: a request that is sent again gets the answer of the first, for a day."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from poorter.city.clock import Clock
from poorter.city.errors import CityError, Conflict, Invalid
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN
from poorter.store.contract import Change, PutRecord, Record, Store


class StillRunning(Conflict):
    """The first request with this key has no answer yet: ask again."""

    retry_after_s = 1


def check_key(key: str | None) -> str | None:
    """An Idempotency-Key as given. Raises Invalid."""
    if key is not None and not 1 <= len(key) <= 128:
        raise Invalid("an Idempotency-Key has 1 to 128 characters")
    return key


class Replays:
    """Remembers what was answered, by a hash of who asked what under which key."""

    def __init__(self, store: Store, gate: Gate, clock: Clock) -> None:
        self._store = store
        self._gate = gate
        self._clock = clock

    async def once(
        self,
        key: str | None,
        who: tuple[str, ...],
        inputs: Mapping[str, Any],
        act: Callable[[], Awaitable[dict[str, Any]]],
        seal: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]],
    ) -> dict[str, Any]:
        """What `seal` makes of what `act` answers, or made before. `who`: credential and what is
        asked of whom.

        Raises: Conflict when the key was used with other inputs or is in use, and what `act`
        raises: then the key is free again. When `seal` fails it is not: the act was done.
        """
        if check_key(key) is None:
            return await seal(await act())
        text = "\n".join((*who, str(key)))
        replay_id = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
        await self._claim(replay_id, inputs)
        known: dict[str, Any] | None = self._record(replay_id).doc.get("result")
        if known is not None:
            return known
        try:
            result = await act()
        except CityError:
            await self._keep(replay_id, None)
            raise
        sealed = await seal(result)
        await self._keep(replay_id, sealed)
        return sealed

    async def _claim(self, replay_id: str, inputs: Mapping[str, Any]) -> None:
        """The first with this key goes on; others wait for its answer or are told to."""
        doc = {"state": "running", "digest": _digest(inputs), "at_us": self._clock.now_us()}
        try:
            await self._put(PutRecord("replay", replay_id, doc, expect=0))
        except Conflict:
            record = self._record(replay_id)
            known = record.doc
            if known["digest"] != doc["digest"]:
                raise Conflict("this Idempotency-Key was used with other inputs") from None
            if known["state"] == "running":
                raise StillRunning("a request with this Idempotency-Key is still running") from None
            if known["state"] == "failed":
                await self._put(PutRecord("replay", replay_id, doc, expect=record.version))

    async def _keep(self, replay_id: str, result: dict[str, Any] | None) -> None:
        state = "failed" if result is None else "done"
        doc = self._record(replay_id).doc | {"state": state, "result": result}
        await self._put(PutRecord("replay", replay_id, doc))

    async def _put(self, record: PutRecord) -> None:
        permit = self._gate.permit("internal:uses", RUN, "administer")
        await self._store.commit_async(permit, Change((record,)))

    def _record(self, replay_id: str) -> Record:
        permit = self._gate.permit("internal:uses", RUN, "read")
        return self._store.record(permit, "replay", replay_id)


def _digest(inputs: Mapping[str, Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(inputs, order="deterministic")).hexdigest()
