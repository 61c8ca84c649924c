# SPDX-License-Identifier: EUPL-1.2
"""Officers make policy in forms: a preview before the second approval, the text that is signed."""

import asyncio
from pathlib import Path

import httpx
import pytest
from tests.walls.city import city
from tests.walls.test_consents import FENNA
from tests.web.test_offices import another
from tests.web.test_pages import check_html, hidden, log_in

from poorter.city.errors import Invalid
from poorter.city.text import Text
from poorter.city.time import DAY_US, format_us
from poorter.offices.grants import approve_grant, draft_grant, end_grant
from poorter.offices.parts import approve_part, draft_part, filled
from poorter.server import make_app

PURPOSE = {
    "act": "draft",
    "kind": "purpose",
    "id": "debt-prevention",
    "title-nl": "Schulden voorkomen",
    "title-en": "Prevent debts",
    "goal": "people",
    "legal_basis": "Wgs 3",
    "art6": "e",
    "art9": "",
    "office": "Schulden",
    "retention_days": "30",
}
DATASET = {
    "act": "draft",
    "kind": "dataset",
    "id": "budgets",
    "title-nl": "Budgetten",
    "title-en": "Budgets",
    "wall": "debt",
    "data_class": "personal",
    "controller": "Schulden",
    "types": "Budget: euro, month\nPlan:",
    "retention_days": "40",
}
GRANT = {
    "act": "draft",
    "processor": "app:debt-help",
    "purpose": "debt-help",
    "dataset": "budgets",
    "may-read": "yes",
    "days": "30",
    "mask": "month",
    "max_rows": "50",
}


@pytest.mark.parametrize("language", ["nl", "en"])
def test_from_form_to_permit_with_a_preview(tmp_path: Path, language: str) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            await c.apps["debt-help"].make("Debtor", resident=FENNA, euro=10)
            transport = httpx.ASGITransport(app=make_app(c.running))  # type: ignore[arg-type]
            url, grants = f"/{language}/control/policy", f"/{language}/control/grants"
            async with (
                httpx.AsyncClient(transport=transport, base_url="http://city") as client,
                another(c.running, "bob") as (bob, his),
            ):
                csrf = await log_in(client)
                empty = await client.get(url)
                assert empty.status_code == 200, empty.text
                check_html(url, empty.text, language)
                for form in (PURPOSE, DATASET):
                    drafted = await client.post(url, data={**form, "csrf": csrf})
                    assert drafted.status_code == 303, drafted.text
                    page = await bob.get(url)
                    check_html(url, page.text, language)
                    assert "Cedar" in page.text
                    chosen = {"csrf": his, "act": "approve", "id": hidden(page.text, "id")}
                    own = await client.post(url, data={**chosen, "csrf": csrf})
                    assert own.status_code == 403
                    assert (await bob.post(url, data=chosen)).status_code == 303
                policy = c.running.gate.policy
                purpose, dataset = policy.purposes["debt-prevention"], policy.datasets["budgets"]
                assert (purpose.art6, purpose.retention_days) == ("e", 30)
                assert purpose.from_us > 0
                assert dict(dataset.types) == {"Budget": ("euro", "month"), "Plan": ()}
                drafted = await client.post(grants, data={**GRANT, "csrf": csrf})
                assert drafted.status_code == 303, drafted.text
                page = await bob.get(grants)
                check_html(grants, page.text, language)
                for told in ("Budget: euro", "@max_rows", "debts", "AVG 6(1)(e)"):
                    assert told in page.text, told
                assert "Budget: euro, month" not in page.text
                chosen = {"csrf": his, "act": "approve", "id": hidden(page.text, "id")}
                assert (await bob.post(grants, data=chosen)).status_code == 303
                permit = c.running.gate.permit("app:debt-help", "debt-help", "read")
                assert not permit.rules["Budget"].covers("month")
                assert permit.max_rows == 50

    asyncio.run(run())


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"art6": "z"}, 400),
        ({"id": ""}, 400),
        ({"goal": "nothing"}, 400),
        ({"id": "debt-help"}, 400),  # another use under a known name
        ({"id": "Debt_Help"}, 400),  # looks like a known one
        ({"id": "debt-help\u200b"}, 400),
        ({"compatible_with": "home-care", "enforcement": "yes"}, 400),
        ({"art6": "a", "consent_invalid": "yes"}, 400),
        ({"retention_days": "-1"}, 400),
        ({"kind": "goal"}, 400),
    ],
)
def test_a_form_that_no_policy_can_hold_is_refused(
    tmp_path: Path, change: dict[str, str], status: int
) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            transport = httpx.ASGITransport(app=make_app(c.running))  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://city") as client:
                csrf = await log_in(client)
                form = {**PURPOSE, **change, "csrf": csrf}
                assert (await client.post("/en/control/policy", data=form)).status_code == status

    asyncio.run(run())


