# SPDX-License-Identifier: EUPL-1.2
"""An officer governs in a real browser without JavaScript: the pages fit, and name their parts."""

from pathlib import Path

import pytest
from tests.e2e.chromium import BINARY, browser
from tests.e2e.test_browser import NAMED, WIDTHS
from tests.founded import PASSWORD
from tests.served import served

pytestmark = pytest.mark.skipif(BINARY is None, reason="Chromium is not installed: tools/need")
PAGES = ("control/grants", "control/keys", "control/officers", "control/password", "control")


def test_an_officer_drafts_a_grant_and_makes_a_key(tmp_path: Path) -> None:
    with served(tmp_path / "city") as city, browser(tmp_path / "browser") as page:
        page.open(f"{city.url}/nl/login")
        page.type("#name", "ada")
        page.type("#password", PASSWORD)
        page.click("main button")
        page.open(f"{city.url}/nl/control/grants")
        page.type("#processor", "app:wandelen")
        page.click("form.card button")
        said = " ".join(name for _, name in page.parts())
        assert "app:wandelen" in said
        assert "Laat vallen" in said
        page.open(f"{city.url}/nl/control/officers")
        page.type("#name", "cleo")
        page.type("#office", "Griffie")
        page("DOM.setAttributeValue", nodeId=page.node("#role-clerk"), name="checked", value="")
        page.click("form.card button")
        assert "Uw helft van de code" in " ".join(name for _, name in page.parts())
        page.open(f"{city.url}/nl/control/keys")
        page.click("form.card button")
        assert "poorter_" in " ".join(name for _, name in page.parts())
        for path in PAGES:
            for width, height in WIDTHS:
                page.look(width, height, dark=width > 1000)
                page.open(f"{city.url}/nl/{path}")
                assert page.sizes()[0] <= width, (path, width)
                assert page.complaints == []
            assert [p for p in page.parts() if p[0] in NAMED and not p[1]] == []
