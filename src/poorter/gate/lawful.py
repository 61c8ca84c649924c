# SPDX-License-Identifier: EUPL-1.2
"""What no policy about persons may say, whoever approves it.

Sources: GDPR 5(1)(b), 6, 9, 22, 28, 35. The walls are kept by two rules that need no trust in any
app. One purpose reads the persons of one wall only, so that there is nothing to join. And whoever
reads behind a wall writes behind that same wall only, under whatever purpose: what leaves goes
through a release.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

from poorter.city.errors import Invalid
from poorter.city.ids import IN_TENANT, check_name
from poorter.city.time import SECOND_US
from poorter.gate.permit import ANY_TYPE
from poorter.gate.policy import Dataset, Grant, Policy, Purpose, skeleton

#: the city's own background work: it runs the platform and is no app
INTERNAL = "internal:"
PUBLIC = "public"
#: makes figures about persons, and nothing else, of what it was granted like any app
RELEASE = "internal:release"
#: nobody sets the smallest group of which a figure may leave a wall below this
GROUP_MIN = 5
#: writes what it may read into an export, and nothing else, under a grant that ends
LEAVER = "internal:leave"
#: of the city's own background work, what officers grant, and that is to read
GRANTED = frozenset((RELEASE, LEAVER))
_WRITES = ("write", "command")
#: what of a purpose makes it that purpose: with another one it is a new use
_USE = ("goal", "legal_basis", "art6", "art9", "enforcement", "consent_invalid", "glass", "from_us")


def check_lawful(old: Policy, new: Policy) -> None:
    """Raises Invalid with every reason why `new` may not follow on `old`."""
    wrong = [*unlawful(new), *new_uses(old, new)]
    if wrong:
        raise Invalid("; ".join(wrong))


def unlawful(policy: Policy) -> Iterable[str]:
    """What is wrong with a policy whose references are right, in words."""
    yield from _types(policy)
    for grant in policy.grants.values():
        if not _runs_the_city(grant.processor):
            yield from _grant(policy, grant)
    for purpose in policy.purposes.values():
        yield from _purpose(policy, purpose)
    yield from _flows(policy)


def walls_of(policy: Policy, purpose: str) -> frozenset[str]:
    """The walls whose persons a purpose touches."""
    return frozenset(
        policy.datasets[grant.dataset].wall
        for grant in policy.grants.values()
        if grant.purpose == purpose
        and not _runs_the_city(grant.processor)
        and policy.datasets[grant.dataset].walled
    )


def _runs_the_city(processor: str) -> bool:
    return processor.startswith(INTERNAL) and processor != RELEASE


def reads_behind(policy: Policy, processor: str) -> frozenset[str]:
    """The walls behind which a processor reads, for whatever purpose. All that it makes, figures,
    advice, answers, carries them: none of it goes where they are not, into a tenant either."""
    processor = processor.partition(IN_TENANT)[0]
    return frozenset(
        policy.datasets[grant.dataset].wall
        for grant in policy.grants.values()
        if grant.processor == processor
        and "read" in grant.actions
        and policy.datasets[grant.dataset].walled
    )


def new_uses(old: Policy, new: Policy) -> Iterable[str]:
    """Changes that are no changes: another use under a known name, a dataset over another wall."""
    for name, before in old.purposes.items():
        after = new.purposes[name]
        moved = [what for what in _USE if getattr(before, what) != getattr(after, what)]
        if set(after.compatible_with) - set(before.compatible_with):
            moved.append("compatible_with")
        if moved:
            yield f"purpose {name} would change ({', '.join(moved)}): a new use is a new purpose"
    for name, held in old.datasets.items():
        then = new.datasets[name]
        if held.walled and (then.wall != held.wall or not then.walled):
            yield f"dataset {name} stays behind its wall ({held.wall}), and stays {held.data_class}"
        if set(held.commands) - set(then.commands):
            yield f"dataset {name}: what only a decision sets stays so ({', '.join(held.commands)})"
    yield from _suppliers(old, new)
    yield from _names(old, new)


def _names(old: Policy, new: Policy) -> Iterable[str]:
    """Names in what is new may not fool the eye, nor may a mask that hides nothing."""
    walled = {name for d in new.datasets.values() if d.walled for name in d.entity_types}
    walls = {d.wall for d in old.datasets.values()}
    for dataset in new.datasets.values():
        if old.datasets.get(dataset.id) == dataset:
            continue
        named = {name for names in dataset.types.values() for name in names}
        for name in (*dataset.entity_types, *named):
            if not _plain(name):
                yield f"dataset {dataset.id}: {name!r:.60} is no plain name"
        for name in set(dataset.entity_types) - walled:
            like = next((one for one in walled if skeleton(one) == skeleton(name)), None)
            if like is not None:
                yield f"dataset {dataset.id}: {name} looks like {like}, which is behind a wall"
        like = next(
            (w for w in walls - {dataset.wall} if skeleton(w) == skeleton(dataset.wall)), ""
        )
        if like:
            yield f"dataset {dataset.id}: wall {dataset.wall} looks like {like}"
        if dataset.walled and dataset.minimum_group < GROUP_MIN:
            yield f"dataset {dataset.id}: the smallest group is of at least {GROUP_MIN}"
    for grant in new.grants.values():
        if old.grants.get(grant.id) != grant:
            yield from _mask(grant, new.datasets[grant.dataset])


def _mask(grant: Grant, dataset: Dataset) -> Iterable[str]:
    named = {name for names in dataset.types.values() for name in names}
    for name in grant.mask:
        if not _plain(name) or (all(dataset.types.values()) and name not in named):
            yield f"grant {grant.id}: the mask {name!r:.60} hides nothing of {dataset.id}"
        for other in named - set(grant.mask):
            if skeleton(other) == skeleton(name):
                yield f"grant {grant.id}: the mask {name} looks like {other}, and does not hide it"


def _plain(name: str) -> bool:
    """Whether a name of a type or attribute is one, in letters that can't be taken for others."""
    try:
        return check_name(name).isascii()
    except Invalid:
        return name == ANY_TYPE


