# SPDX-License-Identifier: EUPL-1.2
"""What a change of policy would come to, before it is approved: fields, people, joins, text."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from poorter.city.errors import Invalid
from poorter.city.limits import PAGE_MAX
from poorter.city.query import Query
from poorter.city.text import Text
from poorter.gate.cedar import to_cedar
from poorter.gate.genesis import RUN
from poorter.gate.inside import ABOUT, keeping
from poorter.gate.permit import SEALED
from poorter.gate.policy import Dataset, Grant, Part, Policy
from poorter.gate.registry import following
from poorter.running import Running
from poorter.store.walls.rows import own_value

#: people are counted up to here; beyond it the number says "more than"
COUNTED_MAX = 20_000
#: below this the number itself would tell of somebody
FEW = 10


@dataclass(frozen=True, slots=True)
class Preview:
    """What would change. `people`: how many residents it reaches, in words; `wrong`: why it may
    not be, when it may not."""

    fields: tuple[str, ...]
    people: Text
    joins: tuple[Text, ...]
    basis: Text
    text: tuple[str, ...]
    wrong: str = ""


def preview(running: Running, parts: Sequence[Part]) -> Preview:
    """The preview of a draft. Nothing is written."""
    policy = running.gate.policy
    try:
        new = following(policy, parts, running.clock.now_us())
    except Invalid as wrong:
        return Preview((), Text("", ""), (), Text("", ""), (), wrong.detail)
    granted = [part for part in parts if isinstance(part, Grant)]
    touched = [new.datasets[grant.dataset] for grant in granted]
    touched += [part for part in parts if isinstance(part, Dataset)]
    return Preview(
        tuple(_fields(touched, granted)),
        _people(running, touched),
        tuple(_joins(policy, new, granted)),
        _basis(new, granted),
        _changes(policy, new),
    )


def _fields(datasets: Iterable[Dataset], grants: Iterable[Grant]) -> Iterable[str]:
    masked = {name for grant in grants for name in grant.mask}
    for dataset in datasets:
        for name, attributes in dataset.types.items():
            shown = [one for one in attributes if one not in masked]
            without = f", without {', '.join(sorted(masked))}" if masked and not attributes else ""
            yield f"{name}: {', '.join(shown) or 'all'}{without}"


def _people(running: Running, datasets: Iterable[Dataset]) -> Text:
    types = tuple(SEALED + name for d in datasets if d.walled for name in d.entity_types)
    if not types:
        return Text("geen: dit zijn geen gegevens over mensen", "none: this is no data on people")
    permit = keeping(running.gate.permit("internal:rights", RUN, "read"), running.gate.policy)
    types = tuple(name for name in types if name in permit.rules)
    found: set[str] = set()
    after: str | None = None
    while types:
        page = running.store.inner.query(permit, Query(types=types, limit=PAGE_MAX, after=after))
        found |= {own_value(row, ABOUT) or row.urn for row in page.entities}
        after = page.after
        if after is None or len(found) >= COUNTED_MAX:
            break
    if len(found) >= COUNTED_MAX:
        return Text(f"meer dan {COUNTED_MAX}", f"more than {COUNTED_MAX}")
    if len(found) < FEW:
        return Text(f"minder dan {FEW}", f"fewer than {FEW}")
    return Text(f"{len(found)} inwoners", f"{len(found)} residents")


def _joins(old: Policy, new: Policy, grants: Iterable[Grant]) -> Iterable[Text]:
    """What the same processor could lay side by side with it."""
    for grant in grants:
        mine = new.datasets[grant.dataset]
        others = {
            (other.dataset, other.purpose)
            for other in old.grants.values()
            if other.processor == grant.processor
            and "read" in other.actions
            and other.dataset != grant.dataset
        }
        for name, purpose in sorted(others):
            dataset = old.datasets[name]
            if purpose == grant.purpose:
                yield Text(
                    f"{name}, voor hetzelfde doel: te koppelen",
                    f"{name}, for the same purpose: can be joined",
                )
            elif dataset.personal and mine.personal:
                yield Text(
                    f"{name}, voor {purpose}: andere nummers, maar gelijke gegevens zijn te "
                    "vergelijken",
                    f"{name}, for {purpose}: other ids, but equal values can be compared",
                )


def _basis(policy: Policy, grants: Iterable[Grant]) -> Text:
    nl, en = [], []
    for grant in grants:
        purpose = policy.purposes[grant.purpose]
        dataset = policy.datasets[grant.dataset]
        if dataset.personal:
            law = f"AVG 6(1)({purpose.article6})"
            law += f", 9(2)({purpose.article9})" if purpose.article9 else ""
            days = [d for d in (dataset.retention_days, purpose.retention_days) if d is not None]
            nl.append(f"{law}; {purpose.legal_basis}; bewaard {min(days)} dagen")
            en.append(f"{law}; {purpose.legal_basis}; kept for {min(days)} days")
    return Text("; ".join(nl), "; ".join(en))


def _changes(old: Policy, new: Policy) -> tuple[str, ...]:
    """Lines of the Cedar text that come and go."""
    lines = difflib.unified_diff(
        to_cedar(old).splitlines(), to_cedar(new).splitlines(), "now", "then", lineterm="", n=1
    )
    return tuple(lines)
