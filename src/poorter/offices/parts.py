# SPDX-License-Identifier: EUPL-1.2
"""Goals' purposes, datasets and processors by form: drafted by one officer, approved by another.

What a form has is data: the page and the check are made of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, replace
from dataclasses import fields as dataclass_fields
from typing import Any, Literal, get_args

from poorter.city.errors import Invalid
from poorter.city.text import Text
from poorter.gate.lawful import INTERNAL
from poorter.gate.policy import DataClass, Dataset, Part, Policy, Processor, Purpose, is_day
from poorter.gate.registry import following
from poorter.offices.drafts import RECORD, Draft, Kind, approving, drafts, put_draft
from poorter.offices.preview import check_seen
from poorter.offices.record import write
from poorter.running import Running
from poorter.store.contract import DeleteRecord

FieldKind = Literal["text", "words", "number", "list", "check", "choice", "types", "day", "duties"]
PARTS: tuple[Kind, ...] = ("purpose", "dataset", "processor")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form. "words": in Dutch and English; "types": `Type: attribute, attribute`
    a line; "duties": one a line, with its last day behind it where it has one."""

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
        Field("disclose", "words", Text("Wat wie het aangaat ervan leest, als de naam te veel zegt",
                                        "What people read of it, if its name tells too much")),
        Field("delay_days", "number", Text("Dagen dat de wet het geheim houdt",
                                           "Days for which the law keeps it secret")),
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
        Field("commands", "list", Text("Wat alleen een besluit zet", "What only a decision sets")),
    ),
    "processor": (
        Field("id", "text", Text("Naam in het systeem", "Name in the system"), needed=True),
        Field("title", "words", Text("Wie het is", "Who it is"), needed=True),
        Field("organisation", "text", Text("Organisatie", "Organisation"), needed=True),
        Field("kind", "choice", Text("Verhouding tot de stad", "Relation to the city"),
              ("own", "supplier", "research")),
        Field("agreement", "text", Text("Verwerkersovereenkomst", "Processing agreement")),
        Field("agreement_until", "day", Text("Geldt tot en met", "Holds through")),
        Field("duties", "duties", Text("Plichten", "Duties")),
        Field("sub_processors", "list", Text("Wie ervoor mag werken", "Who may work for it")),
        Field("exit", "text", Text("Wat er aan het eind met de gegevens gebeurt",
                                   "What becomes of the data at the end")),
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
    policy = running.gate.policy
    if str(fields["id"]).startswith(INTERNAL):
        raise Invalid(
            Text("dat is eigen werk van het platform", "that is the platform's own background work")
        )
    following(policy, [part_of(policy, kind, fields)], running.clock.now_us())
    return await put_draft(running, kind, fields, by)


async def approve_part(running: Running, draft_id: str, by: str, seen: str = "") -> str:
    """The second approval: in force with it. The id. Raises as `approving`, Invalid, and
    Conflict when what it comes to is no longer what was `seen`."""
    async with approving(running, draft_id, PARTS, by) as draft:
        parts = parts_of(running, draft)
        check_seen(running, parts, seen)
        await running.registry.put(parts, by, f"{draft.kind} approved")
        about = f"{draft.kind} {draft.id}"
        await write(running, by, about, "approved", DeleteRecord(RECORD, draft.id))
        return parts[0].id


def waiting(running: Running) -> list[Draft]:
    """Those that wait for their second officer."""
    return drafts(running, *PARTS)


def parts_of(running: Running, draft: Draft) -> Sequence[Part]:
    """What a draft would put into the policy."""
    return [part_of(running.gate.policy, draft.kind, draft.fields)]


def known_part(policy: Policy, kind: str, name: str) -> Part | None:
    """The part in force under that name."""
    found: Part | None = getattr(policy, f"{kind}s", {}).get(name) if kind in _TYPES else None
    return found


def part_of(policy: Policy, kind: str, fields: Mapping[str, Any]) -> Purpose | Dataset | Processor:
    """The part that checked fields make; what no form has stays as the part in force has it."""
    made: dict[str, Any] = {}
    for field in FORMS[kind]:
        value = fields.get(field.name)
        if field.kind == "duties":
            made["due"] = {what: day for what, day in value or () if day}
            value = [what for what, _ in value or ()]
        if value is None:
            value = _unsaid(kind, field.name)
        elif field.kind == "words":
            value = Text(value["nl"], value["en"])
        elif field.kind in ("list", "duties"):
            value = tuple(value)
        elif field.kind == "types":
            value = {name: tuple(attributes) for name, attributes in value.items()}
        made[field.name] = value
    known = known_part(policy, kind, str(fields["id"]))
    part: Any = replace(known, **made) if known is not None else _TYPES[kind](**made)
    found: Purpose | Dataset | Processor = part
    return found


def _unsaid(kind: str, name: str) -> Any:
    """What a field that is left empty stands for."""
    declared = next(one for one in dataclass_fields(_TYPES[kind]) if one.name == name)
    if declared.default_factory is not MISSING:
        return declared.default_factory()
    return declared.default


def filled(kind: str, part: Part | None) -> dict[str, str]:
    """A part in force as its form is filled in, by the names of inputs; empty for none."""
    found: dict[str, str] = {}
    for field in FORMS[kind]:
        ends = ("-nl", "-en") if field.kind == "words" else ("",)
        found |= {field.name + end: "" for end in ends}
        if part is None:
            continue
        value = getattr(part, field.name)
        if field.kind == "words":
            if value is not None:
                found |= {f"{field.name}-nl": value.nl, f"{field.name}-en": value.en}
        elif field.kind == "types":
            lines = (f"{name}: {', '.join(attributes)}" for name, attributes in value.items())
            found[field.name] = "\n".join(lines)
        elif field.kind == "duties" and isinstance(part, Processor):
            lines = (f"{duty} {part.due.get(duty, '')}".strip() for duty in value)
            found[field.name] = "\n".join(lines)
        elif field.kind == "list":
            found[field.name] = ", ".join(value)
        elif field.kind == "check":
            found[field.name] = "yes" if value else ""
        elif value is not None:
            found[field.name] = str(value)
    return found


def read_form(kind: str, given: Mapping[str, str]) -> dict[str, Any]:
    """A form's fields as data. Raises Invalid naming the field."""
    form = FORMS.get(kind)
    if form is None:
        raise Invalid(Text("kies wat het is", "choose what it is"))
    found: dict[str, Any] = {}
    for field in form:
        value = _words(field, given) if field.kind == "words" else _value(field, given)
        if value is None:
            if field.needed:
                nl, en = field.label.nl, field.label.en
                raise Invalid(Text(f"vul in: {nl}", f"fill in: {en}"))
            continue
        found[field.name] = value
    return found


def _words(field: Field, given: Mapping[str, str]) -> dict[str, str] | None:
    nl, en = (given.get(f"{field.name}-{one}", "").strip()[:200] for one in ("nl", "en"))
    if bool(nl) != bool(en):
        about = field.label
        raise Invalid(Text(f"{about.nl}: in beide talen", f"{about.en}: in both languages"))
    return {"nl": nl, "en": en} if nl else None


def _value(field: Field, given: Mapping[str, str]) -> Any:
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
    if field.kind == "day" and not is_day(text):
        raise Invalid(f"{field.name} is a date, as in 2026-09-15")
    if field.kind == "duties":
        return [_duty(line) for line in filter(str.strip, text.splitlines())]
    if field.kind == "types":
        return dict(map(_type, filter(str.strip, text.splitlines())))
    return text


def _type(line: str) -> tuple[str, list[str]]:
    name, _, rest = line.partition(":")
    if not name.strip().isidentifier():
        raise Invalid(f"{name.strip()[:60]!r} is no name of a type")
    return name.strip(), [one.strip() for one in rest.split(",") if one.strip()]


def _duty(line: str) -> tuple[str, str]:
    """A duty, and its last day or nothing."""
    what, _, day = line.strip().rpartition(" ")
    return (what.strip(), day) if what and is_day(day) else (line.strip(), "")
