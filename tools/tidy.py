# SPDX-License-Identifier: EUPL-1.2
"""House rules that linters don't know: sizes, import directions, dead files, words, docstrings.

python tools/tidy.py        prints what is wrong; exit code 1 when anything is
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src" / "poorter"
LINE_CHARS_MAX = 100
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 600

#: a layer may import itself and those before it; those on one line are peers and may too
LAYERS: tuple[tuple[str, ...], ...] = (
    ("city",),
    ("gate", "ledger", "identity", "forecast"),
    ("store", "stream"),
    ("decide", "registers", "rights"),
    ("standards", "systems", "load"),
    ("connections",),
    ("config", "handle", "founding", "running", "jobs", "backups", "control", "leaving", "memory"),
    ("offices",),
    ("web", "client", "telemetry"),
    ("server", "sim"),
    ("cli",),
)
#: what a system may not reach, besides the other systems
SYSTEMS_NEVER = ("store", "web", "running", "handle", "server", "standards", "stream")
#: outermost loops and places that must go on whatever happens, each with its reason beside it
BROAD_EXCEPT = {
    "jobs.py",
    "server.py",
    "load/run.py",
    "connections/run.py",
    "standards/ngsild/subscriptions/engine.py",
    "standards/ngsild/sources/subscribing.py",
}
VAGUE_NAMES = re.compile(r"(helper|util|manager|common|misc|base)s?\.py\Z")
FORBIDDEN = re.compile(
    r"/(?:work|root)/|/(?:home|Users)/\w"  # somebody's machine
    r"|\bpy\w\w\.org\b"
    r"|\b(?:registry|files|static|index|proxy|deb|repo1?)\.\w[\w-]*\.\w"  # registries
)


def problems() -> Iterator[str]:
    """Everything that is wrong, one line each."""
    imported: set[str] = set()
    files = sorted(SRC.rglob("*.py"))
    for file in files:
        tree = ast.parse(file.read_text("utf-8"))
        imported |= set(_modules(tree))
        name = file.relative_to(SRC).as_posix()
        for check in (_sizes, _directions, _docstrings, _excepts, _permits, _words):
            for problem in check(name, tree, file.read_text("utf-8")):
                yield f"{name}: {problem}"
    yield from _dead(files, imported)
    for file in _texts():
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
            if FORBIDDEN.search(line):
                yield f"{file.relative_to(ROOT)}:{number}: a path or host that is not the project's"


def _texts() -> Iterator[Path]:
    for pattern in ("*.md", "docs/**/*.md", "*.toml", "Makefile", ".ci/run", "tools/need"):
        yield from sorted(ROOT.glob(pattern))


def _sizes(name: str, tree: ast.Module, text: str) -> Iterator[str]:
    lines = text.splitlines()
    if len(lines) > FILE_LINES_MAX:
        yield f"{len(lines)} lines; a file has one subject and at most {FILE_LINES_MAX}"
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_CHARS_MAX:
            yield f"line {number} has {len(line)} characters"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                yield f"{node.name} has {length} lines, at most {FUNCTION_LINES_MAX}"


def _modules(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name


def _layer(part: str) -> int | None:
    return next((i for i, layer in enumerate(LAYERS) if part in layer), None)


def _directions(name: str, tree: ast.Module, text: str) -> Iterator[str]:
    own = name.split("/", maxsplit=1)[0].removesuffix(".py")
    if own == "__init__":
        return
    here = _layer(own)
    if here is None:
        yield f"{own} is in no layer of tools/tidy.py"
        return
    for module in _modules(tree):
        parts = module.split(".")
        if parts[0] != "poorter" or len(parts) < 2:
            continue
        there = _layer(parts[1])
        if there is not None and there > here:
            yield f"imports {module}, which lies above it"
        if own == "systems" and "/" in name[len("systems/") :]:
            if parts[1] in SYSTEMS_NEVER:
                yield f"a system knows the city handle only, not {module}"
            known = name.split("/")[1]
            other = parts[2] if parts[1] == "systems" and len(parts) > 2 else known
            if other not in (known, "city", "shape"):
                yield f"a system does not import another one ({module})"


def _docstrings(name: str, tree: ast.Module, text: str) -> Iterator[str]:
    if not text.startswith("# SPDX-License-Identifier: EUPL-1.2"):
        yield "the first line is the licence"
    if ast.get_docstring(tree) is None:
        yield "the module says nothing of itself"
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("_"):
            continue
        if ast.get_docstring(node) is None:
            yield f"{node.name} says nothing of itself"
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                public = isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)
                if public and not member.name.startswith("_") and ast.get_docstring(member) is None:
                    yield f"{node.name}.{member.name} says nothing of itself"


def _excepts(name: str, tree: ast.Module, text: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            broad = node.type is None or (
                isinstance(node.type, ast.Name) and node.type.id == "Exception"
            )
            if broad and name not in BROAD_EXCEPT:
                yield f"line {node.lineno}: except what is expected, not everything"


def _permits(name: str, tree: ast.Module, text: str) -> Iterator[str]:
    """Only the gate makes a permit: rule 1."""
    if name.startswith("gate/"):
        return
    for node in ast.walk(tree):
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Name) and called.id == "Permit":
            yield f"line {called.lineno}: only the gate makes a permit"


def _words(name: str, tree: ast.Module, text: str) -> Iterator[str]:
    if VAGUE_NAMES.search(name):
        yield "the name says nothing: what is its subject?"
    for number, line in enumerate(text.splitlines(), 1):
        if FORBIDDEN.search(line):
            yield f"line {number}: a path or host that is not the project's"


def _dead(files: list[Path], imported: set[str]) -> Iterator[str]:
    """Modules that nobody imports. Systems are found by name, `__main__` and mains by Python."""
    for file in files:
        name = file.relative_to(SRC).with_suffix("").as_posix()
        module = "poorter." + name.replace("/", ".")
        if name.endswith("__init__"):
            continue
        if module in imported or 'if __name__ == "__main__"' in file.read_text("utf-8"):
            continue
        yield f"{name}.py: nobody imports it"


def main() -> int:
    """Print what is wrong."""
    found = list(problems())
    sys.stdout.write("\n".join([*found, f"{len(found)} problems\n"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
