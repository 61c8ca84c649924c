# SPDX-License-Identifier: EUPL-1.2
"""Goals' purposes, datasets and processors by form: drafted by one officer, approved by another.

What a form has is data: the page and the check are made of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from poorter.city.errors import Invalid
from poorter.city.text import Text
from poorter.gate.policy import DataClass, Dataset, Part, Processor, Purpose
from poorter.gate.registry import following
from poorter.offices.drafts import RECORD, Draft, Kind, draft_to_approve, drafts, put_draft
from poorter.offices.record import write
from poorter.running import Running
from poorter.store.contract import DeleteRecord

FieldKind = Literal["text", "words", "number", "list", "check", "choice", "types"]
PARTS: tuple[Kind, ...] = ("purpose", "dataset", "processor")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form. "words": in Dutch and English; "types": `Type: attribute, attribute`
    a line."""

    name: str
    kind: FieldKind
    label: Text
    choices: tuple[str, ...] = ()
    needed: bool = False


FORMS: Mapping[str, tuple[Field, ...]] = {
    "purpose": (
        Field("id", "text", Text("Naam in het systeem", "Name in the system"), needed=True),
        Field("title", "words", Text("Waarvoor", "What for"), needed=True),
        Field("goal", "choice", Text("Doel van de raad", "Goal of the council"), needed=True),
        Field("legal_basis", "text", Text("Wet en artikel", "Law and article"), needed=True),
        Field("art6", "choice", Text("AVG 6(1)", "GDPR 6(1)"), ("", *"abcdef")),
        Field("art9", "choice", Text("AVG 9(2), bij bijzondere gegevens", "GDPR 9(2), if special"),
              ("", *"abcdefghij")),
        Field("assessment", "text", Text("Waar de DPIA ligt", "Where the DPIA is")),
        Field("office", "text", Text("Kantoor dat erover gaat", "Office"), needed=True),
        Field("retention_days", "number", Text("Bewaren, dagen", "Kept, days")),
        Field("compatible_with", "list", Text("Verenigbaar met", "Compatible with")),
        Field("consent_invalid", "check",
              Text("Toestemming is hier niet vrij", "Consent is not free here")),
        Field("enforcement", "check", Text("Voor handhaving", "For enforcement")),
        Field("glass", "check", Text("Alleen in nood, per persoon door twee mensen geopend",
                                     "Emergencies only, opened per person by two")),
    ),
    "dataset": (
        Field("id", "text", Text("Naam in het systeem", "Name in the system"), needed=True),
        Field("title", "words", Text("Wat het is", "What it is"), needed=True),
        Field("wall", "text", Text("Muur", "Wall"), needed=True),
        Field("data_class", "choice", Text("Soort", "Class"), get_args(DataClass), needed=True),
        Field("controller", "text", Text("Kantoor dat het beheert", "Office that keeps it"),
              needed=True),
        Field("types", "types", Text("Soorten en gegevens", "Types and attributes"), needed=True),
        Field("retention_days", "number", Text("Bewaren, dagen", "Kept, days")),
        Field("minimum_group", "number", Text("Kleinste groep", "Smallest group")),
        Field("about", "text", Text("Gegeven dat zegt over wie het gaat",
                                    "Attribute that says whom it is about")),
    ),
    "processor": (
        Field("id", "text", Text("Naam in het systeem", "Name in the system"), needed=True),
        Field("title", "words", Text("Wie het is", "Who it is"), needed=True),
        Field("organisation", "text", Text("Organisatie", "Organisation"), needed=True),
        Field("kind", "choice", Text("Verhouding tot de stad", "Relation to the city"),
              ("own", "supplier", "research")),
        Field("agreement", "text", Text("Verwerkersovereenkomst", "Processing agreement")),
        Field("duties", "list", Text("Plichten", "Duties")),
    ),
}  # fmt: skip
_TYPES: Mapping[str, type[Purpose] | type[Dataset] | type[Processor]] = {
    "purpose": Purpose,
    "dataset": Dataset,
    "processor": Processor,
}


async def draft_part(running: Running, kind: Kind, given: Mapping[str, str], by: str) -> Draft:
    """Draft one. Raises Invalid naming the field, or why no policy may hold it."""
    fields = read_form(kind, given)
    following(running.gate.policy, [part_of(kind, fields)], running.clock.now_us())
    return await put_draft(running, kind, fields, by)


async def approve_part(running: Running, draft_id: str, by: str) -> str:
    """The second approval: in force with it. The id. Raises as `draft_to_approve`, and Invalid."""
    draft = draft_to_approve(running, draft_id, PARTS, by)
    part = part_of(draft.kind, draft.fields)
    await running.registry.put([part], by, f"{draft.kind} approved")
    await write(running, by, f"{draft.kind} {draft.id}", "approved", DeleteRecord(RECORD, draft.id))
    return part.id


def waiting(running: Running) -> list[Draft]:
    """Those that wait for their second officer."""
    return drafts(running, *PARTS)


def parts_of(draft: Draft) -> Sequence[Part]:
    """What a draft would put into the policy."""
    return [part_of(draft.kind, draft.fields)]


def part_of(kind: str, fields: Mapping[str, Any]) -> Purpose | Dataset | Processor:
    """The part that checked fields make."""
    made = dict(fields)
    title = made.pop("title")
    made["title"] = Text(title["nl"], title["en"])
    for name in ("compatible_with", "duties"):
        if name in made:
            made[name] = tuple(made[name])
    if "types" in made:
        made["types"] = {name: tuple(attributes) for name, attributes in made["types"].items()}
    return _TYPES[kind](**made)


def read_form(kind: str, given: Mapping[str, str]) -> dict[str, Any]:
    """A form's fields as data. Raises Invalid naming the field."""
    form = FORMS.get(kind)
    if form is None:
        raise Invalid(Text("kies wat het is", "choose what it is"))
    found: dict[str, Any] = {}
    for field in form:
        value = _value(field, given)
        if value is None:
            if field.needed:
                nl, en = field.label.nl, field.label.en
                raise Invalid(Text(f"vul in: {nl}", f"fill in: {en}"))
            continue
        found[field.name] = value
    return found


def _value(field: Field, given: Mapping[str, str]) -> Any:
    if field.kind == "words":
        nl, en = (given.get(f"{field.name}-{one}", "").strip()[:200] for one in ("nl", "en"))
        return {"nl": nl, "en": en} if nl and en else None
    text = given.get(field.name, "").strip()[:4000]
    if field.kind == "check":
        return bool(text)
    if not text:
        return None
    if field.choices and text not in field.choices:
        raise Invalid(f"{field.name} is one of {', '.join(field.choices)}")
    if field.kind == "number":
        if not (text.isascii() and text.isdecimal() and 0 < int(text) < 100_000):
            raise Invalid(f"{field.name} is a whole number above zero")
        return int(text)
    if field.kind == "list":
        return [one.strip() for one in text.replace("\n", ",").split(",") if one.strip()]
    if field.kind == "types":
        return dict(map(_type, filter(str.strip, text.splitlines())))
    return text


def _type(line: str) -> tuple[str, list[str]]:
    name, _, rest = line.partition(":")
    if not name.strip().isidentifier():
        raise Invalid(f"{name.strip()[:60]!r} is no name of a type")
    return name.strip(), [one.strip() for one in rest.split(",") if one.strip()]
