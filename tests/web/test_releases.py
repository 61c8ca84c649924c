# SPDX-License-Identifier: EUPL-1.2
"""Officers release figures by form, two of them; everybody reads them, signed."""

import asyncio
from pathlib import Path

import httpx
import pytest
from tests.walls.city import city
from tests.walls.test_releases import granted, people
from tests.web.test_offices import another
from tests.web.test_pages import check_html, hidden

from poorter.server import make_app

FORM = {"act": "draft", "name": "clients-by-area", "purpose": "figures", "dataset": "clients"}
FORM |= {"type": "Client", "areas": "district", "address": "home", "period": "2026"}


@pytest.mark.parametrize("language", ["nl", "en"])
def test_two_officers_release_a_figure_that_everybody_reads(tmp_path: Path, language: str) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            await people(c, 60)
            url, shown = f"/{language}/control/releases", f"/{language}/figures"
            transport = httpx.ASGITransport(app=make_app(c.running))  # type: ignore[arg-type]
            async with (
                another(c.running, "ada") as (ada, hers),
                another(c.running, "bob") as (bob, his),
                httpx.AsyncClient(transport=transport, base_url="http://city") as anybody,
            ):
                assert (await anybody.get(url)).status_code == 303
                check_html(shown, (await anybody.get(shown)).text, language)
                form = {**FORM, "csrf": hers}
                assert (await ada.post(url, data=form)).status_code == 403, "without a grant"
                await granted(c)
                check_html(url, (await ada.get(url)).text, language)
                for wrong in ({"areas": ""}, {"name": "a b"}, {"measure": "age", "high": "0"}):
                    assert (await ada.post(url, data=form | wrong)).status_code == 400
                assert (await ada.post(url, data=form)).status_code == 303
                page = (await bob.get(url)).text
                check_html(url, page, language)
                assert "20%" in page
                approve = {"act": "approve", "id": hidden(page, "id")}
                own = await ada.post(url, data={**approve, "csrf": hers})
                assert own.status_code == 403
                done = await bob.post(url, data={**approve, "csrf": his})
                assert done.headers["location"] == shown
                told = (await anybody.get(shown)).text
                check_html(shown, told, language)
                assert "clients-by-area" in told
                assert told.count('<th scope="row">d') == 3
                signed = await anybody.get(shown, headers={"accept": "application/json"})
                (one,) = signed.json()
                assert one["figure"]["smallest_group"] == 10
                assert one["ed25519"]
                assert one["mldsa65"]

    asyncio.run(run())
