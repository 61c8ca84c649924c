# SPDX-License-Identifier: EUPL-1.2
"""The gate's answer for one request: what may be read or written, until when.

Only `poorter.gate` makes one (a test holds that). Store functions take one as first argument
and read from it which types and attributes exist at all for this request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from poorter.city.errors import Denied, Unavailable
from poorter.city.text import Text

Action = Literal["read", "write", "command", "decide", "administer"]

#: A type rule under this name holds for every type: for a city that opens all it has.
ANY_TYPE = "*"


LEASE_ENDED = Text("vraag het nog eens", "this took too long: ask again")

#: Begins the type and attribute names under which rows of persons are kept. No rule but one made
#: for exactly that name covers them.
SEALED = "~"


@dataclass(frozen=True, slots=True)
class Wall:
    """How the rows of persons of one type are judged for one purpose.

    `about`: the attribute that says whom a new row is about. `basis`: letter of GDPR 6(1), "a"
    also where an exception of 9(2) is consent. What was collected before `since_us` is absent,
    unless for one of `compatible` purposes.
    """

    name: str
    about: str = "resident"
    basis: str = ""
    since_us: int = 0
    compatible: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TypeRule:
    """What a permit says of one entity type or record kind.

    `attributes`: those that exist for this request, None for all. `without`: those that do not,
    whatever `attributes` says (command attributes in a write permit). `dataset`, `wall`, and
    `about` (the attribute that says whom an entity is about) are for the record of its use.
    """

    attributes: frozenset[str] | None = None
    without: frozenset[str] = frozenset()
    personal: bool = False
    retention_us: int | None = None
    dataset: str = ""
    wall: str = ""
    about: str = ""
    behind: Wall | None = None

    def covers(self, name: str) -> bool:
        """Whether the attribute exists for this request."""
        if name in self.without:
            return False
        return self.attributes is None or name in self.attributes


@dataclass(frozen=True, slots=True)
class Permit:
    """A lease on one (processor, purpose, action): at most a second, then it is asked again.

    `grants`: those it stands on. `vital`: while the ledger can't write, it may use the spool.
    """

    processor: str
    purpose: str
    action: Action
    rules: Mapping[str, TypeRule]
    valid_until_us: int
    policy_version: int
    key: str
    legal_basis: str = ""
    personal: bool = False
    valid_from_us: int = 0
    grants: tuple[str, ...] = ()
    vital: bool = False
    walled: bool = False  # whether any of its rules is of persons behind a wall
    max_rows: int | None = None  # in one answer

    def check(self, action: Action, now_us: int) -> None:
        """Raises Denied unless the permit is for `action`, Unavailable when its lease ran out:
        whoever asks the gate again hears whether there is still a grant."""
        if self.action != action:
            raise Denied
        if now_us >= self.valid_until_us:
            raise Unavailable(LEASE_ENDED)

    def rule(self, type_name: str) -> TypeRule | None:
        """The rule for a type; None means that the type does not exist for this request."""
        rule = self.rules.get(type_name)
        if rule is None and type_name[:1] != SEALED:
            return self.rules.get(ANY_TYPE)
        return rule

    def rule_of(self, types: tuple[str, ...]) -> TypeRule | None:
        """The rule for an entity: that of its first type with one, without what the rule of any
        other of its types takes away."""
        if len(types) == 1:
            return self.rule(types[0])
        found: TypeRule | None = None
        for name in types:
            rule = self.rule(name)
            if found is None:
                found = rule
            elif rule is not None and not rule.without <= found.without:
                found = replace(found, without=found.without | rule.without)
        return found
