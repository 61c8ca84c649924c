# SPDX-License-Identifier: EUPL-1.2
"""The house rules hold, and the reference pages say what the code says."""

import importlib.util
import itertools
import re
import shlex
from pathlib import Path

import pytest
from tools import reference, tidy

from poorter.cli.parser import build_parser

ROOT = Path(__file__).parent.parent.parent
SHELL = {"|", "||", "&&", "&", ";", ">", "<", ">>"}


def test_tidy() -> None:
    assert list(tidy.problems()) == []


@pytest.mark.parametrize("name", sorted(reference.PAGES))
def test_reference_pages_are_those_of_the_code(name: str) -> None:
    page = (ROOT / "docs" / "reference" / name).read_text("utf-8")
    assert page == reference.PAGES[name](), "run: python tools/reference.py"


@pytest.mark.parametrize("name", reference.SYSTEMS)
def test_each_system_says_where_it_comes_from_and_how_to_switch_it_off(name: str) -> None:
    page = ROOT / "src" / "poorter" / "systems" / name / "README.md"
    said = page.read_text("utf-8")
    for subject in ("Sources", "Standards", "Legal basis", "Limits", "Off"):
        assert f"- **{subject}.**" in said, f"{name} says nothing of: {subject}"
    for link in re.findall(r"\]\(([^)]+)\)", said):
        assert (page.parent / link).exists(), link


def test_tidy_finds_what_it_looks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that can't fail is none: a tree with one of each fault is found out."""
    source = tmp_path / "src" / "poorter"
    (source / "city").mkdir(parents=True)
    (source / "systems" / "one").mkdir(parents=True)
    bad = "from poorter.store import contract\n\n\ndef f():\n    return 1\n" + "x = 1\n" * 620
    (source / "city" / "helpers.py").write_text(bad)
    system = (
        '# SPDX-License-Identifier: EUPL-1.2\n"""S."""\nimport poorter.store.contract\n'
        "import poorter.systems.two\ntry:\n    Permit()\nexcept Exception:\n    pass\n"
    )
    (source / "systems" / "one" / "__init__.py").write_text(system)
    monkeypatch.setattr(tidy, "SRC", source)
    found = "\n".join(tidy.problems())
    for words in (
        "lies above it",
        "the first line is the licence",
        "says nothing of itself",
        "one subject",
        "what is its subject",
        "nobody imports it",
        "only the gate makes a permit",
        "not everything",
        "city handle only",
        "does not import another one",
    ):
        assert words in found, words


def test_every_verb_option_and_map_setting_says_what_it_is() -> None:
    for page in ("verbs.md", "maps.md", "settings.md", "limits.md"):
        silent = [line for line in reference.PAGES[page]().splitlines() if line.endswith("|  |")]
        assert silent == [], f"{page}: give it a help text, or a comment on its line"


def test_the_picture_of_the_architecture_is_the_one_that_is_held() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    drawn = " ".join(line[2:] for line in page.splitlines() if line.startswith("> "))
    layers = tuple(
        tuple(name.strip(" `") for name in layer.split(",")) for layer in drawn.split("→")
    )
    assert layers == tidy.LAYERS, "tools/tidy.py and ARCHITECTURE.md draw other layers"
    named = set(re.findall(r"`([a-z_]+/[a-z_/]+\.py|tests/[a-z_/.]+)`", page))
    missing = [n for n in named if not ((ROOT / "src/poorter" / n).exists() or (ROOT / n).exists())]
    assert missing == [], "files that the essay names are there"


def test_commands_on_every_page_are_ones_that_there_are() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    seen = 0
    for page in pages:
        for block in re.findall(r"```sh[^\n]*\n(.*?)```", page.read_text("utf-8"), re.S):
            for line in block.replace("\\\n", " ").splitlines():
                if "poorter" not in line.split("#", maxsplit=1)[0]:
                    continue  # another command, or a line of its text
                words = shlex.split(line.replace("$PORT", "8000"), comments=True)
                if words[:1] in (["poorter"], [".venv/bin/poorter"]):
                    own = itertools.takewhile(lambda word: word not in SHELL, words[1:])
                    build_parser().parse_args(list(own))  # ends the test where it can't
                    seen += 1
                elif words[1:3] == ["-m", "poorter"] or line.startswith("python -m poorter."):
                    assert importlib.util.find_spec(words[2]), (page.name, line)
                    seen += 1
    assert seen > 10
