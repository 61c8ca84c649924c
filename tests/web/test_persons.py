# SPDX-License-Identifier: EUPL-1.2
"""What has power over one person's data takes two officers, on a page, and shows once."""

import asyncio
import re
from pathlib import Path

import httpx
import pytest
from tests.walls.city import V1, city
from tests.walls.test_consents import FENNA, subject_in
from tests.web.test_offices import another
from tests.web.test_pages import check_html, hidden, log_in

from poorter.server import make_app


@pytest.mark.parametrize("language", ["nl", "en"])
def test_erase_hold_and_translate_take_two(tmp_path: Path, language: str) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care, research = c.apps["home-care"], c.apps["care-research"]
            urn = await care.make("Client", resident=FENNA, name="Fenna")
            url = f"/{language}/control/persons"
            transport = httpx.ASGITransport(app=make_app(c.running))  # type: ignore[arg-type]
            async with (
                httpx.AsyncClient(transport=transport, base_url="http://city") as ada,
                another(c.running, "bob") as (bob, his),
            ):
                assert (await ada.get(url)).status_code == 303
                csrf = await log_in(ada)
                check_html(url, (await ada.get(url)).text, language)

                async def twice(**fields: str) -> str:
                    form = {"csrf": csrf, "act": "draft", "why": "asked for", **fields}
                    assert (await ada.post(url, data={**form, "why": " "})).status_code == 400
                    drafted = await ada.post(url, data=form)
                    assert drafted.status_code == 303, drafted.text
                    page = (await bob.get(url)).text
                    check_html(url, page, language)
                    assert FENNA not in page
                    chosen = {"act": "approve", "id": hidden(page, "id")}
                    own = await ada.post(url, data={**chosen, "csrf": csrf})
                    assert own.status_code == 403
                    approved = await bob.post(url, data={**chosen, "csrf": his})
                    assert approved.status_code == 200, approved.text
                    check_html(url, approved.text, language)
                    return approved.text

                other = {"purpose": "home-care", "other": "care-research", "shown": urn}
                page = await twice(kind="translation", **other)
                shown = re.search(r'class="code">([^<]+)<', page)
                assert shown
                assert [shown[1]] == await research.ids("Client")
                await twice(kind="hold", number=FENNA, wall="care")
                await twice(kind="erasure", number=FENNA, wall="care")
                assert (await care.get(f"{V1}/entities/{urn}")).status_code == 404
                assert list(c.running.people.erasing.rows_of(subject_in(c)("care")))
                done = await ada.post(
                    url, data={"csrf": csrf, "act": "release", "number": FENNA, "wall": "care"}
                )
                assert done.status_code == 200
                assert list(c.running.people.erasing.rows_of(subject_in(c)("care"))) == []
                for wrong in (
                    {"kind": "opening", "number": FENNA, "purpose": "home-care", "hours": "99"},
                    {"kind": "opening", "number": FENNA, "purpose": "open-data", "hours": "1"},
                    {"kind": "erasure", "number": "123456789", "wall": "care"},
                    {"kind": "erasure", "number": FENNA, "wall": "nowhere"},
                    {"kind": "grant"},
                ):
                    form = {"csrf": csrf, "act": "draft", "why": "x", **wrong}
                    assert (await ada.post(url, data=form)).status_code == 400, wrong

    asyncio.run(run())
