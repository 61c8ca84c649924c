# SPDX-License-Identifier: EUPL-1.2
"""Free questions about persons: noisy, the same answer to the same question, one budget for all."""

import asyncio
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from tests.founded import OFFICERS
from tests.walls.city import App, City, T, city
from tests.walls.test_consents import FENNA, person, subject_in
from tests.walls.test_releases import PLAN, granted, people

from poorter.city.errors import Invalid
from poorter.gate.policy import Grant, Processor
from poorter.identity.credentials import new_credential
from poorter.rights.analysing import RHO_ASKED
from poorter.rights.releases import RHO, RHO_PERIOD

PATH = "/api/city/analyses"
ASKED = {"dataset": "clients", "type": "Client", "period": "2026"}


async def analyst(c: City, name: str = "app:research") -> App:
    parts = [
        Processor(name, T, "university"),
        Grant(name, name, "figures", "context", ("read",), OFFICERS),
    ]
    await c.running.registry.put(parts, "ada", "an analyst")
    credential, key = new_credential(name, "figures")
    known = dict(c.running.credentials._by_digest)
    c.running.credentials.replace([credential])
    c.running.credentials._by_digest |= known
    return App(c.client, {"authorization": f"Bearer {key}"})


async def asked(app: App, **more: Any) -> dict[str, Any]:
    got = await app.post(PATH, ASKED | more)
    assert got.status_code == 200, got.text
    found: dict[str, Any] = got.json()
    return found


def test_the_same_question_gets_the_same_answer_and_the_budget_is_one(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            await people(c, 90)
            await granted(c)
            one, two = await analyst(c), await analyst(c, "app:press")
            first = await asked(one, q='district=="d1"')
            assert abs(first["persons"] - 30) < 6 * first["deviation"]["persons"]
            assert first["rho"] == str(RHO_ASKED)
            again = await asked(two, q=' district == "d1" '.replace(" ", ""))
            assert again == first, "for whoever asks, and at no cost"
            await c.running.people.releases.publish(PLAN, ("ada", "bob"))
            left = RHO_PERIOD - RHO_ASKED - RHO
            number = 0
            while left >= RHO_ASKED:
                left -= RHO_ASKED
                told = await asked((one, two)[number % 2], q=f'name=="N{number}"')
                assert abs(told["left"] - float(left / RHO_PERIOD)) < 1e-9
                number += 1
            for app in (one, two):
                refused = await app.post(PATH, ASKED | {"q": 'name=="N9999"'})
                assert refused.status_code == 400
                assert "enough was asked" in refused.text
            assert (await asked(one, q='district=="d1"'))["persons"] == first["persons"]
            with pytest.raises(Invalid, match="enough figures"):
                from dataclasses import replace

                await c.running.people.releases.publish(replace(PLAN, name="m"), ("ada", "bob"))

    asyncio.run(run())


def test_races_spend_the_budget_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            await people(c, 20)
            await granted(c)
            app = await analyst(c)
            tries = [app.post(PATH, ASKED | {"q": f'name=="N{n}"'}) for n in range(60)]
            done = [one.status_code for one in await asyncio.gather(*tries)]
            assert done.count(200) == RHO_PERIOD / RHO_ASKED
            assert c.running.people.releases.spent("clients", "2026") == RHO_PERIOD
            same = [app.post(PATH, ASKED | {"period": "2027"}) for _ in range(9)]
            answers = {one.text for one in await asyncio.gather(*same)}
            assert len(answers) == 1
            assert c.running.people.releases.spent("clients", "2027") == RHO_ASKED

    asyncio.run(run())


def test_sums_are_bounded_per_person_and_objectors_are_not_counted(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care = c.apps["home-care"]
            for _ in range(5):
                await care.make("Client", resident=FENNA, name="Fenna", euro=10**9)
            await granted(c)
            app = await analyst(c)
            more = {"measure": "euro", "low": "0", "high": "10", "step": "1"}
            told = await asked(app, **more)
            assert Fraction(told["rho"]) == 2 * RHO_ASKED
            assert abs(told["total"] - 10) < 6 * told["deviation"]["total"], "once, and within"
            number = c.running.insight.number("care", subject_in(c)("care"))
            assert number > 0, "each person has a line"
            await c.running.people.consents.object(person(c), "figures")
            permit = c.running.people.releases.permit("figures")
            assert c.running.people.releases.rows(permit, "Client") == []

    asyncio.run(run())


WRONG: list[dict[str, Any]] = [
    {"q": "friend{Client}.name==1"},
    {"q": "name=="},
    {"dataset": "debts"},
    {"type": "Debtor"},
    {"type": "~Client"},
    {"period": ""},
    {"period": "../x"},
    {"measure": "euro"},
    {"measure": "euro", "low": "5", "high": "5"},
    {"measure": "euro", "low": "0", "high": "1e999999999", "step": "1"},
    {"measure": "euro", "low": "nan", "high": "1"},
    {"rho": "5"},
]


def test_what_is_no_question_costs_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            await people(c, 3)
            refused = await c.apps["home-care"].post(PATH, ASKED)
            assert refused.status_code == 403, "without a grant for releases"
            await granted(c)
            app = await analyst(c)
            for wrong in WRONG:
                got = await app.post(PATH, ASKED | wrong)
                assert got.status_code in (400, 404), got.text
            assert c.running.people.releases.spent("clients", "2026") == 0

    asyncio.run(run())
