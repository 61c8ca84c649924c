# SPDX-License-Identifier: EUPL-1.2
"""Verbs that the tutorial does not use: keys revoked and rotated, goals rescinded, backup."""

import re
from pathlib import Path

import pytest
from tests.served import make_city

from poorter.cli import main
from poorter.config import read_config
from poorter.identity.keys import read_ring


def test_governing_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    city = tmp_path / "city"
    make_city(city)

    def run(*arguments: str) -> str:
        code = main([*arguments, "--city", str(city)])
        said = capsys.readouterr()
        assert code == 0, said.err
        return said.out

    def refused(*arguments: str) -> str:
        assert main([*arguments, "--city", str(city)]) == 1
        return capsys.readouterr().err

    secret = run("key", "public", "open-data").split()[0]
    name = secret.split("_")[1]
    assert "revoked" in run("revoke", name)
    assert "not there" in refused("revoke", name)
    assert "no processor" in refused("key", "nobody", "open-data")
    assert "shown once" in run("officer", "eve", "--role", "operator")
    assert "rescinded" in run("rescind", "less-searching", "--by", "ada")
    assert "(rescinded)" in run("goals")
    vote = ("--body", "Council", "--votes", "2:1", "--by", "ada")
    assert "no date" in refused("adopt", "room-to-walk", "--date", "2026-13-24", *vote)
    assert "not there" in refused("rescind", "less-searching", "--by", "mallory")
    assert "two approvals" in refused(
        "grant", "x", "open-data", "context", "read", "--approved-by", "ada"
    )
    assert "nothing" in run("systems", "--approved-by", "ada", "--approved-by", "bob")
    before = len(read_ring(read_config(city).paths_keys))
    for use in ("ledger", "policy"):
        assert "from now on" in run("rotate", use)
    assert len(read_ring(read_config(city).paths_keys)) == before + 2
    assert re.search(r"\d+ leaves, all signed", run("ledger", "verify"))
    kept = tmp_path / "checkpoint"
    kept.write_bytes((city / "data" / "ledger" / "checkpoint").read_bytes())
    run("officer", "late")
    assert "all signed" in run("ledger", "verify", "--known", str(kept))
    lines = kept.read_text().split("\n")
    kept.write_text("\n".join([lines[0], str(int(lines[1]) + 1), *lines[2:]]))
    arguments = ["ledger", "verify", "--known", str(kept), "--city", str(city)]
    assert main(arguments) == 2
    capsys.readouterr()
    assert "0 readings went into columns" in run("history", "--compact")
    assert "the keys are not in it" in run("backup", str(tmp_path / "copy"))
    assert len(list((tmp_path / "copy").glob("*/store/city.db"))) == 1
    assert not list((tmp_path / "copy").rglob("*.key"))
    assert "already" in refused("init", "--officer", "a", "--officer", "b")
