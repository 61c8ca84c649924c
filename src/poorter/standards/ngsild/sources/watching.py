# SPDX-License-Identifier: EUPL-1.2
"""Subscriptions to registrations (CIM 009, 5.11): kept and delivered as those to entities are; a
message holds the registrations that fit, as far as the subscriber may see them then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from poorter.gate.permit import Permit
from poorter.standards.ngsild.grammar import parse_q
from poorter.standards.ngsild.sources.matching import Sought, fitting, parse_during
from poorter.standards.ngsild.sources.model import RULE, Information, Registration
from poorter.standards.ngsild.sources.registry import Registry
from poorter.standards.ngsild.sources.showing import show
from poorter.standards.ngsild.subscriptions.delivery import Letter
from poorter.standards.ngsild.subscriptions.keeping import Keeping, Made, Make
from poorter.standards.ngsild.subscriptions.model import Subscription

#: the end of an id: it comes, changes and goes with the subscription to entities before it
BROUGHT = ":sources"
NEWLY, UPDATED, NO_MORE = "newlyMatching", "updated", "noLongerMatching"


class Watching(Keeping):
    """Subscriptions to registrations of one city."""

    record = "registration-subscription"
    notice = "ContextSourceNotification"

    def follow(self, registry: Registry, entities: Keeping) -> None:
        """Tell subscribers of what changes in a registry. `entities`: subscriptions to entities;
        each that is not local has one to the sources of its own (5.8.1.4)."""
        self._registry = registry
        self._entities = entities
        registry.on_change(self._changed)

    def of(self, processor: str, purpose: str) -> list[Subscription]:
        """Those of one (processor, purpose), with those that subscriptions to entities brought."""
        brought = [
            replace(sub, id=sub.id + BROUGHT)
            for sub in self._entities.of(processor, purpose)
            if not sub.local
        ]
        return sorted([*super().of(processor, purpose), *brought], key=lambda sub: sub.id)

    def get(self, sub_id: str) -> Subscription:
        """One of them. Raises NotFound."""
        if sub_id.endswith(BROUGHT):
            sub = self._entities.get(sub_id.removesuffix(BROUGHT))
            if not sub.local:
                return replace(sub, id=sub_id)
        return super().get(sub_id)

    def _began(self, sub: Subscription, told: bool) -> None:
        if not told:
            self._delivery.put(sub.id, Letter(self._periodic(sub.id)))

    def _ended(self, sub_id: str) -> None:
        pass  # nothing here knows it but the book itself

    def _changed(self, before: Registration | None, after: Registration | None) -> None:
        now_us = self._clock.now_us()
        for sub in self._subs.values():
            if sub.every_s is not None or sub.status(now_us) != "active":
                continue
            sought = sought_of(sub)
            was = before is not None and bool(fitting(before, sought))
            fits = after is not None and bool(fitting(after, sought))
            shown = after if fits else before if was else None
            if shown is not None:
                reason = UPDATED if was and fits else NEWLY if fits else NO_MORE
                self._delivery.put(sub.id, Letter(self._one(sub.id, shown, reason)))

    def _one(self, sub_id: str, registration: Registration, reason: str) -> Make:
        async def make() -> Made | None:
            return self._told(sub_id, [registration], reason)

        return make

    def _periodic(self, sub_id: str) -> Make:
        async def make() -> Made | None:
            return self._told(sub_id, self._registry.running(), NEWLY)

        return make

    def _told(self, sub_id: str, registrations: list[Registration], reason: str) -> Made | None:
        sub = self._subs.get(sub_id)
        permit = self._permit(sub) if sub is not None else None
        if sub is None or permit is None or not _sees(permit):
            return None
        if sub.status(self._clock.now_us()) != "active":
            return None
        sought = sought_of(sub)
        data: list[dict[str, Any]] = []
        for one in registrations:
            parts = fitting(one, sought)
            if parts:
                data.append(show(narrowed(one, parts), sub.form.context))
        if not data and sub.every_s is None:  # by time it is told in any case (5.11.7)
            return None
        return self._message(sub, data, more={"triggerReason": reason})


def _sees(permit: Permit) -> bool:
    return RULE in permit.rules


def sought_of(sub: Subscription) -> Sought:
    """What a subscription to registrations looks for (5.11.2.4, 5.12)."""
    notified = sub.form.only or frozenset()
    csf = sub.doc.get("csf")
    during = sub.doc.get("temporalQ")
    return Sought(
        selectors=sub.selectors,
        names=sub.watched | notified if notified else frozenset(),
        geo=sub.query.geo,
        scopes=sub.query.scopes,
        during=parse_during(during) if during else None,
        filter=parse_q(csf, sub.context) if csf else None,
    )


def narrowed(registration: Registration, parts: tuple[Information, ...]) -> Registration:
    """Only the information that fits (5.10.2.5)."""
    if len(parts) == len(registration.information):
        return registration
    kept = [
        doc
        for doc, part in zip(registration.doc["information"], registration.information, strict=True)
        if part in parts
    ]
    doc = {**registration.doc, "information": kept}
    return replace(registration, doc=doc, information=parts)
