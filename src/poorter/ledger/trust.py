# SPDX-License-Identifier: EUPL-1.2
"""Whom to believe about a log: its keys, its witnesses, and how many of them (C2SP tlog-policy).

    log <vkey> [<url>]
    witness <name> <vkey> [<url>]
    group <name> all|any|<k> <name>...
    quorum <name>|none

A log that is listed with keys of several kinds must have signed with one of each kind: no single
broken algorithm forges it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from poorter.identity.keys import PublicPair
from poorter.ledger.checkpoint import ED25519_TYPE, MLDSA44_TYPE, Checkpoint, parse_checkpoint
from poorter.ledger.vkeys import COSIGNATURE_TYPE, VKey, log_vkeys, parse_vkey, witness_vkeys

LINES_MAX = 1000
NONE = "none"


@dataclass(frozen=True, slots=True)
class Group:
    """At least `needed` of the members."""

    needed: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """A checkpoint that the log signed; the witnesses (by name in the policy) that cosigned it,
    and when each did (POSIX seconds)."""

    checkpoint: Checkpoint
    witnesses: Mapping[str, int]
    quorum: bool


@dataclass(frozen=True, slots=True)
class Trust:
    """One policy file."""

    logs: tuple[VKey, ...]
    witnesses: Mapping[str, VKey]
    urls: Mapping[str, str]
    groups: Mapping[str, Group]
    quorum: str

    def verify(self, note: bytes, *, quorum: bool = True) -> Seen:
        """What a signed checkpoint shows. `quorum`: enough witnesses must have cosigned it.

        Raises: ValueError saying what is wrong.
        """
        checkpoint, signatures = parse_checkpoint(note)
        self._check_log(checkpoint, signatures)
        seen = {
            name: at_s
            for name, key in self.witnesses.items()
            if (at_s := _signed(key, checkpoint, signatures)) is not None
        }
        enough = self.quorum == NONE or self._has(self.quorum, frozenset(seen))
        if quorum and not enough:
            found = ", ".join(sorted(seen)) or "none"
            raise ValueError(f"too few witnesses cosigned the checkpoint (found: {found})")
        return Seen(checkpoint, seen, enough)

    def _check_log(self, checkpoint: Checkpoint, signatures: list[tuple[str, bytes]]) -> None:
        keys = [key for key in self.logs if key.name == checkpoint.origin]
        if not keys:
            raise ValueError(f"{checkpoint.origin} is not a log that this policy names")
        for kind in sorted({key.kind for key in keys}):
            of_kind = [key for key in keys if key.kind == kind]
            if all(_signed(key, checkpoint, signatures) is None for key in of_kind):
                raise ValueError(f"the log did not sign the checkpoint ({KINDS[kind]})")

    def _has(self, name: str, seen: frozenset[str]) -> bool:
        group = self.groups.get(name)
        if group is None:
            return name in seen
        return sum(self._has(member, seen) for member in group.members) >= group.needed


KINDS = {ED25519_TYPE: "Ed25519", COSIGNATURE_TYPE: "Ed25519", MLDSA44_TYPE: "ML-DSA-44"}


def _signed(key: VKey, checkpoint: Checkpoint, lines: Iterable[tuple[str, bytes]]) -> int | None:
    """When the key signed. Raises ValueError for a line that says it did and does not verify."""
    found = None
    for name, data in lines:
        if name == key.name and data[:4] == key.id:
            found = key.signed(checkpoint, data[4:])
            if found is None:
                raise ValueError(f"a signature of {name} ({KINDS[key.kind]}) does not verify")
    return found


def parse_trust(text: str) -> Trust:
    """Read a policy file. Raises ValueError naming the line."""
    logs: list[VKey] = []
    witnesses: dict[str, VKey] = {}
    urls: dict[str, str] = {}
    groups: dict[str, Group] = {}
    grouped: set[str] = set()
    quorum: str | None = None
    lines = text.split("\n")
    if len(lines) > LINES_MAX:
        raise ValueError(f"a policy has at most {LINES_MAX} lines")
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            if words[0] == "log" and len(words) in (2, 3):
                logs.append(_new(parse_vkey(words[1]), logs, (ED25519_TYPE, MLDSA44_TYPE)))
                urls.update({logs[-1].name: words[2]} if len(words) == 3 else {})
            elif words[0] == "witness" and len(words) in (3, 4):
                name = _unused(words[1], witnesses, groups)
                known = list(witnesses.values())
                kinds = (COSIGNATURE_TYPE, MLDSA44_TYPE)
                witnesses[name] = _new(parse_vkey(words[2]), known, kinds)
                urls.update({name: words[3]} if len(words) == 4 else {})
            elif words[0] == "group" and len(words) >= 4:
                name = _unused(words[1], witnesses, groups)
                groups[name] = _group(words[2], words[3:], {*witnesses, *groups}, grouped)
            elif words[0] == "quorum" and len(words) == 2 and quorum is None:
                quorum = words[1]
                if quorum != NONE and quorum not in witnesses and quorum not in groups:
                    raise ValueError(f"there is no {quorum} before this line")
            else:
                raise ValueError("this line is none of log, witness, group, quorum")
        except ValueError as wrong:
            raise ValueError(f"line {number} of the policy: {wrong}") from None
    if quorum is None:
        raise ValueError("the policy has no quorum line")
    return Trust(tuple(logs), witnesses, urls, groups, quorum)


def _new(key: VKey, known: Iterable[VKey], kinds: tuple[int, ...]) -> VKey:
    if key.kind not in kinds:
        raise ValueError("the key is of another kind than its role needs")
    if any(key.public == other.public for other in known):
        raise ValueError("this key is listed already")
    return key


def _unused(name: str, *taken: Mapping[str, object]) -> str:
    if name == NONE or any(name in names for names in taken):
        raise ValueError(f"the name {name} is taken")
    return name


def _group(number: str, members: list[str], known: set[str], grouped: set[str]) -> Group:
    for member in members:
        if member not in known:
            raise ValueError(f"there is no {member} before this line")
        if member in grouped:
            raise ValueError(f"{member} is in a group already")
        grouped.add(member)
    needed = {"all": len(members), "any": 1}.get(number)
    if needed is None:
        if not (number.isascii() and number.isdecimal()) or not 1 <= int(number) <= len(members):
            raise ValueError(f"a group of {len(members)} needs 1 to {len(members)} of them")
        needed = int(number)
    return Group(needed, tuple(members))


def log_lines(pairs: Iterable[PublicPair], url: str = "") -> list[str]:
    """The lines that name a log by its keys, retired ones too."""
    return [f"log {key} {url}".rstrip() for pair in pairs for key in log_vkeys(pair)]


def witness_lines(pair: PublicPair, name: str, url: str = "") -> list[str]:
    """The lines that name a witness: both its keys, as one member that needs both."""
    classic, quantum = witness_vkeys(pair)
    return [
        f"witness {name}-ed25519 {classic} {url}".rstrip(),
        f"witness {name}-mldsa44 {quantum} {url}".rstrip(),
        f"group {name} all {name}-ed25519 {name}-mldsa44",
    ]
