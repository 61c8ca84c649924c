# SPDX-License-Identifier: EUPL-1.2
"""Signing keys: always a classic and a post-quantum one, and a signature counts only if both do.

Key files live outside the data folder, readable by their owner alone. A retired key's public half
stays in the ring, so that old checkpoints still verify, and says until which tree size it signed.
"""

from __future__ import annotations

import hmac
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa

from poorter.city.errors import Invalid, Unavailable

SEED_BYTES = 32
RING_FILE = "ring.json"
#: keys by which walls name their rows, once one was changed (`store.walls.naming`)
WALL_NAMES = "walls.db"


@dataclass(frozen=True, slots=True)
class PublicPair:
    """The public halves: Ed25519 (32 bytes) and ML-DSA (44: 1312 bytes, 65: 1952 bytes)."""

    name: str
    ed25519: bytes
    mldsa: bytes

    def verify_ed25519(self, signature: bytes, message: bytes) -> bool:
        """Whether the classic signature is right."""
        key = ed25519.Ed25519PublicKey.from_public_bytes(self.ed25519)
        return _verifies(key.verify, signature, message)

    def verify_mldsa(self, signature: bytes, message: bytes) -> bool:
        """Whether the post-quantum signature is right (FIPS 204)."""
        kind = mldsa.MLDSA44PublicKey if len(self.mldsa) == 1312 else mldsa.MLDSA65PublicKey
        return _verifies(kind.from_public_bytes(self.mldsa).verify, signature, message)

    def verify(self, signatures: tuple[bytes, bytes], message: bytes) -> bool:
        """Whether both signatures over the same message are right."""
        return self.verify_ed25519(signatures[0], message) and self.verify_mldsa(
            signatures[1], message
        )


class KeyPair:
    """The private halves. Prints as its name only."""

    def __init__(self, name: str, seed: bytes, level: int) -> None:
        self.name = name
        self._ed25519 = ed25519.Ed25519PrivateKey.from_private_bytes(seed[:SEED_BYTES])
        kind = mldsa.MLDSA44PrivateKey if level == 44 else mldsa.MLDSA65PrivateKey
        self._mldsa = kind.from_seed_bytes(seed[SEED_BYTES:])

    def __repr__(self) -> str:
        return f"KeyPair({self.name})"

    def sign_ed25519(self, message: bytes) -> bytes:
        """64 bytes."""
        return self._ed25519.sign(message)

    def sign_mldsa(self, message: bytes) -> bytes:
        """2420 bytes for ML-DSA-44, 3309 for ML-DSA-65."""
        return self._mldsa.sign(message)

    def sign(self, message: bytes) -> tuple[bytes, bytes]:
        """Both signatures over one message."""
        return self.sign_ed25519(message), self.sign_mldsa(message)

    def public(self) -> PublicPair:
        """The public halves."""
        return PublicPair(
            self.name,
            self._ed25519.public_key().public_bytes_raw(),
            self._mldsa.public_key().public_bytes_raw(),
        )


class RingEntry(msgspec.Struct, frozen=True):
    """A public pair and its days: signs from `since_us`; `until_us` None while in use."""

    name: str
    use: str
    ed25519: bytes
    mldsa: bytes
    since_us: int
    until_us: int | None = None

    def public(self) -> PublicPair:
        """The public pair."""
        return PublicPair(self.name, self.ed25519, self.mldsa)


#: what keys are for, and the ML-DSA level of each
USES = {"ledger": 44, "policy": 65, "letters": 65}
#: those and the key of a witness, which is nobody's city
LEVELS = {**USES, "witness": 44}


