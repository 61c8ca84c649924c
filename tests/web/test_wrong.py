# SPDX-License-Identifier: EUPL-1.2
"""What goes wrong is said in the language of the page, and the status stays what apps see."""

import asyncio
import re
from pathlib import Path

import pytest
from tests.web.test_pages import browsing, check_html, log_in

from poorter.city import errors
from poorter.city.errors import CityError, NotFound, TooMany
from poorter.city.text import Text

A = "urn:ngsi-ld:OffStreetParking:a"
NOWHERE = {"place": "urn:ngsi-ld:OffStreetParking:none"}
FULL = {"place": A, "arrival": "2099-01-01T00:00:00Z"}
#: path, form (None: ask), status, what the Dutch page says of it
WRONG: tuple[tuple[str, dict[str, str] | None, int, str], ...] = (
    ("nothing/here", None, 404, "deze pagina is er niet"),
    ("systems/nothing", None, 404, "dat systeem heeft deze stad niet"),
    ("systems/parking/find?destination=moon", None, 400, "schrijf lengtegraad,breedtegraad"),
    ("systems/parking/find?stay_minutes=2", None, 400, "niet ingevuld"),
    ("systems/parking/find?destination=5.3,52.6&stay_minutes=0", None, 400, "1 of meer"),
    ("systems/parking/find?destination=5.3,52.6&stay_minutes=x", None, 400, "een getal"),
    ("parking/reserve", NOWHERE, 404, "er is geen parkeerplaats"),
    ("parking/reserve", FULL, 400, "de aankomst ligt tussen nu en over twee uur"),
    ("parking/mine", {"token": "x"}, 400, "Deze code kennen wij niet"),
    ("parking/mine", {"token": "x", "act": "cancel"}, 404, "geen reservering (meer)"),
    ("object", {"kind": "objection", "about": "parking", "text": ""}, 400, "wat er niet klopt"),
    ("object", {"kind": "x", "about": "parking", "text": "x"}, 400, "kies wat voor bezwaar"),
    ("login", {"form": "x", "name": "ada"}, 403, "laad de pagina opnieuw"),
    ("welcome", {"name": "x", "password": "a", "again": "b"}, 400, "niet gelijk"),
)


def test_dutch_pages_say_what_is_wrong_in_dutch(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (_, client):
            for path, form, status, said in WRONG:
                url = f"/nl/{path}"
                got = await (client.get(url) if form is None else client.post(url, data=form))
                assert (got.status_code, said in got.text) == (status, True), (url, got.text)
                check_html(url, got.text, "nl")
                assert re.findall(r'<p lang="en">', got.text) == [], url
                url = f"/en/{path}"
                got = await (client.get(url) if form is None else client.post(url, data=form))
                assert (got.status_code, said in got.text) == (status, False), url

    asyncio.run(run())


def test_officers_read_what_is_wrong_in_dutch_too(tmp_path: Path) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (_, client):
            csrf = await log_in(client)
            goal = {"act": "rescind", "sure": "x"}
            draft = {"act": "draft", "processor": "internal:x", "may-read": "y", "days": "1"}
            for path, form, said in (
                ("control/mandates/parking-signs", {"mode": "by-hand", "why": ""}, "zeg waarom"),
                ("control/goals/less-searching", goal, "typ ter bevestiging"),
                ("control/grants", draft, "eigen werk van het platform"),
                ("control/officers", {"act": "draft", "name": "x"}, "noem het kantoor"),
                ("control/keys", {"days": "x"}, "een heel getal"),
            ):
                got = await client.post(f"/nl/{path}", data={**form, "csrf": csrf})
                assert got.status_code == 400
                assert said in got.text, path

    asyncio.run(run())


def test_every_error_has_its_name_in_both_languages() -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, CityError)]
    assert len(kinds) >= 10
    assert len({k.title_nl for k in kinds}) == len({k.title for k in kinds}) == len(kinds)
    assert NotFound().words == Text("Niet gevonden", "Not found")
    assert NotFound().detail == "Not found"
    assert (NotFound("x").words, NotFound("x").detail) == ("x", "x")
    many = TooMany(Text("nu niet", "not now"), 9)
    assert (many.detail, str(many), many.retry_after_s) == ("not now", "not now", 9)


@pytest.mark.parametrize("language", ["nl", "en"])
def test_what_is_said_in_english_only_is_marked_so(tmp_path: Path, language: str) -> None:
    async def run() -> None:
        async with browsing(tmp_path) as (_, client):
            got = await client.get(f"/{language}/receipt?leaf=x")
            assert got.status_code == 400
            assert ('<p lang="en">index is the number of a leaf' in got.text) == (language == "nl")

    asyncio.run(run())
