# SPDX-License-Identifier: EUPL-1.2
"""The city's side: show each new checkpoint to the witnesses, keep it once enough cosigned it.

A witness that saw more than there is, or another history, is not argued with: the city says aloud
that its ledger is not the one that was witnessed.
"""

from __future__ import annotations

import asyncio
import logging
from urllib.parse import urlsplit

from poorter.city.errors import CityError
from poorter.ledger.checkpoint import parse_checkpoint
from poorter.ledger.sequencer import Sequencer
from poorter.ledger.tree import consistency_proof
from poorter.ledger.trust import Trust
from poorter.ledger.witness import SIZE, request_body
from poorter.standards.http.outgoing import Outgoing

log = logging.getLogger(__name__)
ANSWER_BYTES_MAX = 64 * 1024
TIMEOUT_S = 5.0


class Collecting:
    """Asks the witnesses of a policy. `refusals`: what each said when it last refused, by URL."""

    def __init__(self, sequencer: Sequencer, trust: Trust) -> None:
        self._sequencer = sequencer
        self.trust = trust
        self.urls = tuple(dict.fromkeys(trust.urls[n] for n in trust.witnesses if n in trust.urls))
        hosts = tuple(urlsplit(url).hostname or "" for url in self.urls)
        self._outgoing = Outgoing(hosts)
        self._sizes = dict.fromkeys(self.urls, 0)
        self.refusals: dict[str, str] = {}

    async def step(self) -> bool:
        """Show the newest checkpoint to all witnesses; whether enough of them cosigned it."""
        note = self._sequencer.note()
        if self._sequencer.witnessed_size >= parse_checkpoint(note)[0].size:
            return True
        answers = await asyncio.gather(*(self._ask(url, note) for url in self.urls))
        return await asyncio.to_thread(self._keep, note, b"".join(answers))

    def _keep(self, note: bytes, lines: bytes) -> bool:
        """Only signatures that verify are kept: one bad line would spoil the whole note."""
        good = b""
        for line in lines.splitlines(keepends=True):
            try:
                self.trust.verify(note + line, quorum=False)
            except ValueError as wrong:
                log.warning("a witness sent what does not verify: %s", wrong)
                continue
            good += line
        if not self.trust.verify(note + good, quorum=False).quorum:
            return False
        self._sequencer.keep_witnessed(note + good)
        return True

    async def _ask(self, url: str, note: bytes) -> bytes:
        """The cosignatures of one witness, none when it refuses or can't be reached."""
        for _ in range(2):  # the second time with the size that it says it knows
            old, size = self._sizes[url], parse_checkpoint(note)[0].size
            if old > size:
                return self._refused(url, f"it saw {old} leaves, this ledger has {size}")
            proof = consistency_proof(self._sequencer.node, old, size)
            try:
                reply = await self._outgoing.send(
                    "POST",
                    f"{url.rstrip('/')}/add-checkpoint",
                    {"Content-Type": "text/plain"},
                    request_body(old, proof, note),
                    timeout_s=TIMEOUT_S,
                    bytes_max=ANSWER_BYTES_MAX,
                )
            except CityError as wrong:
                return self._refused(url, wrong.detail)
            if reply.status == 200:
                self._sizes[url] = size
                self.refusals.pop(url, None)
                return reply.body
            known = reply.body.strip()
            media = reply.headers.get("content-type", "")
            if reply.status != 409 or media != SIZE or not known.isdigit() or len(known) > 19:
                text = reply.body[:200].decode("utf-8", "replace").strip()
                return self._refused(url, f"it answers {reply.status}: {text}")
            self._sizes[url] = int(known)
        return self._refused(url, "another city shows it this same log at this moment")

    def _refused(self, url: str, why: str) -> bytes:
        if self.refusals.get(url) != why:
            log.warning("witness %s did not cosign: %s", url, why)
        self.refusals[url] = why
        return b""

    async def close(self) -> None:
        """End what is open."""
        await self._outgoing.close()