def make_keys(folder: Path, origin: str, now_us: int) -> None:
    """New keys for every use. Raises Invalid when there are keys already."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if (folder / RING_FILE).exists():
        raise Invalid(f"{folder} holds keys already")
    ring: list[RingEntry] = []
    for use in USES:
        ring.append(_make(folder, use, origin, now_us))
    _write_ring(folder, ring)
    _write_secret(folder / "pepper", os.urandom(SEED_BYTES))


def make_witness_key(folder: Path, name: str, now_us: int) -> PublicPair:
    """The key of a witness. Raises Invalid when there are keys already, or the name is none."""
    if not name or len(name.encode()) > 255 or "+" in name or any(c.isspace() for c in name):
        raise Invalid("the name of a witness has no spaces and no plus sign")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if (folder / RING_FILE).exists():
        raise Invalid(f"{folder} holds keys already")
    entry = _make(folder, "witness", name, now_us)
    _write_ring(folder, [entry])
    return entry.public()


def add_missing_keys(folder: Path, origin: str, now_us: int) -> None:
    """Keys for the uses that came with a newer Poorter than the one that founded the city."""
    ring = read_ring(folder)
    missing = [use for use in USES if not any(entry.use == use for entry in ring)]
    if missing:
        _write_ring(folder, [*ring, *(_make(folder, use, origin, now_us) for use in missing)])


def rotate_key(folder: Path, use: str, origin: str, now_us: int) -> RingEntry:
    """A new key for `use`; the old one is retired, its private half removed."""
    ring = read_ring(folder)
    kept = [
        msgspec.structs.replace(e, until_us=now_us) if e.use == use and e.until_us is None else e
        for e in ring
    ]
    entry = _make(folder, use, origin, now_us)
    _write_ring(folder, [*kept, entry])
    for old in ring:
        if old.use == use and old.until_us is None:
            _file(folder, old).unlink(missing_ok=True)
    return entry


def read_ring(folder: Path) -> list[RingEntry]:
    """All public pairs, retired ones too."""
    try:
        return msgspec.json.decode((folder / RING_FILE).read_bytes(), type=list[RingEntry])
    except FileNotFoundError:
        raise Unavailable(f"{folder} holds no keys: is it the folder of paths.keys?") from None
    except msgspec.MsgspecError as wrong:
        raise Unavailable(f"{folder / RING_FILE} is damaged: {wrong}") from None


def load_key(folder: Path, use: str) -> KeyPair:
    """The key in use. Raises Unavailable when it is missing or others can read it."""
    for entry in read_ring(folder):
        if entry.use == use and entry.until_us is None:
            return KeyPair(entry.name, read_secret(_file(folder, entry)), LEVELS[use])
    raise Unavailable(f"{folder} holds no key for {use}")


def read_secret(file: Path) -> bytes:
    """The bytes of a private file. Raises Unavailable when it is missing or others can read it."""
    try:
        mode = file.stat().st_mode
        secret = file.read_bytes()
    except OSError as wrong:
        raise Unavailable(
            f"cannot read {file.name} in the folder of keys: {wrong.strerror}"
        ) from None
    if stat.S_IMODE(mode) & 0o077:
        raise Unavailable(f"{file.name} can be read by others: chmod 600 it, and rotate the key")
    return secret


def kept_secret(folder: Path, name: str) -> bytes:
    """A secret of the city's own, made when it is first needed: 32 bytes in `name`.secret.

    Beside it stays a mark. Raises Unavailable when the secret is gone or another one: made anew, it
    would name everybody otherwise, and nobody would notice.
    """
    file, mark = folder / f"{name}.secret", folder / f"{name}.mark"
    if not file.exists():
        if mark.exists():
            raise Unavailable(f"{file.name} is gone: put it back from the copy of the keys")
        with suppress(FileExistsError):  # another process was first: theirs counts
            _write_secret(file, os.urandom(SEED_BYTES))
    secret = read_secret(file)
    fitting = hmac.digest(secret, b"mark", "sha256").hex()
    if not mark.exists():
        with suppress(FileExistsError):
            _write_secret(mark, fitting.encode())
    if not hmac.compare_digest(read_secret(mark), fitting.encode()):
        raise Unavailable(f"{file.name} is not the one it was: put it back from the copy")
    return secret


def look_over(folder: Path) -> list[str]:
    """What is wrong with a folder of keys, in words; nothing when all is well."""
    wrong = []
    for entry in read_ring(folder):
        if entry.until_us is None and not _file(folder, entry).exists():
            wrong.append(f"the private half of {entry.use} is gone: rotate it")
    for file in sorted(folder.iterdir()):
        private = file.suffix in (".key", ".secret", ".mark") or file.name == "pepper"
        if private and stat.S_IMODE(file.stat().st_mode) & 0o077:
            wrong.append(f"{file.name} can be read by others: chmod 600 it")
        moved = file.stem.startswith("pseudonyms-") and (folder / WALL_NAMES).exists()
        if file.suffix == ".mark" and not file.with_suffix(".secret").exists() and not moved:
            wrong.append(f"{file.stem}.secret is gone: put it back from the copy of the keys")
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        wrong.append(f"{folder.name} can be entered by others: chmod 700 it")
    return wrong


def _make(folder: Path, use: str, origin: str, now_us: int) -> RingEntry:
    seed = os.urandom(2 * SEED_BYTES)
    name = f"{origin}/{use}" if use == "policy" else origin
    public = KeyPair(name, seed, LEVELS[use]).public()
    entry = RingEntry(name, use, public.ed25519, public.mldsa, now_us)
    _write_secret(_file(folder, entry), seed)
    return entry


def _file(folder: Path, entry: RingEntry) -> Path:
    return folder / f"{entry.use}-{entry.ed25519[:4].hex()}.key"


def _write_secret(file: Path, secret: bytes) -> None:
    new = file.with_name(f"{file.name}.{os.getpid()}.new")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(secret)
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(new, file)  # whole or not at all, and never over another one
    finally:
        new.unlink()


def _write_ring(folder: Path, ring: list[RingEntry]) -> None:
    new = folder / f"{RING_FILE}.new"
    new.write_bytes(msgspec.json.format(msgspec.json.encode(ring), indent=1))
    new.replace(folder / RING_FILE)


def _verifies(check: Any, signature: bytes, message: bytes) -> bool:
    try:
        check(signature, message)
    except InvalidSignature:
        return False
    return True
