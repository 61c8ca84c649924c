# SPDX-License-Identifier: EUPL-1.2
"""What a change of policy would come to, before it is approved: what changes for whom, which
fields, how many people, what can be laid side by side, which text is signed."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, dataclass, fields

from poorter.city.errors import Conflict, Invalid
from poorter.city.limits import PAGE_MAX
from poorter.city.query import Query
from poorter.city.text import Text
from poorter.city.time import format_us
from poorter.gate.cedar import to_cedar
from poorter.gate.genesis import RUN
from poorter.gate.inside import ABOUT, keeping
from poorter.gate.permit import SEALED
from poorter.gate.policy import Dataset, Grant, Part, Policy, Purpose
from poorter.gate.registry import following
from poorter.running import Running
from poorter.store.walls.rows import own_value

#: people are counted up to here; beyond it the number says "more than"
COUNTED_MAX = 20_000
_NOTHING = Text("", "")
#: below this the number itself would tell of somebody
FEW = 10
#: of a part: what says nothing, or changes with the moment of looking
_UNSAID = ("id", "from_us", "approvals")


@dataclass(frozen=True, slots=True)
class Preview:
    """What would change. `people`: how many residents it reaches, in words; `wrong`: why it may
    not be, when it may not. `seen` stands for all that is said here but the number of people.
    """

    changes: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    people: Text = _NOTHING
    joins: tuple[Text, ...] = ()
    basis: Text = _NOTHING
    text: tuple[str, ...] = ()
    wrong: str = ""
    seen: str = ""


def preview(running: Running, parts: Sequence[Part]) -> Preview:
    """The preview of a draft. Nothing is written."""
    policy = running.gate.policy
    now_us = running.clock.now_us()
    try:
        new = following(policy, parts, now_us)
    except Invalid as wrong:
        return Preview(wrong=wrong.detail)
    granted = list(_granted(new, parts, now_us))
    touched = {grant.dataset: new.datasets[grant.dataset] for grant in granted}
    touched |= {part.id: part for part in parts if isinstance(part, Dataset)}
    changes = tuple(line for part in parts for line in _changes(policy, part))
    shown = tuple(dict.fromkeys(_fields(touched.values(), granted)))
    joins = tuple(dict.fromkeys(_joins(policy, new, granted, now_us)))
    lasting = [line for line in changes if not line.startswith("until_us")]
    said = repr((lasting, shown, joins)).encode()
    return Preview(
        changes,
        shown,
        _people(running, touched.values()),
        joins,
        _basis(new, granted),
        _text(policy, new),
        seen=hashlib.sha256(said).hexdigest()[:32],
    )


def check_seen(running: Running, parts: Sequence[Part], seen: str) -> None:
    """Raises Conflict when a draft no longer comes to what its second officer saw of it."""
    if seen and preview(running, parts).seen != seen:
        raise Conflict(
            Text(
                "intussen veranderde waar dit op neerkomt: kijk nog eens",
                "what this comes to has changed meanwhile: look again",
            )
        )


def _granted(new: Policy, parts: Iterable[Part], now_us: int) -> Iterator[Grant]:
    """Grants for which something changes: drafted ones, those on a dataset or for a purpose."""
    for part in parts:
        if isinstance(part, Grant):
            yield part
        elif isinstance(part, (Dataset, Purpose)):
            for grant in new.grants.values():
                if part.id in (grant.dataset, grant.purpose) and _runs(grant, now_us):
                    yield grant


def _runs(grant: Grant, now_us: int) -> bool:
    return grant.until_us is None or now_us < grant.until_us


def _changes(old: Policy, part: Part) -> Iterator[str]:
    """Field by field: what was and what will be."""
    kind = type(part).__name__.lower()
    before = getattr(old, f"{kind}s").get(part.id)
    yield f"{kind} {part.id}" + (": new" if before is None else "")
    for one in fields(part):
        if one.name in _UNSAID:
            continue
        value = getattr(part, one.name)
        if before is None:
            unsaid = one.default_factory() if one.default_factory is not MISSING else one.default
            if value != unsaid:
                yield f"{one.name}: {_shown(one.name, value)}"
        elif (was := getattr(before, one.name)) != value:
            yield f"{one.name}: {_shown(one.name, was)} → {_shown(one.name, value)}"


def _shown(name: str, value: object) -> str:
    if isinstance(value, Text):
        return f"{value.nl} / {value.en}"
    if name.endswith("_us") and isinstance(value, int):
        return format_us(value)[:10]
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_shown('', one)}" for key, one in value.items()) or "-"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None or value == "" else str(value)


def _fields(datasets: Iterable[Dataset], grants: Iterable[Grant]) -> Iterator[str]:
    masked = {name for grant in grants for name in grant.mask}
    for dataset in datasets:
        for name, attributes in dataset.types.items():
            shown = [one for one in attributes if one not in masked]
            without = f", without {', '.join(sorted(masked))}" if masked and not attributes else ""
            yield f"{name}: {', '.join(shown) or 'all'}{without}"
    for grant in grants:
        yield f"{grant.processor} may {', '.join(grant.actions)} {grant.dataset}: {grant.purpose}"


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


def _joins(old: Policy, new: Policy, grants: Iterable[Grant], now_us: int) -> Iterator[Text]:
    """What the same processor could lay side by side with it."""
    for grant in grants:
        mine = new.datasets[grant.dataset]
        others = {
            (other.dataset, other.purpose)
            for other in old.grants.values()
            if other.processor == grant.processor
            and "read" in other.actions
            and _runs(other, now_us)
            and (other.dataset, other.purpose) != (grant.dataset, grant.purpose)
        }
        for name, purpose in sorted(others):
            dataset = old.datasets[name]
            if purpose == grant.purpose:
                yield Text(
                    f"{name}, voor hetzelfde doel: te koppelen",
                    f"{name}, for the same purpose: can be joined",
                )
            elif dataset.personal and mine.personal:
                same = _same(mine, dataset)
                yield Text(
                    f"{name}, voor {purpose}: andere nummers, maar gelijke gegevens zijn te "
                    f"vergelijken ({same or 'alles wat ze gemeen hebben'})",
                    f"{name}, for {purpose}: other ids, but equal values can be compared "
                    f"({same or 'whatever they have in common'})",
                )


def _same(one: Dataset, other: Dataset) -> str:
    """Names of attributes in both, as far as they are named."""
    names = [{name for named in d.types.values() for name in named} for d in (one, other)]
    return ", ".join(sorted(names[0] & names[1]))


def _basis(policy: Policy, grants: Iterable[Grant]) -> Text:
    said: dict[str, str] = {}
    for grant in grants:
        purpose = policy.purposes[grant.purpose]
        dataset = policy.datasets[grant.dataset]
        if dataset.personal:
            law = f"AVG 6(1)({purpose.article6})"
            law += f", 9(2)({purpose.article9})" if purpose.article9 else ""
            days = [d for d in (dataset.retention_days, purpose.retention_days) if d is not None]
            kept = min(days)
            said[f"{law}; {purpose.legal_basis}; bewaard {kept} dagen"] = (
                f"{law}; {purpose.legal_basis}; kept for {kept} days"
            )
    return Text("; ".join(said), "; ".join(said.values()))


def _text(old: Policy, new: Policy) -> tuple[str, ...]:
    """Lines of the Cedar text that come and go."""
    lines = difflib.unified_diff(
        to_cedar(old).splitlines(), to_cedar(new).splitlines(), "now", "then", lineterm="", n=1
    )
    return tuple(lines)
