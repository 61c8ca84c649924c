# SPDX-License-Identifier: EUPL-1.2
"""Rows as lines of JSON that others can read, and back: entities as NGSI-LD has them, times as
ISO 8601, bytes as base64."""

from __future__ import annotations

from typing import Any

import msgspec

from poorter.city.errors import Invalid
from poorter.city.time import format_us, parse_us
from poorter.store.contents import (
    AttributeRow,
    EntityRow,
    EventRow,
    EvolvedRow,
    HoldRow,
    InstanceRow,
    RecordRow,
    ReplayRow,
    Row,
)

CONTEXT = "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context-v1.8.jsonld"
UNDATED_US = -(2**62)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
#: moments in lines, and what they are called there
MOMENTS = {
    "observed_us": "observedAt",
    "created_us": "createdAt",
    "modified_us": "modifiedAt",
    "deleted_us": "deletedAt",
    "at_us": "at",
    "until_us": "until",
}
_SYSTEM = ("createdAt", "modifiedAt")
_HEAD = frozenset(("@context", "id", "type", "scope", "expiresAt", *_SYSTEM))


def entity_form(row: EntityRow) -> dict[str, Any]:
    """An entity in the normalised form of NGSI-LD (CIM 009, 4.5.1), with its system attributes."""
    form: dict[str, Any] = {"@context": CONTEXT, "id": row.urn, "type": _few(row.types)}
    if row.scopes:
        form["scope"] = _few(row.scopes)
    form |= {"createdAt": format_us(row.created_us), "modifiedAt": format_us(row.modified_us)}
    if row.expires_us is not None:
        form["expiresAt"] = format_us(row.expires_us)
    for attribute in row.attributes:
        times = (format_us(attribute.created_us), format_us(attribute.modified_us))
        said = _decode(attribute.body) | dict(zip(_SYSTEM, times, strict=True))
        if attribute.name not in form:
            form[attribute.name] = said
        elif isinstance(form[attribute.name], list):
            form[attribute.name].append(said)
        else:
            form[attribute.name] = [form[attribute.name], said]
    return form


def entity_row(form: dict[str, Any], version: int, live: bool) -> EntityRow:
    """The row that `entity_form` made the form of. Raises Invalid for one that is none."""
    try:
        attributes = tuple(
            _attribute(name, one)
            for name, said in form.items()
            if name not in _HEAD
            for one in (said if isinstance(said, list) else [said])
        )
        times = (parse_us(form["createdAt"]), parse_us(form["modifiedAt"]))
        ends = form.get("expiresAt")
        ends_us = None if ends is None else parse_us(ends)
        names = (_all(form["type"]), _all(form.get("scope", ())))
        return EntityRow(form["id"], *names, version, *times, live, ends_us, attributes)
    except (KeyError, TypeError, AttributeError) as wrong:
        raise Invalid(f"{form.get('id')}: this is no entity of an export: {wrong!r}") from None


def _attribute(name: str, said: dict[str, Any]) -> AttributeRow:
    body = {key: value for key, value in said.items() if key not in _SYSTEM}
    times = (parse_us(said["createdAt"]), parse_us(said["modifiedAt"]))
    return AttributeRow(name, said.get("datasetId", ""), _encode(body), *times)


def line_form(row: Row) -> dict[str, Any]:
    """Rows that are neither state nor history nor ledger, by the names of their columns."""
    if isinstance(row, RecordRow):
        times = {"createdAt": format_us(row.created_us), "modifiedAt": format_us(row.modified_us)}
        head = {"kind": row.of, "id": row.id, "version": row.version}
        return {**head, **times, "keys": dict(row.keys), "doc": row.doc}
    form: dict[str, Any] = msgspec.structs.asdict(row)
    if isinstance(row, InstanceRow):
        form["body"] = _decode(row.body)
    for key, name in MOMENTS.items():
        if key in form:
            at_us = form.pop(key)
            form[name] = None if at_us is None or at_us == UNDATED_US else format_us(at_us)
    return form


def record_row(form: dict[str, Any]) -> RecordRow:
    """A record of its line."""
    times = (parse_us(form["createdAt"]), parse_us(form["modifiedAt"]))
    keys = tuple(sorted(form["keys"].items()))
    return RecordRow(form["kind"], form["id"], form["doc"], form["version"], *times, keys)


def line_row(form: dict[str, Any], row_type: type[Row]) -> Row:
    """A row of its line. Raises Invalid for a line that is none."""
    try:
        if row_type is RecordRow:
            return record_row(form)
        fields = dict(form)
        for key, name in MOMENTS.items():
            if name in fields:
                at = fields.pop(name)
                fields[key] = None if at is None else parse_us(at)
        if row_type is InstanceRow:
            fields["body"] = _encode(fields["body"])
            if fields["observed_us"] is None:
                fields["observed_us"] = UNDATED_US
            return InstanceRow(**fields)
        values = [fields[name] for name in row_type.__struct_fields__]
        row: Row = msgspec.convert([row_type.__struct_config__.tag, *values], row_type)
        return row
    except (KeyError, TypeError, AttributeError, msgspec.MsgspecError) as wrong:
        raise Invalid(f"this is no line of an export: {wrong}") from None


#: what lines of JSON hold, and the file of each
LINES: dict[type[Row], str] = {
    InstanceRow: "instances.ndjson",
    EvolvedRow: "evolved.ndjson",
    HoldRow: "holds.ndjson",
    ReplayRow: "replays.ndjson",
    EventRow: "events.ndjson",
}


def _few(names: tuple[str, ...]) -> str | list[str]:
    return names[0] if len(names) == 1 else list(names)


def _all(names: Any) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
