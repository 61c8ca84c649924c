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
