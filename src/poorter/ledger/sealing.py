# SPDX-License-Identifier: EUPL-1.2
"""What a line says of a person is sealed under a key of its month, outside the data folder.

Lines of one answer differ in span and subject only. So up to 64 of them are sealed as one page:
what is the same in all of them once, then salt, span and subject of each.

A copy of the database shows who looked at whom to nobody. When the month's key is destroyed its
lines are gone, in every backup too; the tree's commitments stay and prove what they proved.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

from poorter.city.errors import NotFound
from poorter.identity.keys import kept_secret, read_secret
from poorter.ledger.leaf import SALT_BYTES
from poorter.ledger.lines import KeptLine, LineWriter, SealedLine, inner_hash
from poorter.ledger.tracing import SPAN_BYTES

SUBJECT_BYTES = 16
_NONCE_BYTES = 12
_MONTH_BYTES = 2
_KNOWN_MAX = 100_000
_POOL_BYTES = 512 * 1024
#: lines on one page; whoever reads one line opens its page
PAGE_LINES = 64
#: stands before a page, where a line of before there were pages has its month
_PAGE = b"\0\0"
_RANDOM = SALT_BYTES + SPAN_BYTES


class _Page(msgspec.Struct, array_like=True):
    """`random`: for each line its salt and span."""

    start: bytes
    middle: bytes
    end: bytes
    random: bytes
    subjects: list[str]


_BACK = [bytes((place,)) for place in range(PAGE_LINES)]
_encode = msgspec.msgpack.Encoder().encode
_read_page = msgspec.msgpack.Decoder(_Page).decode


class LineKeys:
    """Names of data subjects in the ledger, and the keys of months. Prints nothing of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: AESSIV | None = None
        self._known: dict[tuple[str, str], tuple[str, bytes]] = {}
        self._months: dict[int, AESGCM] = {}
        self._pool = b""
        self._lock = threading.Lock()  # connections record from threads of their own

    def name(self, wall: str, subject: str) -> tuple[str, bytes]:
        """(id in the line, name in the store) of a data subject of a wall.

        The id is the subject encrypted (AES-SIV, RFC 5297): the same in each line about them, and
        only this city reads it back. The name is a hash of the id.
        """
        found = self._known.get((wall, subject))
        if found is None:
            if self._names is None:
                self._names = AESSIV(kept_secret(self._folder, "line-subjects"))
            encrypted = self._names.encrypt(subject.encode(), [wall.encode()])
            subject_id = base64.urlsafe_b64encode(encrypted).decode().rstrip("=")
            found = (subject_id, store_name(subject_id))
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[wall, subject] = found
        return found

    def as_seen_by(self, purpose: str, subject_id: str) -> str:
        """What an app of one purpose is told instead of a data subject id: the same in all lines
        about a person, and another for each purpose, which the id itself is not."""
        label = f"data subject\0{purpose}\0{subject_id}".encode()
        digest = hmac.digest(kept_secret(self._folder, "line-subjects"), label, "sha256")
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def seal(
        self, writer: LineWriter, subjects: Sequence[tuple[str, bytes]], at_us: int
    ) -> list[SealedLine]:
        """Write, salt and seal a line for each of `subjects` [(id in the line, name in the store)],
        all of one activity and moment."""
        month = month_of(at_us)
        cipher = self._cipher(month, make=True)
        head = _PAGE + month.to_bytes(_MONTH_BYTES, "big")
        start, middle, end = writer.parts
        sha256, found = hashlib.sha256, []
        for first in range(0, len(subjects), PAGE_LINES):
            part = subjects[first : first + PAGE_LINES]
            random = self.random(_RANDOM * len(part))
            digits = random.hex().encode()
            page = _Page(start, middle, end, random, [subject_id for subject_id, _ in part])
            nonce = self.random(_NONCE_BYTES)
            sealed = head + nonce + cipher.encrypt(nonce, _encode(page), None)
            at = 0
            for place, (subject_id, name) in enumerate(part):
                salt = random[at : at + SALT_BYTES]
                at += _RANDOM
                span = digits[2 * (at - SPAN_BYTES) : 2 * at]
                salted = b"".join((salt, start, span, middle, subject_id.encode(), end))
                beside = _BACK[place] if place else sealed
                found.append(SealedLine(name, sha256(salted).digest(), beside))
        return found

    def random(self, number: int) -> bytes:
        """Random bytes, each given out once. Fetched from the kernel in large pieces: each asking
        hands the interpreter to another thread, and waiting for it again costs most."""
        with self._lock:
            if len(self._pool) < number:
                self._pool = os.urandom(max(_POOL_BYTES, number))
            taken, self._pool = self._pool[:number], self._pool[number:]
        return taken

    def open(self, kept: KeptLine) -> tuple[bytes, bytes]:
        """(salt, line). Raises NotFound once its month's key is destroyed, or it is damaged."""
        paged = kept.sealed.startswith(_PAGE)
        sealed = kept.sealed[len(_PAGE) :] if paged else kept.sealed
        month = int.from_bytes(sealed[:_MONTH_BYTES], "big")
        body = sealed[_MONTH_BYTES:]
        try:
            cipher = self._cipher(month, make=False)
            plain = cipher.decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], None)
            salted = _on_page(plain, kept.place) if paged else plain
        except (InvalidTag, ValueError, IndexError):
            raise NotFound("what this line said can't be read any more") from None
        salt, line = salted[:SALT_BYTES], salted[SALT_BYTES:]
        if inner_hash(salt, line) != kept.inner:
            raise NotFound("what was kept of this line is not what was recorded")
        return salt, line

    def destroy_before(self, at_us: int) -> list[str]:
        """Destroy the keys of months that ended before `at_us`: their lines are gone everywhere."""
        first = month_of(at_us)
        gone = []
        for file in sorted(self._folder.glob("lines-*.secret")):
            month = _month_number(file.stem.removeprefix("lines-"))
            if month is not None and month < first:
                self._months.pop(month, None)
                file.unlink()
                file.with_suffix(".mark").unlink(missing_ok=True)
                gone.append(file.stem)
        return gone

    def _cipher(self, month: int, *, make: bool) -> AESGCM:
        found = self._months.get(month)
        if found is None:
            name = f"lines-{month // 12:04d}-{month % 12 + 1:02d}"
            if not make and not (self._folder / f"{name}.secret").exists():
                raise NotFound("these lines have been erased")
            read = kept_secret(self._folder, name) if make else self._read(name)
            found = self._months[month] = AESGCM(read)
        return found

    def _read(self, name: str) -> bytes:
        return read_secret(self._folder / f"{name}.secret")


def _on_page(plain: bytes, place: int) -> bytes:
    """Salt and line at a place of a page. Raises ValueError or IndexError where there is none."""
    page = _read_page(plain)
    random = page.random[place * _RANDOM : (place + 1) * _RANDOM]
    span, subject = random[SALT_BYTES:].hex().encode(), page.subjects[place].encode()
    parts = (random[:SALT_BYTES], page.start, span, page.middle, subject, page.end)
    return b"".join(parts)


def store_name(subject_id: str) -> bytes:
    """The name in the store of a data subject id."""
    return hashlib.sha256(subject_id.encode()).digest()[:SUBJECT_BYTES]


def month_of(at_us: int) -> int:
    """Months since year 0."""
    at = datetime.fromtimestamp(at_us / 1e6, UTC)
    return at.year * 12 + at.month - 1


def _month_number(text: str) -> int | None:
    year, _, month = text.partition("-")
    if not (year.isdecimal() and month.isdecimal()):
        return None
    return int(year) * 12 + int(month) - 1
