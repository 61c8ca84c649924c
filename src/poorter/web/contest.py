# SPDX-License-Identifier: EUPL-1.2
"""Object, follow an objection, check a receipt: no account needed for any of it."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from poorter.city.errors import Invalid
from poorter.city.text import Text
from poorter.decide.objection import SORTS, ObjectionKind
from poorter.identity.keys import read_ring
from poorter.ledger.receipt import verify_receipt
from poorter.web.page import Visit
from poorter.web.resident import name_of


async def file(visit: Visit) -> Response:
    """The form, and what the objector takes home."""
    about = visit.request.query_params.get("about", "")
    if visit.request.method == "GET":
        return visit.render(
            "object.html",
            about=about,
            sorts=SORTS,
            filed=None,
            subject=_subject(visit, about),
            entries=_entries(visit),
        )
    fields = await visit.form()
    kind: Any = fields.get("kind", "")
    about = fields.get("about", "").strip()
    filed = await visit.running.objections.file(_kind(kind), about, fields.get("text", ""))
    return visit.render(
        "object.html",
        about=about,
        sorts=SORTS,
        filed=filed,
        subject=_subject(visit, about),
        entries=[],
    )


def _kind(kind: str) -> ObjectionKind:
    if kind not in SORTS:
        raise Invalid(Text("kies wat voor bezwaar het is", f"kind is one of {', '.join(SORTS)}"))
    return kind  # type: ignore[return-value]


def _subject(visit: Visit, about: str) -> str:
    """What it is about, in words; nothing while that is still to be chosen."""
    if not about.startswith("decision-"):
        return next((word for id_, word in _entries(visit) if id_ == about), about)
    doc = visit.pages.published_one("decision", about).doc
    word = visit.speech.word
    return f"{name_of(visit)(doc['urn'])}: {word(doc['attribute'])} {word(doc['value'])}"


def _entries(visit: Visit) -> list[tuple[str, str]]:
    """Id and words of all in the registers that one can object to."""
    policy, say = visit.running.gate.policy, visit.speech.say
    text = visit.speech.text
    return [
        *((y.name, f"{say('Systeem', 'System')}: {text(y.title)}") for y in visit.running.systems),
        *((p.id, f"{say('Gebruik', 'Use')}: {text(p.title)}") for p in policy.purposes.values()),
        *(
            (m.id, f"{say('Mandaat', 'Mandate')}: {text(m.title)}")
            for m in visit.running.decisions.mandates.values()
        ),
        *((d.id, f"{say('Gegevens', 'Data')}: {text(d.title)}") for d in policy.datasets.values()),
    ]


async def follow(visit: Visit) -> Response:
    """How an objection stands, by its code."""
    if visit.request.method == "GET":
        return visit.render("objection.html", found=None, code="")
    fields = await visit.form()
    code = fields.get("code", "")
    if fields.get("act") == "withdraw":
        await visit.running.objections.withdraw(code)
    return visit.render("objection.html", found=visit.running.objections.follow(code), code=code)


async def receipt(visit: Visit) -> Response:
    """Make a receipt of a leaf, and check one against the ledger."""
    config = visit.running.config
    made = None
    index = visit.request.query_params.get("leaf", "")
    if index:
        made = visit.pages.ledger.receipt(index)
    shown, wrong, text = None, "", ""
    if visit.request.method == "POST":
        text = (await visit.form()).get("receipt", "")
        keys = [e.public() for e in read_ring(config.paths_keys) if e.use == "ledger"]
        try:
            shown = verify_receipt(text, keys, config.ledger_origin)
        except ValueError as error:
            wrong = str(error)
    return visit.render("receipt.html", made=made, index=index, shown=shown, wrong=wrong, text=text)