def test_a_change_starts_from_what_is_in_force_and_keeps_what_no_form_has(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            transport = httpx.ASGITransport(app=make_app(c.running))  # type: ignore[arg-type]
            url = "/en/control/policy"
            async with (
                httpx.AsyncClient(transport=transport, base_url="http://city") as client,
                another(c.running, "bob") as (bob, his),
            ):
                csrf = await log_in(client)
                page = await client.get(f"{url}?kind=purpose&id=debt-help")
                assert 'value="Wmo 2015"' in page.text
                was = c.running.gate.policy.purposes["debt-help"]
                form = {
                    **{"act": "draft", "kind": "purpose", "id": "debt-help", "goal": "people"},
                    **{"title-nl": "woord", "title-en": "word", "legal_basis": "Wmo 2015"},
                    **{"art6": "e", "office": "Zorg", "delay_days": "90", "disclose-nl": "hulp"},
                    "csrf": csrf,
                }
                half = await client.post(url, data=form)
                assert half.status_code == 400, "in both languages"
                form["disclose-en"] = "help"
                assert (await client.post(url, data=form)).status_code == 303
                seen = await bob.get(url)
                assert "delay_days: - → 90" in seen.text
                assert "app:debt-help may read, write debts: debt-help" in seen.text
                chosen = {"act": "approve", "id": hidden(seen.text, "id"), "csrf": his}
                stale = await bob.post(url, data={**chosen, "seen": "0" * 32})
                assert stale.status_code == 409
                chosen["seen"] = hidden(seen.text, "seen")
                assert (await bob.post(url, data=chosen)).status_code == 303
                now = c.running.gate.policy.purposes["debt-help"]
                assert (now.delay_days, now.disclose) == (90, Text("hulp", "help"))
                assert now.from_us == was.from_us
                context = c.running.gate.policy.datasets["context"]
                again = {**filled("dataset", context), **{"act": "draft", "kind": "dataset"}}
                again |= {"csrf": csrf, "commands": ""}
                refused = await client.post(url, data=again)
                assert "only a decision sets" in refused.text, "the stop on commands stays"

    asyncio.run(run())


def test_a_supplier_has_duties_a_way_out_and_no_grant_that_outlasts_them(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            running = c.running
            form = {"id": "app:firm", "title-nl": "Bureau", "title-en": "Firm"}
            form |= {"organisation": "Firm BV", "kind": "supplier", "agreement": "dpa-7"}
            form |= {"duties": "report breaches in 24 hours\naudit 2026-03-01"}
            form |= {"sub_processors": "Host BV, Print BV"}

            async def drafted(**more: str) -> None:
                draft = await draft_part(running, "processor", form | more, "ada")
                await approve_part(running, draft.id, "bob")

            async def granted(days: int) -> None:
                draft = await draft_grant(
                    running, "app:firm", "debt-help", "debts", ["read"], days, "ada"
                )
                await approve_grant(running, draft.id, "bob")

            with pytest.raises(Invalid, match="date, as in"):
                await drafted(agreement_until="next year")
            await drafted()
            firm = running.gate.policy.processors["app:firm"]
            assert firm.duties == ("report breaches in 24 hours", "audit")
            assert firm.due == {"audit": "2026-03-01"}
            assert firm.overdue("2026-03-02") == ("audit",)
            assert firm.overdue("2026-03-01") == ()
            with pytest.raises(Invalid, match="until when"):
                await granted(10)
            day = format_us(running.clock.now_us() + 20 * DAY_US)[:10]
            await drafted(agreement_until=day, exit="all of it comes back, then is erased")
            with pytest.raises(Invalid, match="outlast"):
                await granted(30)
            await granted(10)
            running.gate.permit("app:firm", "debt-help", "read")
            with pytest.raises(Invalid, match="stays a supplier"):
                await drafted(kind="own")
            with pytest.raises(Invalid, match="outlast"):
                sooner = format_us(running.clock.now_us() + 5 * DAY_US)[:10]
                await drafted(agreement_until=sooner, exit="none")
            await end_grant(running, "app:firm.debt-help.debts.read", "ada")

    asyncio.run(run())