def _suppliers(old: Policy, new: Policy) -> Iterable[str]:
    """What a supplier is newly given ends with its agreement."""
    for name, before in old.processors.items():
        if before.kind != "own" and new.processors[name].kind == "own":
            yield f"processor {name} stays a {before.kind}"
    for grant in new.grants.values():
        who = new.processors[grant.processor]
        same = old.processors.get(who.id) == who and _no_more(old.grants.get(grant.id), grant)
        if who.kind == "own" or same or not who.agreement_until:
            continue
        if grant.until_us is None or grant.until_us > _day_after_us(who.agreement_until):
            yield f"grant {grant.id} would outlast the agreement ({who.agreement_until})"


def _no_more(before: Grant | None, after: Grant) -> bool:
    """Whether a grant is what it was, or ends sooner."""
    if before is None or replace(before, until_us=after.until_us) != after:
        return False
    if before.until_us is None or before.until_us == after.until_us:
        return True
    return after.until_us is not None and after.until_us < before.until_us


def _day_after_us(day: str) -> int:
    """The first moment, in UTC, at which a date is over."""
    at = datetime.combine(date.fromisoformat(day) + timedelta(days=1), time.min, UTC)
    return int(at.timestamp()) * SECOND_US


def _types(policy: Policy) -> Iterable[str]:
    """A type of persons lies behind one wall, and nowhere else."""
    where: dict[str, Dataset] = {}
    for dataset in policy.datasets.values():
        if dataset.walled:
            for name in dataset.entity_types:
                other = where.setdefault(name, dataset)
                if other.wall != dataset.wall:
                    yield f"{name} lies behind two walls: {other.id} and {dataset.id}"
    for dataset in policy.datasets.values():
        for name in dataset.entity_types:
            if not dataset.walled and name in where:
                yield f"{name} of {dataset.id} is behind the wall of {where[name].id}"


def _grant(policy: Policy, grant: Grant) -> Iterable[str]:
    dataset = policy.datasets[grant.dataset]
    if not dataset.walled:
        if ANY_TYPE in dataset.types and any(d.walled for d in policy.datasets.values()):
            yield f"grant {grant.id}: {dataset.id} opens every type, and some are about persons"
        return
    purpose = policy.purposes[grant.purpose]
    processor = policy.processors[grant.processor]
    if IN_TENANT in grant.processor:
        yield f"grant {grant.id}: data about persons is in the city itself, not in a tenant"
    if grant.processor == PUBLIC:
        yield f"grant {grant.id}: data about persons is not for the public"
    if not purpose.article6:
        yield f"purpose {purpose.id} names no basis of GDPR 6(1), and {dataset.id} is personal"
    if dataset.data_class == "special":
        if not purpose.article9:
            yield f"purpose {purpose.id} names no exception of GDPR 9(2) for {dataset.id}"
        if not purpose.assessment:
            yield f"purpose {purpose.id} has no impact assessment, and {dataset.id} needs one"
    if processor.kind != "own" and not (processor.agreement and processor.duties):
        yield f"processor {processor.id} works for the city without agreement or duties (GDPR 28)"
    if grant.until_us is None and processor.kind != "own":
        yield f"grant {grant.id}: a {processor.kind} has a grant with an end"


def _purpose(policy: Policy, purpose: Purpose) -> Iterable[str]:
    if purpose.consent_invalid and purpose.on_consent:
        yield f"purpose {purpose.id} can't rest on consent: nobody is free to refuse it"
    if not set(purpose.article6) <= set("abcdef") or not set(purpose.article9) <= set("abcdefghij"):
        yield f"purpose {purpose.id}: GDPR 6(1) goes from a to f, 9(2) from a to j"
    for name in purpose.compatible_with:
        other = policy.purposes.get(name)
        if other is None or name == purpose.id:
            yield f"purpose {purpose.id} can't be compatible with {name}"
        elif purpose.enforcement or other.enforcement:
            yield f"purpose {purpose.id}: compatibility never reaches enforcement ({name})"
        elif len(walls_of(policy, purpose.id) | walls_of(policy, name)) > 1:
            yield f"purpose {purpose.id}: compatibility never reaches another wall ({name})"


def _flows(policy: Policy) -> Iterable[str]:
    """No purpose over two walls; nobody who reads behind a wall writes outside it."""
    for purpose in policy.purposes:
        walls = walls_of(policy, purpose)
        if len(walls) > 1:
            yield f"purpose {purpose} would join walls: {', '.join(sorted(walls))}"
    reads = {name: reads_behind(policy, name) for name in policy.processors}
    for grant in policy.grants.values():
        dataset = policy.datasets[grant.dataset]
        if grant.processor.startswith(INTERNAL) or not set(grant.actions) & set(_WRITES):
            continue
        target = dataset.wall if dataset.walled else ""
        out = reads[grant.processor] - {target}
        if out:
            yield (
                f"grant {grant.id}: {grant.processor} reads behind {', '.join(sorted(out))} and "
                f"would write outside it; what leaves a wall goes through a release"
            )
