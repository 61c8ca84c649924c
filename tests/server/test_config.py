# SPDX-License-Identifier: EUPL-1.2
"""city.toml: what is written reads back; what is wrong is named."""

from dataclasses import fields
from pathlib import Path

import pytest

from poorter.city.errors import Invalid
from poorter.config import FILE, SETTINGS, Config, read_config, write_config


def test_every_setting_is_a_field_and_reads_back(tmp_path: Path) -> None:
    write_config(tmp_path, {"city.name_nl": 'Stad "aan" \\ zee', "server.port": 8123})
    config = read_config(tmp_path)
    assert config.city_name_nl == 'Stad "aan" \\ zee'
    assert config.server_port == 8123
    names = {field.name for field in fields(Config)}
    assert {f"{s.table}_{s.key}" for s in SETTINGS} <= names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[server]\nport = 'x'", "server.port must be of type int"),
        ("[server]\nport = true", "server.port must be of type int"),
        ("[server]\nprot = 1", "no setting server.prot"),
        ("[ser", "Expected"),
        ("port = 1", "outside a table"),
        ("[paths]\ndata = 'd'\nkeys = 'd/keys'", "inside paths.data"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(Invalid, match=words):
        read_config(tmp_path)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="poorter init"):
        read_config(tmp_path)


def test_a_system_has_its_own_table(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("[systems]\nenabled = ['parking']\n[systems.parking]\na = 1\n")
    config = read_config(tmp_path)
    assert config.systems_enabled == ("parking",)
    assert config.systems_settings == {"parking": {"a": 1}}
