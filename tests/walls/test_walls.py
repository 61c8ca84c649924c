# SPDX-License-Identifier: EUPL-1.2
"""Walls: no policy joins them, no id crosses them; opening one takes two people and a notice."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.founded import OFFICERS
from tests.walls.city import V1, T, city
from tests.walls.test_consents import FENNA, LOTTE, person, subject_in

from poorter.city.clock import ManualClock
from poorter.city.errors import Denied, Invalid, NotFound
from poorter.gate.genesis import RUN
from poorter.gate.inside import check_join
from poorter.gate.policy import Dataset, Grant, Part, Processor, Purpose
from poorter.rights.opening import Two

TWO = Two("ada", "bob", "she was found unconscious")


def grant(name: str, app: str, purpose: str, dataset: str, *actions: Any, **more: Any) -> Grant:
    return Grant(name, app, purpose, dataset, actions, OFFICERS, **more)


UNLAWFUL: list[tuple[str, list[Part], str]] = [
    ("a purpose over two walls", [grant("x", "app:debt-help", "home-care", "debts", "read")],
     "would join walls"),
    ("writing down into the open", [grant("x", "app:home-care", "home-care", "context", "write")],
     "through a release"),
    ("writing into a tenant",
     [Processor("app:home-care@t", T, "c"),
      grant("x", "app:home-care@t", "open-data", "context", "write")], "through a release"),
    ("writing down under another purpose",
     [Purpose("z", "people", T, "w", "o"), grant("x", "app:home-care", "z", "context", "write")],
     "through a release"),
    ("writing into another wall",
     [Purpose("z", "people", T, "w", "o", art6="e"),
      grant("x", "app:home-care", "z", "debts", "write")],
     "through a release"),
    ("persons for the public", [grant("x", "public", "open-data", "debts", "read")],
     "not for the public"),
    ("no basis", [Purpose("z", "people", T, "w", "o"), Processor("app:z", T, "c"),
                  grant("x", "app:z", "z", "debts", "read")], "names no basis"),
    ("special without exception or assessment",
     [Purpose("z", "people", T, "w", "o", art6="e"), Processor("app:z", T, "c"),
      grant("x", "app:z", "z", "clients", "read")], "9\\(2\\)"),
    ("a supplier without agreement",
     [Processor("app:z", T, "firm", kind="supplier"),
      grant("x", "app:z", "debt-help", "debts", "read")], "GDPR 28"),
    ("a supplier for ever",
     [Processor("app:z", T, "firm", "supplier", "dpa-7", ("report breaches in 24 hours",)),
      grant("x", "app:z", "debt-help", "debts", "read")], "an end"),
    ("a type behind a wall, opened elsewhere",
     [Dataset("open2", T, "open", "open", "o", {"Client": ()})], "behind the wall of"),
    ("a type behind two walls",
     [Dataset("x2", T, "tax", "personal", "o", {"Client": ()}, retention_days=1)], "two walls"),
    ("a dataset that moves",
     [Dataset("debts", T, "care", "personal", "o", {"Debtor": ()}, retention_days=1)],
     "stays behind its wall"),
    ("a dataset that opens",
     [Dataset("debts", T, "debt", "open", "o", {"Debtor": ()})], "stays behind its wall"),
    ("another basis under the same name", [Purpose("debt-help", "people", T, "w", "o", art6="f")],
     "a new use is a new purpose"),
    ("another goal under the same name",
     [Purpose("debt-help", "run-the-platform", T, "Wmo 2015", "Zorg", art6="e")],
     "a new use is a new purpose"),
    ("older than it is",
     [Purpose("debt-help", "people", T, "Wmo 2015", "Zorg", art6="e", from_us=1)],
     "a new use is a new purpose"),
    ("compatible with enforcement",
     [Purpose("hunt", "people", T, "w", "o", art6="e", enforcement=True,
              compatible_with=("debt-help",))], "never reaches enforcement"),
    ("compatible with another wall",
     [Purpose("z", "people", T, "w", "o", art6="e", compatible_with=("home-care",)),
      Processor("app:z", T, "c"), grant("x", "app:z", "z", "debts", "read")],
     "never reaches another wall"),
    ("every type to somebody", [Dataset("all", T, "open", "open", "o", {"*": ()}),
                                grant("x", "public", "open-data", "all", "read")],
     "opens every type"),
]  # fmt: skip


def test_what_no_policy_may_say_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            version = c.running.gate.policy.version
            for name, parts, words in UNLAWFUL:
                with pytest.raises(Invalid, match=words):
                    await c.running.registry.put(parts, "ada", name)
                assert c.running.gate.policy.version == version, name

    asyncio.run(run())


def test_a_new_purpose_reaches_only_what_is_collected_afterwards(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with city(tmp_path, clock) as c:
            care = c.apps["home-care"]
            old = await care.make("Client", resident=FENNA, name="Fenna", age=71)
            clock.forward_s(60)
            more: dict[str, Any] = {"art6": "e", "art9": "h", "assessment": "dpia-3"}
            parts: list[Part] = []
            for name, compatible in (("new-use", ()), ("near-use", ("home-care",))):
                parts += [
                    Purpose(name, "people", T, "w", "o", compatible_with=compatible, **more),
                    Processor(f"app:{name}", T, "c"),
                    grant(f"{name}-g", f"app:{name}", name, "clients", "read"),
                ]
            await c.running.registry.put(parts, "ada", "two new uses")
            clock.forward_s(60)

            async def seen(purpose: str) -> list[dict[str, Any]]:
                from poorter.city.query import Query

                found = await c.running.city(f"app:{purpose}", purpose).entities(
                    Query(types=("Client",))
                )
                return [{a.name: a.value for a in one.attributes} for one in found]

            assert await seen("new-use") == []
            assert await seen("near-use") == [{"name": "Fenna", "age": 71}]
            body = {"age": {"value": 72}}
            await care.client.patch(f"{V1}/entities/{old}/attrs", json=body, headers=care.headers)
            assert await seen("new-use") == [{"age": 72}]

    asyncio.run(run())


def test_the_glass_is_broken_for_one_person_by_two_for_a_while(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with city(tmp_path, clock) as c:
            parts: list[Part] = [
                Purpose(
                    "emergency",
                    "people",
                    T,
                    "w",
                    "o",
                    art6="d",
                    art9="c",
                    assessment="dpia",
                    glass=True,
                ),
                Processor("app:er", T, "c"),
                grant("er", "app:er", "emergency", "clients", "read"),
            ]
            await c.running.registry.put(parts, "ada", "emergencies")
            await c.apps["home-care"].make("Client", resident=FENNA, name="Fenna")
            await c.apps["home-care"].make("Client", resident="999990032", name="Lotte")

            async def names() -> list[str]:
                from poorter.city.query import Query

                found = await c.running.city("app:er", "emergency").entities(
                    Query(types=("Client",))
                )
                return [one.value("name") for one in found]

            assert await names() == []
            openings, subject = c.running.people.openings, subject_in(c)("care")
            for first, second, why in (("ada", "ada", "x"), ("ada", "A-da", "x"), ("", "bob", "x")):
                with pytest.raises(Denied):
                    Two(first, second, why)
            with pytest.raises(Invalid):
                Two("ada", "bob", " ")
            with pytest.raises(Invalid):
                await openings.break_glass(subject, "emergency", 25, TWO)
            await openings.break_glass(subject, "emergency", 2, TWO)
            assert await names() == ["Fenna"]
            own = c.running.gate.permit("internal:rights", RUN, "read")
            whose = c.running.recorder.keys.name("care", subject)[1].hex()
            (notice,) = c.running.store.records(own, "notice", {"subject": whose})
            assert (notice.doc["kind"], notice.doc["purpose"]) == ("opened", "emergency")
            from poorter.offices.looked import looked

            (told,) = looked(c.running, [("care", subject)]).notices
            assert (told.kind, told.why) == ("opened", TWO.why)
            clock.forward_s(2 * 3600 + 1)
            assert await names() == []

    asyncio.run(run())


def test_translation_takes_two_stays_behind_the_wall_and_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care, research = c.apps["home-care"], c.apps["care-research"]
            urn = await care.make("Client", resident=FENNA, name="Fenna")
            openings = c.running.people.openings
            assert [await openings.translate(urn, "home-care", "care-research", TWO)] == (
                await research.ids("Client")
            )
            with pytest.raises(Denied):
                await openings.translate(urn, "home-care", "debt-help", TWO)
            for nothing in ("urn:x:1", urn[:-1] + ("a" if urn[-1] != "a" else "b"), ""):
                with pytest.raises(NotFound):
                    await openings.translate(nothing, "home-care", "care-research", TWO)
            with pytest.raises(NotFound):
                await openings.translate(urn, "care-research", "home-care", TWO)
            subject = subject_in(c)("care")
            whose = c.running.recorder.keys.name("care", subject)[1].hex()
            own = c.running.gate.permit("internal:rights", RUN, "read")
            (notice,) = c.running.store.records(own, "notice", {"subject": whose})
            assert notice.doc["kind"] == "translated"
            await c.running.people.erasing.erase(subject, "care", "ada", "asked")
            with pytest.raises(NotFound):
                await openings.translate(urn, "home-care", "care-research", TWO)

    asyncio.run(run())


def test_obligations_mask_and_limit(tmp_path: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with city(tmp_path, clock) as c:
            care = c.apps["home-care"]
            for n in range(5):
                await care.make("Client", name=f"n{n}", age=n, diagnosis="x")
            more: dict[str, Any] = {"mask": ("diagnosis", "name"), "max_rows": 2}
            parts: list[Part] = [
                Purpose("count", "people", T, "w", "o", art6="e", art9="h", assessment="d",
                        compatible_with=("home-care",)),
                Processor("app:count", T, "firm", "supplier", "dpa", ("delete on request",)),
                grant("c", "app:count", "count", "clients", "read", until_us=10**17, **more),
            ]  # fmt: skip
            await c.running.registry.put(parts, "ada", "a supplier")
            from poorter.city.query import Compare, Query
            from poorter.city.query import Path as To

            permit = c.running.gate.permit("app:count", "count", "read")
            page = c.running.store.query(permit, Query(types=("Client",), limit=100, count=True))
            assert len(page.entities) == 2
            assert page.after is None
            assert {a.name for e in page.entities for a in e.attributes} == {"age"}
            asked = Query(types=("Client",), condition=Compare(To("name"), "==", ("n1",)))
            assert c.running.store.query(permit, asked).entities == ()
            signed = c.running.gate.policy
            from poorter.gate.cedar import to_cedar, validate

            text = to_cedar(signed)
            validate(text)
            assert '@mask("diagnosis, name")' in text
            assert '@max_rows("2")' in text

    asyncio.run(run())


def test_a_permit_over_two_walls_could_follow_no_link(tmp_path: Path) -> None:
    """No lawful policy gives one; should one ever come about, joins are refused before reading."""

    async def run() -> None:
        async with city(tmp_path) as c:
            from dataclasses import replace

            care = c.running.gate.permit("app:home-care", "home-care", "read")
            debt = c.running.gate.permit("app:debt-help", "debt-help", "read")
            check_join(care)
            with pytest.raises(Denied):
                check_join(replace(care, rules={**care.rules, **debt.rules}))

    asyncio.run(run())


def test_a_consent_withdrawn_in_one_wall_says_nothing_of_another(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care = await c.apps["home-care"].make("Client", resident=FENNA, name="Fenna")
            debt = await c.apps["debt-help"].make("Debtor", resident=FENNA, euro=10)
            assert subject_in(c)("care") != subject_in(c)("debt")
            await c.running.people.consents.object(person(c), "debt-help")
            assert (await c.apps["debt-help"].get(f"{V1}/entities/{debt}")).status_code == 404
            assert (await c.apps["home-care"].get(f"{V1}/entities/{care}")).status_code == 200

    asyncio.run(run())


def test_an_app_can_t_say_who_is_who_in_a_wall(tmp_path: Path) -> None:
    """What a wall calls a person names somebody else when an app says it, in each wall another."""

    async def run() -> None:
        async with city(tmp_path) as c:
            care, debts = c.apps["home-care"], c.apps["debt-help"]
            await care.make("Client", resident=FENNA, name="Fenna")
            subject = c.running.subject_of(FENNA, "care")
            await care.make("Client", resident=subject, name="not Fenna")
            await debts.make("Debtor", resident=subject, sum=5)
            assert len(list(c.running.people.erasing.rows_of(subject))) == 1
            two = [
                {"type": "Property", "value": FENNA},
                {"type": "Property", "value": LOTTE, "datasetId": "urn:d:1"},
            ]
            body = {"id": "urn:ngsi-ld:Client:x", "type": "Client", "resident": two}
            assert (await care.post(f"{V1}/entities", body)).status_code == 400

    asyncio.run(run())
