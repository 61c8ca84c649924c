# SPDX-License-Identifier: EUPL-1.2
"""Attacks on how a city is governed: two approvals by one person, approvals that race, names that
fool the eye, masks that hide nothing."""

import asyncio
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.founded import OFFICERS
from tests.walls.city import V1, City, T, city
from tests.walls.test_consents import FENNA

from poorter.city.errors import CityError, Conflict, Denied, Invalid, NotFound
from poorter.gate.policy import Dataset, Grant, Processor
from poorter.identity.credentials import new_credential
from poorter.offices.drafts import drop_draft
from poorter.offices.grants import approve_grant, draft_grant
from poorter.offices.parts import draft_part
from poorter.offices.people import draft_officer
from poorter.offices.persons import approve_person, draft_person

DATASET = {"id": "plants", "title-nl": "a", "title-en": "a", "wall": "green", "controller": "o"}
DATASET |= {"data_class": "open", "types": "Plant: height"}
PERSONAL = {"data_class": "personal", "retention_days": "9"}


async def drafted(c: City, processor: str = "app:new", **more: Any) -> str:
    given = (processor, "open-data", "context", ["read"], 5, "ada")
    return (await draft_grant(c.running, *given, **more)).id


def test_one_person_is_no_two_under_whatever_name(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            draft = await drafted(c)
            alike = ("ada", "ADA", "Ada", " ada", "ada ", "a\u0301da", "\u0430da", "ad\u200ba", "")
            for name in alike:
                with pytest.raises(Denied):
                    await approve_grant(c.running, draft, name)
                if name.strip() not in ("", "ada"):
                    with pytest.raises(Invalid):
                        who = (name.strip(), "Meldkamer", ["officer"], False, "bob")
                        await draft_officer(c.running, *who)
            for first, second in (
                ("ada", "\u0430da"),
                ("ada", "Ada"),
                ("ada", "ad-a"),
                ("ada", ""),
            ):
                grant = Grant("g", "app:x", "open-data", "context", ("read",), (first, second))
                with pytest.raises(Invalid, match="two people"):
                    await c.running.registry.put([Processor("app:x", T, "c"), grant], "ada", "x")

    asyncio.run(run())


def test_what_races_for_a_draft_gets_it_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:

            async def of(*tries: Awaitable[Any]) -> list[Any]:
                return list(await asyncio.gather(*tries, return_exceptions=True))

            for turn in range(4):
                draft = await drafted(c, f"app:n{turn}")
                version = c.running.gate.policy.version
                approvals = [approve_grant(c.running, draft, "bob") for _ in range(3)]
                dropped = drop_draft(c.running, draft, ("grant",), "ada")
                tries = [dropped, *approvals] if turn % 2 else [*approvals, dropped]
                done = await of(*tries)
                worked = [one for one in done if not isinstance(one, BaseException)]
                assert len(worked) == 1, done
                assert all(
                    isinstance(one, Conflict | NotFound) for one in done if one not in worked
                )
                granted = f"app:n{turn}.open-data.context.read" in c.running.gate.policy.grants
                assert granted == isinstance(worked[0], str)
                assert c.running.gate.policy.version == version + granted
                with pytest.raises(NotFound):
                    await approve_grant(c.running, draft, "bob")

            await c.apps["home-care"].make("Client", resident=FENNA, name="Fenna")
            (shown,) = await c.apps["home-care"].ids("Client")
            said = {"purpose": "home-care", "other": "care-research", "shown": shown, "why": "x"}
            draft = (await draft_person(c.running, "translation", said, "ada")).id
            done = await of(*(approve_person(c.running, draft, "bob") for _ in range(4)))
            assert sum(not isinstance(one, BaseException) for one in done) == 1

    asyncio.run(run())


def test_an_approval_that_fails_can_be_given_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            draft = await drafted(c)
            with pytest.raises(Conflict, match="look again"):
                await approve_grant(c.running, draft, "bob", seen="something else")
            assert await approve_grant(c.running, draft, "bob")

    asyncio.run(run())


def refused() -> Iterator[dict[str, str]]:
    yield {"types": "\u0421lient: a"}  # Cyrillic
    yield {"types": "client: a"}
    yield {"types": "Cl1ent: a"}
    yield {"types": "Plant: a b"}
    yield {"types": "Plant: ~of"}
    yield {"types": "Plant: he\u0456ght"}
    yield {"types": "~Client: a"}
    yield {"types": "*: a"}
    yield {"id": "internal:plants"}
    yield {"id": "pl\u0430nts"}
    yield {"id": "Clients"}
    yield PERSONAL | {"wall": "Care"}
    yield PERSONAL | {"wall": "c\u0430re"}
    yield PERSONAL | {"minimum_group": "1"}


def test_a_dataset_does_not_fool_the_eye(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            for change in refused():
                with pytest.raises(Invalid):
                    await draft_part(c.running, "dataset", DATASET | change, "ada")
            await draft_part(c.running, "dataset", DATASET, "ada")

    asyncio.run(run())


def test_a_mask_hides_what_it_says_also_in_a_row_of_two_types(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            named = Dataset("trees", T, "open", "open", "o", {"Tree": ("height", "owner")})
            await c.running.registry.put([named], "ada", "x")
            for mask in (["0wner"], ["owners"], ["\u043ewner"], ["owner "], ["*"]):
                given = ("app:new", "open-data", "trees", ["read"], 5, "ada")
                with pytest.raises(Invalid, match="mask"):
                    await draft_grant(c.running, *given, mask)
            own = ("app:two", "home-care")
            visits = Dataset(
                "visits", T, "care", "special", "Zorg", {"Visit": ()}, retention_days=9
            )
            parts = [
                visits,
                Processor("app:two", T, "city"),
                Grant("a", *own, "clients", ("read",), OFFICERS, mask=("diagnosis",)),
                Grant("b", *own, "visits", ("read",), OFFICERS),
            ]
            await c.running.registry.put(parts, "ada", "x")
            credential, key = new_credential(*own)
            known = dict(c.running.credentials._by_digest)
            c.running.credentials.replace([credential])
            c.running.credentials._by_digest |= known
            for types in (["Visit", "Client"], ["Client", "Visit"]):
                body = {"id": "urn:ngsi-ld:Visit:x", "type": types, "resident": {"value": FENNA}}
                body |= {"diagnosis": {"value": "flu"}, "name": {"value": "Fenna"}}
                made = await c.apps["home-care"].post(f"{V1}/entities", body)
                assert made.status_code == 201, made.text
            headers = {"authorization": f"Bearer {key}"}
            for path in ("type=Visit", "type=Client", 'type=Visit&q=diagnosis=="flu"'):
                seen = await c.client.get(f"{V1}/entities?{path}", headers=headers)
                assert "diagnosis" not in seen.text
                assert (len(seen.json()) == 2) == ("q=" not in path)

    asyncio.run(run())


def test_no_form_and_no_verb_grants_what_the_city_itself_runs_by(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            books = ("everything", "rights", "identity", "ledger", "policy", "residents")
            for who in ("app:new", "staff", "public", "internal:rights", "internal:new"):
                for dataset in books:
                    with pytest.raises(CityError):
                        given = (who, "run", dataset, ["read"], 5, "ada")
                        await draft_grant(c.running, *given)
            for actions in (["administer"], ["decide"], ["read", "decide"], [], ["Read"]):
                with pytest.raises(Invalid):
                    await draft_grant(c.running, "app:new", "run", "context", actions, 5, "ada")

    asyncio.run(run())
