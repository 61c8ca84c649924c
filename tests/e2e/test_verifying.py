# SPDX-License-Identifier: EUPL-1.2
"""The page that verifies, in a real browser: verdicts as those of `poorter verify`, and nothing
leaves the browser meanwhile."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.e2e.chromium import BINARY, Browser, browser
from tests.e2e.test_browser import city  # noqa: F401 - a fixture
from tests.ledger.test_evidence import ATTACKS, READS, Case, changed, lines
from tests.served import Served

from poorter.ledger.evidence import Evidence

pytestmark = pytest.mark.skipif(BINARY is None, reason="Chromium is not installed: tools/need")


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("evidence"))


@pytest.fixture(scope="module")
def page(
    tmp_path_factory: pytest.TempPathFactory,
    city: Served,  # noqa: F811
    case: Case,
) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as found:
        found.look(1280, 900)
        found("Emulation.setScriptExecutionDisabled", value=False)
        found.open(f"{city.url}/en/verify")
        assert found.complaints == []
        policy = msgspec.json.encode(case.trust).decode()
        run(found, f"document.getElementById('trust').value = {policy}")
        found.asked = []
        yield found


def run(page: Browser, script: str) -> Any:
    answer = page("Runtime.evaluate", expression=script, returnByValue=True)
    assert "exceptionDetails" not in answer, answer
    return answer["result"].get("value")


def verdict(page: Browser, folder: Path, found: bytes) -> tuple[str, str]:
    """(wrong or proven, all that the page says)."""
    file = folder / "file"
    file.write_bytes(found)
    page("DOM.setFileInputFiles", files=[str(file)], nodeId=page.node("#file"))
    run(page, "document.getElementById('shown').dataset.done = ''")
    run(page, "document.getElementById('check').click()")
    for _ in range(200):
        done = run(page, "document.getElementById('shown').dataset.done")
        if done:
            return done, run(page, "document.getElementById('shown').innerText")
        time.sleep(0.02)
    raise AssertionError("the page does not come to a verdict")


def of(evidence: Evidence) -> bytes:
    return msgspec.json.encode(evidence)


def test_what_is_whole_is_proven_and_the_limits_are_said(
    page: Browser, case: Case, tmp_path: Path
) -> None:
    done, said = verdict(page, tmp_path, of(case.evidence))
    assert done == "proven", said
    assert said.count("See whether a badge is valid") == READS - 1
    assert "2026-01-31" in said, "the delayed line is counted"
    assert "there were 5 lines" in said
    for limit in ("copied data", "ML-DSA-44", "witnesses"):
        assert limit in said.partition("Not checked")[2]
    for found in (case.later, case.unlocked, case.nobody):
        done, said = verdict(page, tmp_path, of(found))
        assert done == "proven", said
    asked = [url for url in page.asked if not url.endswith("/static/mark.svg")]
    assert asked == [], "nothing left the browser"


def test_a_receipt_is_proven_too(page: Browser, case: Case, tmp_path: Path) -> None:
    done, said = verdict(page, tmp_path, case.receipt.encode())
    assert done == "proven" and "genesis" in said
    done, _ = verdict(page, tmp_path, case.receipt.replace("index 0", "index 1").encode())
    assert done == "wrong"


@pytest.mark.parametrize("attack", sorted(ATTACKS))
def test_what_was_changed_is_wrong_here_too(
    page: Browser, case: Case, tmp_path: Path, attack: str
) -> None:
    done, said = verdict(page, tmp_path, of(changed(case.evidence, ATTACKS[attack])))
    assert done == "wrong" and "What is wrong" in said


@pytest.mark.parametrize("dropped", range(1, READS))
def test_a_dropped_line_is_named(page: Browser, case: Case, tmp_path: Path, dropped: int) -> None:
    index = case.evidence.subjects[0].lines[dropped].index
    less = changed(case.evidence, lambda doc: lines(doc).pop(dropped))
    done, said = verdict(page, tmp_path, of(less))
    assert done == "wrong" and f"leaf {index}:" in said


def test_somebody_else_s_and_nonsense(page: Browser, case: Case, tmp_path: Path) -> None:
    def swap(doc: dict[str, Any]) -> None:
        doc["subjects"][0]["lines"] = msgspec.to_builtins(case.other)["subjects"][0]["lines"]

    assert verdict(page, tmp_path, of(changed(case.evidence, swap)))[0] == "wrong"
    for nonsense in (b"", b"{}", b"{", b"no receipt", b"\xff\xfe"):
        assert verdict(page, tmp_path, nonsense)[0] == "wrong"
