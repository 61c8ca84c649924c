# SPDX-License-Identifier: EUPL-1.2
"""A witness: remembers how far it saw a log, and cosigns only what goes on from there.

C2SP tlog-witness. It keeps one checkpoint a log; looking at it and replacing it are one step, also
between processes. A log that shows one history here and another there finds no second cosignature.
"""

from __future__ import annotations

import fcntl
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from poorter.city.clock import Clock
from poorter.identity.keys import KeyPair
from poorter.ledger.checkpoint import Checkpoint, base64_of, parse_checkpoint, to_base64
from poorter.ledger.tiles import write_whole
from poorter.ledger.tree import EMPTY_ROOT, verify_consistency
from poorter.ledger.trust import Trust
from poorter.ledger.vkeys import cosign

PROOF_LINES_MAX = 63
REQUEST_BYTES_MAX = 128 * 1024
TEXT = "text/plain; charset=utf-8"
SIZE = "text/x.tlog.size"


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, body and media type, as the protocol has them."""

    status: int
    body: bytes
    media: str = TEXT


@dataclass(frozen=True, slots=True)
class _Asked:
    old: int
    proof: tuple[bytes, ...]
    note: bytes


class Witness:
    """One witness. `trust` names the logs it knows."""

    def __init__(self, folder: Path, key: KeyPair, trust: Trust, clock: Clock) -> None:
        self._folder = folder
        self._key = key
        self._trust = trust
        self._clock = clock
        self._lock = threading.Lock()

    def add_checkpoint(self, body: bytes) -> Reply:
        """POST add-checkpoint."""
        try:
            asked = _parse(body)
            checkpoint, _ = parse_checkpoint(asked.note)
        except ValueError as wrong:
            return _refusal(400, str(wrong))
        if all(key.name != checkpoint.origin for key in self._trust.logs):
            return _refusal(404, "this witness does not know the log")
        try:
            self._trust.verify(asked.note, quorum=False)
        except ValueError as wrong:
            return _refusal(403, str(wrong))
        if asked.old > checkpoint.size:
            return _refusal(400, "the old size is above that of the checkpoint")
        with self._alone(checkpoint.origin):
            return self._go_on(asked, checkpoint)

    def _go_on(self, asked: _Asked, checkpoint: Checkpoint) -> Reply:
        latest = self._latest(checkpoint.origin)
        if asked.old != latest.size:
            return Reply(409, b"%d\n" % latest.size, SIZE)
        if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
            return _refusal(422, "an empty tree has another root")
        roots = latest.root, checkpoint.root
        if not verify_consistency(asked.old, checkpoint.size, *roots, asked.proof):
            return _refusal(422, "the checkpoint does not go on from the one cosigned before")
        lines = cosign(checkpoint, self._key, self._clock.now_us())
        kept = asked.note.partition(b"\n\n")
        own = self._own_lines(kept[2])
        write_whole(self._file(checkpoint.origin), kept[0] + kept[1] + own + lines)
        return Reply(200, lines)

    def _own_lines(self, signatures: bytes) -> bytes:
        """The signature lines of the log's own keys; what else came along is not passed on."""
        names = {key.name for key in self._trust.logs}
        return b"".join(
            line
            for line in signatures.splitlines(keepends=True)
            if line.decode().split(" ")[1] in names
        )

    def checkpoint(self, origin_hash: str) -> Reply:
        """GET HASH/checkpoint: the newest cosigned one of the log with this hash."""
        for origin in {key.name for key in self._trust.logs}:
            if hash_of(origin) == origin_hash and self._file(origin).exists():
                return Reply(200, self._file(origin).read_bytes())
        return _refusal(404, "nothing of this log was cosigned here")

    def _latest(self, origin: str) -> Checkpoint:
        try:
            return parse_checkpoint(self._file(origin).read_bytes())[0]
        except FileNotFoundError:
            return Checkpoint(origin, 0, EMPTY_ROOT)

    def _file(self, origin: str) -> Path:
        return self._folder / hash_of(origin) / "checkpoint"

    @contextmanager
    def _alone(self, origin: str) -> Iterator[None]:
        """Nobody else looks at or replaces the checkpoint of this log: no thread, no process."""
        folder = self._file(origin).parent
        folder.mkdir(parents=True, exist_ok=True)
        with self._lock, (folder / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def hash_of(origin: str) -> str:
    """SHA-256 of a log's origin in hexadecimal: its folder at a witness."""
    return hashlib.sha256(origin.encode()).hexdigest()


def request_body(old: int, proof: list[bytes], note: bytes) -> bytes:
    """What a log sends to a witness."""
    lines = [f"old {old}", *map(to_base64, proof)]
    return "\n".join(lines).encode() + b"\n\n" + note


def _parse(body: bytes) -> _Asked:
    if len(body) > REQUEST_BYTES_MAX:
        raise ValueError(f"a request has at most {REQUEST_BYTES_MAX} bytes")
    head, separator, note = body.partition(b"\n\n")
    if not separator:
        raise ValueError("the request has no empty line before its checkpoint")
    try:
        first, *steps = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise ValueError("the request is not ASCII before its checkpoint") from None
    number = first.removeprefix("old ")
    plain = number.isdecimal() and (number == "0" or not number.startswith("0"))
    if not first.startswith("old ") or not plain or len(number) > 19:
        raise ValueError("the first line reads: old SIZE")
    if len(steps) > PROOF_LINES_MAX:
        raise ValueError(f"a proof has at most {PROOF_LINES_MAX} lines")
    proof = tuple(base64_of(step, "proof") for step in steps)
    if any(len(step) != 32 for step in proof):
        raise ValueError("a line of the proof is no hash")
    return _Asked(int(number), proof, note)


def _refusal(status: int, why: str) -> Reply:
    return Reply(status, f"{why}\n".encode())
