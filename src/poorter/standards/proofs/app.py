# SPDX-License-Identifier: EUPL-1.2
"""GET /ledger/checkpoint, /ledger/tile/... (c2sp.org/tlog-tiles), /ledger/receipt?index=N, and
/ledger/witnessed: the newest checkpoint that enough witnesses cosigned."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from poorter.city.errors import CityError, Invalid, NotFound
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN
from poorter.gate.policy import Purpose, to_doc
from poorter.ledger.receipt import make_receipt
from poorter.ledger.sequencer import WITNESSED_FILE, Sequencer
from poorter.ledger.tiles import WIDTH
from poorter.standards.http.asgi import Answer, Receive, Request, Scope, Send, send
from poorter.standards.http.asking import Asking
from poorter.standards.http.problem import problem_answer
from poorter.store.contract import Store

PREFIX = "/ledger/"
_TILE = re.compile(r"tile/(entries|\d{1,2})/(x\d{3}/)*\d{3}(\.p/\d{1,3})?\Z")
#: a purpose as it read in a version, None where there was none
PurposeAt = Callable[[str, str], Purpose | None]
_JSON = ((b"content-type", b"application/json"),)
_TEXT = ((b"content-type", b"text/plain; charset=utf-8"),)
_BYTES = (
    (b"content-type", b"application/octet-stream"),
    (b"cache-control", b"public, max-age=31536000, immutable"),
)


class Proofs:
    """What anybody may read of the ledger: commitments only, never what is behind them."""

    def __init__(
        self,
        sequencer: Sequencer,
        store: Store,
        gate: Gate,
        asking: Asking,
        purpose_at: PurposeAt,
    ) -> None:
        self._purpose_at = purpose_at
        self._sequencer = sequencer
        self._store = store
        self._gate = gate
        self._asking = asking

    async def __call__(self, scope: Scope, receive: Receive, transmit: Send) -> int:
        """Answer one request."""
        try:
            answer = self._answer(Request(scope, receive))
        except CityError as error:
            answer = problem_answer(error)
        return await send(answer, transmit)

    def _answer(self, request: Request) -> Answer:
        self._asking.caller(request)
        name = request.path[len(PREFIX) :]
        if request.method not in ("GET", "HEAD"):
            raise NotFound("the ledger is only read here")
        if name == "checkpoint":
            return Answer(200, self._sequencer.note(), _TEXT)
        if name == "witnessed":
            if not self._sequencer.witnessed_size:
                raise NotFound("no checkpoint of this ledger was cosigned by enough witnesses")
            return Answer(200, (self._sequencer.folder / WITNESSED_FILE).read_bytes(), _TEXT)
        if name == "receipt":
            return Answer(200, self.receipt(request.query().get("index", "")).encode(), _TEXT)
        if name.startswith("activities/"):
            return Answer(200, self._activity(name.removeprefix("activities/")), _JSON)
        if not _TILE.match(name):
            raise NotFound("here: checkpoint, witnessed, tile/..., receipt?index=N, activities/ID")
        try:
            return Answer(200, (self._sequencer.folder / name).read_bytes(), _BYTES)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return Answer(200, self._part(name), _BYTES)

    def _part(self, name: str) -> bytes:
        """A part of a tile that has grown since its checkpoint was signed."""
        tile, _, width = name.partition(".p/")
        _, level, *groups = tile.split("/")
        number = int("".join(group.removeprefix("x") for group in groups))
        try:
            kind = level if level == "entries" else int(level)
            if not 1 <= int(width or 0) < WIDTH:
                raise ValueError
            return self._sequencer.tiles.part(kind, number, int(width))
        except (ValueError, OSError):
            raise NotFound("there is no such tile (yet)") from None

    def _activity(self, name: str) -> bytes:
        """What a processing activity id in a line meant, word for word. Raises NotFound."""
        purpose_id, _, version = name.partition("@")
        purpose = self._purpose_at(purpose_id, version)
        if purpose is None:
            raise NotFound("there was no such activity in this version")
        return msgspec.json.encode(to_doc(purpose))

    def receipt(self, index_text: str) -> str:
        """The receipt of a leaf. Raises Invalid, NotFound, or Unavailable while not in the tree."""
        if not index_text.isascii() or not index_text.isdecimal() or len(index_text) > 15:
            raise Invalid("index is the number of a leaf")
        index = int(index_text)
        permit = self._gate.permit("internal:ledger", RUN, "read")
        rows = self._store.leaves(permit, index, 1)
        if not rows or rows[0][0] != index:
            raise NotFound(f"there is no leaf {index}")
        size, note = self._sequencer.note_over(index)
        return make_receipt(rows[0][1], index, size, self._sequencer.node, note)
