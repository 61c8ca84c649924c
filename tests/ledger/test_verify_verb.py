# SPDX-License-Identifier: EUPL-1.2
"""`poorter verify FILE`, by keys of the reader or those in the file, whole and tampered with."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from tests.founded import founded
from tests.people import PURPOSE, WALL, person, with_people

from poorter.city.clock import ManualClock
from poorter.city.query import Query
from poorter.cli import main
from poorter.jobs import record_uses
from poorter.ledger.receipt import make_receipt


def make(folder: Path) -> None:
    """A city, and beside it evidence.json and receipt.tlog-proof of one of its people."""

    async def run() -> None:
        async with founded(folder / "city", ManualClock()) as running:
            await with_people(running, [1])
            await running.city("app", PURPOSE.id).entities(Query(types=("BlueBadge",)))
            await running.insight.write_map()
            await record_uses(running)
            subject = running.subject_of(person(1), WALL)
            found = running.insight.evidence([(WALL, subject)], running.trust_text())
            (folder / "evidence.json").write_bytes(msgspec.json.encode(found))
            size, note = running.sequencer.note_over(0)
            permit = running.gate.permit("internal:ledger", "run", "read")
            leaf = running.store.leaves(permit, 0, 1)[0][1]
            text = make_receipt(leaf, 0, size, running.sequencer.node, note)
            (folder / "receipt.tlog-proof").write_text(text)
            (folder / "trust.txt").write_text(running.trust_text())

    asyncio.run(run())


def test_files_verify_and_say_what_was_not_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path)
    city, trust = str(tmp_path / "city"), str(tmp_path / "trust.txt")
    evidence, receipt = tmp_path / "evidence.json", str(tmp_path / "receipt.tlog-proof")
    assert main(["verify", receipt, "--city", city]) == 0
    assert main(["verify", receipt, "--trust", trust]) == 0
    capsys.readouterr()
    assert main(["verify", str(evidence), "--trust", trust]) == 0
    told = capsys.readouterr().out
    assert "See whether a badge is valid (app) Ok" in told and told.endswith("proven\n")
    assert "not checked: whether somebody copied data" in told
    assert "whose the keys are" not in told
    monkeypatch.chdir(tmp_path)  # no city here: the file's own keys, and it says so
    assert main(["verify", str(evidence)]) == 0
    assert "whose the keys are: they came with the file" in capsys.readouterr().out
    evidence.write_text(evidence.read_text().replace("badge is valid", "badge was valid"))
    assert main(["verify", str(evidence), "--trust", trust]) == 2
    assert "WRONG, leaf" in capsys.readouterr().out
    evidence.write_text("{}")
    assert main(["verify", str(evidence)]) == 2
