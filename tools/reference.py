# SPDX-License-Identifier: EUPL-1.2
"""Writes docs/reference from the code. A test holds pages and code together.

python tools/reference.py
"""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from poorter.cli.parser import build_parser  # noqa: E402
from poorter.config import SETTINGS  # noqa: E402
from poorter.load.mapping import shipped_maps  # noqa: E402
from poorter.standards.oidc.provider import FIELDS  # noqa: E402
from poorter.standards.openid4vp.trust import FIELDS as WALLET_FIELDS  # noqa: E402
from poorter.systems.catalogue import load_systems  # noqa: E402
from tools.systems_page import systems_page  # noqa: E402

SYSTEMS = ("parking", "crowds")


def settings() -> str:
    """city.toml."""
    lines = [
        "# Settings",
        "",
        "All of `city.toml`. An unknown setting is refused, not ignored.",
        "",
        "| setting | type | default | meaning |",
        "|---|---|---|---|",
    ]
    for setting in SETTINGS:
        kind = setting.type.__name__
        lines.append(f"| `{setting.name}` | {kind} | `{setting.default!r}` | {setting.text} |")
    for name, text in FIELDS.items():
        lines.append(f"| `identity.providers.NAME.{name}` |  |  | {text} |")
    for name, text in WALLET_FIELDS.items():
        lines.append(f"| `identity.wallets.NAME.{name}` |  |  | {text} |")
    for system in load_systems(SYSTEMS):
        for own in system.settings:
            kind, name = type(own.default).__name__, f"systems.{system.name}.{own.name}"
            lines.append(f"| `{name}` | {kind} | `{own.default!r}` | {own.title.en} |")
    return "\n".join(lines) + "\n"


def verbs() -> str:
    """The command line."""
    lines = ["# Verbs", "", "`poorter VERB --help` says the same.", ""]
    for name, parser in _verbs(build_parser()):
        lines += [f"## poorter {name}", "", parser.description or "", ""]
        lines += ["| option | meaning |", "|---|---|"]
        for action in parser._actions:
            if action.dest != "help":
                names = ", ".join(action.option_strings) or action.dest
                text = (action.help or "").replace("|", "\\|")
                if action.choices:
                    text += f" ({', '.join(map(str, action.choices))})"
                lines.append(f"| `{names}` | {text.strip()} |")
        lines.append("")
    lines += ["## Maps that come with it", ""]
    lines += [f"- `{name}`: {title}" for name, title in shipped_maps()]
    return "\n".join(lines).rstrip() + "\n"


def _verbs(parser: argparse.ArgumentParser) -> list[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return list(action.choices.items())
    return []


def limits() -> str:
    """Everything that has one."""
    text = (ROOT / "src/poorter/city/limits.py").read_text("utf-8")
    source = text.splitlines()
    lines = [
        "# Limits",
        "",
        "Nothing grows without one. What passes a limit gets a clear error (413, 429 or 503).",
        "Those that a city sets itself (rates, days, pages) are [settings](settings.md).",
        "",
        "| limit | value | of what |",
        "|---|---|---|",
    ]
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            _, _, meaning = source[node.lineno - 1].partition("  # ")
            lines.append(f"| `{node.targets[0].id}` | {ast.unparse(node.value)} | {meaning} |")
    return "\n".join(lines) + "\n"


MAP_TABLES = {
    "Map": "the file itself",
    "Source": "`[source]`",
    "Readings": "`[readings]`",
    "Value": "`[[readings.values]]` and `[readings.wide]`",
    "Things": "`[things]`",
    "Part": "`[[things.parts]]`",
}


def maps() -> str:
    """The maps of `poorter load`."""
    text = (ROOT / "src/poorter/load/mapping.py").read_text("utf-8")
    source = text.splitlines()
    lines = [
        "# Maps",
        "",
        "A map says which columns of a file are which attributes of which entities: TOML, for",
        "`poorter load FILE --map MAP.toml`. An unknown setting is refused, not ignored.",
    ]
    for node in ast.parse(text).body:
        if not isinstance(node, ast.ClassDef) or node.name not in MAP_TABLES:
            continue
        about = (ast.get_docstring(node) or "").splitlines()[0]
        lines += ["", f"## {MAP_TABLES[node.name]}", "", about, ""]
        lines += ["| setting | default | meaning |", "|---|---|---|"]
        for part in node.body:
            if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                default = "" if part.value is None else f"`{ast.unparse(part.value)}`"
                said = source[part.lineno - 1].partition("  # ")[2]
                lines.append(f"| `{part.target.id}` | {default} | {said} |")
    return "\n".join(lines) + "\n"


def systems() -> str:
    """The systems that come with it."""
    return systems_page(load_systems(SYSTEMS))


PAGES = {
    "settings.md": settings,
    "verbs.md": verbs,
    "limits.md": limits,
    "maps.md": maps,
    "systems.md": systems,
}


def main() -> int:
    """Write all pages."""
    folder = ROOT / "docs" / "reference"
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        (folder / name).write_text(make(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
