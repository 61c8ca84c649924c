# SPDX-License-Identifier: EUPL-1.2
"""The reference page of the systems: all that one declares, for who must answer for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from poorter.decide.mandate import Bounds
from poorter.systems.shape import Operation, System


def systems_page(systems: Iterable[System]) -> str:
    """Markdown: a chapter a system, made from its declaration alone."""
    lines = [
        "# Systems",
        "",
        "What each system is for, what it may touch, and who answers for it: made from what it",
        "declares, so that this page can't say another thing than the gate does. Leaving its name",
        "out of `systems.enabled` in city.toml turns it off; rescinding its goal stops it at once.",
    ]
    for system in systems:
        lines += ["", f"## {system.title.en} (`{system.name}`)", "", *_chapter(system)]
    return "\n".join(lines) + "\n"


def _chapter(system: System) -> Iterator[str]:
    yield f"*{system.question.en}* {system.never.en} Office: {system.office}."
    yield from _table(
        ("goal", "for whom", "indicator, baseline, target"),
        (
            (
                goal.title.en,
                goal.for_whom.en,
                "; ".join(
                    f"{t.title.en}: {t.baseline:g} to {t.target:g} {t.unit.en} by {t.by}"
                    for t in goal.targets
                ),
            )
            for goal in system.goals
        ),
    )
    yield from _table(
        ("purpose", "legal basis", "office", "kept for, in days"),
        (
            (f"`{p.id}`: {p.title.en}", p.legal_basis, p.office, p.retention_days)
            for p in system.purposes
        ),
    )
    yield from _table(
        ("dataset", "class", "wall", "types", "kept for, in days"),
        (
            (f"`{d.id}`: {d.title.en}", d.data_class, d.wall, _code(d.types), d.retention_days)
            for d in system.datasets
        ),
    )
    yield from _table(
        ("asks to", "of dataset", "for purpose", "as"),
        (
            (", ".join(a.actions), f"`{a.dataset}`", f"`{a.purpose}`", a.processor or "itself")
            for a in system.asks
        ),
    )
    yield from _table(
        ("mandate", "sets", "bounds", "decided", "outcome"),
        (
            (
                f"`{m.id}`: {m.title.en} ({m.office})",
                f"`{m.entity_type}.{m.attribute}`",
                _bounds(m.bounds),
                m.mode,
                f"`{m.measure.attribute}` after {m.measure.after_s // 60} min",
            )
            for m in system.mandates
        ),
    )
    yield from _table(
        ("never, whoever decides", "of"),
        ((rule.title.en, f"`{rule.entity_type}`") for rule in system.safety),
    )
    yield from _table(
        ("feed", "what", "old after", "silent after"),
        (
            (
                f.title.en,
                f"`{f.entity_type}.{f.attribute}`",
                f"{f.old_after_s // 60} min",
                f"{f.silent_after_s // 60} min",
            )
            for f in system.feeds
        ),
    )
    yield from _table(
        ("operation", "at", "inputs"),
        (
            (o.title.en, f"`{_method(o)} /api/{system.name}/{o.name}`", _fields(o))
            for o in system.operations
        ),
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> Iterator[str]:
    """A table with its head, or nothing where there is no row."""
    found = [" | ".join("not said" if cell is None else str(cell) for cell in row) for row in rows]
    if found:
        yield ""
        yield f"| {' | '.join(head)} |"
        yield "|" + "---|" * len(head)
        yield from (f"| {row} |" for row in found)


def _method(operation: Operation) -> str:
    return "GET" if operation.kind == "ask" else "POST"


def _fields(operation: Operation) -> str:
    return ", ".join(
        f"`{field.name}`" + ("" if field.required else " (may be left out)")
        for field in operation.fields
    )


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _bounds(bounds: Bounds) -> str:
    said = []
    if bounds.choices:
        said.append("one of " + ", ".join(bounds.choices))
    if bounds.minimum is not None or bounds.maximum is not None:
        said.append(f"from {bounds.minimum} to {bounds.maximum}")
    if bounds.step is not None:
        said.append(f"at most {bounds.step:g} at a time")
    if bounds.rest_s:
        said.append(f"{bounds.rest_s} s between two")
    return "; ".join(said)
