# SPDX-License-Identifier: EUPL-1.2
"""A real browser without JavaScript: pages render, fit, name their parts, and ask nobody else."""

from collections.abc import Iterator

import pytest
from tests.e2e.chromium import BINARY, Browser, browser
from tests.founded import PASSWORD
from tests.served import Served, served

pytestmark = pytest.mark.skipif(BINARY is None, reason="Chromium is not installed: tools/need")

PAGES = (
    "",
    "parking",
    "parking/mine",
    "crowds?near=5.3,52.6",
    "systems/parking",
    "systems/parking/find?destination=5.3,52.6",
    "decisions",
    "goals",
    "registers",
    "object?about=parking",
    "objection",
    "receipt?leaf=0",
    "control",
    "login",
    "welcome",
)
WIDTHS = ((1440, 900), (390, 800))
NAMED = {"link", "button", "textbox", "combobox", "checkbox", "radio", "spinbutton", "image"}


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("city")) as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.mark.parametrize("path", PAGES)
def test_pages_fit_name_their_parts_and_ask_nobody_else(
    city: Served, page: Browser, path: str
) -> None:
    for language in ("nl", "en"):
        for width, height in WIDTHS:
            page.look(width, height, dark=language == "en")
            page.open(f"{city.url}/{language}/{path}")
            assert page.sizes()[0] <= width, f"{path} is wider than a window of {width} px"
            assert page.complaints == []
            asked = [url for url in page.asked if not url.startswith((city.url, "data:"))]
            assert asked == []
        parts = page.parts()
        roles = [role for role, _ in parts]
        for landmark in ("banner", "navigation", "main", "contentinfo"):
            assert landmark in roles, (path, landmark)
        assert [p for p in parts if p[0] in NAMED and not p[1]] == []


def test_an_officer_logs_in_and_a_resident_objects_without_script(
    city: Served, page: Browser
) -> None:
    page.look(1440, 900)
    page.open(f"{city.url}/en/object?about=parking")
    page.type("#text", "The sign is wrong.")
    page.click("main button")
    assert any("We have received it" in name for _, name in page.parts())
    page.open(f"{city.url}/en/login")
    page.type("#name", "ada")
    page.type("#password", PASSWORD)
    page.click("main button")
    said = [name for _, name in page.parts()]
    assert "The sign is wrong." in said
    assert "Take up" in said
